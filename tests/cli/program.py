"""What the tests of the command line share. Their arguments: PROGRAM SOURCE_DIR [unittest arguments]."""

import fcntl
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])

# What can be run: the others are device files.
CONFIGS = sorted(path for path in SOURCE.glob("configs/**/*.json") if path.parent.name != "devices")
# Those that run without their layer: the others sweep it.
LAYER_FREE = [path for path in CONFIGS if "/layer" not in json.dumps(json.loads(path.read_text()).get("sweep"))]

TINY = {
    "name": "tiny",
    "seed": 3,
    "router": {"tokens": 256, "experts": 8, "top_k": 2},
    "tile": [8, 16],
    "strategies": ["none", "down", {"name": "budget", "tiles": {"of_nearest": 0.5}, "label": "half"}],
}


def run(*arguments, stdin=None, **options):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=600, input=stdin, **options)


def lock_gpus(indices):
    """Waits until no other test uses these GPUs, and keeps others off until the process ends: the locks of tests/gpu_lock.hpp."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    for index in indices:
        name = visible[index] if index < len(visible) and visible[index] else str(index)
        path = os.path.join(tempfile.gettempdir(), f"tatr-gpu-{name.replace('/', '-')}.lock")
        try:
            file = os.open(path, os.O_RDONLY)  # not to be made anew: another user's cannot be, in /tmp
        except FileNotFoundError:
            file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
        fcntl.flock(file, fcntl.LOCK_EX)


def without_times(document):
    """What must not change from run to run: all but times, clocks and dates."""
    document["environment"] = None
    for experiment in document["experiments"]:
        experiment["memory"] = experiment["warnings"] = experiment["documented"] = None
        for record in experiment["strategies"] + experiment["network"]:
            for key in ("timing", "layer_ms", "gemm_ms", "speedup_of_sums", "speedup_over_fastest_none", "timing_kind", "cpu_reduced"):
                record.pop(key, None)
    return document


class ProgramTest(unittest.TestCase):
    """Gives each test a folder of its own, self.path."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)

    def assert_fails(self, result, code, *fragments):
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        lines = result.stderr.strip().split("\n")
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertTrue(lines[0].startswith("tatr-sim: error: "), lines[0])
        for fragment in fragments:
            self.assertIn(fragment, lines[0])


def main():
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[3:]])
