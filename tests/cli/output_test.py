"""Outputs that cannot be written: a full disk, a read-only one, a folder that vanishes. Either nothing is run, or nothing
that was run is lost. Small file systems are mounted in a namespace of their own, where the machine lets us.

usage: output_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest

from program import PROGRAM, TINY, ProgramTest, main, run

MOUNTS = "TATR_TEST_MOUNTS"
# Seconds of work: what fails before it fails fast.
SLOW = {**TINY, "name": "slow", "router": {"tokens": 65536, "experts": 512, "top_k": 8},
        "strategies": [{"name": "up", "label": f"up {i}"} for i in range(50)]}
# So many that a disk can be filled while they run, on a busy machine too.
SEEDS = 200
MANY = {**TINY, "name": "many", "router": {"tokens": 16384, "experts": 64, "top_k": 4}, "sweep": {"/seed": list(range(SEEDS))}}


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def kept_aside(test, stderr):
    match = re.search(r"it is kept in (\S+)", stderr)
    test.assertIsNotNone(match, stderr)
    return test.path / match.group(1)


class Output(ProgramTest):
    def setUp(self):
        super().setUp()
        (self.path / "aside").mkdir()
        self.environment = {**os.environ, "TMPDIR": str(self.path / "aside")}

    def write(self, config):
        path = self.path / "config.json"
        path.write_text(json.dumps(config))
        return path

    def start(self, config, *arguments):
        return subprocess.Popen([PROGRAM, "run", self.write(config), "--device", "cpu", "--threads", "1", "--quiet",
                                 *map(str, arguments)], env=self.environment, stderr=subprocess.PIPE, text=True)

    def wait_for(self, condition, process):
        while not condition():
            self.assertIsNone(process.poll(), "ended early")
            time.sleep(0.001)

    def assert_all_fail_before_work(self, folder, words, **options):
        config = self.write(SLOW)
        outputs = [("--json", "r.json"), ("--jsonl", "r.jsonl"), ("--csv", "r.csv"), ("--markdown", "r.md"), ("--export", "new")]
        for option, name in outputs:
            if words == "No space left" and option == "--export":
                continue  # how much is written is not known before
            with self.subTest(option):
                start = time.monotonic()
                result = run("run", config, "--device", "cpu", option, folder / name, **options)
                self.assertLess(time.monotonic() - start, 3.0)
                self.assert_fails(result, 3, str(folder), words)

    def test_a_missing_folder(self):
        self.assert_fails(run("run", self.write(SLOW), "--jsonl", self.path / "no" / "r.jsonl"), 3, "r.jsonl", "No such file")
        self.assert_fails(run("run", self.write(SLOW), "--export", "/dev/null/new"), 3, "/dev/null/new", "Not a directory")

    def test_a_limit_on_file_sizes(self):
        config = self.write(SLOW)
        for option in ("--json", "--jsonl"):
            result = run("run", config, "--device", "cpu", option, self.path / "r",
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
            self.assert_fails(result, 3, "cannot be written: File too large")
            self.assertFalse((self.path / "r").exists())

    def test_a_vanished_folder_costs_no_result(self):
        for option in ("--json", "--jsonl"):
            with self.subTest(option):
                folder = self.path / "out"
                folder.mkdir()
                process = self.start(MANY, option, folder / "r.json")
                # Its room is reserved, so it is taken: a file that goes between its opening and its lock is created anew.
                self.wait_for(lambda: any(path.stat().st_blocks > 0 for path in folder.iterdir()), process)
                shutil.rmtree(folder)
                _, stderr = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 3, stderr)
                aside = kept_aside(self, stderr)
                if option == "--json":
                    self.assertEqual(len(json.loads(aside.read_text())["experiments"]), SEEDS)
                else:
                    seeds = [line["experiments"][0]["config"]["seed"] for line in read_lines(aside)]
                    self.assertEqual(seeds, list(range(len(seeds))))
                    self.assertGreater(len(seeds), 0)

    def test_what_a_killed_run_leaves_goes_at_the_next_start(self):
        folder = self.path / "out"
        folder.mkdir()
        killed, other = self.start(SLOW, "--json", folder / "r.json"), self.start(SLOW, "--json", folder / "r.json")
        partial = [folder / f"r.json.partial-{process.pid}" for process in (killed, other)]
        self.wait_for(lambda: all(path.exists() for path in partial), other)
        killed.kill()
        killed.communicate(timeout=60)
        self.assertTrue(partial[0].exists())
        self.assertEqual(run("run", self.write(TINY), "--device", "cpu", "--json", folder / "r.json").returncode, 0)
        self.assertEqual(sorted(folder.iterdir()), [folder / "r.json", partial[1]])  # the other is still at work
        other.kill()
        other.communicate(timeout=60)
        self.assertEqual(run("run", self.write(TINY), "--device", "cpu", "--json", folder / "r.json").returncode, 0)
        self.assertEqual(list(folder.iterdir()), [folder / "r.json"])

    def test_no_output_takes_the_place_of_another_file(self):
        config, result, lines = self.write(TINY), self.path / "result.json", self.path / "lines.jsonl"
        self.assertEqual(run("run", config, "--device", "cpu", "--json", result).returncode, 0)
        self.assertEqual(run("merge", result, "--jsonl", lines).returncode, 0)
        other = self.path / "." / "aside" / ".." / "result.json"
        for words, arguments in (
                ("is an input", ("run", config, "--json", config)), ("is an input", ("run", config, "--csv", config)),
                ("two outputs", ("run", config, "--json", result, "--csv", other)),
                ("two outputs", ("run", config, "--jsonl", self.path / "new", "--markdown", self.path / "new")),
                ("is an input", ("report", result, "--html", other)), ("is an input", ("merge", result, "--csv", result)),
                ("two outputs", ("merge", result, "--jsonl", lines, "--csv", lines)),
                ("is an input", ("compare", result, result, "--markdown", result)),
                ("is an input", ("advise", config, "--max-perplexity", "1%", "--json", config))):
            with self.subTest(arguments):
                before = [path.read_bytes() for path in (config, result, lines)]
                self.assert_fails(run(*arguments), 2, words)
                self.assertEqual([path.read_bytes() for path in (config, result, lines)], before)
        self.assertEqual(run("merge", lines, "--jsonl", lines).returncode, 0)  # lines may be joined in place

    def test_a_standard_output_that_cannot_be_written(self):
        config = self.write(TINY)
        for arguments in (("run", config, "--device", "cpu"), ("run", config, "--dry-run"), ("validate", config), ("schema",),
                          ("list",), ("--help",), ("--version",), ("completion", "bash")):
            with self.subTest(arguments), open("/dev/full", "w", encoding="ascii") as full:
                process = subprocess.run([PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual(process.returncode, 3, process.stderr)
                self.assertIn("standard output: cannot", process.stderr)

    def mount(self, options):
        if MOUNTS not in os.environ:
            self.skipTest("file systems cannot be mounted here")
        folder = self.path / "disk"
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
        self.addCleanup(subprocess.run, ["umount", folder], check=True)
        return folder

    def fill(self, folder):
        with (folder / "ballast").open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096) == 4096:
                    pass
            except OSError:
                pass

    def test_a_read_only_disk(self):
        self.assert_all_fail_before_work(self.mount("ro"), "Read-only file system")

    def test_a_full_disk(self):
        folder = self.mount("size=64k")
        self.fill(folder)
        self.assert_all_fail_before_work(folder, "No space left")
        self.assertEqual([path.name for path in folder.iterdir()], ["ballast"])

    def test_a_disk_that_fills_up_costs_no_result(self):
        folder = self.mount("size=32m")
        path = folder / "r.jsonl"
        process = self.start(MANY, "--jsonl", path)
        self.wait_for(lambda: path.exists() and path.stat().st_size > 0, process)
        process.send_signal(signal.SIGSTOP)
        self.fill(folder)
        process.send_signal(signal.SIGCONT)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 3, stderr)
        self.assertIn("No space left", stderr)
        written, (last,) = read_lines(path), read_lines(kept_aside(self, stderr))
        self.assertEqual([line["experiments"][0]["config"]["seed"] for line in [*written, last]], list(range(len(written) + 1)))
        (folder / "ballast").unlink()
        process = self.start(MANY, "--jsonl", path, "--resume")
        self.assertEqual((process.communicate()[1], process.returncode), ("", 0))
        self.assertEqual([line["experiments"][0]["config"]["seed"] for line in read_lines(path)], list(range(SEEDS)))


if __name__ == "__main__":
    for flags in ("-m", "-rm"):  # with and without being root
        allowed = shutil.which("unshare") and subprocess.run(
            ["unshare", flags, "sh", "-c", "mount -t tmpfs none /mnt"], stderr=subprocess.DEVNULL).returncode == 0
        if allowed and MOUNTS not in os.environ:
            os.environ[MOUNTS] = "1"
            os.execvp("unshare", ["unshare", flags, sys.executable, *sys.argv])
    main()
