#!/usr/bin/env python3
"""Fits the calibration that estimates a network's perplexity change from what rounding did to its layers.

usage: scripts/calibrate.py [MEASUREMENTS] [--trained FILE] [--name NAME] [--others FILE] [--output FILE | --check FILE]

MEASUREMENTS (default: src/quality/perplexity_vs_rounding.json; its format: src/quality/README.md) holds rows
of one rounded network each: the change in log perplexity beside the metrics of every layer. The form, for a network:

    change in ln(perplexity) = damage * D^power - gain * sqrt(A)

D: mean over layers of the fifth moment of the gate mass that a token loses: few tokens that lose much cost more than many that
lose little. Only the first three moments are known; D is the smallest fifth moment that they allow, that of two groups of tokens
that lose alike (the two-point Gauss rule of the moments).  power < 1: damage on damage costs less.
A: mean over layers of added assignments over all; they help, ever less.

Prints the fit, its cross-validated errors under several ways to leave groups out, and the share of unseen rows inside the
interval. --others says how far the fit reaches: how much of what was measured on other models its interval holds. --output writes the calibration for `tatr-sim run --calibration FILE`; --check compares with one and exits 1 where they
differ (2: a file cannot be used). Needs NumPy.
"""

import argparse
import hashlib
import json
import math
import pathlib
import sys

try:
    import numpy as np
except ImportError:
    sys.exit("calibrate.py: error: needs NumPy (the package python3-numpy)")

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "src" / "quality"
MOMENTS = ("dropped_gate_mass", "mean_square_dropped_mass", "mean_cube_dropped_mass")
SCALE = 0.003  # changes are compared on a scale that is linear below this, ten times the noise of a row, and logarithmic above
THRESHOLD = 0.002  # relative errors say something above 0.2 %
OUTWARD = 1.0001  # so that the printed digits of a limit hold the row that set it
COVERS = {"scoring", "added_gate", "selection_bias", "groups", "experts", "top_k", "strategies"}
COVERAGE = 0.9  # of unseen rows that an interval should hold


def fail(message):
    print(f"calibrate.py: error: {message}", file=sys.stderr)
    sys.exit(2)


def fifth_moment(m1, m2, m3):
    """Smallest fifth moment of a non-negative variable with these first three: that of its two-point Gauss rule.

    Both points are roots of x^2 + b x + c, which 1 and x are orthogonal to; so m[n+2] = -b m[n+1] - c m[n].
    src/quality/estimate.cpp computes the same."""
    variance = m2 - m1 * m1
    spread = variance > 1e-12
    b = np.where(spread, (m1 * m2 - m3) / np.where(spread, variance, 1.0), -m1)
    c = np.where(spread, -m2 - b * m1, 0.0)
    m4 = -b * m3 - c * m2
    return np.maximum(-b * m4 - c * m3, 0.0)


def cover_of(document, path):
    """What the measured routers and strategies were, as src/quality/calibration.schema.json has it; nothing: not told."""
    covers = document.get("covers", {})
    if not isinstance(covers, dict) or not covers.keys() <= COVERS:
        fail(f"{path}: /covers: expected an object of {', '.join(sorted(COVERS))}")
    return covers


class Rows:
    """The measurements as arrays: change [n], features [n], and what rows are grouped by."""

    def __init__(self, path):
        try:
            content = pathlib.Path(path).read_bytes()
            document = json.loads(content)
            rows = document["rows"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            fail(f"{path}: no measurements can be read: {error!r}")
        self.digest = hashlib.sha256(content).hexdigest()
        self.covers = cover_of(document, path)
        self.depth = 0
        change, damage, added, groups, mass, severity, strategies = [], [], [], [], [], [], []
        for index, row in enumerate(rows):
            try:
                layers = row["layers"]
                moments = np.array([[float(layer[key]) for key in MOMENTS] for layer in layers])
                more = np.array([float(layer["added_share"]) for layer in layers])
                change.append(float(row["log_perplexity_change"]))
                strategies.append(str(row.get("strategy", "")))
                groups.append((int(row["tokens"]), int(row["tile"]), row.get("run", 0)))
            except (KeyError, TypeError, ValueError) as error:
                fail(f"{path}: /rows/{index}: {error!r}")
            if not np.isfinite(moments).all() or (moments < 0).any() or (moments > 1.001).any() or not math.isfinite(change[-1]):
                fail(f"{path}: /rows/{index}: dropped masses must lie in 0 to 1, and every figure must be finite")
            if self.depth not in (0, len(layers)):
                fail(f"{path}: /rows/{index}/layers: {len(layers)} layers, but rows before have {self.depth}")
            self.depth = len(layers)
            damage.append(fifth_moment(*moments.T).mean())
            mass += list(moments[:, 0])
            severity += [cube / square for _, square, cube in moments if square > 0]
            added.append(more.mean())
        self.change, self.damage, self.added = map(np.array, (change, damage, added))
        self.mass = np.array(mass)  # of every layer, mean over tokens
        self.severity = np.array(severity)  # of every layer that drops anything: mean cube over mean square
        self.groups = np.array(groups)
        self.strategies = np.array(strategies)
        if len(set(map(tuple, groups))) < 3 or (self.damage > 0).sum() < 10:
            fail(f"{path}: a fit needs at least ten rows with drops, in three groups of tokens, tile and run")


def predict(parameters, damage, added):
    log_damage, power, gain = parameters
    return np.exp(log_damage) * damage**power - gain * np.sqrt(added)


def fit(rows, keep):
    """Least squares of asinh(change / SCALE) by Levenberg and Marquardt, from a fixed start: the same on any machine."""
    damage, added, change = rows.damage[keep], rows.added[keep], rows.change[keep]
    log_of = np.log(np.maximum(damage, 1e-300))

    def residual(p):
        return np.arcsinh(predict(p, damage, added) / SCALE) - np.arcsinh(change / SCALE)

    p, step = np.array([2.5, 0.8, 0.001]), 1e-3
    best = residual(p)
    for _ in range(500):
        lost = np.exp(p[0]) * damage ** p[1]
        slope = 1 / np.sqrt(predict(p, damage, added) ** 2 + SCALE**2)
        jacobian = slope[:, None] * np.stack([lost, np.where(damage > 0, lost * log_of, 0.0), -np.sqrt(added)], axis=1)
        square = jacobian.T @ jacobian
        change_of_p = -np.linalg.solve(square + step * np.diag(np.maximum(np.diag(square), 1e-12)), jacobian.T @ best)
        tried = p + change_of_p
        tried[1:] = np.maximum(tried[1:], 0.0)
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
    return p


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


def leave_out(rows, labels):
    """Each row predicted by a fit that has not seen its group."""
    predicted = np.empty(len(rows.change))
    for label in np.unique(labels):
        out = labels == label
        predicted[out] = predict(fit(rows, ~out), rows.damage[out], rows.added[out])
    return predicted


def cross_validate(rows):
    """Predictions of unseen rows and, above THRESHOLD, their errors, for every way of leaving out that has two groups."""
    tokens, tile, run = rows.groups.T
    ways = {"tokens and tile": tokens * 2**32 + tile, "all of one token count": tokens, "all of one tile": tile,
            "all of one training run": run, "all of one strategy": rows.strategies}
    predictions, table = {}, []
    for name, labels in ways.items():
        if len(np.unique(labels)) < 2:
            continue
        predictions[name] = leave_out(rows, labels)
        seen = rows.change > THRESHOLD
        if not seen.any():
            continue
        error = np.abs(predictions[name] - rows.change)[seen] / rows.change[seen]
        table.append({"left_out": name, "rows": int(seen.sum()), "median_error": float(np.median(error)),
                      "error_of_90_percent": float(np.quantile(error, 0.9)),
                      "rank_correlation": rank_correlation(predictions[name][seen], rows.change[seen])})
    return predictions, table


def interval(rows, predicted):
    """Half-width of an interval: the larger of an absolute part, for small changes, and one relative to the damage."""
    error = np.abs(predicted - rows.change)
    large = predicted > THRESHOLD
    absolute = float(np.quantile(error[~large], COVERAGE)) if (~large).any() else 0.0
    relative = float(np.quantile((error / predicted)[large], COVERAGE)) if large.any() else 0.0
    inside = error <= np.maximum(absolute, relative * np.abs(predicted))
    return absolute, relative, float(inside.mean())


def trained_table(path):
    """Relative change by strategy and r: the mean over models. Half-width: by how much one model misses the other, and
    no less than what the printed digits leave open."""
    try:
        published = json.loads(pathlib.Path(path).read_bytes())
        found = {}
        for model in published["models"]:
            for row in model["changes"]:
                change = np.mean(row["change"]) / model["perplexity"]
                found.setdefault(row["strategy"], {}).setdefault(row["r"], []).append((change, 0.01 / model["perplexity"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        fail(f"{path}: no published figures can be read: {error!r}")
    table = {}
    for strategy, by_r in found.items():
        table[strategy] = []
        for r in sorted(by_r):
            changes, digits = np.array(by_r[r]).T
            half = max(float(changes.max() - changes.min()), float(digits.max()))
            table[strategy].append({"r": r, "value": significant(changes.mean()), "error": significant(half)})
    return {"source": published["source"], "strategies": table}


def significant(value, digits=5):
    return float(f"{value:.{digits}g}")


def calibrate(arguments):
    rows = Rows(arguments.measurements)
    parameters = fit(rows, np.ones(len(rows.change), bool))
    predictions, table = cross_validate(rows)
    absolute, relative, inside = interval(rows, next(iter(predictions.values())))
    calibration = {
        "name": arguments.name,
        "measurements": {"file": pathlib.Path(arguments.measurements).name, "sha256": rows.digest, "rows": len(rows.change)},
        **({"covers": rows.covers} if rows.covers else {}),
        "layers": rows.depth,
        "parameters": {"damage": significant(math.exp(parameters[0])), "power": significant(parameters[1]),
                       "gain": significant(parameters[2])},
        "error": {"absolute": significant(absolute), "relative": significant(relative)},
        "range": {"largest_damage": significant(rows.damage.max() * OUTWARD),
                  "largest_dropped_mass": significant(rows.mass.max() * OUTWARD),
                  "largest_severity": significant(rows.severity.max() * OUTWARD),
                  "largest_added_share": significant(rows.added.max() * OUTWARD)},
        "cross_validation": [{key: significant(value) if isinstance(value, float) else value for key, value in row.items()}
                             for row in table],
        "trained": trained_table(arguments.trained),
    }
    report(calibration, inside)
    return calibration


def reach(calibration, path):
    """How many changes of other models, in range, the interval holds; and estimate over change, where that is large."""
    try:
        document = json.loads(pathlib.Path(path).read_bytes())
        columns = [document["columns"].index(name) for name in (*MOMENTS, "added_share")]
        found = {}
        for row in document["rows"]:
            layers = np.array(row["layers"])[:, columns]
            found.setdefault(row["model"], []).append((float(row["log_perplexity_change"]), layers))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        fail(f"{path}: no measurements of other models can be read: {error!r}")
    p, error, limits = calibration["parameters"], calibration["error"], calibration["range"]
    print("Of other models' changes that are in range, the interval holds:")
    for model, rows in found.items():
        held, ratios, total = 0, [], 0
        for change, layers in rows:
            mean, square, cube, added = layers.T
            damage, gained = fifth_moment(mean, square, cube).mean(), added.mean()
            severity = max((c / s for s, c in zip(square, cube) if s > 0), default=0.0)
            if (damage > limits["largest_damage"] or mean.max() > limits["largest_dropped_mass"]
                    or severity > limits["largest_severity"] or gained > limits["largest_added_share"]):
                continue
            estimate = float(predict((math.log(p["damage"]), p["power"], p["gain"]), damage, gained))
            total += 1
            held += abs(estimate - change) <= max(error["absolute"], error["relative"] * abs(estimate))
            ratios += [estimate / change] if change > THRESHOLD else []
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}, median {np.median(ratios):.2f}" if ratios else "none"
        print(f"  {model:26}{held:4} of {total}; estimate over change, above {THRESHOLD:.1%}: {spread}")


def report(calibration, inside):
    p, error, limits = calibration["parameters"], calibration["error"], calibration["range"]
    print(f"{calibration['measurements']['rows']} rows of a network of {calibration['layers']} layers")
    print(f"change in ln(perplexity) = {p['damage']} * D^{p['power']} - {p['gain']} * sqrt(A)")
    print(f"calibrated for D up to {limits['largest_damage']}, of a layer: dropped mass up to {limits['largest_dropped_mass']}, "
          f"severity up to {limits['largest_severity']}; A up to {limits['largest_added_share']}")
    print(f"Relative error on rows left out, where the change is above {THRESHOLD:.1%}:")
    print(f"  {'left out':26}{'rows':>5}{'median':>9}{'90 %':>9}{'rank corr.':>12}")
    for row in calibration["cross_validation"]:
        print(f"  {row['left_out']:26}{row['rows']:5}{row['median_error']:9.1%}{row['error_of_90_percent']:9.1%}"
              f"{row['rank_correlation']:12.3f}")
    print(f"Interval: +- the larger of {error['absolute']:.5f} and {error['relative']:.1%} of the change; it holds {inside:.1%} "
          "of the rows left out")


def differences(found, expected, place=""):
    """Places where two calibrations differ by more than their digits."""
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        return [text for key in found for text in differences(found[key], expected[key], f"{place}/{key}")]
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return [text for i, (a, b) in enumerate(zip(found, expected)) for text in differences(a, b, f"{place}/{i}")]
    numbers = isinstance(found, (int, float)) and isinstance(expected, (int, float))
    same = math.isclose(found, expected, rel_tol=1e-3, abs_tol=1e-9) if numbers else found == expected
    return [] if same else [f"{place}: {expected!r}, but the fit gives {found!r}"]


def main():
    parser = argparse.ArgumentParser(description="Fits a calibration for estimated perplexity changes.",
                                     epilog="Format of files: src/quality/README.md")
    parser.add_argument("measurements", nargs="?", default=FOLDER / "perplexity_vs_rounding.json", metavar="MEASUREMENTS")
    parser.add_argument("--trained", default=FOLDER / "trained_with_rounding.json", metavar="FILE",
                        help="published figures of models trained with rounding")
    parser.add_argument("--name", default="6-layer model, 256 experts, top-8", help="how reports name the calibration")
    parser.add_argument("--others", metavar="FILE", help="measurements of other models: src/quality/other_models.json")
    write = parser.add_mutually_exclusive_group()
    write.add_argument("--output", metavar="FILE", help="write the calibration")
    write.add_argument("--check", metavar="FILE", help="exit 1 unless this calibration is what the fit gives")
    arguments = parser.parse_args()
    calibration = calibrate(arguments)
    if arguments.others:
        reach(calibration, arguments.others)
    if arguments.output:
        try:
            pathlib.Path(arguments.output).write_text(json.dumps(calibration, indent=2) + "\n")
        except OSError as error:
            fail(f"{arguments.output}: {error.strerror}")
    if arguments.check:
        try:
            expected = json.loads(pathlib.Path(arguments.check).read_bytes())
        except (OSError, ValueError) as error:
            fail(f"{arguments.check}: cannot be read: {error}")
        found = differences(calibration, expected)
        for line in found:
            print(f"{arguments.check}:{line}", file=sys.stderr)
        return 1 if found else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
