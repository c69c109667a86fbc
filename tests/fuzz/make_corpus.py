#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets: small files, each odd in its own way, named for what is odd.

    tests/fuzz/make_corpus.py tests/fuzz/corpus

The same files every time; they are kept beside this script, so that tests need no Python. What fuzzing finds is added
by hand. Seeds for configs are one line of JSON, with an override after a NUL byte where there is one. The first byte of
seeds for tensors stands for the ending of the file's name, as in fuzz_tensors.cpp.
"""

import gzip
import io
import json
import math
import pathlib
import struct
import sys
import zipfile

F32, F64 = lambda values: struct.pack(f"<{len(values)}f", *values), lambda values: struct.pack(f"<{len(values)}d", *values)
BITS16 = lambda values: struct.pack(f"<{len(values)}H", *values)
BITS32 = lambda values: struct.pack(f"<{len(values)}I", *values)


def safetensors(tensors, metadata=None):
    """tensors: (name, dtype, shape, bytes)."""
    header, data = {} if metadata is None else {"__metadata__": metadata}, b""
    for name, dtype, shape, values in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    return raw(json.dumps(header, separators=(",", ":")).encode(), data)


def raw(header, data=b""):
    return struct.pack("<Q", len(header)) + header + data


def npy(descr, shape, data):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def logits(rows, experts):
    """Numbers of a router's kind, without a random generator."""
    return [3 * math.sin(0.7 + 1.9 * i) + math.sin(5.3 * i * i) for i in range(rows * experts)]


def softmax(values, experts):
    out = []
    for first in range(0, len(values), experts):
        terms = [math.exp(v) for v in values[first : first + experts]]
        out += [t / sum(terms) for t in terms]
    return out


def top_k(scores, ids=None, dtype="F32", experts="8"):
    tokens = len(scores) // (4 if dtype == "F32" else 2) // 2
    ids = ids if ids is not None else [i % 2 + 3 * (i % 4 // 2) for i in range(2 * tokens)]
    return safetensors([("layers.0.topk_ids", "I16", [tokens, 2], struct.pack(f"<{2 * tokens}h", *ids)),
                        ("layers.0.topk_scores", dtype, [tokens, 2], scores)], {"experts": experts})


def f32_logits(values, experts):
    return safetensors([("router_logits", "F32", [len(values) // experts, experts], F32(values))])


def traces():
    plain = logits(12, 8)
    odd = [0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x7F7FFFFF, 0xFF7FFFFF, 0x00000000, 0x3F800000]
    yield "logits_f32", f32_logits(plain, 8)
    yield "logits_f64.npy", npy("<f8", (2, 6, 8), F64(plain))
    yield "logits_odd_bits", safetensors([("router_logits", "F32", [2, 8], BITS32(odd + odd[::-1]))])
    yield "logits_tiny_f64.npy", npy("<f8", (2, 4), F64([-1e-320, 1e-60, -1e-50, -0.0, 5e-324, -1, 2, 3]))
    for name, bits in (("nan_payload", 0x7FC12345), ("signalling_nan", 0xFF812345), ("infinity", 0x7F800000)):
        yield f"logits_{name}", safetensors([("router_logits", "F32", [2, 8], BITS32(odd + odd[:7] + [bits]))])
    yield "logits_f16_odd", safetensors([("router_logits", "F16", [1, 8], BITS16([0x8000, 1, 0x8001, 0x3FF, 0x7BFF, 0xFBFF, 0x3C00, 0]))])
    yield "logits_bf16_odd", safetensors([("router_logits", "BF16", [1, 8], BITS16([0x8000, 1, 0x8001, 0x7F, 0x7F7F, 0xFF7F, 0x3F80, 0]))])
    yield "logits_bf16_nan", safetensors([("router_logits", "BF16", [1, 8], BITS16([0x8000, 1, 0x7FC1, 0x7F, 0xFFFF, 0, 0x3F80, 0]))])
    yield "logits_equal", f32_logits([1.25] * 32, 8)
    yield "logits_zero", f32_logits([0.0, -0.0] * 16, 8)
    yield "logits_one_expert", f32_logits([1.0] * 9, 1)
    yield "probabilities", f32_logits(softmax(plain, 8), 8)
    yield "histogram.npy", npy("<f4", (2, 12), F32([90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86] * 2))
    yield "mean_loads.npy", npy("<f8", (2, 12), F64([90.5, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183.25, 86] * 2))
    yield "padding_equal_rows", f32_logits(plain[:80] + [0.0] * 16, 8)
    yield "scores", top_k(F32([0.5, 0.25] * 12))
    yield "scores_negative_zero", top_k(F32([0.5, 0.5, 0.5, -0.0] * 6))
    yield "scores_all_zero", top_k(F32([-0.0, 0.0] * 6))
    yield "scores_denormal", top_k(BITS32([1, 0x007FFFFF, 0x80000000, 0x3F800000, 0x00800000, 0x3F7FFFFF]))
    yield "scores_negative_denormal", top_k(BITS32([0x80000001, 0x3F800000]))
    yield "scores_above_one", top_k(BITS32([0x3F800001, 0, 0x3F800002, 1]))
    yield "scores_far_above_one", top_k(F32([1.0000005, 0.5]))
    yield "scores_nan_payload", top_k(BITS32([0x7FC12345, 0x3F000000]))
    yield "scores_negative_nan", top_k(BITS32([0x3F000000, 0xFFFFFFFF]))
    yield "scores_f16_odd", top_k(BITS16([0x8000, 0x3C00, 0x3C01, 1]), dtype="F16")
    yield "scores_bf16_odd", top_k(BITS16([0x8000, 0x3F80, 0x3F81, 1]), dtype="BF16")
    yield "ids_minus_one", top_k(F32([0.5, 0.25, 0, 0]), [3, 1, -1, -1])
    yield "ids_twice", top_k(F32([0.5, 0.25]), [3, 3])
    yield "padding_zero_scores", top_k(F32([0.5, 0.25, 0, 0]))
    one = '"dtype":"F32","data_offsets":[0,4]'
    for name, number in (("float", "1e999"), ("negative", "-1e999"), ("digits", "9" * 400), ("past_int64", "18446744073709551615"), ("past_uint64", "18446744073709551616")):
        yield f"header_huge_{name}", raw(f'{{"router_logits":{{"shape":[{number},1],{one}}}}}'.encode(), b"\0" * 4)
    yield "header_huge_metadata", top_k(F32([0.5, 0.25]), experts="9" * 40)
    yield "header_length_huge", struct.pack("<Q", 2**64 - 1) + b"{}"
    yield "header_negative_number.npy", npy("<f4", "(-1, 99999999999999999999)", b"")
    yield "header_cut", safetensors([("router_logits", "F32", [1, 1], F32([1]))])[:30]
    yield "empty", b""


def npz(members, method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def zstd(content):
    """A frame of one block that is not compressed."""
    return b"\x28\xb5\x2f\xfd\x20" + bytes([len(content)]) + struct.pack("<I", 1 | len(content) << 3)[:3] + content


def tensors():
    endings = [".npz", ".npy", ".jsonl", ".json", ".csv", ".index.json", ".safetensors"]
    ids, scores = npy("<i2", (2, 2), struct.pack("<4h", 1, -2, 3, 4)), npy("<f4", "(3,)", F32([0.5, 1, 2]))
    lines = b'{"step":0,"layer":0,"ids":[[1,2]],"scores":[[0.5,0.25]]}\n{"step":0,"layer":1,"ids":[[3,4],[5,6]],"scores":[[1,0],[null,1]]}\n'
    columns = b'layer_id,"expert, id",count,name\r\n0,1,9007199254740993,a\r\n1,2,,"b ""c"""\r\n'
    files = {
        "stored.npz": npz([("ids.npy", ids), ("a/b.npy", scores)], zipfile.ZIP_STORED),
        "deflated.npz": npz([("ids.npy", ids), ("a/b.npy", scores)], zipfile.ZIP_DEFLATED),
        "torch.npz": npz([("archive/data.pkl", b"\x80\x02}."), ("archive/version", b"3")], zipfile.ZIP_STORED),
        "bool.npy": npy("|b1", "(2, 1)", b"\0\1"),
        "bfloat16.npy": npy("<V2", "(1,)", b"\0\0"),
        "layers.jsonl": lines,
        "scalars.jsonl": b'{"layer_id":0,"count":9007199254740993,"who":null}\n{"count":1.5,"who":"x","layer_id":1}\n\n',
        "steps.jsonl": b'{"a":[]}\n{"a":[[1]]}\n{"a":[[2],[3]]}',
        "nested.json": b"[[[1,2],[3,4]],[[5,6],[7,-0.5]]]",
        "named.json": b'{"experts":8,"a":[1,null],"b":[[1],[2]],"c":"x","d":true}',
        "records.json": b'[{"layer":0,"counts":[1,2]},{"layer":1,"counts":[3,4]}]',
        "columns.csv": columns,
        "matrix.csv": b"\xef\xbb\xbf1, 2.5,3\n+4,5e-1,nan\n\n",
        "s.index.json": b'{"metadata":{"n":1},"weight_map":{"a":"s"}}',
        "outside.index.json": b'{"weight_map":{"a":"../s"}}',
        "plain.safetensors": f32_logits(logits(2, 4), 4),
        "parquet.json": b"PAR1",
    }
    for name, content in files.items():
        ending = next(at for at, ending in reversed(list(enumerate(endings))) if name.endswith(ending))
        yield name, bytes([ending]) + content
        if len(content) < 256:
            yield name + ".gz", bytes([ending + len(endings)]) + gzip.compress(content, mtime=0)
            yield name + ".zst", bytes([ending + 2 * len(endings)]) + zstd(content)


def configs():
    plain = {"name": "c", "router": {"tokens": 64, "experts": 16, "top_k": 2}, "tile": 8, "strategies": ["none", "up"]}
    trace = {"kind": "trace", "file": "t.safetensors", "values": "logits"}
    yield "plain", plain
    yield "trace", {**plain, "router": {"top_k": 2, "source": trace}}
    yield "values_wrong", {**plain, "router": {"top_k": 2, "source": {**trace, "values": "probabilities"}}}
    yield "bias_odd", {**plain, "router": {**plain["router"], "selection_bias": [-0.0, 5e-324, -1e6] + [0] * 13}}
    yield "seed_largest", {**plain, "seed": 2**64 - 1}
    text = json.dumps(plain)
    for name, number in (("float", "1e999"), ("negative", "-1e999"), ("digits", "9" * 400), ("past_uint64", "18446744073709551616"), ("seed_as_float", "1.8446744073709552e19")):
        yield f"huge_{name}", text.replace('"name"', f'"seed": {number}, "name"')
        yield f"huge_tokens_{name}", text.replace("64", number)
    yield "huge_set", text + "\0/tile=1e999"
    yield "huge_sweep", {**plain, "sweep": {"/seed": [1e308, -1e308, 2**63]}}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    for name, seeds in (("trace", traces()), ("tensors", tensors()), ("config", configs())):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for seed, content in seeds:
            if isinstance(content, dict):
                content = json.dumps(content)
            (folder / name / seed).write_bytes(content.encode() if isinstance(content, str) else content)


if __name__ == "__main__":
    main()
