"""Sweeps: killed and resumed, in shards, merged, on a terminal.

usage: sweep_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import csv
import json
import os
import pty
import random
import signal
import subprocess
import time
import unittest

from program import PROGRAM, SOURCE, TINY, ProgramTest, main, run, without_times
from sample_results import write_trace

# 192 + 8 experiments, of which the 8 are timed.
GRID = {
    "name": "grid",
    "router": {"tokens": 512, "experts": 32, "top_k": 4},
    "tile": 16,
    "strategies": ["none", "down", "stochastic", "budget"],
    "sweep": {
        "/seed": [1, 2, 3, 4, 5, 6],
        "/tile": [8, 16, 32, 64],
        "/router/tokens": [512, 1024],
        "/router/source": [{"kind": kind} for kind in ("gaussian", "zipf", "hot", "lognormal")],
    },
}
TIMED = {
    "name": "timed",
    "router": {"tokens": 128, "experts": 8, "top_k": 2},
    "tile": 8,
    "strategies": ["none", "down"],
    "layer": {"hidden": 16, "intermediate": 8},
    "measure": {"samples": 10, "l2": "warm"},
    "sweep": [{"/seed": seed} for seed in range(8)],
}
COUNT = 200


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def count_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


class Sweep(ProgramTest):
    def write(self, name, config):
        path = self.path / name
        path.write_text(json.dumps(config))
        return path


class WholeSweep(Sweep):
    """200 experiments in one unbroken run, and what must give the same."""

    def setUp(self):
        super().setUp()
        self.configs = [self.write("timed.json", TIMED), self.write("grid.json", GRID)]
        if not hasattr(WholeSweep, "whole"):
            path = self.path / "whole.jsonl"
            result = run("run", *self.configs, "--device", "cpu", "--threads", 1, "--jsonl", path)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("200 experiments finished", result.stdout)
            WholeSweep.whole = read_lines(path)
        self.assertEqual(len(self.whole), COUNT)

    def test_killed_ten_times_every_result_is_there_once(self):
        path = self.path / "killed.jsonl"
        command = [PROGRAM, "run", *self.configs, "--device", "cpu", "--threads", "1", "--jsonl", path, "--resume"]
        seed = random.randrange(2**32)
        draw = random.Random(seed)
        # Ten kills, each a moment after so many results: in the start-up, among timed experiments, anywhere.
        moments = [0, draw.randrange(1, 7), *sorted(draw.sample(range(8, COUNT - 20), 8))]
        held = 0
        for kill, moment in enumerate(moments):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            while count_lines(path) < moment:
                self.assertIsNone(process.poll(), f"ended before kill {kill}, seed {seed}")
                time.sleep(0.001)
            time.sleep(draw.uniform(0.0, 0.02))
            self.assertIsNone(process.poll(), f"ended before kill {kill}, seed {seed}")
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.assertGreaterEqual(count_lines(path), max(held, moment), f"a kill lost results, seed {seed}")
            held = count_lines(path)
            if kill == 5:  # what a crash of the machine may leave
                with path.open("ab") as file:
                    file.write(b'{"schema_version": "1.0", "tool"')
        result = run(*command[1:])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"{COUNT - held} experiments finished, {held} done before", result.stdout)
        self.assertEqual(list(map(without_times, read_lines(path))), list(map(without_times, self.whole)), f"seed {seed}")
        self.assertEqual(len({document["experiments"][0]["config_hash"] for document in self.whole}), COUNT)

    def test_four_array_tasks_merged_are_one_run(self):
        out = self.path / "shards"
        tasks = []
        for task in range(1, 5):
            environment = {**os.environ, "TATR_SIM": PROGRAM, "SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "4"}
            tasks.append(subprocess.Popen([SOURCE / "scripts/slurm_array.sh", out, *self.configs, "--device", "cpu",
                                           "--threads", "1"], env=environment, stdout=subprocess.DEVNULL))
        self.assertEqual([task.wait() for task in tasks], [0] * 4)
        shards = sorted(out.glob("shard-*.jsonl"))
        self.assertEqual([len(read_lines(shard)) for shard in shards], [COUNT // 4] * 4)
        merged, table = self.path / "merged.jsonl", self.path / "table.csv"
        result = run("merge", *shards, "--jsonl", merged, "--csv", table)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(list(map(without_times, read_lines(merged))), list(map(without_times, self.whole)))
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        strategies = [s for document in read_lines(merged) for s in document["experiments"][0]["strategies"]]
        self.assertEqual(len(rows), len(strategies))
        for row, strategy in zip(rows, strategies):
            self.assertEqual((int(row["rows"]), int(row["tiles"]), row["label"]),
                             (strategy["rows"], strategy["tiles"], strategy["label"]))
            self.assertEqual(float(row["dropped_gate_mass"]), strategy["dropped_gate_mass"])
            self.assertEqual(row["layer_ms"] == "", strategy["timing"] is None)


class SmallSweep(Sweep):
    def lines_of(self, name, **changes):
        path = self.path / name
        config = self.write("one.json", {**TINY, **changes})
        result = run("run", config, "--device", "cpu", "--jsonl", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        return path

    def test_merge_drops_equal_and_refuses_conflicting_duplicates(self):
        first = self.lines_of("first.jsonl")
        second = self.lines_of("second.jsonl")
        result = run("merge", first, second)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout), *read_lines(first))
        self.assertIn("left out 1", result.stderr)
        document = json.loads(second.read_text())
        document["experiments"][0]["strategies"][1]["dropped"] += 1
        second.write_text(json.dumps(document) + "\n")
        self.assert_fails(run("merge", first, second), 2, "second.jsonl", "first.jsonl", "differs")

    def test_merge_reads_json_too_and_may_write_over_an_input(self):
        lines = self.lines_of("a.jsonl")
        document = self.path / "b.json"
        self.assertEqual(run("run", self.write("b", {**TINY, "name": "b"}), "--device", "cpu", "--json", document).returncode, 0)
        self.assertEqual(run("merge", lines, document, "--jsonl", lines).returncode, 0)
        self.assertEqual([d["experiments"][0]["name"] for d in read_lines(lines)], ["tiny", "b"])

    def test_merge_refuses_what_is_no_result(self):
        good = self.lines_of("good.jsonl")
        torn = self.path / "torn.jsonl"
        torn.write_text(good.read_text() + good.read_text()[:100])
        self.assert_fails(run("merge", torn), 2, "torn.jsonl (line 2)", "not valid JSON")
        self.assert_fails(run("merge", self.write("config.json", TINY)), 2, "config.json", "is a config, no result")
        self.assert_fails(run("merge", self.path / "none.jsonl"), 2, "none.jsonl", "no such file")

    def test_a_result_file_is_not_written_over_or_mixed_up(self):
        path = self.lines_of("a.jsonl")
        before = path.read_bytes()
        config = self.path / "one.json"
        self.assert_fails(run("run", config, "--device", "cpu", "--jsonl", path), 2, "a.jsonl", "--resume")
        path.write_bytes(before.replace(b'"device":"cpu"', b'"device":"GPU X"'))
        self.assert_fails(run("run", config, "--device", "cpu", "--jsonl", path, "--resume"), 2, "a.jsonl", "GPU X", "cpu")
        path.write_text("not a result\n")
        self.assert_fails(run("run", config, "--device", "cpu", "--jsonl", path, "--resume"), 2, "a.jsonl", "not valid JSON")
        self.assertEqual(path.read_text(), "not a result\n")

    def assert_refused(self, path, *arguments, fragments):
        """Before work, with the file as it was."""
        before = path.read_bytes()
        self.assert_fails(run("run", *arguments, "--device", "cpu", "--jsonl", path, "--resume"), 2, f"{path}: of this run", "(line 1, ", "--keep-stale", *fragments)
        self.assertEqual(path.read_bytes(), before)

    def test_a_file_holds_one_config_of_a_name(self):
        path = self.lines_of("a.jsonl")
        old = read_lines(path)[0]["experiments"][0]["config_hash"]
        config = self.write("one.json", {**TINY, "seed": 4})
        self.assert_refused(path, config, fragments=['"tiny"', old, "/seed: 3 → 4"])
        self.assert_refused(path, config, "--csv", self.path / "t.csv", fragments=["/seed: 3 → 4"])
        with path.open("a") as file:  # a torn line stays, too
            file.write('{"schema_version"')
        self.assert_refused(path, config, "--quick", fragments=["/measure/samples: 20 → 10", "and 1 more"])

    def test_a_changed_config_names_what_is_done_new_and_stale(self):
        path = self.path / "a.jsonl"
        self.assertEqual(run("run", self.write("c.json", {**TINY, "sweep": {"/seed": [1, 2, 3]}}), "--device", "cpu", "--jsonl", path).returncode, 0)
        lines = path.read_bytes().splitlines(True)
        names = [json.loads(line)["experiments"][0]["name"] for line in lines]
        patches = [{"/name": names[0], "/seed": 1}, {"/name": names[1], "/seed": 20}, {"/name": "fresh", "/seed": 4}]
        config = self.write("d.json", {**TINY, "sweep": patches})
        command = ["run", config, "--device", "cpu", "--jsonl", path, "--resume"]
        self.assert_fails(run(*command), 2, f"{path}: of this run 1 done, 1 new (\"fresh\"), 1 stale: {json.dumps(names[1])} (line 2, config ",
                          "/seed: 2 → 20", "a.stale.jsonl")
        self.assertEqual(path.read_bytes(), b"".join(lines))
        self.assert_fails(run(*command[:-1], "--keep-stale"), 2, "--resume")

        stale = self.path / "a.stale.jsonl"
        stale.write_bytes(lines[1])  # as a move that was killed leaves it
        result = run(*command, "--keep-stale")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"2 experiments finished, 1 done before; the file keeps 1 of other names; 1 stale moved to {stale}", result.stdout)
        self.assertEqual(stale.read_bytes(), lines[1])
        self.assertEqual([(d["experiments"][0]["name"], d["experiments"][0]["config"]["seed"]) for d in read_lines(path)],
                         [(names[0], 1), (names[2], 3), (names[1], 20), ("fresh", 4)])
        self.assertTrue(path.read_bytes().startswith(lines[0] + lines[2]))
        self.assertIn("0 experiments finished, 3 done before", run(*command, "--keep-stale").stdout)
        back = run("run", self.path / "c.json", "--device", "cpu", "--jsonl", path, "--resume", "--keep-stale")
        self.assertEqual(back.returncode, 0, back.stderr)
        self.assertEqual([d["experiments"][0]["config"]["seed"] for d in read_lines(stale)], [2, 20])
        self.assertEqual(sorted(p.name for p in self.path.iterdir()), ["a.jsonl", "a.stale.jsonl", "c.json", "d.json"])

    def test_stale_results_stay_where_they_cannot_be_moved(self):
        path = self.lines_of("a.jsonl")
        before = path.read_bytes()
        command = ["run", self.write("one.json", {**TINY, "seed": 4}), "--device", "cpu", "--jsonl", path, "--resume", "--keep-stale"]
        (self.path / "a.stale.jsonl").mkdir()
        self.assert_fails(run(*command), 3, "a.stale.jsonl")
        (self.path / "a.stale.jsonl").rmdir()
        document = json.loads(before)
        document["experiments"].append({**document["experiments"][0], "name": "other"})
        path.write_text(json.dumps(document) + "\n")
        self.assert_fails(run(*command), 2, "only some are stale", "merge")
        self.assertEqual(json.loads(path.read_text()), document)
        self.assertFalse((self.path / "a.stale.jsonl").exists())

    def test_experiments_of_other_names_stay(self):
        path = self.lines_of("a.jsonl")
        table = self.path / "t.csv"
        result = run("run", self.write("b.json", {**TINY, "name": "other"}), "--device", "cpu", "--jsonl", path, "--resume", "--csv", table)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("1 experiment finished; the file keeps 1 of other names", result.stdout)
        self.assertEqual([d["experiments"][0]["name"] for d in read_lines(path)], ["tiny", "other"])
        with table.open(newline="") as file:
            self.assertEqual({row["experiment"] for row in csv.DictReader(file)}, {"other"})

    def test_what_a_trace_or_calibration_held_is_part_of_a_result(self):
        write_trace(self.path / "t.safetensors", 2, 64, 8)
        source = {"kind": "trace", "file": "t.safetensors", "tensor": "layers.*.router_logits"}
        config = self.write("c.json", {**TINY, "router": {"top_k": 2, "source": source}})
        calibration = json.loads((SOURCE / "src/quality/default_calibration.json").read_text())
        path = self.path / "a.jsonl"
        for _ in range(2):
            self.assertEqual(run("run", config, "--device", "cpu", "--jsonl", path, "--resume").returncode, 0)
        self.assertEqual(len(read_lines(path)), 1)
        calibration["parameters"]["gain"] *= 2
        other = self.write("calibration.json", calibration)
        self.assert_refused(path, config, "--calibration", other, fragments=["another calibration"])
        trace = bytearray((self.path / "t.safetensors").read_bytes())
        trace[-1] ^= 0x80  # the sign of the last logit
        (self.path / "t.safetensors").write_bytes(trace)
        self.assert_refused(path, config, fragments=["another content of the trace t.safetensors"])
        document = read_lines(path)[0]
        document["experiments"][0].pop("inputs")  # as versions before wrote it
        path.write_text(json.dumps(document) + "\n")
        self.assertEqual(run("run", config, "--device", "cpu", "--jsonl", path, "--resume").returncode, 0)

    def test_one_run_has_one_config_of_a_name(self):
        first, second = self.write("a.json", TINY), self.write("b.json", {**TINY, "seed": 4})
        for output in (["--jsonl", self.path / "x"], ["--json", self.path / "x"], ["--export", self.path / "x"]):
            self.assert_fails(run("run", first, second, "--device", "cpu", *output), 2, "b.json:/name", '"tiny"', "a.json")
        self.assert_fails(run("run", self.write("c.json", {**TINY, "sweep": [{"/name": "x", "/seed": 1}, {"/name": "x", "/seed": 2}]})),
                          2, "c.json:/name")
        self.assertEqual(run("run", first, first, "--device", "cpu", "--quiet").returncode, 0)

    def test_merge_keeps_one_config_of_a_name(self):
        first, second = self.lines_of("a.jsonl"), self.lines_of("b.jsonl", seed=4)
        self.assert_fails(run("merge", first, second), 2, "b.jsonl", '"tiny"', "a.jsonl")
        merged = self.path / "merged.jsonl"
        self.assert_fails(run("merge", first, second, "--jsonl", merged), 2, "b.jsonl")
        self.assertFalse(merged.exists())

    def test_lines_are_not_added_to_indented_json(self):
        config, path = self.write("c.json", TINY), self.path / "a.json"
        self.assertEqual(run("run", config, "--device", "cpu", "--quiet", "--json", path).returncode, 0)
        before = path.read_bytes()
        self.assert_fails(run("run", config, "--device", "cpu", "--jsonl", path, "--resume"), 2, f"{path} (line 1)", "not valid JSON")
        self.assertEqual(path.read_bytes(), before)

    def test_an_experiment_that_fails_leaves_the_others_alone(self):
        config = self.write("c.json", {**TINY, "sweep": [{"/seed": 1}, {"/strategies": [{"name": "budget", "tiles": 0}]}, {"/seed": 2}]})
        path, table = self.path / "out.jsonl", self.path / "out.md"
        result = run("run", config, "--device", "cpu", "--jsonl", path, "--markdown", table)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("least", result.stderr)
        self.assertIn("2 experiments finished, 1 failed", result.stdout)
        self.assertEqual(len(read_lines(path)), 2)
        rows = table.read_text().splitlines()
        self.assertEqual(len(rows), 2 + 2 * 3 * 2)
        self.assertEqual({row.count("|") for row in rows}, {15})

    def test_an_interrupt_keeps_what_is_finished(self):
        config = self.write("c.json", {**GRID, "sweep": {"/seed": list(range(1000))}})
        path = self.path / "out.jsonl"
        process = subprocess.Popen([PROGRAM, "run", config, "--device", "cpu", "--threads", "1", "--jsonl", path],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not (path.exists() and path.stat().st_size > 0):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, stderr)
        count = len(read_lines(path))
        self.assertIn(f"{count} experiment{'' if count == 1 else 's'} finished; --resume goes on", stderr)

    def test_two_processes_do_not_write_one_file(self):
        # Few experiments, each of many tokens: the second process must have read the sweep before the first is through.
        config = self.write("c.json", {**TINY, "router": {**TINY["router"], "tokens": 1 << 18}, "sweep": {"/seed": list(range(200))}})
        path = self.path / "out.jsonl"
        process = subprocess.Popen([PROGRAM, "run", config, "--device", "cpu", "--threads", "1", "--jsonl", path])
        try:
            while not path.exists() or path.stat().st_size == 0:  # a file is made before it is locked
                time.sleep(0.01)
            result = run("run", config, "--device", "cpu", "--jsonl", path, "--resume")
        finally:
            process.kill()
            process.wait()
        self.assert_fails(result, 3, "out.jsonl", "another process")

    def test_faults_of_a_sweep_name_file_pointer_and_values(self):
        config = self.write("c.json", {**TINY, "sweep": {"/tile": [8, 12], "/seed": [1]}})
        self.assert_fails(run("run", config), 2, "c.json:/tile", "12", "seed=1, tile=12")
        self.assert_fails(run("advise", config, "--set", "/sweep/~1tile=[8, 16]", "--max-time", "90%"), 2, "c.json:/sweep", "2")
        self.assert_fails(run("run", self.write("c.json", {**TINY, "sweep": 1})), 2, "c.json:/sweep")

    def test_lines_go_to_a_pipe(self):
        config = self.write("c.json", {**TINY, "sweep": {"/seed": [1, 2, 3]}})
        result = run("run", config, "--device", "cpu", "--jsonl", "-")
        self.assertEqual([json.loads(line)["experiments"][0]["config"]["seed"] for line in result.stdout.splitlines()], [1, 2, 3])
        self.assert_fails(run("run", config, "--jsonl", "-", "--csv", "-"), 2, "standard output")

    def test_a_terminal_shows_a_bar_and_the_time_left(self):
        config = self.write("c.json", {**GRID, "sweep": {"/seed": list(range(1000))}})
        terminal, inner = pty.openpty()
        process = subprocess.Popen([PROGRAM, "run", config, "--device", "cpu", "--threads", "1", "--jsonl", self.path / "out"],
                                   stdout=subprocess.DEVNULL, stderr=inner)
        os.close(inner)
        shown = b""
        try:
            while b" left" not in shown:
                shown += os.read(terminal, 4096)
        except OSError:
            pass  # the program has ended
        process.kill()
        process.wait()
        os.close(terminal)
        self.assertRegex(shown.decode(errors="replace"), r"\[=* *>? *\] \d+ of 1000, about \d+ (s|min) left")


if __name__ == "__main__":
    main()
