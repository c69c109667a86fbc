"""Wrong commands, those of mistakes/mistakes.txt: each is answered with one line that names the likely wish and the command for it.

usage: mistakes_test.py PROGRAM SOURCE_DIR [unittest arguments]; MISTAKES_SHOW=1 prints every answer.
"""

import io
import json
import os
import pathlib
import re
import shlex
import shutil
import stat
import struct
import subprocess
import zipfile

import program
from program import PROGRAM, SOURCE, TINY, ProgramTest, run

TABLE = pathlib.Path(__file__).parent / "mistakes" / "mistakes.txt"

HUGGING_FACE = {"architectures": ["SomeMoeForCausalLM"], "model_type": "some_moe", "hidden_size": 256, "intermediate_size": 512,
                "num_hidden_layers": 4, "vocab_size": 1000, "num_attention_heads": 8}


def cases():
    """(line, command, stdin, code, words) of each entry."""
    found, command, stdin, at = [], None, None, 0
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if line.startswith("$ "):
            assert command is None, f"line {number}: {command} has no answer"
            command, stdin, at = shlex.split(line[2:]), None, number
            assert command[0] == "tatr-sim", f"line {number}"
        elif line.startswith("<"):
            stdin = line[1:].strip()
        elif line and not line.startswith("#"):
            code, words = line.split(":", 1)
            found.append((at, command[1:], stdin, int(code), [word.strip() for word in words.split(" | ")]))
            command = None
    return found


def npy(shape, values):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape!r}, }}"
    header += " " * (63 - (len(header) + 10) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(values)}f", *values)


def archive(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        for name, content in members.items():
            out.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return file.getvalue()


def make_files(folder):
    """All files that the table's commands name; nothing else is there."""
    logits = [((i * 37 + 11 * (i // 8)) % 97) / 7 - 6.5 for i in range(64 * 8)]
    array = npy((64, 8), logits)
    tiny = json.dumps(TINY)
    texts = {
        "c.json": tiny, "c2.json": json.dumps(TINY | {"seed": 4}), "configs/quick.json": tiny, "empty.json": "", "blank.json": " \n",
        "object.json": "{}", "c.yaml": "name: tiny\nrouter:\n  tokens: 256\ntile: 8\n", "c.toml": 'name = "tiny"\ntile = 8\n[router]\ntokens = 256\n',
        "yaml.json": "name: tiny\nrouter:\n  tokens: 256\n", "comments.json": tiny.replace("{", '{\n// a remark\n', 1),
        "comma.json": tiny[:-1] + ",}", "single.json": tiny.replace('"', "'"), "dict.json": '{"name": "tiny", "normalise": True, "x": None}',
        "nan.json": tiny.replace("256", "NaN"), "cut.json": tiny[:40], "two.json": json.dumps(TINY, indent=1) + "\n" + json.dumps(TINY, indent=1),
        "list.json": json.dumps([TINY, TINY]), "configs.jsonl": tiny + "\n" + tiny + "\n", "twice.json": tiny[:-1] + ', "tile": 8}',
        "misspelt.json": tiny.replace("strategies", "strategys"), "unnamed.json": tiny.replace('"name": "tiny", ', "", 1),
        "swept.json": json.dumps(TINY | {"sweep": {"/seed": [1, 2]}}), "schema.json": (SOURCE / "docs/experiment.schema.json").read_text(),
        "notrace.json": json.dumps(TINY | {"router": {"top_k": 2, "source": {"kind": "trace", "file": "elsewhere/nowhere.npy"}}}),
        "neartrace.json": json.dumps(TINY | {"router": {"top_k": 2, "source": {"kind": "trace", "file": "trac.npy"}}}),
        "device.json": (SOURCE / "configs/devices/h100.json").read_text(), "hf.json": json.dumps(HUGGING_FACE | {"num_experts": 8}),
        "calibration.json": (SOURCE / "src/quality/default_calibration.json").read_text(), "dense.json": json.dumps(HUGGING_FACE),
        "half_model.json": json.dumps(HUGGING_FACE | {"num_experts": 8}), "secret.json": tiny,
        "counts.json": json.dumps([30, 0, 20, 10, 40, 10, 30, 20]), "huggingly.json": json.dumps(TINY | {"layer": {"hidden_size": 64, "intermediate": 64}})}
    binaries = {
        "trace.npy": array, "two.npz": archive(first_dot_npy=array, second_dot_npy=array), "utf16.json": tiny.encode("utf-16"),
        "latin1.json": tiny.replace("tiny", "größe").encode("latin-1"), "model.pt": archive(model__data_dot_pkl=b"\x80\x02}q\x00.", model__version="3\n"),
        "old.pth": b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" + bytes(64), "rows.parquet": b"PAR1" + bytes(64) + b"PAR1",
        "rows.arrow": b"ARROW1\0\0" + bytes(64), "model.gguf": b"GGUF\x03\0\0\0" + bytes(64), "rows.h5": b"\x89HDF\r\n\x1a\n" + bytes(64),
        "model.onnx": b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + bytes(64), "pickle.pkl": b"\x80\x04}q\x00.", "binary.bin": bytes(range(256))}
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for name, content in binaries.items():
        (folder / name).write_bytes(content)
    (folder / "empty_folder").mkdir()
    for option, name in (("--json", "result.json"), ("--jsonl", "results.jsonl"), ("--csv", "table.csv")):
        done = run("run", folder / "c.json", "--device", "cpu", option, folder / name, "--quiet")
        assert done.returncode == 0, done.stderr
    done = run("report", folder / "result.json", "--html", folder / "page.html")
    assert done.returncode == 0, done.stderr
    (folder / "secret.json").chmod(0)


def contents(folder):
    seen = {}
    for path in sorted(folder.rglob("*")):
        mode = path.stat().st_mode
        readable = stat.S_ISREG(mode) and os.access(path, os.R_OK)
        seen[str(path.relative_to(folder))] = (mode, path.read_bytes() if readable else None)
    return seen


class MistakesTest(ProgramTest):
    def test_table_is_long_and_names_each_command_once(self):
        commands = [(tuple(command), stdin) for _, command, stdin, _, _ in cases()]
        self.assertGreaterEqual(len(commands), 70)
        self.assertEqual(len(commands), len(set(commands)))

    def test_each_is_answered_with_one_line_that_names_the_wish(self):
        files = self.path / "files"
        files.mkdir()
        make_files(files)
        before = contents(files)
        has_show = "\n  show " in run("--help").stdout
        for line, command, stdin, code, words in cases():
            if "secret.json" in command and os.access(files / "secret.json", os.R_OK):
                continue  # nothing is secret from root
            if command[:1] == ["show"] and not has_show:
                continue
            with self.subTest(f"{TABLE.name}:{line}", command=shlex.join(command)):
                result = subprocess.run([PROGRAM, *command], cwd=files, capture_output=True, text=True, timeout=60,
                                        **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
                if os.environ.get("MISTAKES_SHOW"):
                    print(f"$ tatr-sim {shlex.join(command)}\n{result.returncode}: {result.stdout[:100]}{result.stderr.rstrip()}")
                after = contents(files)
                left = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
                for name in left:  # the next command finds what it is to find
                    if name not in before:
                        shutil.rmtree(files / name) if (files / name).is_dir() else (files / name).unlink()
                self.assertEqual(left, set())
                self.assert_fails(result, code, *words)
                self.assertLessEqual(len(result.stderr), 700, result.stderr)


if __name__ == "__main__":
    program.main()
