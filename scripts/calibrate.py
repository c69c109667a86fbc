#!/usr/bin/env python3
"""Fits the calibration that estimates a network's perplexity change from what rounding did to its layers.

usage: scripts/calibrate.py [FILE...] [--name NAME] [--trained FILE] [--output FILE | --check FILE]
       scripts/calibrate.py --probe CHANGE --metrics RESULT [--output FILE]
       scripts/calibrate.py --probe FILE [--output FILE]

A FILE holds measurements of one network, or of several `models` (src/quality/README.md). The calibration is that of the first;
the others say what becomes of an estimate on a network that nothing was fitted to. Default: the measurements of src/quality/. The
form, for a network:

    change in ln(perplexity) = damage * D^power - gain * sqrt(A)

D: mean square of the gate mass that a token loses, nearly all of it the first layer's: tokens that lose much cost more than many
that lose little, and later layers make up for what is lost there. A: mean over layers of added assignments over all; they help,
ever less.

Networks differ in their damage and hardly in the power, so several are fitted with one power and one gain, and a damage each. A
network that was not measured gets the largest damage, which is rather too much. How far that errs, and what a probe gains (one
measurement of the network: its change under `down` where an expert gets 256 tokens at tile 128, by which the damage is scaled), is
found by leaving one model out at a time.

Prints the fit, its errors and its intervals. --output writes the calibration for `tatr-sim run --calibration FILE`; --check compares
with one and exits 1 where they differ (2: a file cannot be used). Needs NumPy.
"""

import argparse
import json
import math
import pathlib
import sys

import measurements
from measurements import alone, fail, np, read_json, read_networks

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "src" / "quality"
MEASURED = (FOLDER / "perplexity_vs_rounding.json", FOLDER / "other_models.json")
SCALE = 0.003  # changes are compared on a scale that is linear below this, ten times the noise of a row, and logarithmic above
THRESHOLD = 0.002  # relative errors say something above 0.2 %
FEWEST_HARMFUL = 3  # rows above it that a fit wants
OUTWARD = 1.0001  # so that the printed digits of a limit hold the row that set it
COVERAGE = 0.9  # of unseen rows that an interval should hold


def predict(parameters, damage, added):
    log_damage, power, gain = parameters
    return np.exp(log_damage) * damage**power - gain * np.sqrt(added)


def fit(networks, keep=None):
    """Power, gain, and of each network ln(damage): least squares of asinh(change / SCALE), networks counting alike, by Levenberg and
    Marquardt from a fixed start: the same on any machine. `keep`: of the only network the rows that count."""
    keep = [keep] if keep is not None else [np.ones(len(network.change), bool) for network in networks]
    damage, added, change = (np.concatenate([getattr(network, key)[rows] for network, rows in zip(networks, keep)])
                             for key in ("damage", "added", "change"))
    sizes = [int(rows.sum()) for rows in keep]
    of = np.repeat(np.arange(len(networks)), sizes)
    is_of = (of[:, None] == np.arange(len(networks))).astype(float)
    weight = np.sqrt(len(change) / (len(networks) * np.array(sizes, float)))[of]
    log_of = np.log(np.maximum(damage, 1e-300))

    def predicted(p):
        return predict((p[2:][of], p[0], p[1]), damage, added)

    def residual(p):
        return weight * (np.arcsinh(predicted(p) / SCALE) - np.arcsinh(change / SCALE))

    p, step = np.array([0.8, 0.001] + [2.5] * len(networks)), 1e-3
    best = residual(p)
    for _ in range(500):
        lost = np.exp(p[2:])[of] * damage ** p[0]
        slope = weight / np.sqrt(predicted(p) ** 2 + SCALE**2)
        columns = np.stack([np.where(damage > 0, lost * log_of, 0.0), -np.sqrt(added)], axis=1)
        jacobian = slope[:, None] * np.concatenate([columns, lost[:, None] * is_of], axis=1)
        square = jacobian.T @ jacobian
        tried = p - np.linalg.solve(square + step * np.diag(np.maximum(np.diag(square), 1e-12)), jacobian.T @ best)
        tried[:2] = np.maximum(tried[:2], 0.0)
        found = residual(tried)
        if found @ found < best @ best:
            done = best @ best - found @ found < 1e-14 * (best @ best)
            p, best, step = tried, found, step / 3
            if done:
                break
        else:
            step *= 4
            if step > 1e12:
                break
    return p[0], p[1], p[2:]


def fit_alone(network, keep):
    power, gain, log_damage = fit([network], keep)
    return log_damage[0], power, gain


def fit_of_unseen(networks):
    """For a network that is none of these."""
    power, gain, log_damage = fit(networks)
    return log_damage.max(), power, gain


def fit_by_probe(shared, change, damage, added):
    """The same, with the damage that one measurement tells."""
    _, power, gain = shared
    return math.log((change + gain * math.sqrt(added)) / damage**power), power, gain


def rank_correlation(a, b):
    """Spearman's; equal values share their mean rank."""

    def ranks(values):
        order = np.argsort(values, kind="stable")
        rank = np.empty(len(values))
        rank[order] = np.arange(len(values))
        for value in np.unique(values):
            rank[values == value] = rank[values == value].mean()
        return rank

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def errors(predicted, change):
    """Relative, where the change is above THRESHOLD; None where none is."""
    seen = change > THRESHOLD
    if not seen.any():
        return None
    error = np.abs(predicted - change)[seen] / change[seen]
    return {"rows": int(seen.sum()), "median_error": float(np.median(error)), "error_of_90_percent": float(np.quantile(error, 0.9))}


def cross_validate(network):
    """Predictions of unseen rows and, above THRESHOLD, their errors, for every way of leaving out that has two groups."""
    ways = {"tokens and tile": network.tokens * 2**32 + network.tile, "all of one token count": network.tokens,
            "all of one tile": network.tile, "all of one training run": network.run, "all of one strategy": network.strategies}
    predictions, table = {}, []
    for name, labels in ways.items():
        if len(np.unique(labels)) < 2:
            continue
        predicted = predictions[name] = np.empty(len(network.change))
        for label in np.unique(labels):
            out = labels == label
            predicted[out] = predict(fit_alone(network, ~out), network.damage[out], network.added[out])
        found = errors(predicted, network.change)
        if found:
            seen = network.change > THRESHOLD
            table.append({"left_out": name, **found, "rank_correlation": rank_correlation(predicted[seen], network.change[seen])})
    return predictions, table


def interval(predicted, change):
    """Half-width of an interval: the larger of an absolute part, for small changes, and one relative to the damage."""
    error = np.abs(predicted - change)
    large = predicted > THRESHOLD
    absolute = float(np.quantile(error[~large], COVERAGE)) if (~large).any() else 0.0
    relative = float(np.quantile((error / predicted)[large], COVERAGE)) if large.any() else 0.0
    inside = error <= np.maximum(absolute, relative * np.abs(predicted))
    return absolute, relative, float(inside.mean())


def spread_over(pairs):
    """An interval that holds COVERAGE of the (predicted, change) of each model: `least` to `most` times the estimate, and no less
    than `absolute` to both sides, which small estimates ask for."""
    tail = (1 - COVERAGE) / 2
    small = [np.abs(predicted - change)[predicted <= THRESHOLD] for predicted, change in pairs]
    absolute = max((float(np.quantile(of, 1 - tail)) for of in small if len(of)), default=0.0)
    ratios = [np.where((np.abs(predicted - change) <= absolute) | (predicted <= 0), 1.0, change / np.where(predicted > 0, predicted, 1.0))
              for predicted, change in pairs]
    return {"absolute": absolute, "least": min(1.0, *(float(np.quantile(of, tail)) for of in ratios)),
            "most": max(1.0, *(float(np.quantile(of, 1 - tail)) for of in ratios))}


def held(spread, predicted, change):
    """Share of changes inside, as src/quality/estimate.cpp has it."""
    ends = np.array([spread["least"] * predicted, spread["most"] * predicted, predicted - spread["absolute"], predicted + spread["absolute"]])
    return float(((change >= ends.min(axis=0)) & (change <= ends.max(axis=0))).mean())


def after_probe(shared, network):
    """(predicted, change) of a network, each of its probes telling of the other rows of its training run."""
    predicted, change = [], []
    for place in network.probes():
        if network.change[place] <= THRESHOLD:
            continue
        others = (network.run == network.run[place]) & (np.arange(len(network.change)) != place)
        parameters = fit_by_probe(shared, network.change[place], network.damage[place], network.added[place])
        predicted.append(predict(parameters, network.damage[others], network.added[others]))
        change.append(network.change[others])
    return (np.concatenate(predicted), np.concatenate(change)) if predicted else None


def leave_models_out(networks):
    """Of each network as if nothing of it were known, and after a probe: (predicted, change)."""
    unseen, probed = [], []
    for network in networks:
        shared = fit_of_unseen([other for other in networks if other is not network])
        unseen.append((predict(shared, network.damage, network.added), network.change))
        probed.append(after_probe(shared, network))
    return unseen, probed


def elsewhere(networks):
    """What an estimate is worth on a network that was not measured, by those that were."""
    power, gain, log_damage = fit(networks)
    unseen, probed = leave_models_out(networks)
    spread, probe = spread_over(unseen), spread_over([pair for pair in probed if pair])
    left_out = []
    for network, pair, after in zip(networks, unseen, probed):
        row = {"model": network.name, **(errors(*pair) or {"rows": 0, "median_error": 0.0, "error_of_90_percent": 0.0}), "held": held(spread, *pair)}
        others = [other for other in networks if other is not network]
        if len(others) > 1:  # an interval that has not seen the model either
            row["held_by_others_interval"] = held(spread_over(leave_models_out(others)[0]), *pair)
        if after and errors(*after):
            row["after_probe"] = {**errors(*after), "held": held(probe, *after)}
        left_out.append(row)
    return {
        "covers": {key: hull([network.covers.get(key) for network in networks]) for key in ("experts", "top_k")},
        "parameters": formula(log_damage.max(), power, gain),
        "error": spread,
        "error_after_probe": probe,
        "range": range_of(networks),
        "models": [{"name": network.name, "measurements": len(network.change), "layers": network.depth, "damage": math.exp(log)}
                   for network, log in zip(networks, log_damage)],
        "left_out": left_out,
    }


def formula(log_damage, power, gain):
    return {"damage": math.exp(log_damage), "power": float(power), "gain": float(gain), "first_layer": measurements.FIRST_LAYER}


def hull(ranges):
    """Absent bounds are told by nobody: a calibration of any shape."""
    known = [bounds for bounds in ranges if bounds]
    if len(known) < len(ranges):
        fail("of several models each must say its `covers`: experts and top_k")
    return {"least": min(bounds["least"] for bounds in known), "most": max(bounds["most"] for bounds in known)}


def range_of(networks):
    def largest(key):
        return float(max(getattr(network, key).max() for network in networks) * OUTWARD)

    return {"largest_damage": largest("damage"), "largest_dropped_mass": largest("mass"), "largest_added_share": largest("added")}


def trained_table(path):
    """Relative change by strategy and r: the mean over models. Half-width: by how much one model misses the other, and
    no less than what the printed digits leave open."""
    published, _ = read_json(path)
    try:
        found = {}
        for model in published["models"]:
            for row in model["changes"]:
                change = np.mean(row["change"]) / model["perplexity"]
                found.setdefault(row["strategy"], {}).setdefault(row["r"], []).append((change, 0.01 / model["perplexity"]))
        table = {}
        for strategy, by_r in found.items():
            table[strategy] = []
            for r in sorted(by_r):
                changes, digits = np.array(by_r[r]).T
                half = max(float(changes.max() - changes.min()), float(digits.max()))
                table[strategy].append({"r": r, "value": float(changes.mean()), "error": half})
        return {"source": published["source"], "strategies": table}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError) as error:
        fail(f"{path}: no published figures can be read: {error!r}")


def significant(value, digits=5):
    """Floats to that many digits, wherever they stand."""
    if isinstance(value, dict):
        return {key: significant(one, digits) for key, one in value.items()}
    if isinstance(value, list):
        return [significant(one, digits) for one in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def calibrate(networks, name, trained):
    """Of the first network; with others, of networks that were not measured, too."""
    for network in networks:
        network.check_enough()
        harmful = int((network.change > THRESHOLD).sum())
        if harmful < FEWEST_HARMFUL:
            fail(f"{network.path}: {network.name}: {harmful} rows change ln(perplexity) by more than {THRESHOLD}; allowed: {FEWEST_HARMFUL} or more, "
                 "for others say nothing of the damage")
    for network in networks[1:]:
        check_alike(networks[0], network)
    own = networks[0]
    log_damage, power, gain = fit_alone(own, np.ones(len(own.change), bool))
    predictions, table = cross_validate(own)
    absolute, relative, inside = interval(next(iter(predictions.values())), own.change)
    calibration = significant({
        "name": name or own.name,
        "measurements": {"file": pathlib.Path(own.path).name, "sha256": own.digest, "rows": len(own.change)},
        **({"covers": own.covers} if own.covers else {}),
        "layers": own.depth,
        "parameters": formula(log_damage, power, gain),
        "error": {"absolute": absolute, "relative": relative},
        "range": range_of([own]),
        "cross_validation": table,
        **({"elsewhere": elsewhere(networks)} if len(networks) > 1 else {}),
        "trained": trained_table(trained),
    })
    print_fit(calibration, inside)
    return calibration


def check_alike(first, other):
    for key, default in measurements.DEFAULTS.items():
        if other.covers.get(key, default) != first.covers.get(key, default):
            fail(f"{other.path}: {other.name} and {first.name} differ in {key}; allowed: models that one formula can be of")


def print_fit(calibration, inside):
    p, error, limits = calibration["parameters"], calibration["error"], calibration["range"]
    print(f"{calibration['measurements']['rows']} rows of a network of {calibration['layers']} layers")
    print(f"change in ln(perplexity) = {p['damage']} * D^{p['power']} - {p['gain']} * sqrt(A)")
    print(f"calibrated for D up to {limits['largest_damage']}, dropped mass of a layer up to {limits['largest_dropped_mass']}, "
          f"A up to {limits['largest_added_share']}")
    print(f"Relative error on rows left out, where the change is above {THRESHOLD:.1%}:")
    print(f"  {'left out':26}{'rows':>5}{'median':>9}{'90 %':>9}{'rank corr.':>12}")
    for row in calibration["cross_validation"]:
        print(f"  {row['left_out']:26}{row['rows']:5}{row['median_error']:9.1%}{row['error_of_90_percent']:9.1%}"
              f"{row['rank_correlation']:12.3f}")
    print(f"Interval: +- the larger of {error['absolute']:.5f} and {error['relative']:.1%} of the change; it holds {inside:.1%} "
          "of the rows left out")
    if "elsewhere" in calibration:
        print_elsewhere(calibration["elsewhere"])


def interval_words(spread):
    return f"{spread['least']:.2f} to {spread['most']:.2f} times the estimate, at least +-{spread['absolute']:.2%}"


def print_elsewhere(found):
    def cells(row):
        return f"{row['median_error']:9.1%}{row['error_of_90_percent']:9.1%}{row['held']:9.1%}" if row else f"{'-':>9}" * 3

    p = found["parameters"]
    print(f"Of a network that was not measured, by {len(found['models'])} models:")
    print(f"change in ln(perplexity) = {p['damage']} * D^{p['power']} - {p['gain']} * sqrt(A), the largest damage of any")
    print("Relative error on models left out, without a probe and after one, and the share that the interval holds:")
    print(f"  {'left out':34}{'damage':>9}{'median':>9}{'90 %':>9}{'held':>9}{'median':>12}{'90 %':>9}{'held':>9}")
    for model, row in zip(found["models"], found["left_out"]):
        print(f"  {row['model']:34}{model['damage']:9.2f}{cells(row)}   {cells(row.get('after_probe'))}")
    print(f"Interval without a probe: {interval_words(found['error'])}")
    print(f"Interval after a probe: {interval_words(found['error_after_probe'])}")
    unseen = [f"{row['held_by_others_interval']:.0%}" for row in found["left_out"] if "held_by_others_interval" in row]
    if unseen:
        print(f"Of each model, an interval made without a probe of the others alone holds: {', '.join(unseen)}")


def probe_in(network):
    """(change, D, A, most that a layer lost, tokens, tile) of the row that is the probe."""
    places = network.probes()
    if not len(places):
        fail(f"{network.path}: has no probe: a row of strategy down where an expert gets two tiles of tokens, such as 256 tokens at tile 128")
    at = places[0]
    return network.change[at], network.damage[at], network.added[at], network.mass[at], int(network.tokens[at]), int(network.tile[at])


def calibrate_by_probe(networks, probe, name, trained):
    """Of the probed network: the power and gain of the measured ones, its own damage, and the interval that held after probes of those."""
    if len(networks) < 2:
        fail("a probe needs measurements of at least two models to stand beside")
    for network in networks:
        network.check_enough()
    for network in [*networks[1:], probe]:
        check_alike(networks[0], network)
    found = elsewhere(networks)
    change, damage, added, mass, tokens, tile = probe_in(probe)
    if change <= THRESHOLD or damage <= 0:
        fail(f"{probe.path}: the probe changes ln(perplexity) by {change:.5f}; allowed: above {THRESHOLD}, for less says nothing of the damage")
    p = found["parameters"]
    log_damage, _, _ = fit_by_probe((None, p["power"], p["gain"]), change, damage, added)
    pairs = [pair for pair in leave_models_out(networks)[1] if pair]
    predicted, changes = (np.concatenate(side) for side in zip(*pairs))
    seen = changes > THRESHOLD
    measured = networks[0].covers  # one setting of the probed model stands for the strategies of the measured ones
    covers = {**measured, **probe.covers, **{key: measured[key] for key in ("strategies",) if key in measured}}
    covers.pop("model", None)
    if not {"experts", "top_k"} <= probe.covers.keys():
        fail(f"{probe.path}: /covers: lacks experts and top_k")
    calibration = significant({
        "name": name or f"{probe.name}, by one probe",
        "measurements": {"file": pathlib.Path(probe.path).name, "sha256": probe.digest, "rows": 1},
        "covers": covers,
        "layers": probe.depth,
        "parameters": {**p, "damage": math.exp(log_damage)},
        "error": found["error_after_probe"],
        "range": {key: max(limit, OUTWARD * float(own)) for (key, limit), own in zip(found["range"].items(), (damage, mass, added))},
        "cross_validation": [{"left_out": "models, each after one probe", **errors(predicted, changes),
                              "rank_correlation": rank_correlation(predicted[seen], changes[seen])}],
        "probe": {"tokens": tokens, "tile": tile, "log_perplexity_change": float(change)},
        "trained": trained_table(trained),
    })
    print_probe(calibration, found)
    return calibration


def print_probe(calibration, found):
    probe, damages = calibration["probe"], [model["damage"] for model in found["models"]]
    damage = calibration["parameters"]["damage"]
    print(f"Probe: down, {probe['tokens']} tokens, tile {probe['tile']}: perplexity {math.expm1(probe['log_perplexity_change']):+.2%}. Damage "
          f"{damage:.2f}; of the {len(damages)} measured models {min(damages):.2f} to {max(damages):.2f}")
    if not min(damages) / 2 <= damage <= max(damages) * 2:
        note(f"a damage of {damage:.2f} is far from all that was measured: its interval may say too little")
    for key, bounds in found["covers"].items():
        own = calibration["covers"][key]
        if not bounds["least"] <= own["least"] <= own["most"] <= bounds["most"]:
            note(f"{key} {own['least']} is outside what was measured, {bounds['least']} to {bounds['most']}: its interval may say too little")
    gains = [(row["median_error"], row["after_probe"]["median_error"]) for row in found["left_out"] if "after_probe" in row]
    print("A probe brought the median error of models left out from "
          f"{', '.join(f'{before:.0%}' for before, _ in gains)} to {', '.join(f'{after:.0%}' for _, after in gains)}")
    print(f"Interval: {interval_words(calibration['error'])}; without a probe {interval_words(found['error'])}")


def note(message):
    print(f"calibrate.py: note: {message}", file=sys.stderr)


def differences(found, expected, place=""):
    """Places where two calibrations differ by more than their digits."""
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        return [text for key in found for text in differences(found[key], expected[key], f"{place}/{key}")]
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return [text for i, (a, b) in enumerate(zip(found, expected)) for text in differences(a, b, f"{place}/{i}")]
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (found, expected))
    same = math.isclose(found, expected, rel_tol=1e-3, abs_tol=1e-9) if numbers else found == expected
    return [] if same else [f"{place}: {expected!r}, but the fit gives {found!r}"]


def write(path, calibration, inputs):
    """Whole or not at all, and over nothing that was read."""
    path = pathlib.Path(path)
    if any(path.exists() and path.samefile(one) for one in inputs if pathlib.Path(one).exists()):
        fail(f"{path}: was read; allowed: another file to write to")
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(calibration, indent=2) + "\n")
        part.replace(path)
    except OSError as error:
        fail(f"{path}: cannot be written: {error.strerror}")


def check(path, calibration):
    expected, _ = read_json(path)
    found = differences(calibration, expected)
    for line in found:
        print(f"{path}:{line}", file=sys.stderr)
    return 1 if found else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description="Fits a calibration for estimated perplexity changes.",
                                     epilog="Format of files: src/quality/README.md")
    parser.add_argument("measurements", nargs="*", default=MEASURED, metavar="FILE",
                        help="measurements: of the network that the calibration is of, and of others")
    parser.add_argument("--probe", metavar="CHANGE|FILE",
                        help="calibrate a network of which one change is known, under `down` where an expert gets 256 tokens at tile 128: the "
                             "change of its perplexity, as 4.2%%, or a file of measurements that has such a row")
    parser.add_argument("--metrics", metavar="RESULT", help="with --probe CHANGE: what `tatr-sim run --json RESULT` found there")
    parser.add_argument("--trained", default=FOLDER / "trained_with_rounding.json", metavar="FILE",
                        help="published figures of models trained with rounding")
    parser.add_argument("--name", help="how reports name the calibration")
    to = parser.add_mutually_exclusive_group()
    to.add_argument("--output", metavar="FILE", help="write the calibration")
    to.add_argument("--check", metavar="FILE", help="exit 1 unless this calibration is what the fit gives")
    arguments = parser.parse_args()
    if arguments.name is not None:
        measurements.text(arguments.name, "--name")
    if arguments.metrics is not None and arguments.probe is None:
        parser.error("--metrics goes with --probe CHANGE")
    return arguments


def main():
    arguments = parse_arguments()
    networks = [network for path in arguments.measurements for network in read_networks(path)]
    names = [network.name for network in networks]
    for name in names:
        if names.count(name) > 1:
            fail(f"two models are named {name}; allowed: a `name` of its own in each file")
    if arguments.probe is None:
        calibration = calibrate(networks, arguments.name, arguments.trained)
    else:
        probe = measurements.read_probe(arguments.probe, arguments.metrics)
        calibration = calibrate_by_probe(networks, probe, arguments.name, arguments.trained)
    if arguments.output:
        write(arguments.output, calibration, [*arguments.measurements, arguments.probe or "", arguments.metrics or "", arguments.trained])
    return check(arguments.check, calibration) if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
