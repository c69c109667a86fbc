"""What `cmake --install` puts where and that it works from there; man pages; shell completion as the shells run it.

usage: install_test.py PROGRAM SOURCE_DIR CMAKE BUILD_DIR
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

from documents import broken_links
from program import ProgramTest, SOURCE, TINY, run

CMAKE, BUILD = sys.argv[3:5]

BASH = """
compopt() { :; }
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tatr_sim; printf '%s\\n' "${COMPREPLY[@]}"
"""

# A zsh under a pseudo-terminal, in which a tab is pressed after the words: what it lists, marked.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; TERM=dumb; fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=1000"
zpty -w shell "list() { compadd() { builtin compadd -O found \"\$@\"; print -r -- \"<\${(j: :)found}>\"; }; _main_complete; unfunction compadd }"
zpty -w shell "zle -C list complete-word list; bindkey '^I' list; print READY\$((1 + 1))"
zpty -r -m shell out '*READY2*'
zpty -w -n shell "$2"$'\t'
zpty -r -m shell out '*'$'\a'  # it rings when it has completed nothing
print -rn -- $out
zpty -d shell
"""


class Install(ProgramTest):
    def setUp(self):
        super().setUp()
        subprocess.run([CMAKE, "--install", BUILD, "--prefix", self.path], check=True, stdout=subprocess.DEVNULL)

    def test_the_installed_program_runs_an_installed_config(self):
        self.assertEqual(os.access(self.path / "bin/tatr-sim", os.X_OK), True)
        result = subprocess.run([self.path / "bin/tatr-sim", "validate", self.path / "share/tatr-sim/configs/real_router.json"],
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual((self.path / "share/doc/tatr-sim/README.md").exists(), True)

    def test_the_installed_library_is_found_and_works(self):
        source = self.path / "share/doc/tatr-sim/libtatr/example.c"
        built = {}
        if shutil.which("pkg-config"):
            (pc,) = self.path.glob("lib*/**/libtatr.pc")
            flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libtatr"], env={**os.environ, "PKG_CONFIG_PATH": pc.parent},
                                   capture_output=True, text=True, check=True).stdout.split()
            built["pkg-config"] = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", source, *flags, "-o", self.path / "by-pkg-config"]
        (self.path / "user").mkdir()
        (self.path / "user/CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(user C)\nfind_package(tatr 0.1 REQUIRED)\n"
            f"add_executable(example {source})\ntarget_link_libraries(example tatr::tatr)\n")
        built["cmake"] = ["sh", "-c", f"{CMAKE} -S {self.path}/user -B {self.path}/user/build -DCMAKE_PREFIX_PATH={self.path} && "
                                      f"{CMAKE} --build {self.path}/user/build && cp {self.path}/user/build/example {self.path}/by-cmake"]
        (library,) = self.path.glob("lib*/**/libtatr.so.1")
        for way, command in built.items():
            with self.subTest(way):
                result = subprocess.run(command, capture_output=True, text=True)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                result = subprocess.run([self.path / f"by-{way}"], env={**os.environ, "LD_LIBRARY_PATH": library.parent}, capture_output=True, text=True)
                self.assertIn("expert 0: 8 rows", result.stdout, result.stderr)

    def test_the_installed_package_finds_the_installed_library(self):
        (library,) = self.path.glob("lib*/**/libtatr.so.1")
        code = "import numpy, torch_tatr; print(torch_tatr.round_topk(numpy.ones((64, 4), 'f4'), 1, 'nearest', 16).targets)"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                                env={**os.environ, "PYTHONPATH": self.path / "share/tatr-sim/scripts", "LD_LIBRARY_PATH": library.parent})
        self.assertEqual(result.stdout, "[64  0  0  0]\n", result.stderr)

    def test_every_installed_config_names_a_schema_that_is_there(self):
        configs = [path for path in self.path.glob("share/tatr-sim/configs/**/*.json") if "$schema" in json.loads(path.read_text())]
        self.assertGreater(len(configs), 10)
        for path in configs:
            self.assertTrue((path.parent / json.loads(path.read_text())["$schema"]).exists(), path)

    def test_links_of_installed_documents_lead_somewhere(self):
        folder = self.path / "share/doc/tatr-sim"
        self.assertEqual(broken_links(folder), [])
        self.assertEqual({path.name for path in folder.glob("docs/*.md")}, {path.name for path in (SOURCE / "docs").glob("*.md")})

    def script(self, name, *arguments):
        """An installed script, run by the Python of this test; None where it says that it lacks a module."""
        path = self.path / "share/tatr-sim/scripts" / name
        self.assertTrue(os.access(path, os.X_OK), path)
        result = subprocess.run([sys.executable, path, *map(str, arguments)], capture_output=True, text=True, cwd=self.path)
        if name == "plot.py" and importlib.util.find_spec("matplotlib") is None:
            self.skipTest("no matplotlib here")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result

    def test_the_installed_scripts_run_from_there(self):
        self.script("convert_trace.py", "--help")
        if importlib.util.find_spec("numpy") is not None:  # by the measurements that are installed with it
            share = self.path / "share/tatr-sim"
            self.script("calibrate.py", "--check", share / "src/quality/default_calibration.json")
        config, shards = self.path / "tiny.json", self.path / "shards"
        config.write_text(json.dumps(TINY))
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "1", "TATR_SIM": str(self.path / "bin/tatr-sim")}
        subprocess.run([self.path / "share/tatr-sim/scripts/slurm_array.sh", shards, config, "--device", "cpu"], check=True,
                       capture_output=True, env=environment)
        self.assertTrue((shards / "shard-1.jsonl").exists())
        self.script("plot.py", shards / "shard-1.jsonl", "--kind", "load", "--out", self.path / "load.png")
        self.assertTrue((self.path / "load.png").exists())

    def test_man_pages(self):
        pages = {path.name: path.read_text() for path in self.path.glob("share/man/man*/*")}
        commands = re.findall(r"^([a-z]+)$|^  ([a-z]+) {2,}", run("--help").stdout.split("ubcommands")[1].split("Examples:")[0], re.MULTILINE)
        names = {a or b for a, b in commands}
        self.assertLessEqual({"run", "advise", "merge", "man"}, names)
        for name in ("run", "advise"):
            self.assertIn("auto|cpu|cuda|cuda:N|model:NAME", pages[f"tatr-sim-{name}.1"])
        for name in ("run", "show"):  # the sections of --show
            for section in ("summary", "counts", "warnings", "training"):
                self.assertRegex(pages[f"tatr-sim-{name}.1"], rf"\.SH SECTIONS\n(?:.*\n)*\\&  {section} ")
        self.assertIn("0 no regression found", pages["tatr-sim-compare.1"])
        self.assertEqual(set(pages), {"tatr-sim.1", "tatr-sim-config.5", *(f"tatr-sim-{name}.1" for name in names)})
        for name in names:  # every option of --help
            for option in re.findall(r"^ +(?:-\w,)?(--[a-z-]+)", run(name, "--help").stdout, re.MULTILINE):
                self.assertIn("\\fB" + option.replace("-", "\\-") + "\\fR", pages[f"tatr-sim-{name}.1"])
        for key in ("/router/top_k", "/layer/hidden", "/router/source/exponent", "/strategies/*/threshold"):
            self.assertIn(key.replace("-", "\\-"), pages["tatr-sim-config.5"])
        self.assertEqual(run("man", "run").stdout, pages["tatr-sim-run.1"])
        wrong = run("man", "rum")
        self.assertEqual((wrong.returncode, len(wrong.stderr.splitlines())), (2, 1), wrong.stderr)

    def test_man_pages_are_right_to_those_who_print_them(self):
        pages = sorted(self.path.glob("share/man/man*/*"))
        tools = [tool for tool in (["mandoc", "-Tlint", "-Wwarning"], ["groff", "-man", "-ww", "-Tutf8", "-z"]) if shutil.which(tool[0])]
        if not tools:
            self.skipTest("neither mandoc nor groff here")
        for tool in tools:
            for page in pages:
                result = subprocess.run([*tool, page], capture_output=True, text=True)
                self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""), f"{tool[0]} {page.name}")

    def complete_in_bash(self, *words):
        script = self.path / "share/bash-completion/completions/tatr-sim"
        result = subprocess.run(["bash", "-c", BASH, "bash", script, "tatr-sim", *words], capture_output=True, text=True)
        self.assertEqual(result.stderr, "")
        return set(result.stdout.split())

    def test_bash(self):
        self.assertEqual(self.complete_in_bash("m"), {"man", "merge"})
        self.assertLessEqual({"run", "validate", "schema", "list", "merge", "completion"}, self.complete_in_bash(""))
        self.assertEqual(self.complete_in_bash("run", "--json"), {"--json", "--jsonl"})
        self.assertEqual(self.complete_in_bash("run", "--device", ""), {"auto", "cpu", "cuda"})
        self.assertEqual(self.complete_in_bash("completion", "z"), {"zsh"})
        self.assertEqual(self.complete_in_bash("run", "--resume", f"{self.path}/b"), {f"{self.path}/bin"})
        self.assertEqual(self.complete_in_bash("run", "--experts", ""), set())

    def complete_in_zsh(self, line):
        folder = self.path / "share/zsh/site-functions"
        result = subprocess.run(["zsh", "-f", "-c", ZSH, "zsh", folder, line], capture_output=True, text=True, timeout=30)
        self.assertEqual(result.stderr, "")
        return result.stdout.split(line, 1)[1]

    def test_zsh(self):
        for line, words in (("tatr-sim ", ("run", "merge", "completion")), ("tatr-sim run --js", ("--json", "--jsonl")),
                            ("tatr-sim run --device ", ("auto", "cpu", "cuda")), ("tatr-sim completion z", ("zsh",))):
            with self.subTest(line):
                listed = self.complete_in_zsh(line)
                for word in words:
                    self.assertIn(word, listed)

    def test_every_option_is_in_both(self):
        for command in ("run", "merge", "validate", "schema", "list"):
            options = {word for line in run(command, "--help").stdout.splitlines() for word in line.split()[:1] if word.startswith("--")}
            options |= {"--help"}
            self.assertEqual(self.complete_in_bash(command, "--"), options)
            zsh = (self.path / "share/zsh/site-functions/_tatr-sim").read_text().split(f"    {command}) ")[1].split(";;")[0]
            for option in options:
                self.assertIn(f"'{option}[", zsh)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
