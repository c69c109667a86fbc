#!/usr/bin/env python3
"""A second, independent implementation of routing and rounding, in plain NumPy: same config, same integers.

    tests/oracle/reference.py CONFIG [--layer N] [--json FILE|-] [--set /POINTER=VALUE]… [--time LABEL]

Reads an experiment, makes or reads its router logits, routes, applies every strategy at every tile and writes JSON: for
each strategy, tile and layer the integers, the metrics in fp64 and hashes of the dispatch. --layer takes one layer of a
trace. --time prints instead the wall time of one strategy, at the first tile, in three steps.

It is written from the rules, with sorts and masks, and shares no code with the program. fp32 numbers decide the order
of tokens, so they are made with the program's own formulas, each operation rounded once.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import re
import struct
import sys
import time

import numpy as np

SCHEMA = pathlib.Path(__file__).resolve().parent.parent.parent / "docs/experiment.schema.json"
# The schema leaves names to the program's catalogues; these are the oracle's own.
STRATEGIES = ["none", "down", "up", "nearest", "nearest_even", "stochastic", "score", "balance", "adaptive", "capacity", "dynamic", "budget"]
MASK_32 = np.uint64(0xFFFFFFFF)
STREAM_LOGIT, STREAM_EXPERT_BIAS, STREAM_TOPIC_OF_RUN, STREAM_TOPIC_LOGIT, STREAM_ROUNDING = range(5)
f32 = np.float32


class InputError(Exception):
    """The experiment cannot be computed as asked."""


# ---- Numbers: fp32 functions and random bits, as the program defines them

def exact_exp(x: np.ndarray) -> np.ndarray:
    """e^x for fp32 x up to 88; 0 below -87.3. Cephes expf, every operation rounded to fp32."""
    magic = f32(12582912.0)
    clamped = np.minimum(np.maximum(x, f32(-87.3)), f32(88.0))
    shifted = clamped * f32(1.44269504) + magic
    n = shifted - magic
    r = (clamped - n * f32(0.693359375)) - n * f32(-2.12194440e-4)
    p = np.full_like(r, f32(1.9875691500e-4))
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + f32(c)
    mantissa = (p * (r * r) + r) + f32(1.0)
    exponent = (shifted.view(np.uint32) - magic.view(np.uint32)) << np.uint32(23)
    return np.where(x < f32(-87.3), f32(0.0), (mantissa.view(np.uint32) + exponent).view(np.float32))


def fused_multiply_add(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c, rounded to fp32 once: the product is exact in fp64, the sum is rounded to odd there (Boldo, Melquiond 2008)."""
    product, c = a.astype(np.float64) * np.float64(b), np.float64(c)
    total = product + c
    rest = total - product
    error = (product - (total - rest)) + (c - rest)
    even = (total.view(np.uint64) & np.uint64(1)) == 0
    toward = np.where(error > 0, np.inf, -np.inf)
    return np.where((error != 0) & even, np.nextafter(total, toward), total).astype(np.float32)


def softmax_term(x: np.ndarray) -> np.ndarray:
    """e^x for fp32 x <= 0, in the sum of a softmax: nothing is less than e^-87.3."""
    magic = f32(12582912.0)
    within = np.maximum(x, f32(-87.3))
    shifted = fused_multiply_add(within, f32(1.44269504), magic)
    r = fused_multiply_add(shifted - magic, f32(-0.69314718), within)
    p = np.full_like(r, f32(0.0082903085))
    for c in (0.041897964, 0.16667637, 0.4999915, 0.9999997, 1.0):
        p = fused_multiply_add(p, r, f32(c))
    return (p.view(np.uint32) + (shifted.view(np.uint32) << np.uint32(23))).view(np.float32)


def exact_log(x: np.ndarray) -> np.ndarray:
    """ln of positive normal fp32 numbers. Cephes logf."""
    bits = x.view(np.uint32)
    fraction = bits & np.uint32(0x007FFFFF)
    above = fraction > 0x003504F3
    exponent = ((bits >> np.uint32(23)).astype(np.int64) - 127 + above).astype(np.float32)
    m = (fraction | np.where(above, 0x3F000000, 0x3F800000).astype(np.uint32)).view(np.float32) - f32(1.0)
    z = m * m
    p = np.full_like(m, f32(7.0376836292e-2))
    for c in (-1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
              -2.4999993993e-1, 3.3333331174e-1):
        p = p * m + f32(c)
    y = p * m * z
    y = y + exponent * f32(-2.12194440e-4)
    y = y - f32(0.5) * z
    return (m + y) + exponent * f32(0.693359375)


def ratio(r: np.ndarray, above: tuple, below: tuple) -> tuple:
    """Two polynomials in r, coefficients from the highest power down, by Horner's rule."""
    both = []
    for coefficients in (above, below):
        value = np.full_like(r, f32(coefficients[0]))
        for c in coefficients[1:]:
            value = value * r + f32(c)
        both.append(value)
    return tuple(both)


def normal_from_bits(bits: np.ndarray) -> np.ndarray:
    """Standard normal draws from 32 random bits each: AS 241, PPND7."""
    probability = ((bits >> np.uint32(9)).astype(np.float32) + f32(0.5)) * f32(2.0 ** -23)
    q = probability - f32(0.5)
    top, bottom = ratio(f32(0.180625) - q * q, (59.109374720, 159.29113202, 50.434271938, 3.3871327179),
                        (67.187563600, 78.757757664, 17.895169469, 1.0))
    central = q * top / bottom
    root = np.sqrt(-exact_log(np.where(q < 0, probability, f32(1.0) - probability)))
    top, bottom = ratio(root - f32(1.6), (0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777),
                        (0.12021132975, 0.73700164250, 1.0))
    near = top / bottom
    top, bottom = ratio(root - f32(5.0), (0.017337203997, 0.42868294337, 3.0812263860, 6.6579051150),
                        (0.012258202635, 0.24197894225, 1.0))
    magnitude = np.where(root <= f32(5.0), near, top / bottom)
    return np.where(np.abs(q) <= f32(0.425), central, np.where(q < 0, -magnitude, magnitude))


def random_bits(seed: int, stream: int, a, b, c=0) -> np.ndarray:
    """Philox4x32-10 at positions (a, b, c) of a stream; four neighbours in `a` are the four words of one block."""
    a, b, c = np.broadcast_arrays(*(np.asarray(value, dtype=np.uint64) for value in (a, b, c)))
    words = [a // np.uint64(4), b, c, np.full_like(a, stream)]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        left = words[0] * np.uint64(0xD2511F53)
        right = words[2] * np.uint64(0xCD9E8D57)
        words = [(right >> np.uint64(32)) ^ words[1] ^ np.uint64(key[0]), right & MASK_32,
                 (left >> np.uint64(32)) ^ words[3] ^ np.uint64(key[1]), left & MASK_32]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.choose((a % np.uint64(4)).astype(np.int64), words).astype(np.uint32)


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def hash_of(array: np.ndarray, dtype: str) -> str:
    """FNV-1a of an array's little-endian bytes as 16 hex digits."""
    return f"{fnv1a(np.ascontiguousarray(array, dtype=dtype).tobytes()):016x}"


def sum_in_order(values: np.ndarray) -> float:
    """fp64 sum from first to last; np.sum would add in pairs."""
    return float(np.cumsum(values.astype(np.float64))[-1]) if len(values) else 0.0


# ---- The experiment

def resolved(schema: dict, node):
    while isinstance(node, dict) and "$ref" in node:
        target = schema
        for key in node["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def with_defaults(schema: dict, node: dict, value: dict) -> dict:
    """The value with the defaults of its properties, those of the branch of `allOf` that fits included."""
    properties = dict(node.get("properties", {}))
    for branch in node.get("allOf", []):
        ((key, allowed),) = branch["if"]["properties"].items()
        if value[key] == allowed.get("const") or value[key] in allowed.get("enum", []):
            properties.update(branch["then"]["properties"])
    filled = dict(value)
    for key, reference in properties.items():
        rule = resolved(schema, reference)
        if not isinstance(rule, dict):
            continue
        if "default" in rule:
            filled.setdefault(key, rule["default"])
        if rule.get("type") == "number" and key in filled:
            filled[key] = float(filled[key])
    return filled


def set_value(document, override: str) -> None:
    """Applies "/json/pointer=value"; a value that is no JSON is a string."""
    pointer, _, text = override.partition("=")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    keys = [key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:]]
    if len(keys) > 2 and keys[0] == "strategies" and isinstance(document["strategies"][int(keys[1])], str):
        document["strategies"][int(keys[1])] = {"name": document["strategies"][int(keys[1])]}
    for key in keys[:-1]:
        document = document[int(key)] if isinstance(document, list) else document.setdefault(key, {})
    if not isinstance(document, list):
        document[keys[-1]] = value
    elif keys[-1] == "-":
        document.append(value)
    else:
        document[int(keys[-1])] = value


@dataclasses.dataclass
class Experiment:
    seed: int
    router: dict
    tiles: list
    strategies: list  # options with defaults; `canonical` names the random stream
    folder: pathlib.Path


def default_added_gate(router: dict) -> str:
    """What a next_best row weighs where the strategy does not say: own gates of sigmoid scores are far below the scores."""
    return "normalised" if router["scoring"] == "sigmoid" and router["normalise_gates"] else "score"


def parse_experiment(document: dict, folder: pathlib.Path) -> Experiment:
    schema = json.loads(SCHEMA.read_text())
    router = with_defaults(schema, schema["properties"]["router"], document["router"])
    router["source"] = with_defaults(schema, schema["properties"]["router"]["properties"]["source"], router["source"])
    strategies = []
    for entry in document["strategies"]:
        given = {"name": entry} if isinstance(entry, str) else dict(entry)
        if given["name"] not in STRATEGIES:
            raise InputError(f"no strategy is named '{given['name']}'")
        label = given.pop("label", given["name"])
        added_gate = given.pop("added_gate", default_added_gate(router))
        if added_gate not in ("score", "normalised") or (added_gate == "normalised" and not router["normalise_gates"]):
            raise InputError(f"strategy {label}: added_gate cannot be '{added_gate}' here")
        options = with_defaults(schema, schema["definitions"]["strategy"], given)
        if isinstance(options.get("tiles"), dict):
            options["tiles"] = {key: float(value) for key, value in options["tiles"].items()}
        canonical = json.dumps(options, sort_keys=True, separators=(",", ":"))
        strategies.append({**options, "label": label, "added_gate": added_gate, "canonical": canonical})
    tiles = document["tile"] if isinstance(document["tile"], list) else [document["tile"]]
    return Experiment(document.get("seed", 0), router, tiles, strategies, folder)


# ---- Router logits

def synthetic_logits(source: dict, seed: int, tokens: int, experts: int) -> np.ndarray:
    token, expert = np.arange(tokens)[:, None], np.arange(experts)[None, :]
    independent = f32(source["deviation"]) * normal_from_bits(random_bits(seed, STREAM_LOGIT, expert, token))
    kind = source["kind"]
    if kind == "zipf":
        offset = f32(-source["exponent"]) * exact_log((expert + 1).astype(np.float32))
    elif kind == "lognormal":
        offset = f32(source["sigma"]) * normal_from_bits(random_bits(seed, STREAM_EXPERT_BIAS, expert, 0))
    elif kind == "topics":
        draws = random_bits(seed, STREAM_TOPIC_OF_RUN, token // source["run"], 0).astype(np.uint64)
        topic = (draws * np.uint64(source["topics"])) >> np.uint64(32)  # [T, 1]
        offset = f32(source["strength"]) * normal_from_bits(random_bits(seed, STREAM_TOPIC_LOGIT, expert, topic))
    elif kind == "hot":
        offset = np.where(expert < source["experts"], f32(source["boost"]), f32(0.0))
    else:
        offset = f32(0.0)
    return independent + offset


def read_safetensors(path: pathlib.Path) -> tuple[dict, dict]:
    """Tensors by name, and the metadata."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__", {})
    types = {"F16": "<f2", "F32": "<f4", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "U8": "u1"}
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] not in types:
            continue
        first, last = entry["data_offsets"]
        values = np.frombuffer(data[8 + size + first:8 + size + last], types[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        tensors[name] = values
    return tensors, metadata


def read_npy(path: pathlib.Path) -> dict:
    values = np.load(path)
    if values.ndim == 2:
        return {"router_logits": values}
    return {f"layers.{i}.router_logits": layer for i, layer in enumerate(values)}


def pair_up(tensors: dict) -> dict:
    """Layers by name: an array of logits, or a pair (ids, scores)."""
    ids, scores, layers = {}, {}, {}
    for name, values in tensors.items():
        prefix, _, last = name.rpartition(".")
        if last in ("topk_ids", "topk_indices", "indices"):
            ids[prefix or "topk"] = (name, values)
        elif last in ("topk_scores", "topk_weights", "scores", "probs"):
            scores[prefix or "topk"] = (name, values)
    paired = [found[prefix][0] for prefix in ids.keys() & scores.keys() for found in (ids, scores)]
    layers.update({name: values for name, values in tensors.items() if name not in paired})
    layers.update({prefix: (ids[prefix][1], scores[prefix][1]) for prefix in ids.keys() & scores.keys()})
    return layers


def read_trace(experiment: Experiment) -> tuple[list, int]:
    """The layers that the source names, in natural order, and the number of experts in the metadata (0: none)."""
    source = experiment.router["source"]
    path = experiment.folder / source["file"]
    patterns = source["tensor"] if isinstance(source["tensor"], list) else [source["tensor"]]
    if path.suffix == ".npy":
        tensors, metadata = read_npy(path), {}
        patterns = ["*"] if patterns == ["router_logits"] else patterns
    else:
        tensors, metadata = read_safetensors(path)
    layers = pair_up(tensors)
    chosen = set()
    for pattern in patterns:
        expression = re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
        found = [name for name in layers if expression.fullmatch(name)]
        if not found:
            raise InputError(f"{path}: no tensor matches '{pattern}'")
        chosen.update(found)
    def natural(name):
        return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|\D", name)]
    return [layers[name] for name in sorted(chosen, key=natural)], int(metadata.get("experts", 0))


# ---- Routing

@dataclasses.dataclass
class Routing:
    chosen: np.ndarray         # [T, K] experts, best first
    gates: np.ndarray          # [T, K]
    chosen_scores: np.ndarray  # [T, K]
    counts: np.ndarray         # [E]
    scores: np.ndarray | None  # [T, E]; None where only the top-k are known
    own: list                  # by expert: its tokens, best gate first
    own_gates: list            # by expert: their gates
    rank: np.ndarray           # [T, K] place of each assignment in its expert's list

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.chosen.shape[0], len(self.counts), self.chosen.shape[1]


def score_all(logits: np.ndarray, scoring: str) -> np.ndarray:
    """p [T, E]. A softmax adds element e to partial sum e mod 128, then joins neighbouring partial sums pairwise."""
    if scoring == "sigmoid":
        return f32(1.0) / (f32(1.0) + exact_exp(-logits))
    tokens, experts = logits.shape
    with np.errstate(over="ignore"):  # a difference of -infinity is as good as any below -87.3
        below_best = logits - logits.max(axis=1, keepdims=True)
    powers = exact_exp(below_best)
    terms = softmax_term(below_best)
    partial = np.zeros((tokens, 128), dtype=np.float32)
    for first in range(0, experts, 128):
        block = terms[:, first:first + 128]
        partial[:, :block.shape[1]] += block
    while partial.shape[1] > 1:
        partial = partial[:, 0::2] + partial[:, 1::2]
    return powers * (f32(1.0) / partial)


def best_first(values: np.ndarray, count: int) -> np.ndarray:
    """Columns of the largest values of each row; of equal values the lower column comes first."""
    return np.argsort(-values, axis=1, kind="stable")[:, :count]


def make_routing(chosen: np.ndarray, chosen_scores: np.ndarray, experts: int, normalise: bool,
                 scores: np.ndarray | None) -> Routing:
    tokens, top_k = chosen.shape
    gates = chosen_scores
    if normalise:
        total = np.cumsum(chosen_scores.astype(np.float64), axis=1)[:, -1:]
        shares = np.divide(chosen_scores, total, out=np.zeros(chosen.shape), where=total > 0)
        gates = shares.astype(np.float32)
    token = np.repeat(np.arange(tokens), top_k)
    order = np.lexsort((token, -gates.ravel(), chosen.ravel()))
    counts = np.bincount(chosen.ravel(), minlength=experts)
    first = np.concatenate(([0], np.cumsum(counts)))
    rank = np.empty(tokens * top_k, dtype=np.int64)
    rank[order] = np.arange(tokens * top_k) - first[chosen.ravel()[order]]
    return Routing(chosen, gates, chosen_scores, counts, scores, np.split(token[order], first[1:-1]),
                   np.split(gates.ravel()[order], first[1:-1]), rank.reshape(tokens, top_k))


def rounded_to_bf16(values: np.ndarray) -> np.ndarray:
    """To nearest, ties to even; the largest finite value stands for what is past it."""
    most = np.uint32(0x7F7F0000).view(np.float32)
    bits = np.clip(values, -most, most).view(np.uint32)
    bits = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


def route(logits: np.ndarray, router: dict) -> Routing:
    tokens, experts = logits.shape
    if router["logits"] == "bf16":
        logits = rounded_to_bf16(logits)
    scores = score_all(logits, router["scoring"])
    count = router["groups"]["count"] if "groups" in router else 1
    value = logits
    if "selection_bias" in router or count > 1:
        value = scores + np.broadcast_to(np.asarray(router.get("selection_bias", 0), dtype=np.float32), experts)
    if count > 1:
        in_group = -np.sort(-value.reshape(tokens, count, -1), axis=2)
        pairs = in_group.shape[2] > 1 and router["groups"].get("group_score", "top2_sum") == "top2_sum"
        group_value = in_group[:, :, 0] + in_group[:, :, 1] if pairs else in_group[:, :, 0]
        allowed = np.zeros((tokens, count), dtype=bool)
        np.put_along_axis(allowed, best_first(group_value, router["groups"]["top"]), True, axis=1)
        value = np.where(np.repeat(allowed, experts // count, axis=1), value, f32(-np.inf))
    chosen = best_first(value, router["top_k"])
    return make_routing(chosen, np.take_along_axis(scores, chosen, axis=1), experts, router["normalise_gates"], scores)


def route_known(ids: np.ndarray, scores: np.ndarray, experts: int, router: dict) -> Routing:
    """Routing from known top-k, each row put in order of score, ties to the lower expert."""
    order = np.lexsort((ids, -scores.astype(np.float32)), axis=1)
    return make_routing(np.take_along_axis(ids, order, axis=1).astype(np.int64),
                        np.take_along_axis(scores, order, axis=1).astype(np.float32), experts,
                        router["normalise_gates"], None)


# ---- Rounding

@dataclasses.dataclass
class Rounded:
    tile: np.ndarray    # [E] rows of a tile
    target: np.ndarray  # [E] rows
    real: np.ndarray    # [E] rows that do useful work: neither padding nor duplicates
    token: np.ndarray   # [R] token of each row; -1: padding
    gate: np.ndarray    # [R]
    fill: str


def others(routing: Routing, expert: int) -> np.ndarray:
    """All tokens that did not choose the expert, best score first."""
    candidates = np.ones(routing.shape[0], dtype=bool)
    candidates[routing.own[expert]] = False
    tokens = np.flatnonzero(candidates)
    return tokens[np.argsort(-routing.scores[tokens, expert], kind="stable")]


def gates_if_added(routing: Routing, options: dict, tokens: np.ndarray, expert: int) -> np.ndarray:
    """Gates of tokens at an expert that they did not choose: their scores, or these over the sum of the chosen ones' (at most 1)."""
    scores = routing.scores[tokens, expert]
    if options["added_gate"] == "score":
        return scores
    totals = np.zeros(len(tokens))
    for column in range(routing.chosen.shape[1]):
        totals += routing.chosen_scores[tokens, column]
    shares = np.divide(scores, totals, out=np.zeros(len(tokens)), where=totals > 0)
    return np.minimum(shares, 1.0).astype(np.float32)


def round_ups_of_budget(options: dict, kept: np.ndarray, tile: np.ndarray, mass: dict, order: list, tokens: int) -> int:
    """How many of the experts in `order` (those with a remainder, most at stake first) a budget rounds up."""
    rem = kept % tile
    nearest = int(np.sum(tile - rem < rem))
    tiles = options.get("tiles", "as_nearest")
    if tiles == "as_nearest":
        n = nearest
    elif isinstance(tiles, int):
        least = int(np.sum(kept // tile))
        if tiles < least:
            raise InputError(f"strategy {options['label']}: {tiles} tiles; the least is {least}")
        n = tiles - least
    elif tiles == "assignments":
        n = int(np.sum(kept)) // int(tile[0]) - int(np.sum(kept // tile))
    elif "of_nearest" in tiles:
        n = math.floor(tiles["of_nearest"] * nearest)
    else:
        n = 0
        while n < len(order) and sum(mass[e] for e in order[n:]) / tokens > tiles["max_dropped_mass"]:
            n += 1
    return min(n, len(order))


def choose_up(routing: Routing, options: dict, rule: str, kept: np.ndarray, tile: np.ndarray, seed: int,
              layer: int) -> np.ndarray:
    """Which experts are rounded up [E]; it matters only where there is a remainder."""
    tokens, experts, _ = routing.shape
    rem = kept % tile
    draws = random_bits(seed ^ fnv1a(options["canonical"].encode()), STREAM_ROUNDING, np.arange(experts), layer)
    if rule == "up":
        return np.ones(experts, dtype=bool)
    if rule == "nearest":
        return tile - rem < rem
    if rule == "nearest_even":  # whole tiles are even numbers of them where a remainder is exactly half of one
        return np.round(kept / tile).astype(np.int64) > kept // tile
    if rule == "adaptive":
        return rem / tile > options.get("threshold", 0.9)
    if rule == "stochastic":
        return draws / 2.0 ** 32 < rem / tile
    up = np.zeros(experts, dtype=bool)
    if rule == "score":
        for e in np.flatnonzero(rem):
            added = others(routing, e)[:tile[e] - rem[e]]
            a = sum_in_order(routing.own_gates[e][kept[e] - rem[e]:kept[e]])
            b = sum_in_order(gates_if_added(routing, options, added, e))
            up[e] = a + b > 0 and draws[e] / 2.0 ** 32 < a / (a + b)
    elif rule == "balance":
        z = 0
        for e in np.flatnonzero(rem):
            gain, loss = int(tile[e] - rem[e]), -int(rem[e])
            up[e] = abs(gain + z) < abs(loss + z)
            z += gain if up[e] else loss
    elif rule == "budget":
        candidates = [int(e) for e in np.flatnonzero(rem)]
        last = {e: routing.own_gates[e][kept[e] - rem[e]:kept[e]].astype(np.float64) for e in candidates}
        mass = {e: sum_in_order(last[e]) for e in candidates}
        squared = {e: sum_in_order(last[e] ** 2) for e in candidates}
        stake = mass if options.get("objective") == "mass" else squared
        order = sorted(candidates, key=lambda e: (-stake[e], e))
        up[order[:round_ups_of_budget(options, kept, tile, mass, order, tokens)]] = True
    return up


def tile_of_experts(options: dict, tile: int, counts: np.ndarray) -> np.ndarray:
    if options["name"] != "dynamic":
        return np.full(len(counts), tile)
    steps = options["tiles_by_load"]
    tiles = np.full(len(counts), steps[-1]["tile"])
    for step in reversed(steps[:-1]):
        tiles[counts < step["below"]] = step["tile"]
    return tiles


def targets_among_tiles(routing: Routing, options: dict, tile: np.ndarray, fill: str) -> np.ndarray:
    """Rows of each expert [E] where a budget chooses among the tiles that rounding up has, by what their rows carry."""
    tokens, experts, _ = routing.shape
    counts, power = routing.counts, 1 if options.get("objective") == "mass" else 2
    entries, nearest = [], 0  # of each tile: minus what it carries, but for ties its expert and place; its own gates
    for e in range(experts):
        own, size = routing.own_gates[e].astype(np.float64), int(tile[e])
        rem = int(counts[e]) % size
        nearest += rem > 0 and size - rem < rem
        extra = -int(counts[e]) % size
        added = own[:0]
        if extra and fill == "next_best":
            added = gates_if_added(routing, options, others(routing, e)[:extra], e).astype(np.float64)
        rows, least = np.concatenate([own, added]), math.inf
        for place, first in enumerate(range(0, len(own), size)):
            least = min(least, sum_in_order(rows[first:first + size] ** power))
            entries.append((-least, e, place, sum_in_order(own[first:first + size])))
    entries.sort()
    tiles, least_tiles = options.get("tiles", "as_nearest"), int(np.sum(counts // tile))
    if tiles == "as_nearest":
        n = least_tiles + nearest
    elif isinstance(tiles, int):
        n = tiles
    elif tiles == "assignments":
        n = int(np.sum(counts)) // int(tile[0])
    elif "of_nearest" in tiles:
        n = least_tiles + math.floor(tiles["of_nearest"] * nearest)
    else:
        n, dropped = len(entries), 0.0
        while n > 0 and dropped + entries[n - 1][3] <= tiles["max_dropped_mass"] * tokens:
            n -= 1
            dropped += entries[n][3]
    target = np.zeros(experts, dtype=counts.dtype)
    for _, e, _, _ in entries[:n]:
        target[e] += tile[e]
    return target


def round_routing(routing: Routing, options: dict, tile: int, seed: int, layer: int) -> Rounded:
    tokens, experts, top_k = routing.shape
    fill = options.get("fill", "pad" if routing.scores is None else "next_best")
    rule = options.get("then", options["name"])
    if routing.scores is None and (rule == "score" or fill == "next_best"):
        raise InputError(f"strategy {options['label']}: this trace holds only each token's top-k")
    tiles = tile_of_experts(options, tile, routing.counts)
    kept = routing.counts
    if options["name"] == "capacity":
        kept = np.minimum(kept, math.ceil(options["factor"] * (tokens * top_k) / (experts * tile)) * tile)
    rem = kept % tiles
    target = kept
    if rule == "budget" and options.get("candidates") == "tiles":
        target = targets_among_tiles(routing, options, tiles, fill)
    elif rule != "none":
        up = choose_up(routing, options, rule, kept, tiles, seed, layer)
        target = np.where(rem == 0, kept, np.where(up, kept - rem + tiles, kept - rem))

    rows, gates, real = [], [], np.minimum(kept, target)
    for e in range(experts):
        rows.append(routing.own[e][:real[e]])
        gates.append(routing.own_gates[e][:real[e]])
        extra = int(target[e] - real[e])
        if extra == 0:
            continue
        if fill == "next_best":
            added = others(routing, e)[:extra]
            rows.append(added)
            gates.append(gates_if_added(routing, options, added, e))
            real[e] += len(added)
            extra -= len(added)
        elif fill == "duplicate":
            rows.append(np.resize(routing.own[e][:kept[e]], extra))
            gates.append(np.zeros(extra, dtype=np.float32))
            continue
        rows.append(np.full(extra, -1))
        gates.append(np.zeros(extra, dtype=np.float32))
    token, gate = np.concatenate(rows), np.concatenate(gates).astype(np.float32)
    if options["renormalise"]:
        gate = renormalised(routing, token, gate)
    return Rounded(tiles, target, real, token, gate, fill)


def renormalised(routing: Routing, token: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """Gates rescaled to the sum that each token had; fp64 sums in order of choice before, in order of rows after."""
    before = np.cumsum(routing.gates.astype(np.float64), axis=1)[:, -1]
    row = np.flatnonzero(token >= 0)
    after = np.bincount(token[row], weights=gate[row].astype(np.float64), minlength=len(before))
    scale = np.divide(before, after, out=np.ones_like(before), where=after > 0)
    result = gate.copy()
    result[row] = (gate[row].astype(np.float64) * scale[token[row]]).astype(np.float32)
    return result


# ---- What rounding did

def most_experts(rounded: Rounded, target: np.ndarray) -> int:
    """Different experts that compute one token, the most of any."""
    pairs = np.stack([rounded.token, np.repeat(np.arange(len(target)), target)], axis=1)
    pairs = np.unique(pairs[rounded.token >= 0], axis=0)
    return int(np.unique(pairs[:, 0], return_counts=True)[1].max()) if len(pairs) else 0


def measure(routing: Routing, rounded: Rounded) -> dict:
    tokens, experts, top_k = routing.shape
    counts, target, tile = routing.counts, rounded.target, rounded.tile
    assignments = tokens * top_k
    tiles = -(-target // tile)
    extra = int(np.sum(target - rounded.real))
    fill_rows = np.maximum(target - counts, 0)
    dropped = routing.rank >= target[routing.chosen]
    lost = np.where(dropped, routing.gates.astype(np.float64), 0.0).sum(axis=1)
    has_rows = tiles > 0
    tile_rows = int(np.sum(tiles * tile))
    integers = {
        "rows": int(target.sum()),
        "tiles": int(tiles.sum()),
        "dropped": int(dropped.sum()),
        "added": int(fill_rows.sum()) - extra,
        "padded": 0 if rounded.fill == "duplicate" else extra,
        "duplicated": extra if rounded.fill == "duplicate" else 0,
        "tokens_without_expert": tokens - len(np.unique(rounded.token[rounded.token >= 0])),
        "starved_experts": int(np.sum((counts > 0) & (target == 0))),
        "experts_per_token_max": most_experts(rounded, target),
    }
    utilisation = float(rounded.real.sum() / tile_rows) if tile_rows else 1.0
    metrics = {
        "tile_utilisation": utilisation,
        "wasted_flops": 1.0 - utilisation,
        "mean_expert_utilisation":
            float(np.mean(rounded.real[has_rows] / (tiles * tile)[has_rows])) if has_rows.any() else 1.0,
        **{f"{name}_share": integers[name] / assignments for name in ("dropped", "added", "padded", "duplicated")},
        "dropped_gate_mass": float(np.mean(lost)),
        "mean_square_dropped_mass": float(np.mean(lost ** 2)),
        "mean_cube_dropped_mass": float(np.mean(lost ** 3)),
        "mean_dropped_probability":
            float(np.mean(routing.chosen_scores[dropped].astype(np.float64))) if dropped.any() else 0.0,
        "rounding_loss": float(np.mean(counts % tile / tile)),
    }
    in_last = np.maximum(rounded.real - (tiles - 1) * tile, 0) / tile
    return {
        **integers,
        "metrics": metrics,
        "counts_before": counts.tolist(),
        "counts_after": target.tolist(),
        "tiles_per_expert": tiles.tolist(),
        "last_tile_utilisation": [float(u) if n else None for u, n in zip(in_last, tiles)],
        "token_hash": hash_of(rounded.token, "<i4"),
        "gate_hash": hash_of(rounded.gate, "<f4"),
    }


# ---- The program

def routings_of(experiment: Experiment, only_layer: int | None):
    """(layer, a function that routes it) for each layer."""
    router = experiment.router
    if router["source"]["kind"] != "trace":
        logits = synthetic_logits(router["source"], experiment.seed, router["tokens"], router["experts"])
        if only_layer in (None, 0):
            yield 0, lambda: route(logits, router)
        return
    layers, experts = read_trace(experiment)
    first = router["source"]["first_token"]
    for index, values in enumerate(layers):
        if only_layer not in (None, index):
            continue
        known = isinstance(values, tuple)
        left = len(values[0] if known else values) - first
        taken = slice(first, first + min(router.get("tokens", left), left))
        if known:
            yield index, lambda: route_known(values[0][taken], values[1][taken], router.get("experts", experts), router)
        else:
            logits = values[taken].astype(np.float32)
            yield index, lambda: route(logits, router)


def run(experiment: Experiment, only_layer: int | None) -> list:
    results = []
    for layer, make in routings_of(experiment, only_layer):
        routing = make()
        for tile in experiment.tiles:
            for options in experiment.strategies:
                rounded = round_routing(routing, options, tile, experiment.seed, layer)
                results.append({"strategy": options["label"], "name": options["name"], "tile": tile, "layer": layer,
                                "canonical": options["canonical"], **measure(routing, rounded)})
    return results


def time_strategy(experiment: Experiment, only_layer: int | None, label: str) -> dict:
    options = next((one for one in experiment.strategies if one["label"] == label), None)
    if options is None:
        raise InputError(f"no strategy is labelled '{label}'")
    layer, make = next(iter(routings_of(experiment, only_layer)))
    clock = time.perf_counter
    started = clock()
    routing = make()
    routed = clock()
    rounded = round_routing(routing, options, experiment.tiles[0], experiment.seed, layer)
    done = clock()
    measure(routing, rounded)
    return {"strategy": label, "tile": experiment.tiles[0], "layer": layer, "tokens": routing.shape[0],
            "experts": routing.shape[1], "top_k": routing.shape[2], "route_s": routed - started,
            "round_s": done - routed, "measure_s": clock() - done}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("--layer", type=int, help="only this layer of a trace")
    parser.add_argument("--json", default="-", metavar="FILE", help="where the result goes; -: standard output")
    parser.add_argument("--set", action="append", default=[], metavar="/POINTER=VALUE", help="overrides a config value")
    parser.add_argument("--time", metavar="LABEL", help="time this strategy instead")
    arguments = parser.parse_args()
    try:
        document = json.loads(arguments.config.read_text())
        for override in arguments.set:
            set_value(document, override)
        experiment = parse_experiment(document, arguments.config.parent)
        if arguments.time:
            result = time_strategy(experiment, arguments.layer, arguments.time)
        else:
            result = run(experiment, arguments.layer)
    except (InputError, OSError, ValueError, KeyError) as error:
        print(f"reference.py: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    text = json.dumps(result, indent=1) + "\n"
    if arguments.json == "-":
        sys.stdout.write(text)
    else:
        pathlib.Path(arguments.json).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
