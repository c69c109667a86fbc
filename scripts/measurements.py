"""What calibrate.py reads: measurements of rounded networks, and results of tatr-sim that a probe's metrics stand in.

Decides what a row must have (src/quality/README.md says it to people) and what of it counts: per row the damage D and the added
share A, of a network what it is grouped by. Bad input ends in one line: where, what stands there, and what is allowed.
"""

import hashlib
import json
import math
import pathlib
import sys

try:
    import numpy as np
except ImportError:
    sys.exit("calibrate.py: error: needs NumPy (the package python3-numpy)")

METRICS = ("dropped_gate_mass", "mean_square_dropped_mass", "added_share")
FIRST_LAYER = 0.95  # its part in D: of three networks, fitted alone, the best is 0.93, 0.97 and 0.98
STRATEGIES = ("down", "up", "nearest", "adaptive", "stochastic", "score", "balance", "capacity", "dynamic", "budget", "tiles")
CHOICES = {"scoring": ("softmax", "sigmoid"), "added_gate": ("score", "normalised")}
DEFAULTS = {"scoring": "softmax", "added_gate": "score", "normalise_gates": True, "selection_bias": False, "groups": False}  # where nothing is said
ROUNDED_OFF = 1e-4  # figures have five digits or so: by this they may miss what they must keep


def fail(message):
    print(f"calibrate.py: error: {message}", file=sys.stderr)
    sys.exit(2)


def brief(value):
    try:
        text = json.dumps(value)
    except ValueError:  # a number of more digits than Python prints
        text = "a number"
    return text if len(text) <= 60 else text[:57] + "..."


def refuse(place, value, allowed):
    fail(f"{place}: {brief(value)}; allowed: {allowed}")


def read_json(path):
    """A JSON document, with the digest of its file. NaN and Infinity are no JSON."""
    def constant(name):
        raise ValueError(f"{name} is no number")
    try:
        content = pathlib.Path(path).read_bytes()
        return json.loads(content, parse_constant=constant), hashlib.sha256(content).hexdigest()
    except OSError as error:
        fail(f"{path}: cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        fail(f"{path}: is no JSON: {str(error) or 'nested too deep'}")


def item(of, key, place):
    if not isinstance(of, dict):
        refuse(place, of, "an object")
    if key not in of:
        fail(f"{place}: lacks \"{key}\"")
    return of[key]


def items(of, key, place):
    value = item(of, key, place)
    if not isinstance(value, list) or not value:
        refuse(f"{place}/{key}", value, "a list of at least one")
    return value


def number(value, place, least=-math.inf, most=math.inf):
    bounds = max(least, -1e300), min(most, 1e300)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not bounds[0] <= value <= bounds[1]:
        limits = "a finite number" if least == -math.inf else f"a number of {least:g} to {most:g}" if most < math.inf else f"a number from {least:g}"
        refuse(place, value, limits)
    return float(value)


def whole(value, place):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value < 1 or value > 2**53 or value != int(value):
        refuse(place, value, "a whole number from 1")
    return int(value)


def text(value, place, most=100):
    if not isinstance(value, str) or not 0 < len(value) <= most:
        refuse(place, value, f"a text of 1 to {most} characters")
    return value


def label(value, place):
    """What only tells apart: a number or a word."""
    if isinstance(value, (list, dict)) or value is None:
        refuse(place, value, "a number or a word")
    return str(value)


def cover_of(covers, place):
    """What the measured routers and strategies were, as src/quality/calibration.schema.json has it; nothing: not told. A number of
    experts stands for the range of it alone."""
    if not isinstance(covers, dict):
        refuse(place, covers, "an object")
    found = dict(covers)
    for key, value in covers.items():
        at = f"{place}/{key}"
        if key in CHOICES:
            if value not in CHOICES[key]:
                refuse(at, value, " or ".join(CHOICES[key]))
        elif key in ("normalise_gates", "selection_bias", "groups"):
            if not isinstance(value, bool):
                refuse(at, value, "true or false")
        elif key in ("experts", "top_k"):
            found[key] = range_of(value, at)
        elif key == "model":
            text(value, at)
        elif key == "strategies":
            for index, name in enumerate(items(covers, key, place)):
                if name not in STRATEGIES:
                    refuse(f"{at}/{index}", name, ", ".join(STRATEGIES))
        else:
            refuse(at, value, "no keys but experts, top_k, strategies, model, " + ", ".join(DEFAULTS))
    return found


def range_of(value, place):
    if not isinstance(value, dict):
        value = {"least": value, "most": value}
    bounds = {end: whole(item(value, end, place), f"{place}/{end}") for end in ("least", "most")}
    if bounds["least"] > bounds["most"] or len(value) > 2:
        refuse(place, value, "least and most, the first no more than the second")
    return bounds


def alone(covers, key):
    """The only value of a range; None where it is not told."""
    bounds = covers.get(key)
    return bounds["least"] if bounds and bounds["least"] == bounds["most"] else None


def layer_of(layer, columns, place):
    """[mean, mean square of the lost gate mass, added share]: of an object by name, of a list by column."""
    if columns is not None:
        if not isinstance(layer, list) or len(layer) != len(columns):
            refuse(place, layer, f"a list of {len(columns)} numbers, one a column")
        layer = dict(zip(columns, layer))
    limits = (1 + ROUNDED_OFF, 1 + ROUNDED_OFF, math.inf)
    mean, square, added = (number(item(layer, key, place), f"{place}/{key}", 0, most) for key, most in zip(METRICS, limits))
    if not mean * mean - ROUNDED_OFF <= square <= mean + ROUNDED_OFF:
        refuse(f"{place}/{METRICS[1]}", square, f"a mean square of parts of 1 whose mean is {mean:g}: {mean * mean:g} to {mean:g}")
    return mean, square, added


def strategy_of(row, place):
    """A word for it; options beside the name make another one."""
    strategy = row.get("strategy", "unnamed")
    if isinstance(strategy, dict) and strategy.keys() == {"name"}:
        strategy = strategy["name"]
    elif isinstance(strategy, dict):
        strategy = json.dumps(strategy, sort_keys=True)
    return text(strategy, f"{place}/strategy", 1000)


class Features:
    """Of one row: D and A, and the most that any layer lost, which says whether it is like those measured. src/quality/estimate.cpp
    computes the same."""

    def __init__(self, layers):
        mean, square, added = np.array(layers).T
        self.damage = float(square[0] if len(square) == 1 else FIRST_LAYER * square[0] + (1 - FIRST_LAYER) * square[1:].mean())
        self.added = float(added.mean())
        self.mass = float(mean.max())


class Network:
    """The measurements of one network as arrays [rows]; `covers` says what they are of, as far as it is told."""

    def __init__(self, name, covers, path, digest):
        self.name, self.covers, self.path, self.digest = name, covers, path, digest
        self.depth = 0
        self.rows = []

    def add(self, row, columns, place):
        change = number(item(row, "log_perplexity_change", place), f"{place}/log_perplexity_change")
        if abs(change) > 100:
            refuse(f"{place}/log_perplexity_change", change, "a change of ln(perplexity)")
        layers = [layer_of(layer, columns, f"{place}/layers/{i}") for i, layer in enumerate(items(row, "layers", place))]
        if self.depth not in (0, len(layers)):
            fail(f"{place}/layers: {len(layers)} layers, but rows before have {self.depth}")
        self.depth = len(layers)
        strategy = strategy_of(row, place)
        tokens, tile = (whole(item(row, key, place), f"{place}/{key}") for key in ("tokens", "tile"))
        run = label(row.get("run", 0), f"{place}/run")
        self.rows.append((change, Features(layers), tokens, tile, run, strategy, "dropping" in row))

    def finish(self):
        change, features, tokens, tile, run, strategies, unusual = zip(*self.rows)
        self.change = np.array(change)
        self.damage, self.added, self.mass = (np.array([getattr(one, key) for one in features]) for key in ("damage", "added", "mass"))
        self.tokens, self.tile, self.strategies = map(np.array, (tokens, tile, strategies))
        self.run = np.unique(run, return_inverse=True)[1]
        self.is_down = (self.strategies == "down") & ~np.array(unusual)  # lowest gates first

    def check_enough(self):
        if len(set(zip(self.tokens, self.tile, self.run))) < 3 or (self.damage > 0).sum() < 10:
            fail(f"{self.path}: a fit needs at least ten rows of {self.name} with drops, in three groups of tokens, tile and run; of fewer "
                 "--probe makes the most")

    def probes(self):
        """Places of rows that could be the probe: `down` where an expert gets two tiles of tokens, at tile 128 where there are."""
        experts, top_k = (alone(self.covers, key) for key in ("experts", "top_k"))
        ratio = self.tokens * (top_k / experts) / self.tile if experts and top_k else np.full(len(self.tile), 2.0)
        could = self.is_down & (np.abs(ratio / 2 - 1) <= 0.05)
        usual = could & (self.tile == 128)
        return np.flatnonzero(usual if usual.any() else could)


def read_networks(path):
    """The networks of one file, in order: of its `models`, or the only one."""
    document, digest = read_json(path)
    rows = items(document, "rows", f"{path}:")
    columns = document.get("columns")
    if columns is not None and not (isinstance(columns, list) and set(METRICS) <= {c for c in columns if isinstance(c, str)}):
        refuse(f"{path}:/columns", columns, "a list of names with " + ", ".join(METRICS))
    models = document.get("models")
    if models is None:
        model = document.get("model")  # torch_tatr's word for it
        told = model if isinstance(model, str) and 0 < len(model) <= 100 else pathlib.Path(path).stem
        name = text(document["name"], f"{path}:/name") if "name" in document else told
        networks = {None: Network(name, cover_of(document.get("covers", {}), f"{path}:/covers"), path, digest)}
    elif not isinstance(models, dict) or not models:
        refuse(f"{path}:/models", models, "an object of models by name")
    else:
        networks = {}
        for name, covers in models.items():
            place = f"{path}:/models/{name}"
            networks[name] = Network(text(name, place), cover_of(covers, place), path, digest)
    seen = {}
    for index, row in enumerate(rows):
        place = f"{path}:/rows/{index}"
        if not isinstance(row, dict):
            refuse(place, row, "an object")
        name = text(item(row, "model", place), f"{place}/model") if models is not None else None
        if name not in networks:
            refuse(f"{place}/model", name, ", ".join(networks))
        first = seen.setdefault(json.dumps(row, sort_keys=True), index)
        if first != index:
            fail(f"{place}: is the same as /rows/{first}; allowed: each measurement once")
        networks[name].add(row, columns, place)
    for network in networks.values():
        if not network.rows:
            fail(f"{path}: has no row of the model {network.name}")
        network.finish()
    return list(networks.values())


def read_probe(probe, metrics):
    """The network that one change is known of, from `--probe` and `--metrics`."""
    if metrics is None and not probe.endswith("%") and not is_number(probe):
        networks = read_networks(probe)
        if len(networks) > 1:
            fail(f"{probe}: has {len(networks)} models; allowed: the one that is probed")
        return networks[0]
    if not probe.endswith("%") or not is_number(probe[:-1]) or not -100 < float(probe[:-1]) < 1e6:
        fail(f"--probe {probe}; allowed: a change of perplexity with its %, such as 4.2%, beside --metrics RESULT; or a file of measurements")
    if metrics is None:
        fail("--probe CHANGE needs --metrics RESULT: what `tatr-sim run` found there, with --json")
    return network_of_result(metrics, math.log1p(float(probe[:-1]) / 100))


def is_number(word):
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def network_of_result(path, change):
    """Of a result of `tatr-sim run`: the layers that `down` rounded at its tile, or at 128 of several."""
    document, digest = read_json(path)
    experiments = items(document, "experiments", f"{path}:")
    if len(experiments) > 1:
        fail(f"{path}: has {len(experiments)} experiments; allowed: the one that was probed")
    experiment, place = experiments[0], f"{path}:/experiments/0"
    router = item(item(experiment, "config", place), "router", f"{place}/config")
    if not isinstance(router, dict) or router.get("normalise_gates") is False:
        fail(f"{place}/config/router: needs gates that add up to 1")
    shape = items(experiment, "routing", place)[0]
    covers = {key: range_of(item(shape, key, f"{place}/routing/0"), f"{place}/routing/0/{key}") for key in ("experts", "top_k")}
    covers["scoring"] = router.get("scoring", "softmax")
    covers["selection_bias"] = bool(router.get("selection_bias"))
    covers["groups"] = bool(router.get("groups"))
    layers = {}
    for index, one in enumerate(items(experiment, "strategies", place)):
        at = f"{place}/strategies/{index}"
        if item(one, "name", at) != "down":
            continue
        groups = one.get("batches")
        found = {key: item(item(item(groups, "metrics", at), key, at), "mean", at) for key in METRICS} if groups else one
        tile = whole(item(one, "tile", at), f"{at}/tile")
        tokens = item(groups or shape, "tokens", at)
        layers.setdefault((tile, tokens), []).append(found)
    if not layers:
        fail(f"{path}: has no strategy down; allowed: what `tatr-sim run CONFIG --set '/strategies=[\"down\"]' --json FILE` writes")
    network = Network(text(item(experiment, "name", place), f"{place}/name"), cover_of(covers, place), path, digest)
    for (tile, tokens), of in layers.items():
        row = {"tokens": tokens, "tile": tile, "strategy": "down", "log_perplexity_change": change, "layers": of}
        network.add(row, None, f"{place}/strategies (down)")
    network.finish()
    return network
