"""Runs the commands of README and docs/, page by page in the order in which they are read, in a copy of the tree.

usage: docs_test.py PROGRAM SOURCE_DIR [unittest arguments]

What is run where, and how a block says that it is not: CONTRIBUTING.md, "Documents".
"""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from documents import blocks, broken_links, pages, stray_commands
from program import PROGRAM, SOURCE

NEEDS = {"plot.py": "matplotlib", "numpy": "numpy", "calibrate.py": "numpy"}  # a block that has the word needs the module
PARTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "configs", "docs", "scripts", "src/quality"]


def missing_modules(text):
    return {module for word, module in NEEDS.items() if word in text and importlib.util.find_spec(module) is None}


class Copy:
    """A copy of the tree as it is after building, with the program in build/ and on the PATH, and no GPU."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "tree"
        for part in PARTS:
            (self.path / part).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (SOURCE / part).is_dir() else shutil.copy
            copy(SOURCE / part, self.path / part)
        (self.path / "build").mkdir()
        (self.path / "build/tatr-sim").symlink_to(os.path.abspath(PROGRAM))
        tools = pathlib.Path(folder) / "tools"
        tools.mkdir()
        (tools / "python3").symlink_to(sys.executable)  # the one that has the modules
        # Threads that spin while they wait would hinder each other where other tests run beside this one.
        self.environment = {**os.environ, "PATH": f"{self.path}/build:{tools}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "", "OMP_WAIT_POLICY": "passive"}

    def run(self, script):
        return subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=self.path, env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)


class Commands(unittest.TestCase):
    def test_the_commands_of_all_pages_in_order(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = Copy(folder)
            for name in pages(SOURCE):
                printed = ""
                for block in blocks((SOURCE / name).read_text()):
                    if block.file():
                        (copy.path / block.file()).write_text(block.text)
                    elif block.runs() and missing_modules(block.text):
                        print(f"{name}: not run, without {', '.join(missing_modules(block.text))}: {block.text.splitlines()[0]}")
                    elif block.runs():
                        result = copy.run(block.text)
                        self.assertEqual(result.returncode, 0, f"{name}:\n{block.text}\n{result.stdout}")
                        printed += " ".join(result.stdout.split()) + " "
                    for line in block.printed():
                        self.assertIn(line, printed, f"{name} says that this is printed")


class Pages(unittest.TestCase):
    def test_links_lead_somewhere(self):
        self.assertEqual(broken_links(SOURCE), [])

    def test_commands_are_in_blocks_that_are_run(self):
        for name in pages(SOURCE):
            with self.subTest(name):
                self.assertEqual(stray_commands((SOURCE / name).read_text()), [])

    def test_the_readme_is_short_and_leads_to_every_page(self):
        text = (SOURCE / "README.md").read_text()
        self.assertLessEqual(len(text.splitlines()), 120)
        for name in pages(SOURCE)[1:]:
            self.assertIn(f"({name})", text)


class Reading(unittest.TestCase):
    """The extraction itself."""

    def test_marks(self):
        text = ("<!-- not run: needs a GPU -->\n```sh\na\n```\n\n```sh\nb\n```\n<!-- file: x.json -->\n```json\n{}\n```\n"
                "<!-- printed -->\n```text\n  y   z\n```\n    tatr-sim   in a table\n")
        found = blocks(text)
        self.assertEqual([block.runs() for block in found], [False, True, False, False])
        self.assertEqual(found[2].file(), "x.json")
        self.assertEqual(found[3].printed(), ["y z"])
        self.assertEqual(stray_commands(text + "    tatr-sim run x\n"), ["tatr-sim"])

    def test_links(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "README.md").write_text("# One two\n## A, `b`: c\n[a](#a-b-c) [b](docs/x.md) [c](#d) [e](https://x.org)\n")
            self.assertEqual(broken_links(root), ["README.md: docs/x.md", "README.md: #d"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
