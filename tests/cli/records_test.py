"""What a run does with records that no trace of scores is: counts in advice, exports and layers; and groups of tokens.

usage: records_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import array
import json
import os
import random
import statistics
import struct
import subprocess

from program import PROGRAM, ProgramTest, main, run

MIB = 1 << 20
COUNTS = {"kind": "counts", "file": "counts.json"}
LAYER = {"hidden": 64, "intermediate": 32}
BRIEF = {"samples": 10, "warm_up_ms": 0}


class Records(ProgramTest):
    def config(self, router, file="config.json", **changes):
        path = self.path / file
        path.write_text(json.dumps({"name": "records", "router": router, "tile": 16, "strategies": ["none", "down"], **changes}))
        return path

    def counts(self, counts):
        (self.path / "counts.json").write_text(json.dumps(counts))

    def result(self, *arguments):
        result = run("run", *arguments, "--json", "-", "--quiet")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)["experiments"][0]

    # --- counts ---

    def test_advice_from_counts_is_by_the_share_that_is_lost(self):
        self.counts([[100, 130, 300, 494], [256, 256, 250, 262]])
        config = self.config({"top_k": 2, "source": COUNTS})
        out = self.path / "advice.json"
        result = run("advise", config, "--max-dropped-share", "12%", "--device", "cpu", "--json", out)
        self.assertEqual(result.returncode, 0, result.stderr)
        advice = json.loads(out.read_text())["advice"]
        self.assertEqual(advice["quality"], "dropped_share")
        self.assertLessEqual(advice["best"]["dropped_share"], 0.12)
        self.assertIsNone(advice["best"]["dropped_gate_mass"])
        for limit, value in (("--max-perplexity", "0.1%"), ("--max-dropped-mass", "0.1")):
            result = run("advise", config, limit, value, "--device", "cpu")
            self.assert_fails(result, 2, limit, "needs gates", "--max-dropped-share")

    def test_counts_have_no_rows_to_export(self):
        self.counts([3, 5])
        result = run("run", self.config({"source": COUNTS}), "--device", "cpu", "--export", self.path / "out")
        self.assert_fails(result, 2, "--export", "counts")
        self.assertFalse((self.path / "out").exists())

    def test_more_tokens_than_can_be_routed_are_counted_and_modelled(self):
        counts = [3_000_000, 1_000_000, 2_500_001, 999]
        self.counts(counts)
        config = self.config({"source": COUNTS}, layer=LAYER, tile=128)
        down = self.result(config, "--device", "model:h100")["strategies"][1]
        self.assertEqual(down["dropped"], sum(count % 128 for count in counts))
        self.assertEqual(down["timing"]["kind"], "modelled")
        self.assertIsNone(down["timing"]["output_error"])
        self.assert_fails(run("run", config, "--device", "cpu"), 2, "/router/tokens", "1048576", "--device model:NAME")

    def test_a_layer_on_counts_is_computed_and_timed(self):
        self.counts([[40, 24, 0, 64], [32, 32, 32, 32]])
        experiment = self.result(self.config({"top_k": 2, "source": COUNTS}, layer=LAYER, measure=BRIEF), "--device", "cpu")
        for strategy in experiment["strategies"]:
            self.assertEqual(strategy["timing"]["kind"], "measured")
            self.assertIsNone(strategy["timing"]["output_error"])  # of gates that nobody knows
            self.assertIsNone(strategy["dropped_gate_mass"])
            self.assertIn("only counts", strategy["unknown"])
        short = self.config({"top_k": 2, "tokens": 65, "source": COUNTS}, layer=LAYER)
        self.assert_fails(run("run", short, "--device", "cpu"), 2, "add up to tokens times top_k")

    def test_what_is_read_is_told_before_work(self):
        self.counts([3, 5])
        plan = run("run", self.config({"source": COUNTS}), "--device", "cpu", "--dry-run").stderr
        self.assertIn("read as counts of 2 experts, 1 layer of 8 tokens, one choice each as top_k is not given", plan)

    def test_a_config_for_data_replaces_no_file(self):
        self.counts([3, 5])
        before = (self.path / "counts.json").read_bytes()
        result = run("run", self.path / "counts.json", "--save-config", self.path / "counts.json")
        self.assert_fails(result, 2, "counts.json", "is there already")
        self.assertEqual((self.path / "counts.json").read_bytes(), before)
        for command in (["advise", "--max-dropped-share", "5%"], ["validate"]):
            result = run(command[0], self.path / "counts.json", *command[1:])
            self.assert_fails(result, 2, "is data, no config", "--save-config")

    # --- groups ---

    def test_groups_of_a_synthetic_source_are_its_seeds(self):
        router = {"tokens": 300, "experts": 8, "top_k": 2, "source": {"kind": "zipf"}}
        strategies = ["none", "stochastic"]
        batches = self.result(self.config({**router, "batches": {"count": 5}}, strategies=strategies, seed=7), "--device", "cpu")
        alone = [self.result(self.config(router, strategies=strategies, seed=7 + g), "--device", "cpu") for g in range(5)]
        for place in range(2):
            for metric in ("tiles", "dropped", "dropped_gate_mass", "tile_utilisation"):
                values = [experiment["strategies"][place][metric] for experiment in alone]
                spread = batches["strategies"][place]["batches"]["metrics"][metric]
                self.assertAlmostEqual(spread["mean"], statistics.mean(values), places=12)
                self.assertAlmostEqual(spread["deviation"], statistics.stdev(values), places=12)
                worst = min(values) if metric == "tile_utilisation" else max(values)
                self.assertEqual((spread["worst"], spread["worst_group"]), (worst, values.index(worst)))
        tiles = [experiment["strategies"][0]["tiles"] for experiment in alone]
        summary = batches["strategies"][0]["batches"]
        self.assertEqual(tiles[summary["median_group"]], statistics.median_low(tiles))
        self.assertEqual(tiles[summary["worst_group"]], max(tiles))
        median = alone[summary["median_group"]]["strategies"][0]
        self.assertEqual(batches["strategies"][0]["counts_before"], median["counts_before"])
        self.assert_fails(run("run", self.config({**router, "batches": "all"}), "--device", "cpu"), 2, "/router/batches")

    def test_the_layer_is_timed_on_the_median_and_the_worst_group(self):
        router = {"tokens": 200, "experts": 4, "top_k": 2, "batches": {"count": 3}}
        experiment = self.result(self.config(router, layer=LAYER, measure=BRIEF), "--device", "cpu")
        for strategy in experiment["strategies"]:
            batches = strategy["batches"]
            self.assertEqual(batches["worst_timing"]["kind"], "measured")
            self.assertEqual(batches["worst_layer_ms"], batches["worst_timing"]["layer_ms"]["median"])
        network = experiment["network"][0]["batches"]
        self.assertEqual(network["worst_layer_ms"], experiment["strategies"][0]["batches"]["worst_layer_ms"])

    def test_a_trace_of_more_tokens_than_fit_is_read_group_by_group(self):
        rows, experts = (1 << 20) + 8192, 16
        draw = random.Random(1)
        block = array.array("H", (0x3800 + draw.getrandbits(10) for _ in range(8192 * experts))).tobytes()  # fp16, 0.5 to 1
        entry = {"dtype": "F16", "shape": [rows, experts], "data_offsets": [0, rows * experts * 2]}
        header = json.dumps({"router_logits": entry}).encode()
        with open(self.path / "large.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            for _ in range(rows // 8192):
                file.write(block)
        source = {"kind": "trace", "file": "large.safetensors"}
        whole = run("run", self.config({"top_k": 2, "source": source}), "--device", "cpu")
        self.assert_fails(whole, 2, "/router/tokens", "1048576", "router.batches")
        config = self.config({"top_k": 2, "batches": {"tokens": 65536, "count": "all"}, "source": source})
        out = self.path / "out.json"
        process = subprocess.Popen([PROGRAM, "run", config, "--device", "cpu", "--threads", "1", "--quiet", "--json", out])
        _, process.returncode, usage = os.wait4(process.pid, 0)
        self.assertEqual(process.returncode, 0)
        experiment = json.loads(out.read_text())["experiments"][0]
        self.assertEqual(experiment["strategies"][0]["batches"]["count"], 16)
        self.assertIn("the last 8192 tokens make no whole group and are left out", experiment["warnings"])
        self.assertLess(usage.ru_maxrss * 1024, 96 * MIB)  # of all tokens, the logits alone would take 65 MiB as fp32


if __name__ == "__main__":
    main()
