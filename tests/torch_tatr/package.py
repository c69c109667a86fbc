"""What the tests of scripts/torch_tatr share. Their arguments: PROGRAM SOURCE_DIR LIBRARY [unittest arguments]."""

import contextlib
import importlib
import importlib.util
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TATR_LIBRARY"] = sys.argv[3]
sys.path[:0] = [str(SOURCE / "scripts"), str(SOURCE / "tests/oracle")]
DEVICE = os.environ.get("TATR_TORCH_DEVICE", "cpu")  # where models run
TEXT = SOURCE / "LICENSE"  # any text that stays as it is: what tiny models learn of it decides figures


def has(*packages):
    return all(importlib.util.find_spec(package) is not None for package in packages)


needs_torch = unittest.skipUnless(has("torch"), "no torch here")
needs_transformers = unittest.skipUnless(has("torch", "transformers"), "no torch or no transformers here")


def tatr(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=600)


def command(*arguments):
    """A command of the package, as a user runs it."""
    return subprocess.run([sys.executable, SOURCE / "scripts/torch_tatr", *map(str, arguments)], capture_output=True, text=True, timeout=900)


def in_process(name, *arguments):
    """The same without a process of its own, which takes seconds to import torch: exit code and stderr."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = importlib.import_module(f"torch_tatr.{name}").main([str(argument) for argument in arguments])
    return code, said.getvalue()


class PackageTest(unittest.TestCase):
    """Gives each test a folder of its own, self.path."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)

    def assert_refused(self, result, code, *words):
        self.assertEqual((result.returncode, result.stdout), (code, ""), result.stderr)
        last = result.stderr.strip().split("\n")[-1]
        self.assertIn("error: ", last)
        self.assertNotIn("Traceback", result.stderr)
        for word in words:
            self.assertIn(word, last)


def main():
    """77, skipped, where torch is missing: what needs none has run all the same."""
    if has("torch", "transformers"):
        unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[4:]])
    tests = unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[4:]], exit=False)
    print("skipped: no torch or no transformers here; what needs neither was run")
    sys.exit(77 if tests.result.wasSuccessful() else 1)
