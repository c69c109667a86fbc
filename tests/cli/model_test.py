"""Runs tatr-sim for GPUs that are not there: --device model:NAME, auto without a GPU, and all that reads such results.

usage: model_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import csv
import json
import re
import shlex
import unittest

from program import SOURCE, TINY, ProgramTest, main, run, without_times

LAYERED = {**TINY, "tile": [64, 128], "layer": {"hidden": 256, "intermediate": 128, "cpu": {"hidden": 32, "intermediate": 16}},
           "measure": {"samples": 10, "warm_up_ms": 0}}
H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB"
DOUBT = "datasheet, not validated"
HAS_GPU = "cuda:" in run("list", "devices").stdout


class Model(ProgramTest):
    def config(self, name="config.json", **changes):
        path = self.path / name
        path.write_text(json.dumps({**LAYERED, **changes}))
        return path

    def result(self, *arguments, device="model:h100"):
        completed = run("run", *arguments, "--device", device, "--threads", 1, "--quiet", "--json", "-")
        self.assertEqual(completed.returncode, 0, completed.stderr)
        return json.loads(completed.stdout)

    def written(self, name, *arguments, device="model:h100"):
        path = self.path / name
        path.write_text(json.dumps(self.result(*arguments, device=device)))
        return path

    def own_file(self, name="own.json", **changes):
        """The H100's file under another name, with other figures."""
        figures = json.loads(run("device", "h100").stdout)
        path = self.path / name
        path.write_text(json.dumps({**figures, **changes}))
        return path

    def test_a_cpu_is_not_measured_as_a_gpu(self):
        out = self.path / "own.json"
        self.assert_fails(run("device", "--measure", "--device", "cpu", "--out", out), 3, "--measure", "cpu")
        self.assert_fails(run("device", "--measure"), 2, "--out")
        self.assert_fails(run("device", "--out", out), 2, "--measure")
        self.assert_fails(run("device", "h100", "--measure", "--out", out), 2, "--measure", "NAME")
        self.assertEqual(list(self.path.iterdir()), [])

    def test_a_file_is_scaled_from_measured_figures_only(self):
        def scaled(like):
            document = json.loads(run("device", "a100").stdout)
            (self.path / "scaled.json").write_text(json.dumps({**document, "like": like}))
            return run("run", self.config(), "--device", f"model:{self.path / 'scaled.json'}", "--quiet")
        self.own_file("measured.json")
        self.assertEqual(scaled("measured.json").returncode, 0)  # beside it, wherever the program runs
        for like in ("scaled.json", "b200"):
            self.assert_fails(scaled(like), 2, "scaled.json:/like", "measured")
        self.assert_fails(scaled("none.json"), 2, "none.json", "no such device file")
        error = {**json.loads(run("device", "h100").stdout)["error"], "p90": 1}
        own = self.own_file(error=error)
        self.assert_fails(run("run", self.config(), "--device", f"model:{own}", "--quiet"), 2, "/error/p90", "0.99")

    def test_devices_are_listed_and_shown(self):
        listed = run("device").stdout
        for words in ("h100", H100, "multiprocessors 132", "GiB", "held-out", "a100", A100, DOUBT):
            self.assertIn(words, re.sub(" +", " ", listed))
        self.assertEqual(json.loads(run("device", "a100").stdout), json.loads((SOURCE / "configs/devices/a100.json").read_text()))
        self.assertEqual(json.loads(run("device", self.own_file()).stdout)["name"], H100)
        self.assertEqual(run("device", "h9").returncode, 2)
        self.assertIn(f"model:a100 {A100}, modelled; {DOUBT}", re.sub(" +", " ", run("list", "devices").stdout))

    def test_times_are_modelled_at_the_whole_layer_beside_verified_outputs(self):
        document = self.result(self.config())
        self.assertEqual(document["environment"]["device"], "cpu")
        [experiment] = document["experiments"]
        model = experiment["model"]
        self.assertEqual((model["id"], model["name"], model["device"], model["doubt"]), ("h100", H100, f"{H100}, modelled", None))
        self.assertGreater(model["error"]["cases"], 0)
        for strategy in experiment["strategies"]:
            timing = strategy["timing"]
            self.assertEqual((timing["kind"], timing["backend"], timing["cpu_reduced"]), ("modelled", "tatr", False))
            self.assertEqual(timing["shape"], {"hidden": 256, "intermediate": 128})
            for name in ("layer_ms", "up_ms", "down_ms", "round_us", "route_us"):
                self.assertEqual(set(timing[name]), {"value", "low", "high"})
                self.assertAlmostEqual(timing[name]["low"] * (1 + model["error"]["p90"]), timing[name]["value"])
                self.assertAlmostEqual(timing[name]["high"] * (1 - model["error"]["p90"]), timing[name]["value"])
            self.assertIsNone(timing["uniform_samples_ms"])
            self.assertGreaterEqual(timing["useful_tflops"], 0)
            if strategy["label"] == "none":
                self.assertEqual(timing["speedup"], {"value": 1, "low": 1, "high": 1})
                self.assertEqual(timing["output_error"], 0)
            else:
                self.assertLess(timing["speedup"]["low"], timing["speedup"]["value"])
                self.assertGreater(timing["output_error"], 0)
        self.assertEqual({network["timing_kind"] for network in experiment["network"]}, {"modelled"})
        again = self.result(self.config())["experiments"]
        self.assertEqual([s["timing"] for s in again[0]["strategies"]], [s["timing"] for s in experiment["strategies"]])
        merged = run("merge", self.written("one.json", self.config()))  # strictly as the schema of results has it
        self.assertEqual(merged.returncode, 0, merged.stderr)

    def test_counts_are_those_of_the_cpu(self):
        modelled, measured = self.result(self.config()), self.result(self.config(), device="cpu")
        self.assertIsNone(measured["experiments"][0]["model"])
        self.assertEqual({s["timing"]["kind"] for s in measured["experiments"][0]["strategies"]}, {"measured"})
        self.assertTrue(all(s["timing"]["cpu_reduced"] for s in measured["experiments"][0]["strategies"]))
        for document in (modelled, measured):
            document["experiments"][0].pop("model")
        self.assertEqual(without_times(modelled), without_times(measured))

    def test_without_a_layer_nothing_is_modelled(self):
        [experiment] = self.result(self.config(layer=None))["experiments"]
        self.assertIsNone(experiment["model"])
        self.assertEqual({s["timing"] is None for s in experiment["strategies"]}, {True})

    def test_waves_are_those_of_the_modelled_gpu(self):
        waves = {"name": "budget", "tiles": {"waves": 2.5}, "label": "wave"}
        router = {"tokens": 8192, "experts": 8, "top_k": 2}
        strategies = self.result(self.config(tile=64, strategies=["none", waves], router=router), device="model:a100")["experiments"][0]["strategies"]
        self.assertEqual(strategies[1]["waves"]["sms"], 108)

    def test_what_the_model_has_no_layer_for_is_refused(self):
        layer = {**LAYERED["layer"], "backend": "openblas"}
        self.assert_fails(run("run", self.config(layer=layer), "--device", "model:h100"), 2, "config.json:/layer/backend", '"openblas"', '"tatr"')
        self.assert_fails(run("run", self.config(tile=8), "--device", "model:h100"), 2, "config.json:/layer/backend", "tile is 8")
        self.assert_fails(run("run", self.config(), "--device", "model:h9"), 2, "h9")
        self.assert_fails(run("run", self.config(), "--device", "model:"), 2, "model:NAME")
        self.assertEqual(self.result(self.config(layer={**layer, "backend": "tatr"}))["experiments"][0]["strategies"][0]["timing"]["kind"], "modelled")

    def test_the_text_shows_them_first_with_the_error(self):
        text = run("run", self.config(), "--device", "model:h100", "--details").stdout
        self.assertLess(text.index(f"Times on {H100}, modelled"), text.index("Output Error"))
        table = text.index("Modelled (layer 256 x 128, tatr, gather and SwiGLU fused, tile 64):")
        self.assertLess(text.index("held-out"), table)
        self.assertIn("Outputs: computed and verified on the CPU, layer 32 x 16.", text)
        self.assertNotIn("Measured (", text)
        self.assertNotIn(DOUBT, text)
        marked = " ".join(run("run", self.config(), "--device", "model:a100", "--details").stdout.split())
        for words in (f"Times on {A100}, modelled: {DOUBT}", f"tile 64; {DOUBT}", f"tile 128; {DOUBT}",
                      f"(modelled; {DOUBT})", f"Device: {A100}, modelled; {DOUBT}"):
            self.assertIn(words, marked)
        screen = " ".join(run("run", self.config(), "--device", "model:a100").stdout.split())
        for words in (f"{A100}, modelled ({DOUBT}; ", "Over none, same tile", f"(modelled; {DOUBT})"):
            self.assertIn(words, screen)
        self.assertIn("Modelled speed-up", run("run", self.config(tile=64), "--device", "model:h100").stdout)

    def test_tables_name_them(self):
        table, markdown = self.path / "t.csv", self.path / "t.md"
        completed = run("run", self.config(), "--device", "model:a100", "--quiet", "--csv", table, "--markdown", markdown)
        self.assertEqual(completed.returncode, 0, completed.stderr)
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                self.assertEqual((row["times"], row["modelled_device"], row["model_doubt"]), ("modelled", f"{A100}, modelled", DOUBT))
                self.assertLess(float(row["layer_ms_modelled_low"]), float(row["layer_ms"]))
        self.assertIn(f"| {A100}, modelled: {DOUBT} |", markdown.read_text())

    def test_dry_run_and_validate(self):
        shown = run("run", self.config(), "--device", "model:a100", "--dry-run").stderr
        self.assertIn(f"{A100}, modelled; {DOUBT}", shown)
        self.assertIn("host memory needed", shown)
        self.assert_fails(run("run", self.config(tile=8), "--device", "model:a100", "--dry-run"), 2, "tile is 8")
        for command in (("validate",), ("run", "--device", "cpu", "--dry-run")):
            self.assert_fails(run(command[0], self.config(model="h9"), *command[1:]), 2, "config.json:/model", '"h9"', "h100, h200")

    def test_the_configs_gpu_is_part_of_its_meaning_only_where_it_is_named(self):
        plain, spelled, other = (self.result(self.config(**model), device="cpu")["experiments"][0]
                                 for model in ({}, {"model": "h100"}, {"model": "a100"}))
        self.assertEqual(plain["config_hash"], spelled["config_hash"])
        self.assertNotIn("model", plain["config"])
        self.assertNotEqual(plain["config_hash"], other["config_hash"])

    @unittest.skipIf(HAS_GPU, "auto measures on the GPU here")
    def test_auto_without_a_gpu_models_the_configs(self):
        self.own_file(name="mine.json", multiprocessors=66)
        for model, name in ((None, "h100"), ("a100", "a100"), ("mine.json", "mine.json")):
            with self.subTest(name):
                [experiment] = self.result(self.config(**({"model": model} if model else {})), device="auto")["experiments"]
                self.assertEqual(experiment["model"]["id"].rsplit("/")[-1], name)
                self.assertEqual(experiment["strategies"][0]["timing"]["kind"], "modelled")
        for changes, words in (({"tile": 8}, "tile is 8"), ({"layer": {**LAYERED["layer"], "backend": "openblas"}}, '"openblas"')):
            [experiment] = self.result(self.config(**changes), device="auto")["experiments"]
            self.assertIsNone(experiment["model"])
            self.assertEqual(experiment["strategies"][0]["timing"]["kind"], "measured")
            self.assertRegex(experiment["warnings"][0], "no GPU is modelled: .*" + words)

    def test_compare_never_mixes(self):
        config = self.config()
        h100, a100 = self.written("h100.json", config), self.written("a100.json", config, device="model:a100")
        measured = self.written("cpu.json", config, device="cpu")
        self.assert_fails(run("compare", h100, measured), 2, f"{H100}, modelled", "measured in NEW")
        self.assert_fails(run("compare", measured, h100), 2, "measured in BASE", "both measured")
        self.assert_fails(run("compare", h100, a100), 2, f"{H100}, modelled", f"{A100}, modelled")
        same = run("compare", h100, self.written("again.json", config))
        self.assertEqual(same.returncode, 0, same.stdout + same.stderr)
        slower = json.loads(h100.read_text())
        slower["experiments"][0]["strategies"][1]["timing"]["layer_ms"]["value"] *= 1.001
        slower["experiments"][0]["model"]["digest"] = "0" * 16
        (self.path / "slower.json").write_text(json.dumps(slower))
        changed = run("compare", h100, self.path / "slower.json")
        self.assertEqual(changed.returncode, 1, changed.stdout + changed.stderr)
        self.assertIn("changed: layer_ms of down", changed.stdout)
        self.assertIn("digest", changed.stdout)

    def test_merge_and_resume_know_the_device(self):
        config, lines = self.config(), self.path / "a.jsonl"
        arguments = ("run", config, "--threads", 1, "--jsonl", lines)
        self.assertEqual(run(*arguments, "--device", "model:h100").returncode, 0)
        done = run(*arguments, "--device", "model:h100", "--resume")
        self.assertIn("1 done before", done.stdout)
        for device, now in (("model:a100", A100), ("cpu", "cpu"), (f"model:{self.own_file(multiprocessors=66)}", H100)):
            self.assert_fails(run(*arguments, "--device", device, "--resume"), 2, "a.jsonl (line 1)", f"{H100}, modelled (figures ", now)
        others = [self.written(f"{device[-4:]}.json", config, device=device) for device in ("cpu", "model:a100", "model:h100")]
        merged = run("merge", lines, *others)
        self.assertEqual(merged.returncode, 0, merged.stderr)
        self.assertEqual(len(merged.stdout.splitlines()), 3)
        self.assertIn("left out 1", merged.stderr)

    def test_sweeps(self):
        sweep = self.config(sweep={"/router/tokens": [256, 512], "/model": ["h100", "a100"]})
        experiments = self.result(sweep)["experiments"]
        self.assertEqual([e["model"]["id"] for e in experiments], ["h100"] * 4)

    def test_advice_on_a_modelled_gpu(self):
        config = self.config(router={"tokens": 4096, "experts": 16, "top_k": 4}, tile=64)
        completed = run("advise", config, "--device", "model:a100", "--max-dropped-mass", "0.1", "--json", "-")
        self.assertEqual(completed.returncode, 0, completed.stderr)
        self.assertIn(f"ms: modelled, not measured: layer and rounding on {A100}; {DOUBT}", " ".join(completed.stderr.split()))
        document = json.loads(completed.stdout)
        self.assertEqual(document["advice"]["cost"], "modelled_time")
        self.assertGreater(document["advice"]["best"]["time_ms"], 0)
        self.assertEqual(document["experiments"][0]["model"]["id"], "a100")
        self.assertNotEqual(run("advise", config, "--device", "model:a100", "--max-time", "100ms").returncode, 2)
        tiles = run("advise", config, "--device", "model:a100", "--modelled", "--max-dropped-mass", "0.1", "--json", "-")
        self.assertEqual(json.loads(tiles.stdout)["advice"]["cost"], "modelled")
        if not HAS_GPU:
            auto = json.loads(run("advise", config, "--max-dropped-mass", "0.1", "--json", "-").stdout)
            self.assertEqual((auto["advice"]["cost"], auto["experiments"][0]["model"]["id"]), ("modelled_time", "h100"))

    def test_a_gain_is_over_the_fastest_plain_top_k(self):
        config = self.config(router={"tokens": 8192, "experts": 64, "top_k": 8, "source": {"kind": "zipf", "exponent": 0.5}}, tile=[64, 128, 256],
                             strategies=["none", "down", "nearest"], layer={"hidden": 2048, "intermediate": 1024, "cpu": {"hidden": 32, "intermediate": 16}})
        path = self.written("result.json", config)
        result = json.loads(path.read_text())["experiments"][0]
        error = result["model"]["error"]
        nones = {record["tile"]: record["layer_ms"] for record in result["network"] if record["name"] == "none"}
        fastest = min(nones, key=nones.get)
        for record in result["network"]:
            gain = record["speedup_over_fastest_none"]
            self.assertAlmostEqual(gain["value"], nones[fastest] / record["layer_ms"], places=6)
            one_tile = record["tile"] == fastest
            if one_tile and record["name"] == "none":
                self.assertEqual(gain["low"], gain["high"])
            else:
                self.assertAlmostEqual(gain["low"], gain["value"] / (1 + error["ratio" if one_tile else "ratio_across_tiles"]), places=6)
        down = min((record for record in result["network"] if record["name"] == "down"), key=lambda record: record["layer_ms"])
        gain = down["speedup_over_fastest_none"]
        text = " ".join(run("show", path).stdout.split())
        self.assertIn("Over none, same tile", text)
        self.assertIn(f"`down` at tile {down['tile']}: {gain['value']:.2f}× [{gain['low']:.2f}, {gain['high']:.2f}] (modelled) over `none` at tile {fastest}, its fastest", text)
        alone = self.written("alone.json", config, "--set", "/tile=128")
        self.assertTrue(all(record["speedup_over_fastest_none"] is None for record in json.loads(alone.read_text())["experiments"][0]["network"]))
        self.assertIn("Modelled speed-up", run("show", alone).stdout)

    def test_where_the_model_is_known_to_be_off_a_run_says_so(self):
        config = self.config(router={"tokens": 4096, "experts": 256, "top_k": 8}, tile=64, strategies=["none", "nearest"])
        completed = run("run", config, "--device", "model:h100")
        self.assertEqual(completed.returncode, 0, completed.stderr)
        self.assertRegex(" ".join(completed.stdout.split()), "Warning: none at tile 64: [0-9]+ % of its rows are of experts with 129 to 192")
        self.assertNotIn("129 to 192", run("run", config, "--device", "model:h100", "--set", "/tile=128").stdout)

    def test_the_next_command_of_advice_does_not_compute_a_whole_layer(self):
        config = self.config(router={"tokens": 16384, "experts": 64, "top_k": 8}, tile=64, layer={"hidden": 4096, "intermediate": 2048})
        completed = run("advise", config, "--device", "model:h100", "--max-dropped-mass", "0.1")
        self.assertEqual(completed.returncode, 0, completed.stderr)
        if HAS_GPU:
            return
        self.assertIn("""--set '/layer/cpu={"hidden":408,"intermediate":200}'""", completed.stdout)
        self.assertIn("this CPU would compute the whole one for", " ".join(completed.stdout.split()))
        small = run("advise", config, "--device", "model:h100", "--max-dropped-mass", "0.1", "--set", '/layer/cpu={"hidden":32,"intermediate":16}')
        self.assertNotIn("this CPU would", small.stdout)
        training = {"hidden": 4096, "intermediate": 2048, "pass": "training"}
        for more in (["--device", "cpu"], ["--set", "/layer=" + json.dumps(training)]):
            completed = run("advise", config, *more, "--max-dropped-mass", "0.1")
            self.assertEqual(completed.returncode, 0, completed.stderr)
            self.assertIn("--set '/layer/cpu=", completed.stdout)
            self.assertRegex(" ".join(completed.stdout.split()), "this CPU (would compute|has not the memory for) the whole one.* Times are of the smaller one")

    def test_the_next_command_of_advice_has_the_tile_that_its_gain_is_over(self):
        config = self.config(router={"tokens": 16384, "experts": 256, "top_k": 8}, tile=128, layer={"hidden": 4096, "intermediate": 1024, "cpu": {"hidden": 16, "intermediate": 16}})
        completed = run("advise", config, "--device", "model:h100", "--max-dropped-mass", "0.1", "--json", self.path / "advice.json")
        self.assertEqual(completed.returncode, 0, completed.stderr)
        advice = json.loads((self.path / "advice.json").read_text())["advice"]
        tiles = sorted({advice["best"]["tile"] or advice["unrounded"]["tile"], advice["unrounded"]["tile"]})
        self.assertIn(f"--set /tile={tiles[0]} " if len(tiles) == 1 else f"--set '/tile=[{tiles[0]},{tiles[1]}]' ", completed.stdout)
        alone = re.search(r"run's verdict leaves rounding's own time out: here (\S+ \[.*?\])\.", " ".join(completed.stdout.split()))
        command = next(line for line in completed.stdout.splitlines() if line.strip().startswith("tatr-sim run "))
        following = run(*shlex.split(command)[1:])
        self.assertEqual(following.returncode, 0, following.stderr)
        label = advice["best"]["strategy"]["name"]
        verdict = " ".join(following.stdout[following.stdout.index("Verdict: "):].split())
        self.assertIn(f"`{label}`", verdict)
        self.assertIn(f"{alone[1]} (modelled)", verdict)

    def test_documented_figures_are_not_compared_with_modelled_ones(self):
        figures = [{"metric": metric, "strategy": "down", "tile": 64, "value": 1, "source": "a"} for metric in ("speedup", "layer_ms", "rows")]
        found = self.result(self.config(documented=figures))["experiments"][0]["documented"]
        self.assertEqual([(f["verdict"], f["measured"] is None) for f in found], [("not_measured", True)] * 2 + [("differs", False)])
        self.assertIn("modelled, not measured", found[0]["why"])

    def test_the_page_carries_them(self):
        page = self.path / "page.html"
        completed = run("report", self.written("a100.json", self.config(), device="model:a100"), "--html", page)
        self.assertEqual(completed.returncode, 0, completed.stderr)
        self.assertIn(f"{A100}, modelled", page.read_text())


if __name__ == "__main__":
    main()
