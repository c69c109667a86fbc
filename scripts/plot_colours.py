"""Who has which colour and marker. They belong to strategies, by plot_colours.json, which the page of `tatr-sim report` holds
too: a strategy looks the same in every page and picture."""

import json
import pathlib

STYLES = json.loads(pathlib.Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def assign(pairs):
    """The name in STYLES for each label of `pairs`, (label, strategy) in order of appearance: its own; if it has none, its
    strategy's, unless that is taken; else the last that is free. src/report/page/colours.js does the same."""
    names, strategies = list(STYLES), {}
    for label, strategy in pairs:
        strategies.setdefault(label, strategy)
    found = {label: label for label in strategies if label in STYLES}
    for label, strategy in strategies.items():
        if label in found:
            continue
        free = [name for name in names if name not in found.values()]
        found[label] = strategy if strategy in free else free[-1] if free else names[len(found) % len(names)]
    return found
