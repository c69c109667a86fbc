"""Strategies, tiles and groups as a command line names them; and what a calibration of them covers. No torch."""

import json

from .problems import Problem

NAMES = ("down", "up", "nearest", "nearest_even", "adaptive", "stochastic", "score", "balance", "capacity", "dynamic", "budget")
MEASURED = ("down", "up", "nearest", "adaptive", "stochastic", "score", "balance", "capacity", "dynamic", "budget", "tiles")  # as covers names them


def strategies(text):
    """A list of names and JSON objects with commas between them, as strategies (objects) of an experiment; each has a label."""
    found, place, decoder = [], 0, json.JSONDecoder()
    while place < len(text):
        if text[place] in ", \n":
            place += 1
        elif text[place] == "{":
            try:
                strategy, place = decoder.raw_decode(text, place)
            except ValueError as error:
                raise Problem(f"--strategies: {text[place:]}: {error}") from None
            found.append(strategy)
        else:
            end = text.find(",", place)
            end = len(text) if end < 0 else end
            found.append({"name": text[place:end].strip()})
            place = end
    for strategy in found:
        if strategy.get("name") not in (*NAMES, "none"):
            raise Problem(f"--strategies: {json.dumps(strategy.get('name'))}: no such strategy; allowed: {', '.join(NAMES)}")
    found = [strategy for strategy in found if strategy["name"] != "none"]  # what all others are set against
    if not found:
        raise Problem(f"--strategies: names none; allowed: {', '.join(NAMES)}, or objects as in an experiment's strategies")
    labels = [label(strategy) for strategy in found]
    twice = next((text for text in labels if labels.count(text) > 1), None)
    if twice:
        raise Problem(f'--strategies: {twice} twice; give them a "label"')
    return found


def label(strategy):
    """Its label, or how it is written."""
    return strategy.get("label") or (strategy["name"] if set(strategy) == {"name"} else json.dumps(strategy))


def options_of(strategy):
    """Without what only names it; a string where that is all."""
    options = {key: value for key, value in strategy.items() if key != "label"}
    return options["name"] if set(options) == {"name"} else options


def draws(options):
    """Whether a strategy's options decide by chance, so that each group needs a seed of its own."""
    return (options if isinstance(options, str) else options.get("then", options.get("name"))) in ("stochastic", "score")


def integers(text, what, least, most, multiple=1):
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or any(value < least or value > most or value % multiple for value in found) or len(set(found)) < len(found):
        step = f", multiples of {multiple}" if multiple > 1 else ""
        raise Problem(f"{what} {text}: allowed: different numbers from {least} to {most}{step}, with commas between them")
    return found


def added_gate(strategy, scoring, normalise):
    """The gate of added rows that a router of these options gives (docs/strategies.md)."""
    return strategy.get("added_gate", "normalised" if scoring == "sigmoid" and normalise else "score")


def covers(chosen, layers):
    """What a calibration of these strategies and routers (RouterOptions of each layer) covers: `covers` of its file."""
    gates = {added_gate(strategy, options.scoring, options.normalise) for strategy in chosen for options in layers}
    scorings = {f"{options.scoring}, gates {'normalised' if options.normalise else 'as they are'}" for options in layers}
    if len(gates) > 1 or len(scorings) > 1:
        raise Problem(f"a calibration covers one kind of router and one gate of added rows; these have {'; '.join(sorted(gates | scorings))}")
    names = {"tiles" if strategy.get("candidates") == "tiles" else {"nearest_even": "nearest"}.get(strategy["name"], strategy["name"])
             for strategy in chosen}
    return {
        "scoring": layers[0].scoring,
        "normalise_gates": layers[0].normalise,
        "added_gate": gates.pop(),
        "selection_bias": any(options.selection_bias is not None for options in layers),
        "groups": any(options.groups is not None for options in layers),
        "experts": {"least": min(options.experts for options in layers), "most": max(options.experts for options in layers)},
        "top_k": {"least": min(options.top_k for options in layers), "most": max(options.top_k for options in layers)},
        "strategies": [name for name in MEASURED if name in names],
    }
