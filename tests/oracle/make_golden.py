#!/usr/bin/env python3
"""Writes tests/rounding/golden.json: small experiments and what tests/oracle/reference.py says of them.

    tests/oracle/make_golden.py [FILE]

Each case is an experiment as users write it. Where it has `pattern`, that gives the logits (or the known top-k) instead
of the source: whole numbers, scaled, so that ties are many and both sides make them alike.
"""

import json
import pathlib
import sys

import numpy as np

import reference

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "rounding/golden.json"

METRICS = ["tile_utilisation", "wasted_flops", "mean_expert_utilisation", "dropped_share", "added_share",
           "padded_share", "duplicated_share", "dropped_gate_mass", "mean_square_dropped_mass",
           "mean_cube_dropped_mass", "mean_dropped_probability", "rounding_loss"]
INTEGERS = ["rows", "tiles", "dropped", "added", "padded", "duplicated", "tokens_without_expert", "starved_experts",
            "experts_per_token_max"]
MOST_LISTED = 300  # experts whose rows are written one by one

SIMPLE = ["none", "down", "up", "nearest", "adaptive", "stochastic", "score", "balance", "budget"]
SMALL_STEPS = [{"below": 10, "tile": 8}, {"below": 33, "tile": 16}, {"tile": 24}]


def labelled(*strategies):
    return [{"label": str(i), **({"name": one} if isinstance(one, str) else one)} for i, one in enumerate(strategies)]


def named(name, *options):
    return [{"name": name, **one} for one in options]


FILLS = named("up", *({"fill": fill} for fill in ("next_best", "duplicate", "pad")),
              *({"fill": fill, "renormalise": True} for fill in ("next_best", "duplicate", "pad")))
DOWNS = ["down", {"name": "down", "renormalise": True}, {"name": "nearest", "renormalise": True}]
THRESHOLDS = named("adaptive", *({"threshold": x} for x in (0, 0.25, 0.5, 0.75, 1)))
DRAWS = [*named("stochastic", {}, {"fill": "pad"}, {"renormalise": True}), *named("score", {}, {"fill": "duplicate"},
         {"fill": "pad", "renormalise": True})]
CAPACITY = [*named("capacity", {}, {"factor": 0.5}, {"factor": 1}, {"factor": 0.1, "fill": "pad"}, {"factor": 1000}),
            *named("capacity", *({"factor": 0.75, "then": rule} for rule in SIMPLE))]
DYNAMIC = [*named("dynamic", {}, {"tiles_by_load": [{"tile": 16}]}),
           *named("dynamic", *({"tiles_by_load": SMALL_STEPS, "then": rule} for rule in SIMPLE))]
BUDGET = named("budget", {}, {"objective": "mass"}, {"tiles": {"of_nearest": 0}}, {"tiles": {"of_nearest": 0.5}},
               {"tiles": {"of_nearest": 0.7}, "objective": "mass"}, {"tiles": {"of_nearest": 3}}, {"tiles": 0},
               {"tiles": 1000000}, {"tiles": {"max_dropped_mass": 0}}, {"tiles": {"max_dropped_mass": 0.02}},
               {"tiles": {"max_dropped_mass": 0.1}, "objective": "mass"}, {"tiles": {"max_dropped_mass": 1}},
               {"tiles": {"max_dropped_mass": 0.05}, "fill": "pad", "renormalise": True})
AMONG_TILES = [{**one, "candidates": "tiles"} for one in (*BUDGET, {"name": "budget", "tiles": 3}, {"name": "budget", "fill": "duplicate"})]
ADDED = [{**one, "added_gate": gate} for gate in ("normalised", "score")
         for one in (*named("up", {}, {"renormalise": True}, {"fill": "pad"}), {"name": "nearest"}, {"name": "score"},
                     {"name": "capacity", "factor": 0.75, "then": "score"}, {"name": "dynamic", "then": "up"},
                     *AMONG_TILES[:4], AMONG_TILES[9])]
EVEN = [*named("nearest_even", {}, {"fill": "pad"}, {"fill": "duplicate", "renormalise": True}),
        {"name": "capacity", "factor": 0.75, "then": "nearest_even"},
        {"name": "dynamic", "tiles_by_load": SMALL_STEPS, "then": "nearest_even"}]
MOST = [*SIMPLE, EVEN[0], FILLS[1], FILLS[4], CAPACITY[0], {"name": "capacity", "factor": 0.75, "then": "nearest"},
        {"name": "dynamic", "tiles_by_load": [{"below": 5, "tile": 8}, {"tile": 16}], "then": "nearest"}, BUDGET[3],
        AMONG_TILES[0], AMONG_TILES[9], ADDED[0], ADDED[3], ADDED[8]]
BRIEF = ["none", "nearest", "score", "balance", "budget", {"name": "up", "renormalise": True}]


def at_score(strategies):
    """With sigmoid scores, added rows at another gate than by default."""
    return [{"added_gate": "score", **({"name": one} if isinstance(one, str) else one)} for one in strategies]


def case(name, tokens, experts, top_k, strategies, tile=8, seed=1, layer=0, pattern=None, **router):
    router = {"tokens": tokens, "experts": experts, "top_k": top_k, **router}
    config = {"name": name, "seed": seed, "router": router, "tile": tile, "strategies": labelled(*strategies)}
    return {"config": config, "layer": layer, **({"pattern": pattern} if pattern else {})}


def ramp(token=0, expert=0, both=0, modulus=1, centre=0, step=1.0, negative_zero=False):
    """Logit ((token * t + expert * e + both * t * e) mod modulus - centre) * step; negative_zero: of half the zeros."""
    return {"kind": "logits", "token": token, "expert": expert, "both": both, "modulus": modulus, "centre": centre,
            "step": step, "negative_zero": negative_zero}


def known(token, slot, score_token, score_slot, modulus):
    """Expert (token * t + slot * k) mod E with score ((score_token * t + score_slot * k) mod modulus) / modulus."""
    return {"kind": "top_k", "token": token, "slot": slot, "score_token": score_token, "score_slot": score_slot,
            "modulus": modulus}


def source(kind, **options):
    return {"kind": kind, **options}


def cases():
    skewed = source("zipf", exponent=0.8)
    groups = {"count": 4, "top": 2}
    bias = [0.05 * ((7 * e) % 5 - 2) for e in range(16)]
    ties = ramp(7, 31, 13, 11, 5, 0.25)
    coarse = ramp(5, 3, 1, 3, 1, 0.5, negative_zero=True)
    return [
        # Sources
        case("gaussian", 203, 16, 2, SIMPLE, tile=[8, 24]),
        case("gaussian wide", 120, 16, 3, BRIEF, source=source("gaussian", deviation=3.5), seed=2),
        case("gaussian constant", 50, 8, 2, BRIEF, source=source("gaussian", deviation=0)),
        case("zipf", 150, 20, 2, SIMPLE, source=source("zipf")),
        case("zipf steep", 90, 12, 1, BRIEF, source=source("zipf", exponent=3, deviation=0.5)),
        case("lognormal", 150, 20, 2, SIMPLE, source=source("lognormal"), seed=3),
        case("lognormal wide", 90, 12, 4, BRIEF, source=source("lognormal", sigma=2, deviation=0.25), seed=2**64 - 1),
        case("topics", 150, 20, 2, SIMPLE, source=source("topics", run=16, topics=5), seed=4),
        case("topics one token a run", 64, 9, 2, BRIEF, source=source("topics", run=1, topics=4096, strength=2.5)),
        case("hot", 150, 20, 2, SIMPLE, source=source("hot", experts=3), seed=5),
        case("hot none", 70, 6, 2, BRIEF, source=source("hot", experts=0, boost=-3)),
        # Scoring, gates, bias, groups, precision
        case("bf16", 160, 32, 3, [*SIMPLE, *FILLS], logits="bf16"),
        case("bf16 between", 60, 8, 2, SIMPLE, logits="bf16", pattern=ramp(7, 5, 3, 17, 8, 1.00390625)),
        case("bf16 huge", 60, 8, 2, BRIEF, logits="bf16", pattern=ramp(7, 5, 3, 17, 8, 4.25e37)),
        case("bf16 groups", 60, 16, 3, BRIEF, logits="bf16", groups=groups),
        case("sigmoid", 140, 16, 2, at_score(SIMPLE), scoring="sigmoid"),
        case("sigmoid raw gates", 140, 16, 3, BRIEF, scoring="sigmoid", normalise_gates=False),
        case("raw gates", 140, 16, 3, [*BRIEF, *DRAWS], normalise_gates=False),
        case("bias", 140, 16, 3, BRIEF, selection_bias=bias),
        case("bias sigmoid", 140, 16, 3, at_score(BRIEF), selection_bias=bias, scoring="sigmoid"),
        case("bias for all", 60, 16, 3, BRIEF, selection_bias=0.5),
        case("bias that decides alone", 60, 16, 3, BRIEF, selection_bias=[1e6 - 1000 * e for e in range(16)]),
        case("groups", 140, 16, 3, BRIEF, groups=groups),
        case("groups sigmoid bias", 140, 16, 3, at_score(BRIEF), groups=groups, selection_bias=bias, scoring="sigmoid"),
        case("groups, a bias of none", 140, 16, 3, BRIEF, groups=groups, selection_bias=0),
        case("groups by their best", 140, 16, 3, BRIEF, groups={**groups, "group_score": "max"}),
        case("groups of one", 60, 16, 3, BRIEF, groups={"count": 16, "top": 5}),
        case("groups all", 60, 16, 3, BRIEF, groups={"count": 4, "top": 4}),
        case("groups single", 60, 16, 3, BRIEF, groups={"count": 1, "top": 1}),
        case("groups just enough", 60, 16, 4, BRIEF, groups={"count": 4, "top": 1}),
        case("groups in ties", 60, 16, 3, BRIEF, groups=groups, pattern=coarse),
        case("groups bias in ties", 60, 16, 3, BRIEF, groups=groups, selection_bias=bias, pattern=coarse),
        # Options of strategies
        case("fill", 130, 10, 2, [*FILLS, *DOWNS], source=skewed),
        case("fill raw gates", 130, 10, 2, [*FILLS, *DOWNS], source=skewed, normalise_gates=False, scoring="sigmoid"),
        case("fill in ties", 130, 10, 2, [*FILLS, *DOWNS], pattern=ties),
        case("thresholds", 136, 12, 2, THRESHOLDS, tile=[8, 16]),
        case("thresholds at their edge", 96, 12, 1, THRESHOLDS, pattern=ramp(1, 1, 0, 12, 0, 1.0)),
        case("draws", 210, 14, 2, DRAWS, tile=[8, 40], seed=77),
        case("draws of another layer", 210, 14, 2, DRAWS, seed=77, layer=5),
        case("draws of another seed", 210, 14, 2, DRAWS, seed=78 + (1 << 40), layer=5),
        case("capacity", 200, 12, 2, CAPACITY, source=skewed),
        case("capacity in ties", 100, 9, 2, CAPACITY, pattern=ties),
        case("dynamic", 220, 12, 2, DYNAMIC, source=skewed),
        case("dynamic by default", 1100, 6, 2,
             named("dynamic", {}, {"then": "up"}, {"then": "nearest"}, {"then": "budget"}),
             source=source("zipf", exponent=1.2)),
        case("dynamic at its edges", 48, 3, 1, DYNAMIC, pattern=ramp(0, 1, 0, 3, 0, 1.0)),
        case("budget", 220, 12, 2, BUDGET, source=skewed),
        case("budget among tiles", 220, 12, 2, AMONG_TILES, source=skewed),
        case("budget among tiles in ties", 100, 9, 2, AMONG_TILES, pattern=ties),
        case("budget among tiles, top-k", 130, 12, 3, AMONG_TILES, pattern=known(5, 7, 3, 11, 29)),
        case("budget among tiles, sigmoid", 90, 30, 4, AMONG_TILES, tile=16, scoring="sigmoid", normalise_gates=False),
        case("budget raw gates", 220, 12, 3, BUDGET, normalise_gates=False),
        case("budget in ties", 100, 9, 2, BUDGET, pattern=ties),
        case("budget totals", 120, 8, 2, named("budget", *({"tiles": n} for n in range(24, 36))), tile=8),
        case("budget of equal stakes", 64, 8, 2, BUDGET, tile=24, pattern=ramp()),
        # What added rows weigh
        case("added gates, sigmoid", 220, 24, 4, ADDED, tile=[8, 24], scoring="sigmoid", source=skewed),
        case("added gates, softmax", 220, 24, 4, ADDED, source=skewed),
        case("added gates, sigmoid by default", 220, 12, 3, [*FILLS, *AMONG_TILES, "score"], scoring="sigmoid", source=skewed),
        case("added gates, sigmoid in ties", 100, 9, 2, ADDED, scoring="sigmoid", pattern=ties),
        case("added gates, sigmoid far apart", 60, 8, 2, ADDED, scoring="sigmoid", pattern=ramp(7, 5, 3, 17, 8, 40.0)),
        case("added gates, bias", 140, 16, 2, ADDED, scoring="sigmoid", selection_bias=[0.3 * (e % 5) for e in range(16)]),
        case("added gates, groups far apart", 60, 16, 3, ADDED, groups=groups, pattern=ramp(7, 5, 3, 17, 8, 30.0)),
        case("added gates, chosen scores of nothing", 60, 16, 3, ADDED, groups={"count": 8, "top": 2},
             pattern=ramp(7, 5, 3, 17, 8, 30.0)),
        case("added gates, bf16", 140, 16, 3, ADDED, scoring="sigmoid", logits="bf16"),
        # Ties and odd numbers
        case("all equal", 90, 9, 2, SIMPLE, pattern=ramp()),
        case("quantised", 160, 16, 3, SIMPLE, tile=[8, 16], pattern=ties),
        case("three values and negative zero", 160, 16, 3, SIMPLE, pattern=coarse),
        case("only zeros of both signs", 40, 7, 3, BRIEF, pattern=ramp(negative_zero=True)),
        case("far apart", 60, 8, 2, SIMPLE, pattern=ramp(7, 5, 3, 17, 8, 40.0)),
        case("far apart sigmoid", 60, 8, 2, at_score(SIMPLE), scoring="sigmoid", pattern=ramp(7, 5, 3, 17, 8, 40.0)),
        case("huge", 60, 8, 2, BRIEF, pattern=ramp(7, 5, 3, 17, 8, 4e37)),
        case("sigmoid of nothing", 40, 8, 2, at_score(BRIEF), scoring="sigmoid", pattern=ramp(1, 3, 1, 5, 9, 1e36)),
        # Shapes
        case("one token", 1, 6, 2, SIMPLE),
        case("one expert", 37, 1, 1, [*SIMPLE, *FILLS]),
        case("one of each", 1, 1, 1, [*SIMPLE, *FILLS]),
        case("all to one", 45, 6, 1, [*SIMPLE, *CAPACITY], source=source("hot", experts=1, boost=100)),
        case("all to all", 45, 6, 6, SIMPLE, tile=16),
        case("fewer tokens than a tile", 13, 5, 2, [*SIMPLE, *FILLS], tile=32),
        case("more experts than tokens", 11, 300, 2, at_score(BRIEF), scoring="sigmoid"),
        case("softmax over two runs of partial sums", 24, 261, 3, ["none", "up"]),
        case("exact multiple of the tile", 64, 8, 1, SIMPLE, pattern=ramp(1, 1, 0, 8, 0, 1.0)),
        case("most experts chosen", 30, 70, 64, BRIEF, tile=16),
        case("large tile", 500, 5, 2, SIMPLE, tile=1024),
        # The most experts and the most choices; known top-k of token 0: experts 0, 8191, 8190, ...
        case("most of both", 96, 8192, 128, MOST, source=source("zipf", exponent=0.3)),
        case("most of both, sigmoid", 40, 8192, 128, at_score(BRIEF), scoring="sigmoid", logits="bf16"),
        case("most of both in ties", 40, 8192, 128, BRIEF, pattern=ramp(7, 31, 13, 11, 5, 0.25)),
        case("most of both, all equal", 20, 8192, 128, BRIEF, tile=16, pattern=ramp()),
        case("most of both, bias", 40, 8192, 128, ["none", "up"], selection_bias=0.5),
        case("most of both, groups", 40, 8192, 128, ["none", "up"], groups={"count": 64, "top": 2}, selection_bias=0),
        case("most of both, top-k", 70, 8192, 128, [*SIMPLE, *FILLS[1:]], pattern=known(5, 8191, 3, 11, 29)),
        # Exact ties of whole tiles
        case("ties to even", 60, 5, 2, [*EVEN, "nearest"], tile=[8, 16], pattern=ramp(1, 1, 0, 5, 0, 1.0)),
        case("ties to even by load", 160, 16, 3, EVEN, tile=[8, 24], pattern=ties),
        case("ties to even, skewed", 203, 16, 2, EVEN, source=skewed),
        # Known top-k
        case("top-k", 130, 12, 3, [*SIMPLE, *FILLS], pattern=known(5, 7, 3, 11, 29)),
        case("top-k raw gates in ties", 130, 12, 3, [*BUDGET, *CAPACITY[:6]], normalise_gates=False,
             pattern=known(1, 5, 1, 0, 4)),
    ]


def logits_of(pattern: dict, tokens: int, experts: int) -> np.ndarray:
    t, e = np.arange(tokens)[:, None], np.arange(experts)[None, :]
    whole = (pattern["token"] * t + pattern["expert"] * e + pattern["both"] * t * e) % pattern["modulus"]
    logits = (whole - pattern["centre"]).astype(np.float32) * np.float32(pattern["step"])
    flip = (logits == 0) & ((t + e) % 2 == 1) & pattern["negative_zero"]
    return np.where(flip, np.float32(-0.0), logits)


def route_case(one: dict, experiment: reference.Experiment) -> tuple[reference.Routing, dict]:
    router, pattern = experiment.router, one.get("pattern")
    tokens, experts = router["tokens"], router["experts"]
    if pattern and pattern["kind"] == "top_k":
        t, k = np.arange(tokens)[:, None], np.arange(router["top_k"])[None, :]
        ids = (pattern["token"] * t + pattern["slot"] * k) % experts
        scores = ((pattern["score_token"] * t + pattern["score_slot"] * k) % pattern["modulus"]).astype(np.float32)
        return reference.route_known(ids, scores / np.float32(pattern["modulus"]), experts, router), {}
    if pattern:
        logits = logits_of(pattern, tokens, experts)
    else:
        logits = reference.synthetic_logits(router["source"], experiment.seed, tokens, experts)
    if router["logits"] == "bf16":
        logits = reference.rounded_to_bf16(logits)
    return reference.route(logits, router), {"logits_hash": reference.hash_of(logits, "<f4")}


def listed(values: list) -> list | str:
    """As they are, or hashed where the experts are many."""
    return values if len(values) <= MOST_LISTED else reference.hash_of(values, "<i4")


def strategy_result(routing: reference.Routing, options: dict, tile: int, seed: int, layer: int) -> dict:
    result = {"label": options["label"], "tile": tile}
    try:
        rounded = reference.round_routing(routing, options, tile, seed, layer)
    except reference.InputError as error:
        return {**result, "error": str(error).split("; ")[-1].split(": ")[-1]}
    full = reference.measure(routing, rounded)
    last_tiles = [-1.0 if u is None else u for u in full["last_tile_utilisation"]]
    return {
        **result,
        "integers": [full[name] for name in INTEGERS],
        "metrics": [full["metrics"][name] for name in METRICS],
        "counts_after": listed(full["counts_after"]),
        "tiles_hash": reference.hash_of(full["tiles_per_expert"], "<i4"),
        "last_tile_hash": reference.hash_of(last_tiles, "<f8"),
        "token_hash": full["token_hash"],
        "gate_hash": full["gate_hash"],
    }


def expected(one: dict) -> dict:
    experiment = reference.parse_experiment(one["config"], GOLDEN.parent)
    routing, hashes = route_case(one, experiment)
    return {
        **hashes,
        "chosen_hash": reference.hash_of(routing.chosen, "<i4"),
        "gates_hash": reference.hash_of(routing.gates, "<f4"),
        "scores_hash": reference.hash_of(routing.chosen_scores, "<f4"),
        "counts": listed(routing.counts.tolist()),
        "canonical": [options["canonical"] for options in experiment.strategies],
        "results": [strategy_result(routing, options, tile, experiment.seed, one["layer"])
                    for tile in experiment.tiles for options in experiment.strategies],
    }


def write(path: pathlib.Path, all_cases: list) -> None:
    lines = [json.dumps({**one, "expected": expected(one)}, separators=(",", ":")) for one in all_cases]
    head = json.dumps({"integers": INTEGERS, "metrics": METRICS})[:-1]
    path.write_text(head + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN, cases())
