#!/usr/bin/env python3
"""Writes configs and traces that are invalid, each in its own way, and a manifest of them.

    tests/oracle/make_broken_inputs.py FOLDER

The same files every time. FOLDER/manifest.tsv has one line for each: the config to run and what is wrong with it. The
program must refuse every one with one clear line and exit code 2. A trace is wrapped in a config that is valid but
for the trace.
"""

import copy
import json
import pathlib
import struct
import sys

VALID = {
    "name": "broken",
    "router": {"tokens": 64, "experts": 16, "top_k": 2, "source": {"kind": "gaussian"}},
    "tile": 8,
    "strategies": ["none", "down", {"name": "budget", "tiles": "as_nearest"}],
    "layer": {"hidden": 64, "intermediate": 32, "cpu": {"hidden": 32, "intermediate": 16}},
    "measure": {"samples": 10, "l2": "cold"},
    "documented": [{"metric": "rows", "strategy": "none", "tile": 8, "value": 1, "source": "nowhere"}],
}
NOTHING = object()


class Writer:
    """Collects the files and the manifest's lines."""

    def __init__(self, folder):
        self.folder = folder
        self.lines = []

    def config(self, name, content, reason):
        path = self.folder / f"{len(self.lines):03d}_{name}.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not NOTHING:
            path.write_text(content)
        self.lines.append(f"{path.name}\t{reason}")

    def trace(self, name, content, reason, **source):
        file = f"{len(self.lines):03d}_{name}.trace"
        if content is not NOTHING:
            (self.folder / file).write_bytes(content)
        router = {"top_k": 2, "source": {"kind": "trace", "file": file, **source}}
        router.update(source.pop("router", {}))
        router["source"].pop("router", None)
        config = {"name": "broken trace", "router": router, "tile": 8, "strategies": ["none"]}
        self.config(name, json.dumps(config), reason)


def changed(path, value):
    """The valid config as text, with the value at `path` replaced, added, or removed (NOTHING)."""
    config = copy.deepcopy(VALID)
    at = config
    for key in path[:-1]:
        at = at[key]
    if value is NOTHING:
        del at[path[-1]]
    elif isinstance(at, list) and path[-1] == len(at):
        at.append(value)
    else:
        at[path[-1]] = value
    return json.dumps(config)


def write_texts(out):
    """Bytes that are no JSON, or JSON that is refused before its meaning matters."""
    text = json.dumps(VALID)
    for percent in range(2, 100, 7):
        out.config(f"cut_{percent}", text[: len(text) * percent // 100], f"cut after {percent} % of its bytes")
    structure = [i for i, c in enumerate(text) if c in '{}[]:"']
    for place in structure[:: len(structure) // 24]:
        flipped = text[:place] + "\x01" + text[place + 1 :]
        out.config(f"flip_{place}", flipped, f"byte {place} overwritten by a control character")
    out.config("empty", b"", "an empty file")
    out.config("blanks", b" \n\t", "only blanks")
    out.config("nul", b"\0" * 64, "NUL bytes")
    out.config("utf8", text.replace("broken", "br\0ken").encode().replace(b"\\u0000", b"\xff"), "invalid UTF-8")
    out.config("raw_utf8", text.encode().replace(b"broken", b"\xc3("), "a broken UTF-8 sequence")
    out.config("utf16", text.encode("utf-16"), "UTF-16")
    out.config("trailing", text + "x", "text after the value")
    out.config("two", text + text, "two values")
    out.config("comment", "// a comment\n" + text, "a comment")
    out.config("comma", text[:-1] + ",}", "a trailing comma")
    out.config("quotes", text.replace('"', "'"), "single quotes")
    out.config("deep_list", "[" * 100000, "100000 nested lists, never closed")
    out.config("deep_object", '{"a":' * 100000 + "1" + "}" * 100000, "100000 nested objects")
    out.config("deep_value", changed(["router", "selection_bias"], 0).replace('"selection_bias": 0', '"selection_bias": ' + "[" * 200 + "]" * 200), "a list 200 deep")
    out.config("duplicate", text.replace('"tile": 8,', '"tile": 8, "tile": 16,', 1), "a duplicate key")
    out.config("duplicate_nested", text.replace('"top_k": 2', '"top_k": 2, "top_k": 3'), "a duplicate key in router")
    out.config("huge_exponent", changed(["tile"], 7).replace('"tile": 7', '"tile": 1e999'), "a number beyond a double")
    out.config("huge_digits", changed(["tile"], 7).replace('"tile": 7', '"tile": 1' + "0" * 5000), "a number of 5001 digits")
    out.config("nan", changed(["tile"], float("nan")), "NaN")
    out.config("infinity", changed(["tile"], float("inf")), "Infinity")
    out.config("large", " " * (17 << 20) + text, "a file of 17 MB")
    out.config("missing", NOTHING, "no such file")
    (out.folder / f"{len(out.lines):03d}_directory.json").mkdir(exist_ok=True)
    out.config("directory", NOTHING, "a directory")


def write_values(out):
    """One value of the valid config made wrong."""
    for value in (None, True, 1, "text", []):
        out.config("root", json.dumps(value), f"the document is {json.dumps(value)}")
    for key in ("name", "router", "tile", "strategies"):
        out.config(f"without_{key}", changed([key], NOTHING), f"no {key}")
    for key in ("tokens", "experts", "top_k"):
        out.config(f"without_{key}", changed(["router", key], NOTHING), f"no router.{key}")
    wrong_type = {"name": 1, "seed": "1", "router": [], "tile": "8", "strategies": "none", "layer": 5, "measure": [], "documented": {}}
    for key, value in wrong_type.items():
        out.config(f"type_{key}", changed([key], value), f"{key} of a wrong type")
        renamed = json.loads(changed([key], VALID.get(key, 1)))
        renamed[key.upper()] = renamed.pop(key)
        out.config(f"renamed_{key}", json.dumps(renamed), f"{key} renamed to {key.upper()}")
    out_of_range = [
        (["name"], ["", " ", "x" * 201, "a\nb", "a\u0000b"]),
        (["seed"], [-1, 2**64, 1.5, 1e3, None]),
        (["router", "tokens"], [0, -1, 2**20 + 1, 2**63, 2**64, 1.5, 1e3, "64", None]),
        (["router", "experts"], [0, -1, 8193, 2**64 - 1, 1.0, "16", 1]),
        (["router", "top_k"], [0, -2, 17, 129, 300, 2**40, 2.5, "2", True]),
        (["router", "scoring"], ["Softmax", "", 1]),
        (["router", "logits"], ["fp16", 32]),
        (["router", "normalise_gates"], ["true", 1, None]),
        (["router", "selection_bias"], ["0", [], [0, 0], [0] * 17, ["a"] * 16, 1e300, None]),
        (["router", "groups"], [4, {}, {"count": 4}, {"count": 5, "top": 2}, {"count": 4, "top": 5}, {"count": 16, "top": 1}, {"count": 0, "top": 0}]),
        (["tile"], [0, 4, 12, 100, -8, 1032, 2**32, 8.0, [], [8, 12], [8, 8], [[8]], {}]),
        (["strategies"], [[], [None], [1], [[]], [{}], ["none", "none"], ["dwon"], ["NONE"], [{"name": "none", "label": ""}]]),
        (["layer"], [{}, {"hidden": 64}, {"hidden": 60, "intermediate": 32}, {"hidden": 0, "intermediate": 32}, {"hidden": 65544, "intermediate": 32}]),
        (["layer", "dtype"], ["fp8", 1]),
        (["layer", "backend"], ["blas", None]),
        (["layer", "cpu"], [{}, {"hidden": 32}, {"hidden": 128, "intermediate": 16}, {"hidden": 32, "intermediate": 64}, 1]),
        (["measure", "samples"], [0, 9, 10001, -1, 20.0, "20"]),
        (["measure", "l2"], ["hot", True]),
        (["documented", 0, "metric"], ["row", "", 1]),
        (["documented", 0, "strategy"], ["up", "", None]),
        (["documented", 0, "tile"], [16, 9, "8"]),
        (["documented", 0, "value"], ["1", None]),
        (["documented", 0, "source"], ["", NOTHING]),
    ]
    for path, values in out_of_range:
        for value in values:
            name = "_".join(str(key) for key in path)
            shown = "missing" if value is NOTHING else json.dumps(value)[:40]
            out.config(name, changed(path, value), f"/{'/'.join(map(str, path))} is {shown}")
    sources = [{}, {"kind": "Gaussian"}, {"kind": "gaussian", "exponent": 1}, {"kind": "gaussian", "deviation": -1},
               {"kind": "zipf", "exponent": "1"}, {"kind": "lognormal", "sigma": -0.1}, {"kind": "topics", "topics": 0},
               {"kind": "topics", "run": 0}, {"kind": "hot", "experts": 17}, {"kind": "trace"},
               {"kind": "trained", "hidden": 12}, {"kind": "trained", "steps": -1}, {"kind": "trained", "learning_rate": 0},
               {"kind": "trained", "rounding_weight": -1}, {"kind": "trained", "surrogate": "sine"},
               {"kind": "trained", "round_to": 100}, {"kind": "trained", "deviation": 1},
               {"kind": "trace", "file": ""}, {"kind": "trace", "file": "x", "tensor": []},
               {"kind": "trace", "file": "x", "first_token": -1}]
    for source in sources:
        out.config("source", changed(["router", "source"], source), f"source {json.dumps(source)}")
    strategies = [{"threshold": 1}, {"name": "down", "threshold": 0.9}, {"name": "adaptive", "threshold": 1.1},
                  {"name": "adaptive", "factor": 1}, {"name": "capacity", "factor": 0}, {"name": "capacity", "then": "capacity"},
                  {"name": "dynamic", "then": "dynamic"}, {"name": "dynamic", "tiles_by_load": []},
                  {"name": "dynamic", "tiles_by_load": [{"below": 5, "tile": 8}]},
                  {"name": "dynamic", "tiles_by_load": [{"below": 9, "tile": 8}, {"below": 5, "tile": 8}, {"tile": 8}]},
                  {"name": "dynamic", "tiles_by_load": [{"tile": 8}, {"tile": 16}]},
                  {"name": "dynamic", "tiles_by_load": [{"tile": 9}]},
                  {"name": "budget", "label": "b", "tiles": -1}, {"name": "budget", "label": "b", "tiles": {}},
                  {"name": "budget", "label": "b", "tiles": {"of_nearest": 101}}, {"name": "budget", "label": "b", "tiles": 1.5},
                  {"name": "budget", "label": "b", "tiles": {"of_nearest": 1, "max_dropped_mass": 1}},
                  {"name": "budget", "label": "b", "tiles": {"waves": 0}}, {"name": "budget", "label": "b", "tiles": {"sms": 132}},
                  {"name": "budget", "label": "b", "tiles": {"waves": 1, "sms": 0}}, {"name": "budget", "label": "b", "candidates": "rows"},
                  {"name": "budget", "label": "b", "tiles": "as_near"}, {"name": "budget", "label": "b", "objective": "sum"},
                  {"name": "up", "fill": "best"}, {"name": "up", "renormalise": "yes"}, {"name": "up", "label": "none"}]
    for strategy in strategies:
        out.config("strategy", changed(["strategies", 3], strategy), f"strategy {json.dumps(strategy)}")


def safetensors(header, data=b"\0" * 256, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def write_traces(out):
    """Traces of 8 tokens and 16 experts in F16, 256 bytes, each broken once."""
    entry = {"dtype": "F16", "shape": [8, 16], "data_offsets": [0, 256]}
    good = safetensors({"router_logits": entry})
    for size in (0, 1, 7, 8, 9, 20, len(good) - 257, len(good) - 256, len(good) - 255, len(good) - 1):
        out.trace(f"trace_cut_{size}", good[:size], f"safetensors cut to {size} bytes")
    out.trace("trace_longer", good + b"\0", "a byte after the last tensor")
    for place in range(0, 8):
        out.trace(f"trace_length_{place}", good[:place] + bytes([good[place] ^ 0x81]) + good[place + 1 :], f"bit flips in byte {place} of the header's length")
    header_end = len(good) - 256
    for place in [i for i in range(8, header_end) if good[i] in b'{}[]:"'][::2]:
        out.trace(f"trace_flip_{place}", good[:place] + b"\x01" + good[place + 1 :], f"header byte {place} overwritten")
    for length in (2**63, 2**64 - 1, 2**32, 100 << 20):
        out.trace("trace_huge_length", safetensors({"router_logits": entry}, length=length), f"a header of {length} bytes")
    wrong = {
        "dtype": ["F64X", "f16", "", 16, None, "I64", "BOOL", "F32"],
        "shape": [[8], [16, 8, 2], [8, -16], [8, 2**63], [2**40, 2**40], [0, 16], [8, 0], [8.0, 16], "8", None, [7, 16], []],
        "data_offsets": [[0, 255], [1, 257], [256, 0], [0, 2**64], [-1, 255], [0], [0, 256, 512], "0", None, [0.0, 256.0], [2**63, 2**63 + 256]],
    }
    for key, values in wrong.items():
        for value in values:
            out.trace(f"trace_{key}", safetensors({"router_logits": {**entry, key: value}}), f"{key} is {json.dumps(value)}")
        out.trace(f"trace_no_{key}", safetensors({"router_logits": {k: v for k, v in entry.items() if k != key}}), f"no {key}")
    out.trace("trace_name", safetensors({"weight": entry}), "no tensor of logits")
    out.trace("trace_list", safetensors([]), "the header is a list")
    out.trace("trace_empty_header", safetensors({}, b""), "no tensors")
    out.trace("trace_deep", safetensors(b"[" * 200000), "a header 200000 deep")
    out.trace("trace_duplicate", safetensors(b'{"router_logits":' + json.dumps(entry).encode() + b',"router_logits":' + json.dumps(entry).encode() + b"}"), "a tensor twice")
    out.trace("trace_overlap", safetensors({"router_logits": entry, "b": entry}), "two tensors share bytes")
    out.trace("trace_utf8", safetensors(b'{"\xff":1}'), "invalid UTF-8 in the header")
    for bits, name in ((0x7C00, "infinity"), (0xFC00, "minus_infinity"), (0x7E00, "nan"), (0xFFFF, "negative_nan")):
        data = b"\0" * 100 + struct.pack("<H", bits) + b"\0" * 154
        out.trace(f"trace_{name}", safetensors({"router_logits": entry}, data), f"a logit is {name}")
    out.trace("trace_huge_number", safetensors(b'{"router_logits":{"shape":[1e999,1]}}'), "a number beyond a double")
    softmax = b"".join(struct.pack("<e", p) for p in (0.5, 0.25, 0.125, 0.125) * 32)
    out.trace("trace_probabilities", safetensors({"router_logits": {**entry, "shape": [32, 4]}}, softmax), "probabilities for logits")
    counts = b"".join(struct.pack("<e", count) for count in range(128))
    out.trace("trace_counts", safetensors({"router_logits": entry}, counts), "counts for logits")
    padded = b"".join(struct.pack("<e", i % 5 - 2) for i in range(112)) + b"\0" * 32
    out.trace("trace_padding", safetensors({"router_logits": entry}, padded), "a token whose logits are all 0")
    ids = [i for token in range(16) for i in ((-1, -1) if token > 12 else (1, 3))]
    pair = {"a.topk_ids": {"dtype": "I32", "shape": [16, 2], "data_offsets": [0, 128]}, "a.topk_scores": {"dtype": "F32", "shape": [16, 2], "data_offsets": [128, 256]}}
    halves = struct.pack("<32f", *[0.5] * 32)
    out.trace("trace_ids_padding", safetensors(pair, struct.pack("<32i", *ids) + halves), "ids of -1", tensor="a", router={"experts": 8})
    for bits, name in ((0xBF000000, "negative"), (0x80000001, "negative_denormal"), (0x7FC12345, "nan"), (0xFFFFFFFF, "negative_nan"), (0x3F800100, "above_one")):
        data = struct.pack("<32i", *[1, 3] * 16) + halves[:124] + struct.pack("<I", bits)
        out.trace(f"trace_score_{name}", safetensors(pair, data), f"a score is {name}", tensor="a", router={"experts": 8})
    out.trace("trace_said_top_k", good, "logits that the config says are top-k", values="top_k")
    out.trace("trace_missing", NOTHING, "no such trace")
    (out.folder / f"{len(out.lines):03d}_trace_directory.trace").mkdir(exist_ok=True)
    out.trace("trace_directory", NOTHING, "the trace is a directory")
    out.trace("trace_text", b"layer,expert\n0,1\n", "a text file")
    out.trace("trace_first_token", good, "first_token beyond the file", first_token=8)
    out.trace("trace_tokens", good, "more tokens than the file holds", router={"tokens": 9})
    out.trace("trace_experts", good, "experts that differ from the file's", router={"experts": 32})
    out.trace("trace_top_k", good, "top_k above the file's experts", router={"top_k": 17})
    out.trace("trace_pattern", good, "a pattern that matches nothing", tensor="layers.*.router_logits")
    write_npy(out)


def npy(header, data=b"\0" * 256, version=b"\x01\x00", length=None):
    text = header.encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text) if length is None else length) + text + data


def write_npy(out):
    header = "{'descr': '<f2', 'fortran_order': False, 'shape': (8, 16), }\n"
    good = npy(header)
    for size in (6, 7, 9, 10, 30, len(good) - 256, len(good) - 1):
        out.trace(f"npy_cut_{size}", good[:size], f".npy cut to {size} bytes")
    out.trace("npy_longer", good + b"\0\0", "bytes after the array")
    out.trace("npy_version", npy(header, version=b"\x09\x00"), "version 9")
    out.trace("npy_length", npy(header, length=65535), "a header longer than the file")
    replaced = [("<f2", ">f2"), ("<f2", "<i8"), ("<f2", "|O"), ("<f2", "<f16"), ("False", "True"), ("(8, 16)", "(8, -16)"),
                ("(8, 16)", "(8,)"), ("(8, 16)", "()"), ("(8, 16)", "(99999999999999999999, 16)"), ("(8, 16)", "(8, 17)"),
                ("shape", "form"), ("{", "["), ("'descr'", "descr"), ("(8, 16)", "(2, 2, 2, 16)")]
    for old, new in replaced:
        out.trace("npy_header", npy(header.replace(old, new)), f".npy header with {new} for {old}")
    out.trace("npy_nan", npy(header, b"\x00\x7e" * 128), "all logits are NaN")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    out = Writer(folder)
    write_texts(out)
    write_values(out)
    write_traces(out)
    (folder / "manifest.tsv").write_text("\n".join(out.lines) + "\n")
    print(f"{len(out.lines)} broken inputs in {folder}")


if __name__ == "__main__":
    main()
