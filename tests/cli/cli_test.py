"""Runs tatr-sim as a program and checks exit codes, stdout, stderr and what is left on disk.

usage: cli_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import json
import shlex
import os
import signal
import subprocess
import sys
import time
import unittest

from program import CONFIGS, PROGRAM, SOURCE, TINY, ProgramTest, main, run, without_times


class Cli(ProgramTest):
    measured = {}

    def config(self, **changes):
        path = self.path / "config.json"
        path.write_text(json.dumps({**TINY, **changes}))
        return path

    def test_help_and_version(self):
        for arguments in (["--help"], ["run", "--help"], ["validate", "--help"], ["schema", "--help"], ["list", "--help"],
                          ["advise", "--help"], ["report", "--help"], ["compare", "--help"], ["merge", "--help"],
                          ["completion", "--help"], ["show", "--help"], ["device", "--help"], ["--help-all"]):
            result = run(*arguments)
            self.assertEqual(result.returncode, 0)
            self.assertEqual(result.stderr, "")
            self.assertTrue(all(len(line) <= 100 for line in result.stdout.split("\n")), result.stdout)
        self.assertRegex(run("--version").stdout, r"^tatr-sim \d+\.\d+\.\d+ \(.+\), back ends: .*openblas")

    def test_usage_errors(self):
        self.assert_fails(run(), 2, "no command")
        self.assert_fails(run("walk"), 2)
        self.assert_fails(run("run"), 2, "CONFIG")
        self.assert_fails(run("run", self.config(), "--device", "gpu"), 2, "gpu", "auto")
        self.assert_fails(run("run", self.config(), "--threads", "-1"), 2)

    def test_json_to_stdout_leaves_text_to_stderr(self):
        result = run("run", self.config(), "--device", "cpu", "--json", "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        document = json.loads(result.stdout)
        self.assertEqual(document["schema_version"], "2.3")
        experiment = document["experiments"][0]
        self.assertEqual(experiment["name"], "tiny")
        self.assertEqual([(s["label"], s["tile"]) for s in experiment["strategies"]],
                         [(label, tile) for tile in (8, 16) for label in ("none", "down", "half")])
        for strategy in experiment["strategies"]:
            self.assertEqual(strategy["rows"], sum(strategy["counts_after"]))
            self.assertEqual(strategy["tiles"], sum(strategy["tiles_per_expert"]))
        self.assertIn("Verdict: ", result.stderr)

    def test_perplexity_is_estimated_by_a_calibration(self):
        def estimates(*arguments):
            result = run("run", self.config(), "--device", "cpu", "--quiet", "--json", "-", *arguments)
            self.assertEqual(result.returncode, 0, result.stderr)
            strategies = json.loads(result.stdout)["experiments"][0]["strategies"]
            return {(s["label"], s["tile"]): (s["estimated_perplexity_change"], s["why_not_estimated"]) for s in strategies}

        embedded = SOURCE / "src/quality/default_calibration.json"
        calibration = json.loads(embedded.read_text())
        covers = calibration.pop("covers")
        any_shape = self.path / "any_shape.json"
        any_shape.write_text(json.dumps(calibration))
        default = estimates("--calibration", any_shape)
        self.assertEqual(default["none", 8][0]["value"], 0)
        change, why = default["down", 8]
        self.assertTrue(change["low"] < change["value"] < change["high"], (change, why))
        self.assertIsNone(why)

        outside = estimates()
        self.assertEqual(outside["none", 8][0]["value"], 0)
        self.assertIsNone(outside["down", 8][0])
        self.assertEqual(outside["down", 8][1], "not calibrated for logits of no network, but for top-8 of 256 experts")
        self.assertEqual(estimates("--calibration", embedded), outside)

        calibration["name"] = "narrow"
        calibration["range"]["largest_damage"] = 0
        own = self.path / "own.json"
        own.write_text(json.dumps(calibration))
        change, why = estimates("--calibration", own)["down", 8]
        self.assertIsNone(change)
        self.assertIn("out of range: damage", why)

        calibration["covers"] = {**covers, "top_k": {"least": 8, "most": 4}}
        own.write_text(json.dumps(calibration))
        self.assert_fails(run("run", self.config(), "--calibration", own), 2, "own.json:/covers/top_k/most", "4", "at least")
        del calibration["covers"]
        calibration["parameters"]["damage"] = -1
        own.write_text(json.dumps(calibration))
        self.assert_fails(run("run", self.config(), "--calibration", own), 2, "own.json:/parameters/damage", "-1", "above 0")
        measurements = SOURCE / "src/quality/perplexity_vs_rounding.json"
        self.assert_fails(run("run", self.config(), "--calibration", measurements), 2, "scripts/calibrate.py")
        self.assert_fails(run("run", self.config(), "--calibration", self.path / "none.json"), 2, "none.json")

    def test_added_rows_of_sigmoid_routers(self):
        def result(*changes):
            router = {"tokens": 2048, "experts": 64, "top_k": 8, "scoring": "sigmoid"}
            config = self.config(router=router, tile=32, strategies=["none", "up", {"name": "up", "label": "raw", "added_gate": "score"}])
            return run("run", config, "--device", "cpu", "--export", self.path / "out", "--details", "--json", self.path / "out.json", *changes)

        ran = result()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        text = " ".join(ran.stdout.split())
        self.assertIn("Added Gates: score over the sum of the token's chosen scores (up); others: the score", text)
        self.assertIn("No estimate: not calibrated for sigmoid routers.", text)
        experiment = json.loads((self.path / "out.json").read_text())["experiments"][0]
        self.assertEqual([s.get("added_gate") for s in experiment["config"]["strategies"]], [None, "normalised", "score"])
        self.assertEqual(experiment["strategies"][1]["why_not_estimated"], "not calibrated for sigmoid routers")
        softmax = result("--set", "/router/scoring=softmax")
        self.assertNotIn("Added Gates", softmax.stdout)
        refused = result("--set", "/router/normalise_gates=false", "--set", "/strategies/1/added_gate=normalised")
        self.assert_fails(refused, 2, "/strategies/1/added_gate", '"normalised"', '"score"', "normalise_gates")

    def test_advice(self):
        config = self.config(router={"tokens": 2048, "experts": 16, "top_k": 4, "source": {"kind": "zipf"}},
                             layer={"hidden": 64, "intermediate": 32})
        calibration = json.loads((SOURCE / "src/quality/default_calibration.json").read_text())
        del calibration["covers"]  # for routers of any shape
        any_shape = self.path / "any_shape.json"
        any_shape.write_text(json.dumps(calibration))
        result = run("advise", config, "--device", "cpu", "--max-perplexity", "0.5%", "--calibration", any_shape, "--json", "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("Pareto Front", result.stderr)
        self.assertLess(result.stderr.index("Assumed:"), result.stderr.index("Answer:"))  # which is read at the end
        self.assertLessEqual(len(result.stderr.splitlines()), 45)
        for line in result.stderr.split("  In a config:")[0].splitlines():
            self.assertLessEqual(len(line), 80)
        ending = result.stderr.split("  Next:\n    ")[1]
        next_command = shlex.split(ending)
        self.assertEqual(next_command[:2], ["tatr-sim", "run"])
        self.assertEqual(run(*next_command[1:], "--dry-run").returncode, 0)
        document = json.loads(result.stdout)
        advice = document["advice"]
        self.assertEqual(advice["cost"], "modelled")  # no times of a CPU stand for a GPU's
        self.assertEqual(advice["limits"]["perplexity"], 0.005)
        self.assertEqual(advice["candidates"], 5 * 22 - 4)  # at 8 and 16, the config's, too; dynamic has tiles of its own
        self.assertLessEqual(advice["best"]["estimated_perplexity_change"]["high"], 0.005)
        # The choice is that of a plain run with the strategy it names.
        again = self.config(router={"tokens": 2048, "experts": 16, "top_k": 4, "source": {"kind": "zipf"}},
                            tile=advice["best"]["tile"], strategies=["none", {**advice["best"]["strategy"], "label": "best"}])
        plain = run("run", again, "--device", "cpu", "--quiet", "--calibration", any_shape, "--json", "-")
        best = json.loads(plain.stdout)["experiments"][0]["strategies"][1]
        self.assertEqual(best["tiles"], advice["best"]["tiles"])
        self.assertEqual(best["estimated_perplexity_change"], advice["best"]["estimated_perplexity_change"])
        # Nothing within the limit is cheaper; the front trades one for the other.
        values = [c["estimated_perplexity_change"]["value"] for c in advice["front"]]
        ends = [c["estimated_perplexity_change"]["high"] for c in advice["front"]]  # which the limit is on
        speedups = [c["speedup"] for c in advice["front"]]
        self.assertEqual(values, sorted(values, reverse=True))
        self.assertEqual(speedups, sorted(speedups, reverse=True))
        self.assertEqual(advice["best"]["speedup"], max(s for s, high in zip(speedups, ends) if high <= 0.005))

        self.assert_fails(run("advise", config), 2, "--max-perplexity", "--max-time")
        for option, value in (("--max-perplexity", "0.1"), ("--max-perplexity", "x%"), ("--max-perplexity", "-1%"),
                              ("--max-time", "5"), ("--max-time", "nanms"), ("--max-dropped-mass", "1e")):
            self.assert_fails(run("advise", config, "--device", "cpu", option, value), 2, option, f"'{value}'", "expected")
        self.assert_fails(run("advise", config, "--device", "cpu", "--max-time", "5ms"), 2, "needs times")
        self.assert_fails(run("advise", self.path / "none.json", "--max-time", "90%"), 2, "none.json")

    def test_report_reads_json_and_jsonl_from_files_and_stdin(self):
        one = self.path / "one.json"
        run("run", self.config(), "--device", "cpu", "--quiet", "--json", one)
        lines = json.dumps(json.loads(one.read_text())) + "\n"
        page = self.path / "page.html"
        result = run("report", one, "-", "--html", page, stdin=lines * 2)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", f"Wrote {page}: 3 experiments\n"))
        self.assertEqual(page.read_text().count('"source":"'), 3)
        self.assertIn("standard input (line 2)", page.read_text())
        self.assertTrue(run("report", one, "--html", "-").stdout.startswith("<!doctype html>"))

    def test_report_refuses_what_is_no_result_and_leaves_the_old_page(self):
        page, broken = self.path / "page.html", self.path / "broken.json"
        page.write_text("old")
        self.assert_fails(run("report", self.config(), "--html", page), 2, "config.json", "is a config, no result")
        broken.write_text('{"schema_version": "1.0", "experiments": [{"name": "x", "strategies": [{"name": "none", "label": 3}]}]}')
        self.assert_fails(run("report", broken, "--html", page), 2, "broken.json:/experiments/0/strategies/0/label", "3")
        broken.write_text('{"schema_version": "3.0", "experiments": []}')
        self.assert_fails(run("report", broken, "--html", page), 2, "broken.json:/schema_version", "3.0", "2.3")
        broken.write_text('{"schema_version": "1.0", "experiments": []}\n{"schema_version": "1.0"\n')
        self.assert_fails(run("report", broken, "--html", page), 2, "broken.json (line 2)", "not valid JSON")
        self.assert_fails(run("report", self.path / "missing.json", "--html", page), 2, "missing.json", "no such file")
        self.assert_fails(run("report", broken), 2, "--html")
        self.assertEqual(page.read_text(), "old")
        self.assertEqual(sorted(p.name for p in self.path.iterdir()), ["broken.json", "config.json", "page.html"])
        broken.write_text('{"schema_version": "1.0", "experiments": []}')
        self.assert_fails(run("report", broken, "--html", self.path / "none" / "page.html"), 3, "page.html")

    def test_same_config_same_result(self):
        def result(threads):
            return without_times(json.loads(run("run", self.config(), "--device", "cpu", "--json", "-", "--threads", threads).stdout))
        self.assertEqual(result(1), result(3))

    def test_order_of_strategies_does_not_change_random_draws(self):
        def targets(strategies):
            document = json.loads(run("run", self.config(strategies=strategies), "--device", "cpu", "--json", "-").stdout)
            return {(s["label"], s["tile"]): s["counts_after"] for s in document["experiments"][0]["strategies"]}
        self.assertEqual(targets(["stochastic", "score"]), targets(["score", "stochastic"]))

    def test_text_report_fits_80_columns_and_has_no_colour_in_a_pipe(self):
        text = run("run", self.config(), "--device", "cpu").stdout
        self.assertNotIn("\033", text)
        self.assertTrue(all(len(line) <= 80 for line in text.split("\n")), max(text.split("\n"), key=len))

    def test_set_overrides_and_dry_run(self):
        result = run("run", self.config(), "--set", "/tile=32", "--set", "/seed=9", "--dry-run")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn('"seed": 9', result.stdout)
        self.assertEqual(json.loads(result.stdout)["tile"], [32])  # the config alone
        self.assertIn("memory", result.stderr.lower())
        two = run("run", self.config(sweep={"/seed": [1, 2]}), "--dry-run").stdout  # a stream of documents, as jq reads it
        first, end = json.JSONDecoder().raw_decode(two)
        self.assertEqual((first["seed"], json.loads(two[end:])["seed"]), (1, 2))
        self.assert_fails(run("run", self.config(), "--set", "/router/top_k=9"), 2, "/router/top_k", "9")
        self.assert_fails(run("run", self.config(), "--set", "tile"), 2, "--set")

    def test_faults_are_told_with_place_value_and_what_is_allowed(self):
        self.assert_fails(run("run", self.config(router={"tokens": 256, "experts": 8, "top_k": 9})), 2, "/router/top_k", "9", "8")
        self.assert_fails(run("run", self.config(tile=100)), 2, "/tile", "100", "8")
        self.assert_fails(run("run", self.config(strategies=["sideways"])), 2, "/strategies/0", "sideways", "nearest")
        self.assert_fails(run("run", self.config(colour="red")), 2, "colour")
        self.assert_fails(run("run", self.path / "missing.json"), 2, "missing.json")
        self.assert_fails(run("run", self.path), 2, str(self.path))
        duplicate = self.path / "duplicate.json"
        duplicate.write_text('{"name": "a", "name": "b"}')
        self.assert_fails(run("run", duplicate), 2, "name")

    def test_a_budget_of_waves_fills_them(self):
        waves = {"waves": 10, "sms": 13}
        strategies = ["nearest", {"name": "budget", "tiles": waves}, {"name": "budget", "candidates": "tiles", "tiles": {"waves": 1.2, "sms": 5}, "label": "few"}]
        layer, measure = {"hidden": 32, "intermediate": 160}, {"samples": 10, "warm_up_ms": 0}
        config = self.config(strategies=strategies, tile=8, layer=layer, measure=measure)
        result = run("run", config, "--device", "cpu", "--details", "--json", "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        nearest, budget, few = json.loads(result.stdout)["experiments"][0]["strategies"]
        # 320 rows of weights are two tiles of 256 columns.
        self.assertEqual((nearest["waves"], budget["tiles"], few["tiles"]), (None, 65, 3))
        self.assertEqual(budget["waves"], {"asked": 10, "sms": 13, "column_tiles": 2, "filled": 10, "nearest_tiles": nearest["tiles"],
                                           "nearest_waves": nearest["tiles"] * 2 / 13})
        self.assertRegex(result.stderr, r"budget: 65 tiles of 2 output tiles fill 10\.00 of 10 waves of 13 SMs")
        del strategies[1]["tiles"]["sms"]
        self.assert_fails(run("run", self.config(strategies=strategies, layer=layer), "--device", "cpu"), 2, "/strategies/1/tiles", "sms")
        self.assert_fails(run("run", self.config(strategies=strategies, layer=None), "--device", "cpu"), 2, "/strategies/1/tiles", "layer")
        for tiles in ({"sms": 3}, {"waves": 1, "of_nearest": 1}, {"of_nearest": 1, "sms": 3}, {"waves": 0}):
            config = self.config(strategies=[{"name": "budget", "tiles": tiles}])
            self.assert_fails(run("run", config, "--device", "cpu"), 2, "/strategies/0/tiles", "not allowed")

    def test_a_budget_below_what_down_needs_names_the_least(self):
        strategies = [{"name": "budget", "tiles": 0}]
        self.assert_fails(run("run", self.config(strategies=strategies), "--device", "cpu"), 2, "/strategies/0", "least")

    def test_outputs_that_cannot_be_written_fail_before_work(self):
        start = time.monotonic()
        slow = self.config(router={"tokens": 65536, "experts": 512, "top_k": 8})
        self.assert_fails(run("run", slow, "--json", self.path / "no" / "result.json"), 3, "result.json", "No such file")
        self.assert_fails(run("run", slow, "--json", self.path), 3, "directory")
        self.assertLess(time.monotonic() - start, 2.0)

    def test_a_failed_run_leaves_the_old_result(self):
        old = self.path / "result.json"
        old.write_text("old")
        bad = self.config(strategies=[{"name": "budget", "tiles": 0}])
        self.assertEqual(run("run", bad, "--device", "cpu", "--json", old).returncode, 2)
        self.assertEqual(old.read_text(), "old")
        self.assertEqual(sorted(p.name for p in self.path.iterdir()), ["config.json", "result.json"])

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_a_full_disk_is_an_error(self):
        result = run("run", self.config(), "--device", "cpu", "--json", "/dev/full", "--quiet")
        self.assert_fails(result, 3, "/dev/full", "No space left")

    def test_interrupt_ends_cleanly(self):
        slow = self.config(router={"tokens": 65536, "experts": 512, "top_k": 8},
                           strategies=[{"name": "up", "label": f"up {i}"} for i in range(50)])
        result_path = self.path / "result.json"
        process = subprocess.Popen([PROGRAM, "run", slow, "--device", "cpu", "--json", result_path],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, stderr)
        self.assertIn("interrupted", stderr)
        self.assertEqual(sorted(p.name for p in self.path.iterdir()), ["config.json"])

    def test_export_writes_targets_and_dispatch(self):
        out = self.path / "out"
        result = run("run", self.config(), "--device", "cpu", "--export", out)
        self.assertEqual(result.returncode, 0, result.stderr)
        names = sorted(p.name for p in out.rglob("*.npy"))
        self.assertIn("tiny.layer0.tile8.half.token.npy", names)
        self.assertIn("tiny.layer0.tile16.down.target.npy", names)

    def test_no_gpu_is_one_line(self):
        result = run("run", self.config(), "--device", "cuda:77")
        self.assert_fails(result, 3, "cuda:77")

    def test_several_configs_give_one_result(self):
        other = self.path / "other.json"
        other.write_text(json.dumps({**TINY, "name": "other"}))
        document = json.loads(run("run", self.config(), other, "--device", "cpu", "--json", "-").stdout)
        self.assertEqual([e["name"] for e in document["experiments"]], ["tiny", "other"])

    def test_no_back_end_of_that_name_is_found_before_any_work(self):
        good, bad = self.config(), self.path / "bad.json"
        bad.write_text(json.dumps({**TINY, "name": "bad", "layer": {"hidden": 64, "intermediate": 64, "backend": "blas"}}))
        out = self.path / "out.json"
        for command in (("run", good, bad), ("validate", bad), ("advise", bad, "--max-time", "90%")):
            device = () if command[0] == "validate" else ("--device", "cpu", "--json", out)
            with self.subTest(command[0]):
                result = run(*command, *device)
                self.assert_fails(result, 2, 'bad.json:/layer/backend: "blas"', "expected one of auto, tatr, ")
                self.assertEqual(result.stdout, "")
                self.assertFalse(out.exists())
        result = run("run", good, "--set", "/layer=" + json.dumps(json.loads(bad.read_text())["layer"]), "--device", "cpu")
        self.assert_fails(result, 2, '/layer/backend: "blas"', "from --set")

    def test_the_schema_for_editors_is_the_programs(self):
        file = SOURCE / "docs/experiment.schema.json"
        self.assertEqual(file.read_text(), run("schema").stdout, "tatr-sim schema > docs/experiment.schema.json makes it anew")
        for config in CONFIGS:
            self.assertEqual((config.parent / json.loads(config.read_text())["$schema"]).resolve(), file.resolve())

    def test_schema_and_list(self):
        self.assertIn("http://json-schema.org/draft-07/schema#", json.loads(run("schema").stdout)["$schema"])
        self.assertIn("experiments", json.loads(run("schema", "--result").stdout)["properties"])
        for word in ("budget", "topics", "openblas", "cpu"):
            self.assertIn(word, run("list").stdout)

    def test_a_sweep_over_rounding_weights_is_compared(self):
        config = SOURCE / "configs/aux_loss.json"
        short = ["--set", "/router/source/steps=5", "--set", "/router/tokens=512", "--device", "cpu", "--json", "-"]
        result = run("run", config, *short)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("Auxiliary Loss", result.stderr)
        self.assertIn("(periodic, tile 128), 5 seeds:", result.stderr)
        for experiment in json.loads(result.stdout)["experiments"]:
            self.assertGreater(experiment["routing"][0]["task_loss"], 0)

    def test_shipped_configs_are_valid(self):
        self.assertGreater(len(CONFIGS), 8)
        result = run("validate", *CONFIGS)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_broken_inputs_are_refused(self):
        broken = self.path / "broken"
        subprocess.run([sys.executable, SOURCE / "tests/oracle/make_broken_inputs.py", broken], check=True, capture_output=True)
        manifest = [line.split("\t")[0] for line in (broken / "manifest.tsv").read_text().splitlines()]
        self.assertGreaterEqual(len(manifest), 200)
        for config in manifest:
            with self.subTest(config):
                self.assert_fails(run("run", broken / config, "--device", "cpu"), 2)

    def test_values_that_are_no_logits_are_refused_before_work(self):
        corpus = SOURCE / "tests/fuzz/corpus/trace"
        cases = {"probabilities": ("as probabilities (softmax) do", '"values": "probabilities"'), "histogram.npy": ("counts of tokens",),
                 "mean_loads.npy": ("as loads of experts are",), "padding_equal_rows": ("row 10: the same logit",)}
        for name, fragments in cases.items():
            with self.subTest(name):
                source = {"kind": "trace", "file": str(corpus / name)}
                config = self.config(router={"top_k": 2, "source": source})
                result = run("run", config, "--device", "cpu", "--json", self.path / "out.json")
                self.assert_fails(result, 2, name, '"values": "logits"', *fragments)
                self.assertFalse((self.path / "out.json").exists())
                self.assert_fails(run("advise", config, "--max-dropped-mass", "0.1", "--device", "cpu"), 2, *fragments)
                self.assertEqual(run("validate", config).returncode, 0)  # headers alone
                said = run("run", config, "--device", "cpu", "--set", "/router/source/values=logits", "--json", "-")
                self.assertEqual(said.returncode, 0, said.stderr)
                effective = json.loads(said.stdout)["experiments"][0]["config"]
                self.assertEqual(effective["router"]["source"]["values"], "logits")

    def test_odd_scores(self):
        corpus = SOURCE / "tests/fuzz/corpus/trace"

        def run_on(name):
            source = {"kind": "trace", "file": str(corpus / name), "tensor": "*"}
            config = self.config(router={"top_k": 2, "source": source})
            return run("run", config, "--device", "cpu", "--json", "-", "--quiet")

        for name in ("scores_negative_zero", "scores_denormal", "scores_above_one", "scores_bf16_odd"):
            result = run_on(name)
            self.assertEqual(result.returncode, 0, result.stderr)
            for strategy in json.loads(result.stdout)["experiments"][0]["strategies"]:
                self.assertLessEqual(strategy["dropped_gate_mass"], 1 + 1e-6)
        self.assert_fails(run_on("scores_nan_payload"), 2, "NaN; allowed: scores from 0 to 1")
        self.assert_fails(run_on("ids_minus_one"), 2, "expert -1, as padding has")
        self.assert_fails(run_on("padding_zero_scores"), 2, "row 1: no score but 0, as padding has")
        self.assert_fails(run_on("header_huge_float"), 2, "a number is too large for a double")

    def results(self):
        """Two results of one config, with times; measured once for all tests."""
        paths = [self.path / "base.json", self.path / "new.json"]
        for path in paths:
            if path.name not in Cli.measured:
                config = self.config(layer={"hidden": 64, "intermediate": 32}, tile=16)
                result = run("run", config, "--device", "cpu", "--threads", "1", "--quick", "--set", "/measure/l2=warm",
                             "--quiet", "--json", path)
                self.assertEqual(result.returncode, 0, result.stderr)
                Cli.measured[path.name] = path.read_text()
            path.write_text(Cli.measured[path.name])
        return paths

    def edited(self, path, edit):
        document = json.loads(path.read_text())
        edit(document)
        other = self.path / "edited.json"
        other.write_text(json.dumps(document))
        return other

    def test_compare(self):
        base, new = self.results()
        noisy = []  # how busy the machine is must not decide
        for margin in ("layer", "gemm", "stage"):
            noisy += ["--threshold", f"{margin}_margin=1e9"]
        result = run("compare", base, new, *noisy, "--strict")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(result.stderr, "")
        self.assertRegex(result.stdout, r"\nno regression: \d+ same \(strict\)\n$")
        self.assertIn("yardstick none", result.stdout)

        lines = self.path / "both.jsonl"
        lines.write_text(json.dumps(json.loads(new.read_text())) + "\n")
        self.assertEqual(run("compare", base, lines, *noisy).returncode, 0)

        def drop_tile(document):
            document["experiments"][0]["strategies"][1]["tiles"] += 1

        markdown = self.path / "report.md"
        result = run("compare", base, self.edited(new, drop_tile), "--markdown", markdown)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("changed: tiles of down, tile 16, layer 0", result.stdout)
        self.assertTrue(markdown.read_text().startswith("### tatr-sim: regression: "))
        result = run("compare", base, new, "--markdown", "-", *noisy)
        self.assertTrue(result.stdout.startswith("### tatr-sim: no regression: "))
        self.assert_fails(run("compare", base, new, "--markdown", self.path / "no" / "report.md"), 3, "report.md")

    def test_compare_finds_a_slow_down_only(self):
        base, _ = self.results()

        def scale(factor):
            def edit(document):
                for name, series in document["experiments"][0]["strategies"][2]["timing"].items():
                    if name == "layer_ms":
                        series["samples"] = [sample * factor for sample in series["samples"]]
            return edit

        # The samples are the base's own, times 1e6: that is told however busy the machine is.
        self.assertEqual(run("compare", base, self.edited(base, scale(1e6))).returncode, 1)
        result = run("compare", base, self.edited(base, scale(1e-6)), "--threshold", "least_ms=0")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("faster: layer_ms of half", result.stdout)

    def test_compare_refuses(self):
        base, new = self.results()
        self.assert_fails(run("compare"), 2, "BASE NEW")
        self.assert_fails(run("compare", base), 2, "BASE NEW")
        self.assert_fails(run("compare", base, self.path / "none.json"), 2, "none.json", "no such file")
        self.assert_fails(run("compare", base, self.config()), 2, "config.json", "is a config, no result")
        self.assert_fails(run("compare", base, new, "--threshold", "margin=1"), 2, "layer_margin")
        self.assert_fails(run("compare", base, new, "--threshold", "layer_margin=wide"), 2, "wide")
        self.assert_fails(run("compare", base, self.edited(new, lambda d: d.update(schema_version="0.9"))), 3, "0.9", "1.0")
        self.assert_fails(run("compare", base, self.edited(new, lambda d: d["environment"].update(cpu="Other"))), 3, "Other")
        self.assert_fails(run("compare", base, self.edited(new, lambda d: d.update(experiments=[]))), 2, "nothing to compare")
        shown = run("compare", "--show-thresholds", "--threshold", "layer_margin=0.05")
        self.assertEqual(shown.returncode, 0)
        self.assertRegex(shown.stdout, r"layer_margin +0\.05 ")

    def test_quick_and_thorough_are_part_of_the_config(self):
        def measure(*arguments):
            text = run("run", self.config(), "--device", "cpu", "--dry-run", *arguments).stdout
            return json.loads(text)["measure"]

        self.assertEqual(measure("--quick")["samples"], 10)
        self.assertEqual(measure("--thorough")["samples"], 100)
        self.assertLess(measure("--thorough")["precision"], measure()["precision"])
        self.assertEqual(measure("--quick", "--set", "/measure/samples=12")["samples"], 12)
        self.assert_fails(run("run", self.config(), "--quick", "--thorough"), 2, "--quick")


if __name__ == "__main__":
    main()
