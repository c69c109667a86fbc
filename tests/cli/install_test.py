"""What `cmake --install` puts where, and shell completion as the shells run it.

usage: install_test.py PROGRAM SOURCE_DIR CMAKE BUILD_DIR
"""

import os
import subprocess
import sys
import unittest

from program import ProgramTest, run

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

    def complete_in_bash(self, *words):
        script = self.path / "share/bash-completion/completions/tatr-sim"
        result = subprocess.run(["bash", "-c", BASH, "bash", script, "tatr-sim", *words], capture_output=True, text=True)
        self.assertEqual(result.stderr, "")
        return set(result.stdout.split())

    def test_bash(self):
        self.assertEqual(self.complete_in_bash("m"), {"merge"})
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
