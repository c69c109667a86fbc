"""Runs tatr-sim on each file of tests/traces/data and compares with figures that are computed here, with NumPy, from two
plain arrays of logits. Exits with 77 (skipped) where there is no NumPy.

usage: traces_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import dataclasses
import json
import math
import os
import random
import shutil
import struct
import sys
import typing

try:
    import numpy as np
except ImportError:  # the distribution's Python has it where another comes first on the PATH
    if sys.executable != "/usr/bin/python3" and os.access("/usr/bin/python3", os.X_OK):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print("skipped: no NumPy here")
    sys.exit(77)

from program import SOURCE, ProgramTest, main, run

DATA = SOURCE / "tests/traces/data"
PLAIN = np.load(DATA / "plain.npy").astype("f8")  # [3 layers, 96 tokens, 16 experts]
LONG = np.load(DATA / "plain_long.npy").astype("f8")  # [2, 600, 16]
EXPERTS, TOP_K = 16, 2
TILES = [8, 16]


# ---- What must come out

def route(logits, scoring="softmax"):
    """Ids [tokens, K], best first, and gates that add up to 1."""
    ids = np.argsort(-logits, axis=-1, kind="stable")[:, :TOP_K]
    scores = np.exp(logits) if scoring == "softmax" else 1 / (1 + np.exp(-logits))
    scores = np.take_along_axis(scores, ids, -1)
    return ids, scores / scores.sum(-1, keepdims=True)


def figures(logits, label, tile, scoring):
    """One strategy on one group of one layer."""
    ids, gates = route(logits, scoring)
    before = np.bincount(ids.ravel(), minlength=EXPERTS)
    after = before if label == "none" else before // tile * tile
    kept = np.zeros(ids.shape, bool)
    for expert in range(EXPERTS):
        token, choice = np.nonzero(ids == expert)
        best = np.lexsort((token, -gates[token, choice]))[:after[expert]]
        kept[token[best], choice[best]] = True
    tiles = int(np.ceil(after / tile).sum())
    return {
        "counts_before": before.tolist(), "counts_after": after.tolist(), "rows": int(after.sum()), "tiles": tiles,
        "tile_utilisation": after.sum() / (tiles * tile) if tiles else 1.0, "dropped": int((before - after).sum()),
        "dropped_gate_mass": float((gates * ~kept).sum() / len(ids)), "tokens_without_expert": int((~kept.any(-1)).sum()),
    }


NEEDS_GATES = {"dropped_gate_mass", "tokens_without_expert"}  # null where they are not known
UNKNOWN = {"counts": "counts", "choices": "gates"}  # a word of why


@dataclasses.dataclass
class Case:
    """A file, what the config says of it, and what it holds."""
    file: str
    source: dict = dataclasses.field(default_factory=dict)
    router: dict = dataclasses.field(default_factory=dict)
    logits: typing.Any = None  # [layers, tokens, experts]; the first layer of PLAIN if none are given
    knows: str = "scores"  # or gates, choices, counts
    groups: int = 1  # of equal tokens
    masked: int = 0
    layers: typing.Any = None  # their names, where the case is about those
    scoring: str = "softmax"
    error: float = 1e-5  # of gates, relative

    def __post_init__(self):
        self.logits = PLAIN[:1] if self.logits is None else self.logits

    def config(self, **changes):
        kind = "counts" if self.knows == "counts" else "trace"
        ids = {"experts": EXPERTS} if self.knows in ("gates", "choices") else {}
        router = {"top_k": TOP_K, **ids, **self.router, "source": {"kind": kind, "file": str(DATA / self.file), **self.source}}
        return {"name": "case", "router": {key: value for key, value in router.items() if value is not None}, "tile": TILES,
                "strategies": ["none", "down"], **changes}

    def group(self, layer, group):
        size = self.logits.shape[1] // self.groups
        return self.logits[layer, group * size:(group + 1) * size]


def counted(file, logits, router=None, **others):
    return Case(file, others.pop("source", {}), router or {}, logits, "counts", **others)


def chosen(file, logits=None, router=None, **source):
    return Case(file, source, router or {}, logits, "choices")


def paired(file, logits=None, router=None, **source):
    return Case(file, source, router or {}, logits, "gates")


STEPS = {"batches": "all"}
HUNDREDS = {"tokens": 100, "batches": "all"}
SIX = ["i8", "u8", "i16", "u16", "i32", "i64"]
TWICE = np.concatenate([PLAIN, PLAIN])
ID_NAMES = ["topk_ids", "topk_indices", "indices", "selected_experts", "topk_idx", "top_indices", "routed_experts", "topk_experts"]
NAMES_OF_LAYERS = [f"layers.{layer}.router_logits" for layer in range(3)]

CASES = [
    # Counts
    counted("counts_e.npy", PLAIN[:1]),
    counted("counts_le.npy", PLAIN),
    counted("counts_f32.npy", PLAIN),
    counted("counts_sle.npy", LONG, STEPS, groups=6),
    counted("counts_sle.npy", LONG[:, :300], {"batches": {"count": 3}}, groups=3),
    counted("counts_lse.npy", LONG, STEPS, groups=6, source={"axes": ["layers", "steps", "experts"]}),
    counted("counts.safetensors", LONG, STEPS, groups=6, source={"tensor": "logical_count"}),
    *[counted(file, PLAIN) for file in ("counts.csv", "counts.csv.gz", "counts.csv.zst", "counts.jsonl", "counts_nested.json",
                                       "counts_layers", "counts_layers/layer*.json")],
    counted("counts_steps.csv", LONG, STEPS, groups=6),
    counted("counts_object.json", LONG, STEPS, groups=6, source={"tensor": "counts"}),
    counted("counts_steps", LONG, STEPS, groups=6),
    # Ids
    *[chosen(f"ids_{dtype}.npy") for dtype in [*SIX, "u32"]],
    chosen("ids_i32.npy", router={"top_k": None}),
    chosen("ids_types.safetensors", TWICE),
    chosen("ids_types.npz", TWICE),
    chosen("ids_ltk.npy", PLAIN, axes=["layers", "tokens", "top_k"]),
    chosen("ids_ltk.npy", PLAIN, {"tokens": 96}),
    chosen("ids_tlk.npy", PLAIN, axes=["tokens", "layers", "top_k"]),
    chosen("ids_tlk.safetensors", PLAIN, {"experts": None}, axes=["tokens", "layers", "top_k"]),
    chosen("ids_long_tlk.npy", LONG),
    Case("ids_stk.npy", {"axes": ["steps", "tokens", "top_k"]}, STEPS, LONG[:1], "choices", groups=6),
    chosen("ragged.jsonl", PLAIN),
    # Ids with scores
    *[paired(f"names/{name}.safetensors") for name in ID_NAMES],
    paired("pair.npz"),
    paired("pair_ltk.safetensors", PLAIN, axes=["layers", "tokens", "top_k"]),
    paired("foreign.npz", PLAIN, tensors={"ids": "moe_*_chosen", "scores": "moe_*_gate"}),
    chosen("foreign.npz", PLAIN, tensors={"ids": "moe_*_chosen"}),
    paired("scaled.safetensors", score_scale=2.5),
    *[paired(file) for file in ("tokens.jsonl", "tokens.jsonl.gz", "tokens.jsonl.zst")],
    # Logits
    *[Case(file, logits=PLAIN, layers=NAMES_OF_LAYERS, source={"tensor": "layers.*.router_logits"})
      for file in ("logits.safetensors", "logits_f16.safetensors", "logits_f16.safetensors.gz", "logits_f16.safetensors.zst",
                   "logits_stored.npz", "logits_deflated.npz", "sharded/model.safetensors.index.json", "sharded")],
    Case("logits_gate.safetensors", logits=PLAIN),
    *[Case(file) for file in ("logits.npy", "logits_f64.npy", "logits.npy.gz", "logits.npy.zst")],
    Case("logits_nested.json", logits=PLAIN[:1, :40]),
    Case("logits_tle.npy", {"axes": ["tokens", "layers", "experts"]}, logits=PLAIN),
    Case("logits_tle.npy", {}, {"tokens": 96}, PLAIN),
    Case("plain.npy", {"axes": ["layers", "tokens", "experts"]}, logits=PLAIN),
    Case("plain.npy", {}, {"tokens": 96}, PLAIN),
    Case("plain_long.npy", logits=LONG),
    Case("logits.npy", {"first_token": 20}, {"tokens": 50}, PLAIN[:1, 20:70]),
    Case("warm_up.safetensors", {"first_token": 80}),
    # Groups
    Case("plain_long.npy", {}, HUNDREDS, LONG, groups=6),
    Case("plain_long.npy", {}, {"batches": {"tokens": 100, "count": 4}}, LONG[:, :400], groups=4),
    Case("plain_long.npy", {}, {"batches": {"tokens": 140, "count": "all"}}, LONG[:, :560], groups=4),
    # Probabilities
    Case("softmax.npy", {"values": "probabilities"}),
    Case("softmax_f16.npy", {"values": "probabilities"}, error=1e-3),
    Case("softmax_named.safetensors", logits=PLAIN),
    Case("softmax_probs.npz", logits=PLAIN, error=1e-3),
    Case("sigmoid.safetensors", {"values": "probabilities"}, {"scoring": "sigmoid"}, scoring="sigmoid"),
    # Masks
    *[Case(f"padded_{how}.npy", {"mask": "padding"}, knows="choices", masked=20) for how in ("minus", "beyond", "u8")],
    *[Case(f"padded_{how}.npy", {"mask": "padding"}, masked=20) for how in ("nan", "zero", "constant")],
    Case("padded_pair.npz", {"mask": "padding"}, knows="gates", masked=20),
    Case("masked.safetensors", {"mask": "attention_mask"}, logits=PLAIN, masked=20),
    Case("masked.safetensors", {"mask": "is_padding", "mask_marks": "padding"}, logits=PLAIN, masked=20),
    # Folders
    Case("layers", logits=PLAIN),
    Case("layers/layer_*.npy", logits=PLAIN),
    Case("other_words", {"each_file": "layer"}, logits=PLAIN),
    paired("ranks", LONG),
    chosen("layers_of_ranks", LONG),
    chosen("steps", LONG, {"tokens": 600}),
    Case("steps", {}, STEPS, LONG, "choices", groups=6),
    Case("steps/iteration_*.safetensors", {"each_file": "step"}, STEPS, LONG, "choices", groups=6),
]

# File, source, router, and words of the one line.
REFUSED = [
    ("torch.pt", {}, {}, ["PyTorch", "scripts/convert_trace.py"]),
    ("old_torch.pth", {}, {}, ["PyTorch", "scripts/convert_trace.py"]),
    ("data.pkl", {}, {}, ["pickle", "scripts/convert_trace.py"]),
    ("rows.parquet", {}, {}, ["Parquet", "scripts/convert_trace.py"]),
    ("plain.npy", {}, {}, ["plain.npy", "[3, 96, 16]", "axes"]),
    ("ids_tlk.npy", {}, {"experts": 16}, ["[96, 3, 2]", "axes"]),
    ("ids_stk.npy", {}, {"experts": 16}, ["[6, 100, 2]", "axes"]),
    ("plain.npy", {"axes": ["layers", "experts", "tokens"]}, {}, ["axes", "experts"]),
    ("plain.npy", {"axes": ["tokens", "experts"]}, {}, ["[3, 96, 16]", "[tokens, experts]"]),
    ("logits.npy", {"axes": ["tokens", "top_k"]}, {}, ["axes", "experts"]),
    ("softmax.npy", {}, {}, ["add", "1", "values", "probabilities"]),
    ("softmax_f16.npy", {}, {}, ["values", "probabilities"]),
    ("logits.npy", {"values": "probabilities"}, {}, ["row 0", "from 0 to 1"]),
    ("sigmoid.safetensors", {"values": "probabilities"}, {}, ["add up", "sigmoid"]),
    ("scaled.safetensors", {}, {"experts": 16}, ["2.5", '"score_scale": 2.5']),
    ("lone_scores.safetensors", {}, {"experts": 16}, ["layers.0.topk_weights"]),
    ("foreign.npz", {}, {"experts": 16}, ["router_logits", "moe_0_chosen"]),
    ("ids_i32.npy", {}, {}, ["/router/experts"]),
    ("ids_twice.npy", {}, {"experts": 16}, ["row 0", "second time"]),
    ("ids_beyond.npy", {}, {"experts": 16}, ["row 50", "17", "0 to 15"]),
    ("padded_some.npy", {}, {"experts": 16}, ["row 60", "-1"]),
    ("padded_some.npy", {"mask": "padding"}, {"experts": 16}, ["row 60", "-1"]),
    *[(f"padded_{how}.npy", {}, {"experts": 16}, ["row 60", '"mask": "padding"'])
      for how in ("minus", "beyond", "u8", "nan", "zero", "constant")],
    ("padded_pair.npz", {}, {"experts": 16}, ["row 60", '"mask": "padding"']),
    ("masked.safetensors", {"mask": "no_mask"}, {}, ["no_mask"]),
    ("masked.safetensors", {"mask": "short_mask"}, {}, ["short_mask", "[115]", "116"]),
    ("other_words", {}, {}, ["other_words", "each_file"]),
    ("layers/none_*.npy", {}, {}, ["none_*.npy", "no file"]),
    ("names", {}, {"experts": 16}, ["each_file"]),
    ("plain_long.npy", {}, {"batches": "all"}, ["router.batches", "tokens"]),
    ("plain_long.npy", {}, {"tokens": 100, "batches": {"count": 7}}, ["7", "6"]),
    ("counts_halves.npy", {"kind": "counts"}, {}, ["19.5", "whole"]),
    ("counts_negative.npy", {"kind": "counts"}, {}, ["-", "whole numbers from 0"]),
    ("counts_le.npy", {"kind": "counts"}, {"top_k": 5}, ["192", "5"]),
    ("counts_le.npy", {"kind": "counts"}, {"top_k": 16}, ["12", "16"]),
    ("counts_lse.npy", {"kind": "counts", "axes": ["layers", "tokens", "experts"]}, {}, ["axes"]),
    ("counts_le.npy", {"kind": "trace", "values": "logits"}, {}, ["dtype"]),
]

# What the figures of a strategy need that a file does not hold: refused for counts and for ids without scores.
NEED_GATES = [{"name": "score"}, {"name": "budget", "tiles": "as_nearest"}, {"name": "nearest", "fill": "next_best"},
              {"name": "down", "renormalise": True}]


class Traces(ProgramTest):
    def run_config(self, config, *arguments):
        path = self.path / "config.json"
        path.write_text(json.dumps(config))
        return run("run", path, "--device", "cpu", "--threads", 1, "--quiet", *arguments)

    def experiment_of(self, config):
        result = self.run_config(config, "--json", "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)["experiments"][0]

    def assert_figures(self, record, expected, case):
        for key, value in expected.items():
            if key in NEEDS_GATES and case.knows in UNKNOWN:
                self.assertIsNone(record[key], key)
            elif isinstance(value, float):
                self.assertTrue(math.isclose(record[key], value, rel_tol=case.error, abs_tol=1e-9), (key, record[key], value))
            else:
                self.assertEqual(record[key], value, key)

    def assert_batches(self, batches, groups, case):
        self.assertEqual(batches["count"], len(groups))
        for key in ("tiles", "dropped", "tile_utilisation", "dropped_gate_mass"):
            spread = batches["metrics"][key]
            if key in NEEDS_GATES and case.knows in UNKNOWN:
                self.assertIsNone(spread, key)
                continue
            values = np.array([group[key] for group in groups])
            worst = values.min() if key == "tile_utilisation" else values.max()
            for name, value in (("mean", values.mean()), ("deviation", values.std(ddof=1)), ("worst", worst)):
                self.assertTrue(math.isclose(spread[name], value, rel_tol=1e-5, abs_tol=1e-7), (key, name, spread, value))
            self.assertTrue(math.isclose(values[spread["worst_group"]], worst, rel_tol=1e-5), (key, spread, values))

    def check(self, case, experiment):
        self.assertTrue(experiment["reading"])
        tokens = case.logits.shape[1] // case.groups
        self.assertEqual(len(experiment["routing"]), len(case.logits))
        for routing in experiment["routing"]:
            self.assertEqual([routing[key] for key in ("tokens", "experts", "top_k", "masked")], [tokens, EXPERTS, TOP_K, case.masked])
        if case.layers:
            self.assertEqual([routing["tensor"] for routing in experiment["routing"]], case.layers)
        self.assertEqual(len(experiment["strategies"]), len(case.logits) * len(TILES) * 2)
        for record in experiment["strategies"]:
            setting = (record["label"], record["tile"], case.scoring)
            groups = [figures(case.group(record["layer"], group), *setting) for group in range(case.groups)]
            batches = record["batches"]
            self.assertEqual(batches is not None, case.groups > 1)
            self.assert_figures(record, groups[batches["median_group"] if batches else 0], case)
            if batches:
                self.assert_batches(batches, groups, case)
            if case.knows in UNKNOWN:
                self.assertIn(UNKNOWN[case.knows], record["unknown"])
            else:
                self.assertIsNone(record["unknown"])

    def test_every_file(self):
        for case in CASES:
            with self.subTest(file=case.file, source=case.source, router=case.router):
                self.check(case, self.experiment_of(case.config()))

    def test_no_file_is_forgotten(self):
        """Each file is in a case, by its name, its folder or a pattern, or is refused."""
        told = {case.file for case in CASES} | {file for file, *_ in REFUSED} | {"plain.npy"}
        for path in sorted(DATA.rglob("*")):
            name = str(path.relative_to(DATA))
            self.assertTrue(path.is_dir() or name in told or str(path.parent.relative_to(DATA)) in told, name)

    def test_what_is_refused(self):
        for file, source, router, words in REFUSED:
            with self.subTest(file=file, source=source, router=router):
                self.assert_fails(self.run_config(Case(file, source, router).config()), 2, *words)

    def test_strategies_that_need_more_than_is_known(self):
        for case in (counted("counts_le.npy", PLAIN), chosen("ids_i32.npy")):
            for strategy in NEED_GATES:
                with self.subTest(file=case.file, strategy=strategy):
                    self.assert_fails(self.run_config(case.config(strategies=["none", strategy])), 2, "/strategies/1")
            record = self.experiment_of(case.config(strategies=["none", "up"]))["strategies"][1]
            self.assertGreater(record["padded"], 0)
            self.assertEqual(record["added"], 0)

    def test_counts_without_top_k(self):
        """An assignment each is a token."""
        experiment = self.experiment_of(counted("counts_le.npy", PLAIN, {"top_k": None}).config())
        self.assertEqual([[r["tokens"], r["top_k"]] for r in experiment["routing"]], [[2 * 96, 1]] * 3)
        expected = figures(PLAIN[0], "down", 8, "softmax")
        record = next(s for s in experiment["strategies"] if s["label"] == "down")
        self.assertEqual([record["tiles"], record["dropped"]], [expected["tiles"], expected["dropped"]])

    def test_probabilities_route_as_their_logits(self):
        def routed(file, **source):
            experiment = self.experiment_of(Case(file, source).config(strategies=["none", "down", "up", "nearest"]))
            keys = ("counts_before", "counts_after", "tiles", "added", "dropped")
            return [[s[key] for key in keys] for s in experiment["strategies"] if s["layer"] == 0]

        logits = routed("logits.npy")
        for file in ("softmax.npy", "softmax_f16.npy", "softmax_named.safetensors", "softmax_probs.npz"):
            with self.subTest(file=file):
                self.assertEqual(routed(file, values="probabilities"), logits)

    def test_rows_that_repeat_are_told(self):
        warnings = self.experiment_of(Case("warm_up.safetensors").config())["warnings"]
        self.assertTrue(any("rows 0 to 80 of layers.0" in warning and "equal" in warning for warning in warnings), warnings)
        self.assertFalse(any("equal" in w for w in self.experiment_of(Case("logits.npy").config())["warnings"]))

    def test_axes_that_nobody_named_are_told(self):
        def warned(shape, values, router, source=None):
            path = self.path / "three.npy"
            header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
            path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(values)}f", *values))
            config = {"name": "three", "router": {**router, "source": {"kind": "trace", "file": str(path), **(source or {})}}, "tile": 8, "strategies": ["none"]}
            (self.path / "three.json").write_text(json.dumps(config))
            result = json.loads(run("run", self.path / "three.json", "--device", "cpu", "--quiet", "--json", "-").stdout)
            return [text for text in result["experiments"][0]["warnings"] if "is read as" in text]

        draw = random.Random(1)
        logits = [draw.gauss(0, 1) for _ in range(3 * 600 * 4)]
        [warning] = warned((3, 600, 4), logits, {"top_k": 2})
        self.assertEqual(warning, 'shape [3, 600, 4] is read as [layers, tokens, …]; if those are sequences or steps, set "axes": ["steps", "tokens", "experts"]')
        [warning] = warned((600, 3, 4), logits, {"top_k": 2})
        self.assertIn("[tokens, layers, …]", warning)
        self.assertEqual(warned((3, 600, 4), logits, {"top_k": 2}, {"axes": ["layers", "tokens", "experts"]}), [])
        self.assertEqual(warned((3, 600, 4), logits, {"top_k": 2}, {"axes": ["steps", "tokens", "experts"]}), [])
        self.assertEqual(warned((1, 600, 4), logits[:2400], {"top_k": 2}), [])
        self.assertEqual(warned((1800, 4), logits, {"top_k": 2}), [])
        counts = [float(10 * (1 + i % 4)) for i in range(12)]
        [warning] = warned((3, 4), counts, {"top_k": 2}, {"kind": "counts"})
        self.assertEqual(warning, 'shape [3, 4] is read as [layers, experts]; if those are steps, set "axes": ["steps", "experts"]')
        [warning] = warned((1, 3, 4), counts, {"top_k": 2}, {"kind": "counts"})
        self.assertIn('[steps, layers, experts]; if layers come first, set "axes": ["layers", "steps", "experts"]', warning)
        self.assertEqual(warned((3, 4), counts, {"top_k": 2}, {"kind": "counts", "axes": ["layers", "experts"]}), [])
        self.assertEqual(warned((4,), counts[:4], {"top_k": 2}, {"kind": "counts"}), [])

    def test_data_without_a_config(self):
        cases = [
            ("counts.csv", [], "counts", PLAIN),
            ("counts_layers", ["/router/top_k=2"], "counts", PLAIN),
            ("ids_i16.npy", ["/router/experts=16"], "ids", PLAIN[:1]),
            ("names/topk_ids.safetensors", ["/router/experts=16"], "scores", PLAIN[:1]),
            ("logits.safetensors", ["/router/top_k=2"], "fp32 logits", PLAIN),
            ("ids_tlk.safetensors", ['/router/source/axes=["tokens","layers","top_k"]', "/router/source/kind=trace"], "ids", PLAIN),
            ("layers", ["/router/top_k=2"], "3 layers of 96 tokens, 16 experts, fp16 logits", PLAIN),
            ("softmax_named.safetensors", ["/router/top_k=2"], "probabilities", PLAIN),
            ("sharded/model.safetensors.index.json", ["/router/top_k=2"], "logits", PLAIN),
        ]
        shutil.copytree(DATA, self.path / "data")
        for file, settings, words, logits in cases:
            with self.subTest(file=file):
                command = ["run", self.path / "data" / file, *(part for setting in settings for part in ("--set", setting))]
                shown = run(*command)
                self.assertEqual(shown.returncode, 0, shown.stderr)
                text = " ".join(shown.stdout.split())
                self.assertIn(words, text)
                config = self.path / "go_on.json"
                config.unlink(missing_ok=True)
                saved = run(*command, "--save-config", config)
                self.assertEqual(saved.returncode, 0, saved.stderr)
                document = json.loads(config.read_text())
                self.assertEqual(document["tile"], [64, 128, 256])
                again = run("run", config, "--device", "cpu", "--quiet", "--json", "-")
                self.assertEqual(again.returncode, 0, again.stderr)
                experiment = json.loads(again.stdout)["experiments"][0]
                for tile in document["tile"]:
                    tiles = sum(figures(layer, "none", tile, "softmax")["tiles"] for layer in logits)
                    rows = logits.shape[0] * logits.shape[1] * TOP_K
                    records = [s for s in experiment["strategies"] if (s["label"], s["tile"]) == ("none", tile)]
                    self.assertEqual(sum(s["tiles"] for s in records), tiles)
                    used = 100 * rows / (tiles * tile)
                    self.assertRegex(text, rf"\b{tile} {tiles:,} {used:.1f}% {100 - used:.1f}%")

    def test_data_that_cannot_be_read_without_a_config(self):
        for file, settings, words in [
            ("logits.safetensors", [], ["16 experts", "--set /router/top_k=K"]),
            ("ids_i32.npy", ["/router/source/kind=trace"], ["top 2", "--set /router/experts=E"]),
            ("ids_tlk.npy", [], ["axes"]),
            ("ids_tlk.safetensors", [], ["axes"]),
            ("softmax.npy", ["/router/top_k=2"], ["probabilities"]),
            ("torch.pt", [], ["PyTorch", "scripts/convert_trace.py"]),
            ("rows.parquet", [], ["Parquet", "scripts/convert_trace.py"]),
        ]:
            with self.subTest(file=file):
                self.assert_fails(run("run", DATA / file, *(part for setting in settings for part in ("--set", setting))), 2, *words)


if __name__ == "__main__":
    main()
