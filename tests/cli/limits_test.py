"""How a run ends before its time: memory that is not there, signals, experiments that fail beside others.

usage: limits_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import json
import os
import re
import resource
import signal
import subprocess
import time
import unittest

from program import PROGRAM, SOURCE, TINY, ProgramTest, main, run

MIB = 1 << 20
# Takes minutes on any CPU, in steps of seconds: a layer of full size.
SLOW = {"name": "slow", "router": {"tokens": 8192, "experts": 8, "top_k": 4}, "tile": 128, "strategies": ["none", "up"],
        "layer": {"hidden": 4096, "intermediate": 4096}}


class Limits(ProgramTest):
    def config(self, file="config.json", **changes):
        path = self.path / file
        path.write_text(json.dumps({**TINY, **changes}))
        return path

    def slow(self):
        path = self.path / "slow.json"
        path.write_text(json.dumps(SLOW))
        return path

    # --- memory ---

    def limited(self, limit, *arguments):
        return run(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))

    def test_memory_that_is_not_there_is_told_before_work(self):
        big = self.config(router={"tokens": 1048576, "experts": 4096, "top_k": 8})
        out = self.path / "out.json"
        start = time.monotonic()
        result = self.limited(4096 * MIB, "run", big, "--device", "cpu", "--threads", 1, "--json", out)
        self.assert_fails(result, 3, "tiny: cpu: not enough memory")
        need, have = map(int, re.search(r"needs (\d+) bytes, (\d+) bytes can be had", result.stderr).groups())
        self.assertGreater(need, 17_000 * MIB)
        self.assertLess(have, 4096 * MIB)
        self.assertLess(time.monotonic() - start, 5)
        self.assertFalse(out.exists())

    def test_results_count_too(self):
        strategies = [{"name": "down", "label": f"down {i}"} for i in range(250)]
        big = self.config(router={"tokens": 64, "experts": 4096, "top_k": 1}, tile=[8, 16, 24, 32], strategies=strategies)
        result = self.limited(1024 * MIB, "run", big, "--device", "cpu", "--threads", 1)
        self.assert_fails(result, 3, "not enough memory")

    def test_others_run_where_one_does_not_fit(self):
        big = self.config("big.json", name="big", router={"tokens": 1048576, "experts": 4096, "top_k": 8})
        result = self.limited(4096 * MIB, "run", big, self.config(), "--device", "cpu", "--threads", 1, "--json", "-", "--quiet")
        self.assertEqual(result.returncode, 3, result.stderr)
        first, second = json.loads(result.stdout)["experiments"]
        self.assertIn("not enough memory", first["error"])
        self.assertIsNone(second["error"])

    def test_what_is_needed_is_what_is_used(self):
        many = [{"name": "down", "label": f"down {i}"} for i in range(24)]
        for changes in ({"router": {"tokens": 131072, "experts": 256, "top_k": 8}},
                        {"router": {"tokens": 256, "experts": 2048, "top_k": 8}, "tile": [8, 16, 24, 32], "strategies": many}):
            with self.subTest(changes["router"]):
                config = self.config(**changes)
                arguments = ("run", config, "--device", "cpu", "--threads", 2)
                plan = run(*arguments, "--dry-run").stderr
                needed = int(re.search(r"memory needed: (\d+) bytes", plan)[1])
                needed += float(re.search(r"input and results: ([\d.]+) MiB", plan)[1]) * MIB
                process = subprocess.Popen([PROGRAM, *map(str, arguments), "--quiet", "--json", self.path / "out.json",
                                            "--csv", self.path / "out.csv"])
                _, status, usage = os.wait4(process.pid, 0)
                self.assertEqual(status, 0)
                self.assertLess(usage.ru_maxrss * 1024, needed + 48 * MIB)  # the program itself takes 30 or so

    # --- signals ---

    def interrupted(self, *arguments, number=signal.SIGTERM, wait=1.0):
        """Return code, stderr and the seconds from the signal to the end."""
        process = subprocess.Popen([PROGRAM, *map(str, arguments), "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True)  # without what the run will take
        time.sleep(wait)
        process.send_signal(number)
        start = time.monotonic()
        _, stderr = process.communicate(timeout=60)
        return process.returncode, stderr, time.monotonic() - start

    def test_signals_end_a_run_within_two_seconds_whatever_it_computes(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number.name):
                out = self.path / "out.json"
                code, stderr, seconds = self.interrupted("run", self.slow(), "--device", "cpu", "--json", out, number=number)
                self.assertEqual(code, 130, stderr)
                self.assertEqual(stderr, "tatr-sim: error: interrupted\n")
                self.assertLess(seconds, 2.0)
                self.assertEqual([p.name for p in self.path.iterdir()], ["slow.json"])

    def test_a_second_signal_ends_it_at_once_and_leaves_no_file(self):
        out = self.path / "out.json"
        process = subprocess.Popen([PROGRAM, "run", self.slow(), "--device", "cpu", "--json", out],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=60), 130)
        self.assertLess(time.monotonic() - start, 0.5)
        self.assertEqual([p.name for p in self.path.iterdir()], ["slow.json"])

    def test_an_end_by_force_keeps_what_is_finished(self):
        out, table = self.path / "out.json", self.path / "out.csv"
        code, stderr, seconds = self.interrupted("run", self.config(), self.slow(), "--device", "cpu", "--json", out,
                                                 "--csv", table, wait=2.0)
        self.assertEqual(code, 130, stderr)
        self.assertIn(f"interrupted; 1 of 2 experiments is finished and in {out}", stderr)
        self.assertLess(seconds, 2.0)
        self.assertEqual(json.loads(out.read_text())["experiments"][0]["name"], "tiny")
        self.assertIn("tiny", table.read_text())

    def test_a_report_that_nobody_reads_keeps_no_run_from_ending(self):
        big = self.config(router={"tokens": 4096, "experts": 4096, "top_k": 1}, tile=[8, 16, 24, 32])
        out = self.path / "out.json"
        process = subprocess.Popen([PROGRAM, "run", big, "--device", "cpu", "--experts", "all", "--json", out],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(300):
            if out.exists():
                break
            time.sleep(0.1)
        written = out.read_text()
        time.sleep(1.0)
        self.assertIsNone(process.poll())  # it waits for its pipe
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        self.assertEqual(process.wait(timeout=20), 130)
        self.assertLess(time.monotonic() - start, 2.0)
        self.assertEqual(out.read_text(), written)
        self.assertEqual(json.loads(written)["experiments"][0]["name"], "tiny")
        process.communicate()

    def test_lines_are_kept_too(self):
        lines = self.path / "out.jsonl"
        code, stderr, seconds = self.interrupted("run", self.config(), self.slow(), "--device", "cpu", "--jsonl", lines, wait=2.0)
        self.assertEqual(code, 130, stderr)
        self.assertIn("1 experiment finished; --resume goes on", stderr)
        self.assertLess(seconds, 2.0)
        self.assertEqual(len(lines.read_text().splitlines()), 1)

    def test_lines_are_told_of_after_a_failure_too(self):
        bad = self.config("bad.json", name="bad", strategies=[{"name": "budget", "tiles": 0}])
        lines = self.path / "out.jsonl"
        code, stderr, seconds = self.interrupted("run", bad, self.config(), self.slow(), "--device", "cpu", "--jsonl", lines, wait=2.0)
        self.assertEqual(code, 130, stderr)
        self.assertIn("1 experiment finished, 1 failed; --resume goes on", stderr)
        self.assertEqual(len(lines.read_text().splitlines()), 1)

    # --- experiments that fail beside others ---

    def test_an_experiment_that_fails_takes_no_finished_one_with_it(self):
        bad = self.config("bad.json", name="bad", strategies=[{"name": "budget", "tiles": 0}])
        good = self.config("good.json", name="good")
        for order in ((good, bad), (bad, good)):
            out = self.path / "out.json"
            result = run("run", *order, "--device", "cpu", "--json", out)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("the least is", result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
            errors = {e["name"]: e["error"] for e in json.loads(out.read_text())["experiments"]}
            self.assertIsNone(errors["good"])
            self.assertIn("the least is", errors["bad"])
            self.assertRegex(result.stdout, r"(?m)^  good ")
            self.assertEqual(" ".join(result.stdout.split()).count("Not finished: bad: "), 1, result.stdout)

    def test_where_nothing_is_finished_an_earlier_result_stays(self):
        bad = self.config(strategies=[{"name": "budget", "tiles": 0}])
        out = self.path / "out.json"
        out.write_text("earlier")
        self.assertEqual(run("run", bad, bad, "--device", "cpu", "--json", out).returncode, 2)
        self.assertEqual(out.read_text(), "earlier")


if __name__ == "__main__":
    main()
