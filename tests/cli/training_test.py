"""Training passes: what a run of one leaves in its results, and what one is told before work.

usage: training_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import json
import statistics

from program import TINY, ProgramTest, main, run

LAYER = {"hidden": 64, "intermediate": 32, "pass": "training"}
MEASURE = {"samples": 10, "warm_up_ms": 0}
FORWARD = ["gather_ms", "up_ms", "activation_ms", "down_ms", "combine_ms"]
BACKWARD = ["gather_dy_ms", "dgrad_down_ms", "swiglu_gradient_ms", "wgrad_down_ms", "dgrad_up_ms", "combine_dx_ms",
            "gather_again_ms", "wgrad_up_ms"]


class Training(ProgramTest):
    def config(self, layer, **changes):
        path = self.path / "config.json"
        path.write_text(json.dumps({**TINY, "tile": 16, "measure": MEASURE, "layer": layer, **changes}))
        return path

    def timings(self, layer=LAYER, **changes):
        result = run("run", self.config(layer, **changes), "--device", "cpu", "--quiet", "--json", "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        return [strategy["timing"] for strategy in json.loads(result.stdout)["experiments"][0]["strategies"]]

    def test_times_of_both_ways_add_up(self):
        for timing in self.timings():
            self.assertEqual(timing["pass"], "training")
            self.assertEqual(timing["kept_bytes_per_row"], 2 * 32 * 4 + 8)
            for way, stages in (("forward_ms", FORWARD), ("backward_ms", BACKWARD)):
                for i, sample in enumerate(timing[way]["samples"]):
                    self.assertAlmostEqual(sample, sum(timing[stage]["samples"][i] for stage in stages), places=9)
            for i, sample in enumerate(timing["layer_ms"]["samples"]):
                parts = timing["forward_ms"]["samples"][i] + timing["backward_ms"]["samples"][i]
                self.assertAlmostEqual(sample, parts, places=9)

    def test_speedups_are_of_pairs_and_rates_of_their_flops(self):
        none, down, half = self.timings()
        for timing in (none, down, half):
            for way in ("forward", "backward"):
                base, own = none[f"{way}_ms"]["samples"], timing[f"{way}_ms"]["samples"]
                ratio = statistics.median(a / b for a, b in zip(base, own))
                self.assertAlmostEqual(timing[f"{way}_speedup"]["value"], ratio, places=6)
            of = {"forward_": 6, "backward_": 12, "": 18}
            useful = {way: timing[f"{way}useful_tflops"] * timing[f"{way or 'layer_'}ms"]["median"] / flops
                      for way, flops in of.items()}
            for way in of:
                self.assertAlmostEqual(useful[way] / useful[""], 1, places=6)

    def test_a_fused_backward_has_no_times_of_its_parts(self):
        timing = self.timings({**LAYER, "backend": "reference"})[0]
        for stage in ("gather_ms", "activation_ms", "gather_dy_ms", "swiglu_gradient_ms", "gather_again_ms"):
            self.assertIsNone(timing[stage])
        self.assertGreater(timing["wgrad_up_ms"]["median"], 0)

    def test_a_forward_pass_has_none_of_it(self):
        timing = self.timings({"hidden": 64, "intermediate": 32})[0]
        self.assertEqual(timing["pass"], "forward")
        for key in BACKWARD + ["forward_ms", "backward_ms", "forward_speedup", "backward_speedup", "kept_bytes_per_row",
                               "forward_useful_tflops", "backward_hardware_tflops"]:
            self.assertIsNone(timing[key], key)

    def test_dry_run_tells_what_is_kept_and_counts_gradients(self):
        def needed(layer):
            result = run("run", self.config(layer), "--device", "cpu", "--dry-run")
            self.assertEqual(result.returncode, 0, result.stderr)
            return int(result.stderr.split("memory needed: ")[1].split(" bytes")[0]), result.stderr

        forward, said = needed({"hidden": 64, "intermediate": 32})
        self.assertNotIn("kept", said)
        training, said = needed(LAYER)
        rows, tokens, experts = 256 * 2 + 8 * 15, 256, 8
        more = 2 * tokens * 64 + rows * (3 * 32 + 1) + experts * 3 * 32 * 64
        self.assertEqual(training - forward, 4 * more)
        self.assertIn("kept of each row for the backward pass: 264 bytes", said)

    def test_no_more_memory_is_taken_than_was_told(self):
        result = run("run", self.config(LAYER), "--device", "cpu", "--quiet", "--json", "-")
        memory = json.loads(result.stdout)["experiments"][0]["memory"]
        self.assertLessEqual(memory["peak_bytes"], memory["estimated_bytes"])

    def test_counts_are_trained_on_like_any_routing(self):
        (self.path / "counts.json").write_text(json.dumps([[40, 24, 0, 64, 1, 63, 32, 32]]))
        router = {"top_k": 2, "source": {"kind": "counts", "file": "counts.json"}}
        layer = {**LAYER, "backend": "openblas"}
        for timing in self.timings(layer, router=router, strategies=["none", "up"]):
            self.assertEqual(timing["pass"], "training")
            self.assertGreater(timing["backward_ms"]["median"], 0)

    def test_a_gpu_is_modelled_for_forward_passes_only(self):
        self.assert_fails(run("run", self.config(LAYER), "--device", "model:h100"), 2, "/layer/pass",
                          "training passes are measured, not modelled")
        result = run("run", self.config(LAYER), "--json", "-", "--quiet")
        self.assertEqual(result.returncode, 0, result.stderr)
        experiment = json.loads(result.stdout)["experiments"][0]
        self.assertEqual(experiment["strategies"][0]["timing"]["kind"], "measured")
        self.assertEqual([warning for warning in experiment["warnings"] if "modelled" in warning], [])
        asked = run("run", self.config(LAYER, model="a100"), "--json", "-", "--quiet")
        if json.loads(asked.stdout)["environment"]["device"] == "cpu":
            told = [warning for warning in json.loads(asked.stdout)["experiments"][0]["warnings"] if "modelled" in warning]
            self.assertEqual(told, ["no GPU is modelled: training passes are measured, not modelled, here on this CPU"])


    def expected_ratios(self, experiment):
        """By label and tile: rows of none over the strategy's, forward, backward and both."""
        def rows(record):
            tiles, steps = record["tiles"] * record["tile"], sum(-(-count // 64) * 64 for count in record["counts_after"])
            return tiles, tiles + steps, 2 * tiles + steps
        records = experiment["strategies"]
        plain = {record["tile"]: rows(record) for record in records if record["name"] == "none"}
        return {(record["label"], record["tile"]): [f"{a / b:.2f}×" for a, b in zip(plain[record["tile"]], rows(record))] for record in records}

    def test_on_a_cpu_the_bound_is_of_both_ways_everywhere(self):
        path = self.path / "r.json"
        config = self.config(LAYER, tile=[64, 128], router={"tokens": 1024, "experts": 8, "top_k": 2},
                             strategies=["none", "down", "nearest", "up"])
        result = run("run", config, "--device", "cpu", "--json", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        expected = self.expected_ratios(json.loads(path.read_text())["experiments"][0])
        self.assertNotEqual(expected["down", 128][0], expected["down", 128][2])

        rows = [line.split() for line in result.stdout.splitlines() if line.startswith("  ")]
        screen = {(row[0], int(row[1])): row[3] for row in rows if tuple(row[:2]) in {(label, str(tile)) for label, tile in expected}}
        self.assertEqual(screen, {key: both for key, (_, _, both) in expected.items()})
        self.assertIn("By rows is about the most that a GPU gains, forward and backward together", " ".join(result.stdout.split()))
        self.assertNotIn("ile ratio", result.stdout)

        passes = run("show", path, "--show", "passes").stdout.split("Stage, ms")[0]
        told = [line.split()[-2] for line in passes.splitlines() if "×" in line]
        self.assertEqual(told[2::3], [both for *_, both in expected.values()])

        for table in (run("show", path, "--format", "table").stdout, run("merge", path, "--markdown", "-").stdout):
            for (label, tile), (forward, backward, both) in expected.items():
                [line] = [line for line in table.splitlines() if f" {label} " in line and f" {tile} " in line]
                self.assertIn(f" {both} (forward {forward}, backward {backward}) ", line)

    def test_advice_without_times_is_by_rows_of_both_ways(self):
        changes = {"router": {"tokens": 1024, "experts": 8, "top_k": 2}, "tile": 128, "strategies": ["none", "down"]}
        speedups = {}
        for name in ("forward", "training"):
            layer = {key: value for key, value in LAYER.items() if key != "pass" or name == "training"}
            result = run("advise", self.config(layer, **changes), "--max-dropped-share", "100%", "--json", "-", "--device", "cpu")
            self.assertEqual(result.returncode, 0, result.stderr)
            document = json.loads(result.stdout)
            self.assertEqual("whole steps of 64" in " ".join(result.stderr.split()), name == "training")
            none, best = (next(one for one in document["experiments"][0]["strategies"] if one["label"] == choice["label"] and one["tile"] == choice["tile"])
                          for choice in (document["advice"]["unrounded"], document["advice"]["best"]))
            steps = [sum(-(-count // 64) * 64 for count in one["counts_after"]) if name == "training" else 0 for one in (none, best)]
            ways = 2 if name == "training" else 1
            before, after = (ways * one["tiles"] * one["tile"] + more for one, more in zip((none, best), steps))
            self.assertAlmostEqual(document["advice"]["best"]["speedup"], before / after, places=9)


if __name__ == "__main__":
    main()
