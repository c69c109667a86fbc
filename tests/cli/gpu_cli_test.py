"""Runs tatr-sim on a GPU and compares with the CPU. Exits with 77 (skipped) where there is no GPU.

usage: gpu_cli_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import json
import pathlib
import re
import sys
import tempfile
import unittest

from program import LAYER_FREE, SOURCE, lock_gpus, main, run, without_times


def result(*arguments):
    completed = run("run", *arguments, "--json", "-", "--quiet")
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout)


class Gpu(unittest.TestCase):
    def test_every_shipped_config_gives_the_same_on_cpu_and_gpu(self):
        for config in LAYER_FREE:
            with self.subTest(config.name):
                arguments = (config, "--set", "/layer=null")
                self.assertEqual(without_times(result(*arguments, "--device", "cpu")),
                                 without_times(result(*arguments, "--device", "cuda")))

    def test_all_devices_share_a_sweep_and_give_what_the_cpu_gives(self):
        with tempfile.TemporaryDirectory() as folder:
            lines = {}
            for option, device in (("--devices", "all"), ("--device", "cpu")):
                path = pathlib.Path(folder) / device
                completed = run("run", SOURCE / "configs/sweep.json", "--set", "/layer=null", option, device, "--jsonl", path)
                self.assertEqual(completed.returncode, 0, completed.stderr)
                documents = [without_times(json.loads(line)) for line in path.read_text().splitlines()]
                lines[device] = {document["experiments"][0]["config_hash"]: document for document in documents}
                self.assertEqual(len(lines[device]), len(documents))
            self.assertEqual(lines["all"], lines["cpu"])

    def test_memory_is_what_dry_run_said(self):
        for config in LAYER_FREE:
            with self.subTest(config.name):
                memory = result(config, "--device", "cuda", "--set", "/measure/samples=10")["experiments"][0]["memory"]
                self.assertAlmostEqual(memory["peak_bytes"] / memory["estimated_bytes"], 1.0, delta=0.05)

    def test_two_runs_differ_only_in_times(self):
        config = SOURCE / "configs/quick.json"
        first, second = (result(config, "--device", "cuda") for _ in range(2))
        for document in (first, second):
            for strategy in document["experiments"][0]["strategies"]:
                self.assertIsNotNone(strategy["timing"]["output_error"])
                strategy["output_error"] = strategy["timing"]["output_error"]
        self.assertEqual(without_times(first), without_times(second))

    def test_out_of_memory_is_told_and_the_others_are_reported(self):
        with tempfile.TemporaryDirectory() as folder:
            big = pathlib.Path(folder) / "big.json"
            config = json.loads((SOURCE / "configs/quick.json").read_text())
            big.write_text(json.dumps({**config, "name": "big", "layer": {"hidden": 65536, "intermediate": 65536}}))
            completed = run("run", big, SOURCE / "configs/quick.json", "--device", "cuda", "--json", "-", "--quiet")
        self.assertEqual(completed.returncode, 3, completed.stderr)
        self.assertRegex(completed.stderr, r"big: cuda:0: not enough memory: needs \d+ bytes, \d+ bytes can be had")
        first, second = json.loads(completed.stdout)["experiments"]
        self.assertEqual([first["name"], second["name"]], ["big", "quick"])
        self.assertIsNotNone(first["error"])
        self.assertIsNone(second["error"])


if __name__ == "__main__":
    gpus = sorted(int(index) for index in set(re.findall(r"cuda:(\d+)", run("list", "devices").stdout)))
    if not gpus:
        print("skipped: no usable GPU")
        sys.exit(77)
    lock_gpus(gpus)
    main()
