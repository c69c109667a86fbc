"""What a person sees of results: the first screen of run, its parts, and the same of stored results by tatr-sim show.

usage: show_test.py PROGRAM SOURCE_DIR
"""

import csv
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import termios

from program import PROGRAM, SOURCE, ProgramTest, main, run

TINY = {"name": "tiny", "seed": 3, "router": {"tokens": 256, "experts": 8, "top_k": 2, "source": {"kind": "gaussian"}},
        "tile": [8, 16], "strategies": ["none", "down", "nearest", {"name": "dynamic", "tiles_by_load": [{"below": 40, "tile": 8}, {"tile": 16}]}]}
LAYERED = {**TINY, "tile": 64, "layer": {"hidden": 256, "intermediate": 128, "cpu": {"hidden": 32, "intermediate": 16}},
           "strategies": ["none", "down"], "measure": {"samples": 10, "warm_up_ms": 0}}
SWEEP = {**TINY, "sweep": {"/router/experts": [4, 8, 16], "/seed": list(range(20))}}


def flat(text):
    return " ".join(text.split())


def without_last_words(text):
    return re.split(r"(?m)^(?:Wrote|Next): ", text)[0]


class Show(ProgramTest):
    def config(self, config):
        path = self.path / "c.json"
        path.write_text(json.dumps(config))
        return path

    def result(self, config, *options, name="r.json"):
        """The path of a result, and what run printed."""
        path = self.path / name
        completed = run("run", self.config(config), *options, "--json", path)
        self.assertEqual(completed.returncode, 0, completed.stderr)
        return path, completed.stdout

    def show(self, *arguments):
        completed = run("show", *arguments)
        self.assertEqual(completed.returncode, 0, completed.stderr)
        self.assertEqual(completed.stderr, "")
        return completed.stdout

    def test_stored_results_show_what_run_printed(self):
        batches = {**TINY, "router": {**TINY["router"], "batches": {"count": 4}}}
        for config, device in ((TINY, "cpu"), (LAYERED, "cpu"), (LAYERED, "model:a100"), (LAYERED, "model:h100"), (batches, "cpu"), (SWEEP, "cpu")):
            for options in ((), ("--details",), ("--show", "counts,quality")):
                path, printed = self.result(config, "--device", device, *options)
                self.assertEqual(self.show(path, *options), without_last_words(printed))

    def test_real_results_show_what_run_printed(self):
        for name in ("real_network", "aux_loss"):
            changes = ["--set", "/layer=null"] if name == "real_network" else ["--set", "/sweep/~1seed=[1,2]", "--set", "/router/tokens=512", "--set", "/router/source/steps=20"]
            path = self.path / "r.json"
            completed = run("run", SOURCE / f"configs/{name}.json", *changes, "--json", path, "--details")
            self.assertEqual(completed.returncode, 0, completed.stderr)
            self.assertEqual(self.show(path, "--details"), without_last_words(completed.stdout))

    def test_the_first_screen_is_one_screen(self):
        for config in (TINY, LAYERED, SWEEP):
            printed = self.result(config, "--device", "cpu")[1]
            lines = printed.splitlines()
            self.assertLessEqual(len(lines), 45)
            self.assertLessEqual(max(map(len, lines)), 80)
        for name in ("documented", "quick", "real_router", "tile_sizes", "real_network"):
            completed = run("run", SOURCE / f"configs/{name}.json", "--set", "/layer=null", "--json", self.path / "r.json")
            self.assertLessEqual(len(completed.stdout.splitlines()), 45, completed.stdout)

    def test_what_is_left_out_names_the_whole_command(self):
        several = {**TINY, "tile": [8, 16], "strategies": ["none", "up", "nearest", "balance", "adaptive"],
                   "router": {"top_k": 2, "source": {"kind": "counts", "file": "counts.csv"}}}
        (self.path / "counts.csv").write_text("layer,expert,count\n" + "".join(f"{l},{e},{8 + 2 * (e ^ l)}\n" for l in range(2) for e in range(8)))
        path, printed = self.result(several, "--device", "cpu")
        more = flat(printed).split("1 more warning: ")[1].split(" Note:")[0].replace("\\ ", "")
        self.assertEqual(more, f"tatr-sim show {path} --show warnings")
        self.assertIn("Warnings", run(*more.split()[1:]).stdout)
        config = self.config(several)
        alone = run("run", config, "--device", "cpu", "--set", "/name=two words").stdout
        more = flat(alone).split("1 more warning: ")[1].split(" Note:")[0].replace("\\ ", "")
        self.assertEqual(more, f"tatr-sim run {config} --device cpu --set '/name=two words' --show warnings")
        self.assertLessEqual(max(map(len, alone.splitlines())), 80)

    def test_an_estimate_of_0_is_the_same_everywhere(self):
        """What changes nothing costs nothing; but where nothing that changes is estimated, nothing is."""
        known = run("run", SOURCE / "configs/real_router.json", "--set", "/layer=null", "--markdown", self.path / "known.md")
        self.assertRegex(known.stdout, r"\n  none .* 0% +0%\n")
        self.assertRegex((self.path / "known.md").read_text(), r"\| none \| 128 \|(?: [^|]+ \|){4} 0% \|")
        counts = {**TINY, "strategies": ["none", "up", "down"], "router": {"top_k": 2, "source": {"kind": "counts", "file": "counts.json"}}}
        (self.path / "counts.json").write_text(json.dumps([30, 0, 20, 10, 40, 10, 30, 20]))
        completed = run("run", self.config(counts), "--device", "cpu", "--markdown", self.path / "counts.md")
        self.assertIn("Perplexity is not estimated: gates are not known", flat(completed.stdout))
        self.assertNotIn("Perplexity [90%]", completed.stdout)
        rows = [line.split(" | ") for line in (self.path / "counts.md").read_text().splitlines()[2:]]
        self.assertEqual({row[7] for row in rows}, {"-"})

    def test_a_cpu_gives_no_speedup(self):
        printed = self.result(LAYERED, "--device", "cpu")[1]
        self.assertNotIn("Speed-up", printed)
        self.assertIn("Tile ratio  CPU time", printed)
        self.assertIn("A CPU has no tiles", flat(printed))
        self.assertIn("fewer rows of tiles", flat(printed))  # of the verdict
        self.assertIn("CPU time ratio [95%]", self.result(LAYERED, "--device", "cpu", "--details")[1])

    def test_without_none_it_says_that_there_are_no_speedups(self):
        printed = self.result({**TINY, "strategies": ["down", "up"]}, "--device", "cpu")[1]
        self.assertIn("speed-ups are against `none`, which is not among the strategies", flat(printed))

    def test_no_figure_twice(self):
        printed = self.result({**TINY, "tile": 8, "strategies": ["none", "nearest"]}, "--device", "cpu", "--details")[1]
        masses = re.findall(r"\b0\.0\d{2,}\b", printed)
        self.assertTrue(masses)
        self.assertEqual(len(masses), len(set(masses)), printed)

    def test_sections_by_name(self):
        path = self.result(LAYERED, "--device", "model:h100")[0]
        text = self.show(path, "--show", "errors,verdict")
        self.assertIn("Output Error", text)
        self.assertIn("Verdict: ", text)
        self.assertNotIn("Configuration", text)
        self.assert_fails(run("show", path, "--show", "gems"), 2, "gems", "gemms")
        self.assert_fails(run("show", path, "--show", "layers"), 2, "--show", "--details")
        self.assert_fails(run("show", path, "--show", "times", "--details"), 2, "--details")
        self.assert_fails(run("show", path, "--format", "csv", "--details"), 2, "--format csv")
        self.assertIn("Expert 7:", self.show(self.result(TINY, "--device", "cpu")[0], "--experts", "all"))

    def test_what_was_written_and_what_comes_next(self):
        path = self.path / "a result.json"
        completed = run("run", self.config(TINY), "--device", "cpu", "--json", path, "--csv", self.path / "t.csv",
                        "--export", self.path / "x")
        self.assertIn(f"Wrote: {path}, {self.path / 't.csv'}, targets and dispatch lists in {self.path / 'x'}", flat(completed.stdout))
        self.assertIn(f"Next: tatr-sim show '{path}' --details\n", completed.stdout)
        quiet = run("run", self.config(TINY), "--device", "cpu", "--json", path, "--quiet")
        self.assertEqual((quiet.stdout, quiet.stderr), ("", ""))

    def test_formats(self):
        path = self.result(TINY, "--device", "cpu")[0]
        document = json.loads(path.read_text())
        self.assertEqual(json.loads(self.show(path, "--format", "json")), document)
        rows = list(csv.DictReader(io.StringIO(self.show(path, "--format", "csv"))))
        self.assertEqual([row["label"] for row in rows], [s["label"] for s in document["experiments"][0]["strategies"]])
        table = self.show(path, "--format", "table").splitlines()
        self.assertEqual(len(table), 2 + len(document["experiments"][0]["network"]))
        self.assertRegex(table[0], r"^Experiment +Strategy +Tile +Tiles +Utilisation")
        printed = run("run", self.config(TINY), "--device", "cpu", "--format", "csv")
        self.assertEqual([row["tiles"] for row in csv.DictReader(io.StringIO(printed.stdout))], [row["tiles"] for row in rows])
        self.assertEqual(printed.stderr, "")
        self.assertEqual(run("run", self.config(TINY), "--device", "cpu", "--format", "table").stdout.splitlines(), table)
        self.assertEqual(json.loads(run("run", self.config(TINY), "--device", "cpu", "--format", "json").stdout)["experiments"][0]["name"], "tiny")
        self.assert_fails(run("run", self.config(TINY), "--format", "csv", "--csv", self.path / "t.csv"), 2, "--format csv")
        self.assert_fails(run("run", self.config(TINY), "--format", "table", "--jsonl", self.path / "t.jsonl"), 2, "--jsonl")

    def test_lines_and_several_files(self):
        lines = self.path / "s.jsonl"
        self.assertEqual(run("run", self.config(SWEEP), "--device", "cpu", "--jsonl", lines).returncode, 0)
        text = self.show(lines)
        self.assertIn("60 experiments", text)
        self.assertRegex(text, r"experts=16, seed=\d+ ")
        self.assertRegex(text, rf"\.\.\. \d+ more: *(\\\n)?.*tatr-sim show [^\n]*{lines.name} --format table\n")
        self.assertEqual(len(self.show(lines, "--format", "table").splitlines()), 2 + 60 * 7)
        self.assertEqual(len(self.show(lines, "--format", "json").splitlines()), 60)
        modelled = self.result(LAYERED, "--device", "model:h100")[0]
        both = self.show(self.result(TINY, "--device", "cpu", name="t.json")[0], modelled)
        self.assertIn("2 experiments", both)
        self.assertRegex(both, r"× modelled")
        self.assertRegex(both, r"× tiles")

    def test_of_several_groups_one_and_many_experiments_show_the_means(self):
        batches = {**TINY, "tile": 8, "strategies": ["none", "down"], "router": {**TINY["router"], "batches": {"count": 5}}}
        one, printed = self.result(batches, "--device", "cpu", name="one.json")
        other = self.result({**batches, "name": "other", "seed": 99}, "--device", "cpu", name="other.json")[0]
        metrics = [record["batches"]["metrics"] for record in json.loads(one.read_text())["experiments"][0]["network"]]
        dropped, median = f"{100 * metrics[1]['dropped_share']['mean']:.1f}%", json.loads(one.read_text())["experiments"][0]["network"][1]["dropped_share"]
        self.assertNotEqual(dropped, f"{100 * median:.1f}%")  # of the group with median tiles
        tiles = f"{metrics[0]['tiles']['mean']:.3g}"
        self.assertRegex(printed, rf"(?m)^  down .* {re.escape(dropped)} ")
        self.assertRegex(self.show(one, other), rf"(?m)^  tiny +{re.escape(tiles)} .* {re.escape(dropped)} ")

    def test_the_first_results_of_a_schema_version_are_read(self):
        path, printed = self.result({**LAYERED, "layer": {**LAYERED["layer"], "pass": "training"}}, "--device", "cpu", "--show", "passes")
        document = json.loads(path.read_text())
        for strategy in document["experiments"][0]["strategies"]:
            del strategy["timing"]["granules"]
            strategy["timing"]["kernels"] = {"up": None, "down": None}
        early = self.path / "early.json"
        early.write_text(json.dumps(document))
        for whole in ("table", "csv", "json"):
            self.show(early, "--format", whole)
        lines = flat(without_last_words(printed))
        self.assertEqual(flat(self.show(early, "--show", "passes")), lines.replace("Granules: 1 row; in the sums of weight gradients 1. ", ""))

    def test_what_is_no_result(self):
        self.assert_fails(run("show", self.config(TINY)), 2, "c.json")
        self.assert_fails(run("show", self.path / "none.json"), 2, "none.json")

    def test_a_terminal_has_its_width_and_colour(self):
        path = self.result({**TINY, "tile": 8}, "--device", "cpu")[0]

        def in_terminal(columns, **environment):
            leader, follower = pty.openpty()
            fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
            process = subprocess.Popen([PROGRAM, "show", path, "--details"], stdout=follower, env={**os.environ, **environment})
            os.close(follower)
            text = b""
            while True:
                try:
                    block = os.read(leader, 65536)
                except OSError:
                    break
                if not block:
                    break
                text += block
            os.close(leader)
            self.assertEqual(process.wait(), 0)
            return text.decode().replace("\r\n", "\n")

        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        os.environ.clear()
        os.environ.update(environment)
        wide = in_terminal(150)
        self.assertIn("\x1b[1m", wide)
        self.assertIn("Dropped share  Added share  Lost gate mass", wide)
        self.assertNotIn("\x1b", in_terminal(80, NO_COLOR="1"))
        self.assertEqual(in_terminal(80, NO_COLOR="1"), self.show(path, "--details"))


if __name__ == "__main__":
    main()
