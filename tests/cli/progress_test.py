"""What a long run says while it works, and before: on a terminal and in a log; and how idle threads wait.

usage: progress_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
import unittest

from program import PROGRAM, SOURCE, TINY, ProgramTest, main, run

# Minutes of work.
LONG = {**TINY, "name": "long", "router": {"tokens": 65536, "experts": 512, "top_k": 8}, "tile": [64, 128, 256],
        "strategies": [{"name": "up", "label": f"up {i}"} for i in range(200)]}
WHOLE = {**TINY, "name": "whole", "router": {"tokens": 16384, "experts": 64, "top_k": 8}, "tile": 128,
         "layer": {"hidden": 4096, "intermediate": 2048}, "measure": {"samples": 100}}
TRAINED = {**TINY, "name": "trained", "router": {"tokens": 4096, "experts": 32, "top_k": 2,
                                                 "source": {"kind": "trained", "steps": 100000}}}


class Progress(ProgramTest):
    def write(self, config):
        path = self.path / "config.json"
        path.write_text(json.dumps(config))
        return path

    def until(self, process, reader, pattern, seconds):
        """What `reader` gave until it matched, and after how long; the process is then ended."""
        text, start = "", time.monotonic()
        try:
            while not re.search(pattern, text):
                left = start + seconds - time.monotonic()
                self.assertGreater(left, 0, f"no {pattern} in {text[-500:]!r}")
                if select.select([reader], [], [], left)[0]:
                    text += os.read(reader, 4096).decode()
            return text, time.monotonic() - start
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def on_terminal(self, pattern, seconds, *arguments):
        controller, terminal = pty.openpty()
        self.addCleanup(os.close, controller)
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=terminal)
        os.close(terminal)
        return self.until(process, controller, pattern, seconds)

    def test_a_terminal_sees_a_line_that_moves_soon_and_the_time_left(self):
        config = self.write(LONG)
        text, spent = self.on_terminal(r"\[\d s\]", 30, "run", config, "--device", "cpu")
        self.assertIn("\r\033[K", text)
        self.assertNotIn("\n", text)
        text, _ = self.on_terminal(r"about \d+ (s|min) left: up", 60, "run", config, "--device", "cpu")
        self.assertRegex(text, r"long: \d+ of 600(, about [^:]* left)?: up \d+ at tile 64")
        text, _ = self.on_terminal(r"\[\d+ s\] .*training, step", 60, "run", self.write(TRAINED), "--device", "cpu")
        self.assertRegex(text, r"training, step \d+ of 100000")

    def test_what_a_run_will_take_is_said_before_it_starts_with_ways_to_have_less(self):
        config = self.write(WHOLE)
        process = subprocess.Popen([PROGRAM, "run", config, "--device", "cpu"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with process.stderr:
            text, _ = self.until(process, process.stderr.fileno(), r"this will take[^\n]*\n", 60)
        offer, told = text.splitlines()
        self.assertIn("the CPU computes its whole layer (4096 x 2048)", offer)
        self.assertIn("--device model:h100", offer)
        self.assertRegex(told, r"about \d+(\.\d)? (s|min|h) \(estimated\): 1 experiment, 3 settings on \d+ CPU threads?$")
        less = re.search(r"--set '(/layer/cpu=[^']+)'", offer).group(1)
        self.assertEqual(run("run", config, "--set", less, "--dry-run", "--device", "cpu").returncode, 0)

    def test_counts_beside_a_model_compute_nothing_and_say_nothing(self):
        (self.path / "counts.json").write_text(json.dumps([2048] * 64))
        config = self.write({**WHOLE, "router": {"top_k": 8, "source": {"kind": "counts", "file": "counts.json"}},
                             "strategies": ["none", "down"]})
        result = run("run", config, "--device", "model:h100")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("Modelled speed-up", result.stdout)

    def test_a_short_run_and_a_quiet_one_say_nothing(self):
        result = run("run", self.write({**TINY, "layer": {"hidden": 16, "intermediate": 16}, "measure": {"samples": 10}}),
                     "--device", "cpu")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        process = subprocess.Popen([PROGRAM, "run", self.write(WHOLE), "--device", "cpu", "--quiet"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        time.sleep(3)
        process.kill()
        self.assertEqual(process.communicate()[1], b"")

    def environment_of(self, **variables):
        """Of a run under way."""
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("OMP_", "GOMP_", "OPENBLAS_", "KMP_"))}
        process = subprocess.Popen([PROGRAM, "run", self.write(LONG), "--device", "cpu", "--quiet", "--json", self.path / "r.json"],
                                   env={**environment, **variables})
        try:
            while not (self.path / f"r.json.partial-{process.pid}").exists():  # the same process, begun anew
                self.assertIsNone(process.poll())
                time.sleep(0.01)
            with open(f"/proc/{process.pid}/environ", "rb") as file:
                return file.read().decode().split("\0")
        finally:
            process.kill()
            process.wait()

    def test_idle_threads_sleep_unless_the_user_says_how_they_wait(self):
        self.assertIn("OMP_WAIT_POLICY=passive", self.environment_of())
        self.assertIn("GOMP_SPINCOUNT=1000", self.environment_of())
        own = self.environment_of(OMP_WAIT_POLICY="active", OPENBLAS_THREAD_TIMEOUT="20")
        self.assertIn("OMP_WAIT_POLICY=active", own)
        self.assertIn("OPENBLAS_THREAD_TIMEOUT=20", own)
        self.assertFalse([line for line in self.environment_of(GOMP_SPINCOUNT="7") if line.startswith("OMP_WAIT_POLICY")])

    def test_threads_are_those_that_the_process_may_use(self):
        config, one = self.write(TINY), {min(os.sched_getaffinity(0))}
        def threads(**options):
            return json.loads(run("run", config, "--device", "cpu", "--quiet", "--json", "-", **options).stdout)["environment"]["threads"]
        self.assertEqual(threads(preexec_fn=lambda: os.sched_setaffinity(0, one), env={"PATH": os.environ["PATH"]}), 1)
        self.assertEqual(threads(env={**os.environ, "OMP_NUM_THREADS": "3"}), 3)


class Follow(unittest.TestCase):
    def follow(self, command, status):
        script = f". {SOURCE}/scripts/follow.sh; log=$(mktemp); follow Building $log bash -c '{command}'; code=$?; rm $log; exit $code"
        result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env={**os.environ, "TATR_FOLLOW_S": "2"})
        self.assertEqual((result.returncode, result.stdout), (status, ""), result.stderr)
        return result.stderr

    def test_a_build_says_in_a_log_how_far_it_is(self):
        text = self.follow('echo "[1/9] a"; echo "[3/9] b"; sleep 7', 0)
        self.assertRegex(text, r"(?m)^Building: 2 s, 3/9$")
        self.assertRegex(text, r"(?m)^Building: [678] s, 3/9, about \d\d s left$")

    def test_a_build_that_fails_keeps_its_status(self):
        self.assertEqual(self.follow("exit 7", 7), "")

    def test_a_benchmark_says_how_far_it_is_and_the_time_left(self):
        script = ("import time; from bench_library import Heartbeat\nwith Heartbeat(3, every_s=0.5) as heartbeat:\n"
                  "    for part in ('up', 'down'):\n        heartbeat.next('timing ' + part)\n        time.sleep(1.3)")
        result = subprocess.run(["python3", "-c", script], capture_output=True, text=True, cwd=SOURCE / "scripts")
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)
        self.assertRegex(result.stderr, r"(?m)^timing up \(1 of 3\), [01] s$")
        self.assertRegex(result.stderr, r"(?m)^timing down \(2 of 3\), \d s, about \d s left$")


if __name__ == "__main__":
    main()
