"""Compares results of different configs, several with one base, and over a history."""

import json

from program import TINY, ProgramTest, main, run

LAYER = {"hidden": 64, "intermediate": 64, "cpu": {"hidden": 64, "intermediate": 64}}
NOISY = [part for margin in ("layer", "gemm", "stage") for part in ("--threshold", f"{margin}_margin=1e9")]


class Compare(ProgramTest):
    def result(self, file, *arguments, **changes):
        config, path = self.path / f"{file}.config.json", self.path / f"{file}.json"
        config.write_text(json.dumps({**TINY, "layer": LAYER, "measure": {"samples": 10, "warm_up_ms": 0}, **changes}))
        result = run("run", config, "--device", "cpu", "--threads", "1", "--quiet", "--json", path, *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return path

    def edited(self, path, name, edit):
        document = json.loads(path.read_text())
        edit(document)
        other = self.path / name
        other.write_text(json.dumps(document))
        return other

    def test_configs_that_differ_are_compared_in_what_is_common(self):
        base = self.result("base")
        longer = self.result("longer", measure={"samples": 12, "warm_up_ms": 0, "precision": 0})
        result = run("compare", base, longer, *NOISY, "--strict")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("/measure/samples: 10 → 12", " ".join(result.stdout.split()))

        fewer = self.result("fewer", strategies=["none", "down", "up"])
        result = run("compare", base, fewer, *NOISY)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("missing: all metrics: NEW's config lacks half", result.stdout)
        self.assertIn("no regression in what both have", result.stdout)
        self.assertEqual(run("compare", base, fewer, *NOISY, "--strict").returncode, 1)

        seed = self.result("seed", seed=4)
        result = run("compare", base, seed)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("nothing could be judged, figures are side by side", result.stdout)
        self.assertIn("Lost gate mass BASE", result.stdout)
        self.assertIn("/seed: 3 → 4", result.stdout)

        tile = self.result("tile", tile=32)
        self.assert_fails(run("compare", base, tile), 2, "NEW (", "tile.json", "nothing to compare", "/tile")
        self.assert_fails(run("compare", base, self.result("name", name="other")), 2, "nothing to compare")

    def test_several_results_beside_one_base(self):
        base = self.result("base")

        def add_tile(document):
            document["experiments"][0]["strategies"][1]["tiles"] += 1

        changed = self.edited(base, "changed.json", add_tile)
        markdown = self.path / "report.md"
        result = run("compare", base, base, changed, base, "--markdown", markdown, *NOISY)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stdout, rf"worst of 3: {changed}: regression: \d+ same, 1 changed")
        self.assertEqual(result.stdout.count("\nNEW: "), 2)
        self.assertTrue(markdown.read_text().startswith("## tatr-sim: worst of 3: "))
        self.assertEqual(run("compare", base, base, base, *NOISY).returncode, 0)
        self.assert_fails(run("compare", base, base, self.result("name", name="other")), 2, "name.json", "nothing to compare")
        self.assert_fails(run("compare", "-", "-", stdin="{}"), 2, "standard input")

    def test_a_history_grows_and_tells_what_slowed(self):
        base, history = self.result("base"), self.path / "history.jsonl"
        self.assert_fails(run("compare", "--history", history), 2, "history.jsonl", "no such file")

        def dated(number, factor):
            def edit(document):
                document["environment"]["date"] = f"2026-01-{number:02}T00:00:00Z"
                strategies = document["experiments"][0]["strategies"]
                for strategy in strategies:
                    own = factor if strategy["label"] == "half" and strategy["tile"] == 16 else 1
                    times = strategy["timing"]["layer_ms"]
                    times["samples"] = [own * (1 + 0.0001 * number)] * 10 if strategy["label"] != "none" else [1.0] * 10
            return self.edited(base, f"{number}.json", edit)

        for number in range(1, 13):
            result = run("compare", "--history", history, dated(number, 1.0), "--commit", f"c{number}")
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            if number == 1:
                self.assertIn("too few results to tell", result.stdout)
        self.assertIn("no slow-down found", result.stdout)
        self.assertEqual(len(history.read_text().splitlines()), 12)
        again = run("compare", "--history", history, self.path / "3.json")
        self.assertEqual(again.returncode, 0)
        self.assertIn('experiment "tiny" is in the history already: left out', again.stderr)
        self.assertEqual(len(history.read_text().splitlines()), 12)

        for number in range(13, 18):
            result = run("compare", "--history", history, dated(number, 1.2), "--commit", f"c{number}")
        self.assertEqual(result.returncode, 1, result.stdout)
        told = " ".join(result.stdout.split())
        self.assertIn("LATELY slower +2", told)
        self.assertIn("of none from c13 (2026-01-13) on, 5 results ago, after c12 (2026-01-12)", told)
        self.assertIn("slower lately: 1 of 4 times", result.stdout)
        self.assertRegex(result.stdout, "▁.*█")
        shown = run("compare", "--history", history, "--markdown", "-")
        self.assertEqual(shown.returncode, 1)
        self.assertTrue(shown.stdout.startswith("### tatr-sim: slower lately: 1 of 4 times"))

    def test_a_history_is_not_made_of_other_things(self):
        base, history = self.result("base"), self.path / "history.jsonl"
        history.write_text(json.dumps(json.loads(base.read_text())) + "\n")
        before = history.read_bytes()
        self.assert_fails(run("compare", "--history", history, base), 2, "history.jsonl (line 1)", "is no line of a history")
        self.assertEqual(history.read_bytes(), before)
        self.assert_fails(run("compare", "--history", base, base), 2, "is an input")
        self.assert_fails(run("compare", base, base, "--commit", "x"), 2, "--history")
        fresh = self.path / "fresh.jsonl"
        untimed = run("compare", "--history", fresh, self.result("untimed", layer=None))
        self.assertEqual(untimed.returncode, 2)
        self.assertIn("has no measured times", untimed.stderr)
        self.assertFalse(fresh.exists())
        self.assert_fails(run("compare", "--history", fresh, self.path / "none.json"), 2, "none.json")
        self.assertFalse(fresh.exists())


if __name__ == "__main__":
    main()
