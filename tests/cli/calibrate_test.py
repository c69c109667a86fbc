"""scripts/calibrate.py: what it fits, what a probe makes of it, and one clear line for whatever is no measurement.

usage: calibrate_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import copy
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

from program import SOURCE, run

MEASURED = [SOURCE / "src/quality/perplexity_vs_rounding.json", SOURCE / "src/quality/other_models.json"]


def row(change=0.01, square=0.01, tokens=4096, tile=128, **more):
    layers = [{"dropped_gate_mass": 0.05, "mean_square_dropped_mass": square, "added_share": 0.0} for _ in range(2)]
    return {"tokens": tokens, "tile": tile, "strategy": "down", "log_perplexity_change": change, "layers": layers, **more}


def network():
    """Twelve rows in three groups that follow the form exactly: damage 5, power 1, no gain."""
    rows = [row(5 * square, square, tokens, strategy=f"s{i}") for tokens in (1024, 2048, 4096) for i, square in enumerate((0.005, 0.01, 0.02, 0.04))]
    return {"covers": {"experts": 64, "top_k": 8}, "rows": rows}


class Calibrate(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)

    def write(self, name, document):
        path = self.path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    def calibrate(self, *arguments):
        return subprocess.run([sys.executable, SOURCE / "scripts/calibrate.py", *map(str, arguments)], capture_output=True, text=True)

    def fitted(self, *arguments):
        path = self.path / "out.json"
        result = self.calibrate(*arguments, "--output", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(list(self.path.glob("*.part")), [])
        return json.loads(path.read_text()), result

    def assert_refused(self, result, *fragments):
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("calibrate.py: error: "), result.stderr)
        for fragment in fragments:
            self.assertIn(fragment, result.stderr)

    def test_one_network_of_its_own(self):
        document = network()
        for index, one in enumerate(document["rows"]):
            one["run"] = ("first", "second")[index % 2]  # words tell trainings apart as well as numbers
        found, result = self.fitted(self.write("mine.json", document), "--name", "my model")
        self.assertEqual(found["name"], "my model")
        self.assertAlmostEqual(found["parameters"]["damage"], 5, places=2)
        self.assertAlmostEqual(found["parameters"]["power"], 1, places=3)
        self.assertEqual(found["covers"]["experts"], {"least": 64, "most": 64})
        self.assertNotIn("elsewhere", found)
        self.assertIn("all of one training run", result.stdout)
        config = SOURCE / "configs/real_router.json"
        told = run("run", config, "--set", "/layer=null", "--set", "/router/top_k=8", "--quiet", "--calibration", self.path / "out.json", "--json", "-")
        self.assertEqual(told.returncode, 0, told.stderr)
        down = json.loads(told.stdout)["experiments"][0]["strategies"][1]
        self.assertEqual(down["why_not_estimated"], "not calibrated for top-8 of 256 experts, but for top-8 of 64")

    def test_the_shipped_calibration_is_of_all_measured_models(self):
        found, result = self.fitted()
        shipped = json.loads((SOURCE / "src/quality/default_calibration.json").read_text())
        self.assertEqual(found.keys(), shipped.keys())
        self.assertEqual([model["measurements"] for model in shipped["elsewhere"]["models"]], [108, 63, 63])
        self.assertIn("Relative error on models left out", result.stdout)
        self.assertEqual(self.calibrate("--check", SOURCE / "src/quality/default_calibration.json").returncode, 0)
        shipped["elsewhere"]["error"]["most"] *= 1.1
        other = self.calibrate("--check", self.write("other.json", shipped))
        self.assertEqual(other.returncode, 1)
        self.assertIn("/elsewhere/error/most", other.stderr)

    def test_a_model_left_out_is_foretold_by_the_others_and_better_after_a_probe(self):
        """The same by hand: a fit of two models, without calibrate.py's own leaving out."""
        left_out = json.loads(MEASURED[1].read_text())
        name = "64 experts, top-2"
        kept = copy.deepcopy(left_out)
        kept["rows"] = [one for one in left_out["rows"] if one["model"] != name]
        del kept["models"][name]
        left_out["rows"] = [one for one in left_out["rows"] if one["model"] == name]
        del left_out["models"]["256 experts, top-8, other text"]
        others = self.write("others.json", kept)
        shared = self.fitted(MEASURED[0], others)[0]["elsewhere"]
        probed, result = self.fitted(MEASURED[0], others, "--probe", self.write("probe.json", left_out))
        shipped = json.loads((SOURCE / "src/quality/default_calibration.json").read_text())["elsewhere"]["left_out"][2]

        def errors(parameters, interval, rows):
            found, held = [], 0
            for one in rows:
                squares = [layer[1] for layer in one["layers"]]
                damage = 0.95 * squares[0] + 0.05 * sum(squares[1:]) / 5
                added = sum(layer[3] for layer in one["layers"]) / 6
                estimate = parameters["damage"] * damage ** parameters["power"] - parameters["gain"] * added**0.5
                change = one["log_perplexity_change"]
                ends = [interval["least"] * estimate, interval["most"] * estimate, estimate - interval["absolute"], estimate + interval["absolute"]]
                held += min(ends) <= change <= max(ends)
                found += [abs(estimate - change) / change] if change > 0.002 else []
            return sorted(found)[len(found) // 2], held / len(rows)

        before, held = errors(shared["parameters"], shared["error"], left_out["rows"])
        after, held_after = errors(probed["parameters"], probed["error"], left_out["rows"])
        self.assertAlmostEqual(before, shipped["median_error"], delta=0.02)
        self.assertAlmostEqual(held, shipped["held_by_others_interval"], delta=0.001)
        self.assertAlmostEqual(after, shipped["after_probe"]["median_error"], delta=0.01)
        self.assertLess(after, before / 3)
        self.assertGreaterEqual(held, 0.85)
        self.assertGreaterEqual(held_after, 0.7)  # by an interval of two models, each by its probe alone
        self.assertIn("note: experts 64 is outside what was measured, 256 to 256", result.stderr)

    def test_a_probe_by_a_result_of_the_program(self):
        result = self.path / "probe.json"
        ran = run("run", SOURCE / "configs/real_network.json", "--set", "/layer=null", "--set", '/strategies=["down"]', "--set", "/tile=[64,128]",
                  "--quiet", "--device", "cpu", "--json", result)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        found, told = self.fitted("--probe", "56%", "--metrics", result, "--name", "mine")
        self.assertEqual(found["probe"]["tile"], 64)  # where an expert gets two tiles of tokens: 4096 * 8 / 256 = 128
        self.assertAlmostEqual(found["probe"]["log_perplexity_change"], 0.44469, places=4)
        self.assertEqual(found["layers"], 6)
        self.assertRegex(told.stdout, r"brought the median error of models left out from 15%, 16%, 23% to 5%, 4%, 5%")
        again = run("run", SOURCE / "configs/real_network.json", "--set", "/layer=null", "--set", "/tile=64", "--quiet", "--device", "cpu", "--json", "-",
                    "--calibration", self.path / "out.json")
        self.assertEqual(again.returncode, 0, again.stderr)
        experiment = json.loads(again.stdout)["experiments"][0]
        down = next(one for one in experiment["network"] if one["name"] == "down")
        self.assertAlmostEqual(down["estimated_perplexity_change"]["value"], 0.56, places=3)  # what was measured
        self.assertFalse(down["estimate_is_ranking"])
        self.assertEqual(experiment["inputs"]["calibration"]["reach"], "holds 90 % of the settings of networks left out, each after one such probe")
        self.assert_refused(self.calibrate("--probe", "0.56", "--metrics", result), "--probe 0.56", "%")
        self.assert_refused(self.calibrate("--probe", "x%", "--metrics", result), "--probe x%")
        self.assert_refused(self.calibrate("--probe", "56%"), "--metrics RESULT")
        self.assert_refused(self.calibrate("--probe", "0.1%", "--metrics", result), "above 0.002")
        self.assert_refused(self.calibrate("--probe", "56%", "--metrics", MEASURED[0]), "experiments")
        other = json.loads(result.read_text())
        other["experiments"][0]["config"]["router"]["scoring"] = "sigmoid"
        self.assert_refused(self.calibrate("--probe", "56%", "--metrics", self.write("sigmoid.json", other)), "differ in scoring")
        for one in other["experiments"][0]["strategies"]:
            one["name"] = "up"
        self.assert_refused(self.calibrate("--probe", "56%", "--metrics", self.write("up.json", other)), "no strategy down")

    def test_a_file_without_a_probe(self):
        document = network()
        self.assert_refused(self.calibrate("--probe", self.write("mine.json", document)), "has no probe")
        document["rows"].append(row(0.3, 0.05, tokens=2048))  # 2048 * 8 / 64 = 256 tokens an expert
        found, _ = self.fitted("--probe", self.write("mine.json", document))
        self.assertEqual((found["probe"]["tokens"], found["probe"]["tile"]), (2048, 128))

    def test_a_probe_as_torch_tatr_writes_it(self):
        one = row(0.3, 0.05, tokens=2048, options={"name": "down"}, low=0.28, high=0.32)
        covers = {"scoring": "softmax", "added_gate": "score", "selection_bias": False, "groups": False, "experts": {"least": 64, "most": 64},
                  "top_k": {"least": 8, "most": 8}, "strategies": ["down"]}
        found, _ = self.fitted("--probe", self.write("mine.json", {"model": "my/model", "covers": covers, "rows": [one]}))
        self.assertEqual(found["name"], "my/model, by one probe")
        self.assertIn("nearest", found["covers"]["strategies"])  # it was measured on the others
        self.assertEqual(found["covers"]["experts"], {"least": 64, "most": 64})
        self.assertEqual(found["layers"], 2)

    def test_gates_that_do_not_add_up_have_no_probe_and_a_fit_of_their_own(self):
        covers = {"normalise_gates": False, "experts": 64, "top_k": 8}
        one = row(0.3, 0.05, tokens=2048)
        self.assert_refused(self.calibrate("--probe", self.write("mine.json", {"covers": covers, "rows": [one]})), "differ in normalise_gates")
        found, _ = self.fitted(self.write("own.json", {**network(), "covers": covers}))
        self.assertIs(found["covers"]["normalise_gates"], False)
        self.assert_refused(self.calibrate(self.write("bad.json", {**network(), "covers": {"normalise_gates": 1}})), "/covers/normalise_gates: 1")

    def test_what_harms_nothing_says_nothing_of_damage(self):
        document = network()
        for one in document["rows"][2:]:
            one["log_perplexity_change"] = 0.0001
        self.assert_refused(self.calibrate(self.write("mine.json", document)), "2 rows change ln(perplexity) by more than 0.002")

    def test_nothing_that_was_read_is_written_over(self):
        mine = self.write("mine.json", network())
        before = mine.read_text()
        self.assert_refused(self.calibrate(mine, "--output", mine), "was read")
        self.assertEqual(mine.read_text(), before)
        self.assert_refused(self.calibrate(mine, "--output", self.path / "no/such/folder.json"), "cannot be written")

    def test_what_is_no_measurement_is_told_in_one_line(self):
        def changed(change):
            document = network()
            change(document)
            return self.calibrate(self.write("mine.json", document))

        def set_at(where, value):
            def change(document):
                *path, last = where
                for key in path:
                    document = document[key]
                if value is None:
                    del document[last]
                else:
                    document[last] = value
            return change

        layer = ("rows", 3, "layers", 1)
        cases = [
            ((("rows",), None), ["lacks \"rows\""]), ((("rows",), []), [":/rows", "at least one"]), ((("rows",), "x"), [":/rows"]),
            ((("rows", 3), 7), [":/rows/3", "an object"]), ((("rows", 3, "tokens"), None), [":/rows/3", "\"tokens\""]),
            ((("rows", 3, "tokens"), 0), [":/rows/3/tokens", "whole number"]), ((("rows", 3, "tile"), "64"), [":/rows/3/tile"]),
            ((("rows", 3, "tile"), 1e300), [":/rows/3/tile"]), ((("rows", 3, "run"), [1]), [":/rows/3/run", "a number or a word"]),
            ((("rows", 3, "strategy"), 3), [":/rows/3/strategy"]), ((("rows", 3, "log_perplexity_change"), "up"), [":/rows/3/log_perplexity_change"]),
            ((("rows", 3, "log_perplexity_change"), True), [":/rows/3/log_perplexity_change"]),
            ((("rows", 3, "log_perplexity_change"), 10**400), [":/rows/3/log_perplexity_change"]),
            ((("rows", 3, "layers"), []), [":/rows/3/layers"]), ((("rows", 3, "layers"), [{}]), [":/rows/3/layers/0"]),
            ((("rows", 3, "layers"), row()["layers"] * 2), [":/rows/3/layers", "4 layers"]),
            (((*layer, "added_share"), -1), [":/rows/3/layers/1/added_share"]), (((*layer, "dropped_gate_mass"), 1.5), ["dropped_gate_mass", "0 to 1"]),
            (((*layer, "mean_square_dropped_mass"), 0.5), ["mean_square_dropped_mass", "0.0025 to 0.05"]),
            ((("rows", 3), row(0.025, 0.005, 1024, strategy="s0")), ["/rows/3: is the same as /rows/0"]),
            ((("covers",), 3), [":/covers"]), ((("covers", "experts"), {"least": 8, "most": 4}), [":/covers/experts"]),
            ((("covers", "scoring"), "soft"), [":/covers/scoring", "softmax or sigmoid"]), ((("covers", "colour"), 1), [":/covers/colour"]),
            ((("covers", "strategies"), ["half"]), [":/covers/strategies/0", "down"]), ((("columns",), ["x"]), [":/columns"]),
            ((("models",), {"a": {}}), [":/rows/0", "\"model\""]), ((("models",), []), [":/models"]), ((("rows",), network()["rows"][:9]), ["at least ten rows"]),
        ]
        for (where, value), fragments in cases:
            with self.subTest(where=where, value=str(value)[:40]):
                document = network()
                if where == ("rows", 3) and isinstance(value, dict):
                    value["layers"] = copy.deepcopy(document["rows"][0]["layers"])
                    self.assertEqual(value, document["rows"][0])
                self.assert_refused(changed(set_at(where, copy.deepcopy(value))), "mine.json", *fragments)
        for text in ("", "{", "[1]", '{"rows": [NaN]}', json.dumps(network()).replace("0.005", "NaN", 1), "\x00", "[" * 100000):
            self.assert_refused(self.calibrate(self.write("mine.json", text)), "mine.json")
        self.assert_refused(self.calibrate(self.path / "none.json"), "none.json", "No such file")
        self.assert_refused(self.calibrate(self.path), "cannot be read")
        mine = self.write("mine.json", network())
        self.assert_refused(self.calibrate(mine, mine), "two models are named")
        self.assert_refused(self.calibrate(MEASURED[0], self.write("bare.json", {**network(), "covers": {}})), "covers")
        sigmoid = {**network(), "covers": {"experts": 64, "top_k": 8, "scoring": "sigmoid"}}
        self.assert_refused(self.calibrate(MEASURED[0], self.write("sigmoid.json", sigmoid)), "differ in scoring")
        self.assert_refused(self.calibrate("--trained", mine), "published figures")
        self.assert_refused(self.calibrate("--check", self.path / "none.json"), "none.json")
        self.assert_refused(self.calibrate("--name", ""), "--name")

    def test_mangled_files_never_end_in_a_traceback(self):
        source = random.Random(5)
        values = [None, True, -1, 0, 2, 1e308, "", "word", [], {}, [[]], {"a": 1}, 10**30, 0.5]

        def mangle(node):
            """One value somewhere below, replaced or taken away."""
            while isinstance(node, (dict, list)) and node:
                key = source.choice(list(node) if isinstance(node, dict) else range(len(node)))
                if not isinstance(node[key], (dict, list)) or not node[key] or source.random() < 0.3:
                    if source.random() < 0.2:
                        del node[key]
                    else:
                        node[key] = source.choice(values)
                    return
                node = node[key]

        for trial in range(60):
            document = network()
            for _ in range(source.choice((1, 1, 2))):
                mangle(document)
            with self.subTest(trial):
                result = self.calibrate(self.write("mine.json", document))
                self.assertIn(result.returncode, (0, 2), result.stderr)
                self.assertLessEqual(len(result.stderr.splitlines()), 1, result.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
