#!/usr/bin/env python3
"""Writes tests/traces/data: a small router's record in each shape and format that is read, and in those that are refused.

    tests/traces/make_traces.py [FOLDER]

Needs NumPy, the package safetensors and the command zstd; the files are checked in, so tests need neither of the last two.
They are the same every time, byte for byte with one version of zlib and zstd. tests/cli/traces_test.py says what each is read
as, and computes what must come out from two plain arrays alone:

    plain.npy        fp16 logits [3 layers, 96 tokens, 16 experts]
    plain_long.npy   fp16 logits [2 layers, 600 tokens, 16 experts], in 6 steps of 100 tokens

Logits are multiples of 1/512 below 4 that differ within a row: each float type holds them, and there are no ties.
"""

import gzip
import io
import json
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
from safetensors.numpy import save

EXPERTS, TOP_K, STEP = 16, 2, 100
ID_NAMES = ["topk_ids", "topk_indices", "indices", "selected_experts", "topk_idx", "top_indices", "routed_experts", "topk_experts"]
SCORE_NAMES = ["topk_scores", "topk_weights", "scores", "probs", "routing_weights"]
INTEGERS = {"i8": "i1", "u8": "u1", "i16": "<i2", "u16": "<u2", "i32": "<i4", "u32": "<u4", "i64": "<i8"}


# ---- A router

def draw_logits(layers, tokens, seed):
    random = np.random.RandomState(seed)  # its numbers are the same in every version of NumPy
    popularity = random.randint(-24, 24, (layers, 1, EXPERTS))
    coarse = random.randint(-80, 80, (layers, tokens, EXPERTS)) + popularity
    return ((coarse * EXPERTS + np.arange(EXPERTS)) / 512).astype("<f2")


def softmax(logits):
    exp = np.exp(logits.astype("f8"))
    return exp / exp.sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype("f8")))


def ids_of(logits):
    """Best first."""
    return np.argsort(-logits.astype("f8"), axis=-1, kind="stable")[..., :TOP_K]


def gates_of(logits):
    """Of ids_of, adding up to 1."""
    scores = np.take_along_axis(softmax(logits), ids_of(logits), -1)
    return (scores / scores.sum(-1, keepdims=True)).astype("<f4")


def counts_of(logits):
    """[layers, tokens, experts] -> [layers, experts]"""
    return np.stack([np.bincount(ids.ravel(), minlength=EXPERTS) for ids in ids_of(logits)])


# ---- Formats, as bytes

def npy(array):
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array))
    return file.getvalue()


def zipped(members, how=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, how)
    return file.getvalue()


def npz(arrays, how=zipfile.ZIP_STORED):
    return zipped({name + ".npy": npy(array) for name, array in arrays.items()}, how)


def safetensors(arrays, **metadata):
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata or None)


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def csv(head, rows):
    return "".join(",".join(map(str, row)) + "\n" for row in [head, *rows]).encode()


def zst(data):
    return subprocess.run(["zstd", "-19", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def by_layer(array, name):
    return {f"layers.{layer}.{name}": part for layer, part in enumerate(array)}


# ---- The files

class Writer:
    def __init__(self, folder, logits, long):
        self.folder = folder
        self.logits, self.long = logits, long
        self.ids, self.gates, self.counts = ids_of(logits), gates_of(logits), counts_of(logits)
        self.steps = [long[:, first:first + STEP] for first in range(0, long.shape[1], STEP)]
        self.step_counts = np.stack([counts_of(step) for step in self.steps])  # [steps, layers, experts]

    def put(self, name, data):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def counts_files(self):
        counts, steps = self.counts, self.step_counts
        self.put("counts_e.npy", npy(counts[0]))
        self.put("counts_le.npy", npy(counts))
        self.put("counts_sle.npy", npy(steps))
        self.put("counts_lse.npy", npy(steps.swapaxes(0, 1)))
        self.put("counts_f32.npy", npy(counts.astype("<f4")))
        self.put("counts.safetensors", safetensors({"logical_count": steps.astype("<i4"), "rank": np.zeros(1, "<i8")}))
        long_form = [(layer, expert, count) for layer, row in enumerate(counts.tolist()) for expert, count in enumerate(row)]
        self.put("counts.csv", csv(("layer_id", "expert_id", "count"), long_form))
        self.put("counts.csv.gz", gzip.compress(csv(("layer_id", "expert_id", "count"), long_form), mtime=0))
        self.put("counts.csv.zst", zst(csv(("layer_id", "expert_id", "count"), long_form)))
        self.put("counts.jsonl", lines({"layer_id": layer, "expert_id": expert, "count": count} for layer, expert, count in long_form))
        in_steps = [(step, layer, expert, int(steps[step, layer, expert])) for step, layer, expert in np.ndindex(steps.shape)]
        self.put("counts_steps.csv", csv(("step", "layer", "expert", "num_tokens"), in_steps))
        self.put("counts_nested.json", json.dumps(counts.tolist()).encode())
        self.put("counts_object.json", json.dumps({"model": "tiny", "counts": steps.tolist()}).encode())
        self.put("counts_halves.npy", npy(counts + 0.5))
        self.put("counts_negative.npy", npy(counts - counts.max()))
        for step, part in enumerate(steps, 8):
            self.put(f"counts_steps/step_{step}.npy", npy(part))
        for layer, part in enumerate(counts):
            self.put(f"counts_layers/layer{layer}.json", json.dumps(part.tolist()).encode())

    def ids_files(self):
        ids = self.ids
        for name, dtype in INTEGERS.items():
            self.put(f"ids_{name}.npy", npy(ids[0].astype(dtype)))
        types = [dtype for name, dtype in INTEGERS.items() if name != "u32"]
        of_types = {f"layers.{i}.topk_ids": ids[i % 3].astype(dtype) for i, dtype in enumerate(types)}
        self.put("ids_types.safetensors", safetensors(of_types))
        self.put("ids_types.npz", npz(of_types))
        self.put("ids_ltk.npy", npy(ids.astype("<i4")))
        self.put("ids_tlk.npy", npy(ids.swapaxes(0, 1).astype("<i2")))
        self.put("ids_tlk.safetensors", safetensors({"routed_experts": ids.swapaxes(0, 1).astype("<i4")}, experts=str(EXPERTS)))
        self.put("ids_long_tlk.npy", npy(ids_of(self.long).swapaxes(0, 1).astype("u1")))
        self.put("ids_stk.npy", npy(np.stack([ids_of(step[0]) for step in self.steps]).astype("<u2")))
        self.put("ids_twice.npy", npy(np.repeat(ids[0][:, :1], 2, 1)))
        self.put("ids_beyond.npy", npy(np.where(np.arange(96)[:, None] == 50, [3, 17], ids[0])))

    def pairs_files(self):
        ids, gates = self.ids.astype("<i4"), self.gates
        first = ids[:1], gates[:1]
        for i, name in enumerate(ID_NAMES):
            scores = SCORE_NAMES[i % len(SCORE_NAMES)]
            self.put(f"names/{name}.safetensors", safetensors({**by_layer(first[0], name), **by_layer(first[1], scores)}))
        self.put("pair.npz", npz({"indices": ids[0], "scores": gates[0]}))
        foreign = {f"moe_{layer}_chosen": ids[layer] for layer in range(3)} | {f"moe_{layer}_gate": gates[layer] for layer in range(3)}
        self.put("foreign.npz", npz(foreign))
        self.put("pair_ltk.safetensors", safetensors({"topk_ids": ids, "topk_weights": gates}))
        scaled = by_layer(np.float32(2.5) * first[1], "topk_weights")
        self.put("scaled.safetensors", safetensors({**by_layer(first[0], "topk_ids"), **scaled}))
        self.put("lone_scores.safetensors", safetensors(by_layer(first[1], "topk_weights")))

    def logits_files(self):
        logits = self.logits.astype("<f4")
        self.put("logits.safetensors", safetensors(by_layer(logits, "router_logits")))
        tensors = by_layer(self.logits, "router_logits")
        self.put("logits_f16.safetensors", safetensors(tensors))
        self.put("logits_f16.safetensors.gz", gzip.compress(safetensors(tensors), mtime=0))
        self.put("logits_f16.safetensors.zst", zst(safetensors(tensors)))
        gates = {f"model.layers.{layer}.mlp.gate.logits": part for layer, part in enumerate(self.logits)}
        self.put("logits_gate.safetensors", safetensors(gates))
        self.put("logits.npy", npy(logits[0]))
        self.put("logits_f64.npy", npy(logits[0].astype("<f8")))
        self.put("logits.npy.gz", gzip.compress(npy(self.logits[0]), mtime=0))
        self.put("logits.npy.zst", zst(npy(self.logits[0])))
        self.put("logits_tle.npy", npy(self.logits.swapaxes(0, 1)))
        self.put("logits_stored.npz", npz(tensors))
        self.put("logits_deflated.npz", npz(tensors, zipfile.ZIP_DEFLATED))
        self.put("logits_nested.json", json.dumps(self.logits[0, :40].tolist()).encode())
        head = np.repeat(self.logits[0, :1], 80, 0)
        self.put("warm_up.safetensors", safetensors({"layers.0.router_logits": np.concatenate([head, self.logits[0]])}))

    def probabilities_files(self):
        p, s = softmax(self.logits), sigmoid(self.logits)
        self.put("softmax.npy", npy(p[0].astype("<f4")))
        self.put("softmax_f16.npy", npy(p[0].astype("<f2")))
        self.put("softmax_named.safetensors", safetensors(by_layer(p.astype("<f4"), "router_probs")))
        self.put("softmax_probs.npz", npz(by_layer(p.astype("<f2"), "probs")))
        self.put("sigmoid.safetensors", safetensors(by_layer(s[:1].astype("<f4"), "router_probs")))

    def padded_files(self):
        """Rows 60 to 79 of 116 are padding."""
        def padded(array, value):
            rows = np.full((20, array.shape[1]), value, array.dtype)
            return np.concatenate([array[:60], rows, array[60:]])

        logits, ids = self.logits[0].astype("<f4"), self.ids[0]
        self.put("padded_minus.npy", npy(padded(ids.astype("<i4"), -1)))
        self.put("padded_beyond.npy", npy(padded(ids.astype("<i2"), EXPERTS)))
        self.put("padded_u8.npy", npy(padded(ids.astype("u1"), 255)))
        self.put("padded_nan.npy", npy(padded(logits, np.nan)))
        self.put("padded_zero.npy", npy(padded(logits, 0)))
        self.put("padded_constant.npy", npy(padded(logits, -1.25)))
        self.put("padded_pair.npz", npz({"topk_ids": padded(ids, -1), "topk_weights": padded(self.gates[0], 0)}))
        self.put("padded_some.npy", npy(np.concatenate([ids[:60], [[3, -1]], ids[60:]])))
        noise = np.random.RandomState(7).randint(-1024, 1024, (3, 20, EXPERTS)) / 512  # that looks like tokens
        rows = np.concatenate([self.logits[:, :60], noise.astype("<f2"), self.logits[:, 60:]], 1)
        is_token = np.r_[np.ones(60), np.zeros(20), np.ones(36)]
        self.put("masked.safetensors", safetensors({**by_layer(rows, "router_logits"), "attention_mask": is_token.astype("<i8"),
                                                    "is_padding": (1 - is_token).astype("u1"), "short_mask": is_token[1:].astype("u1")}))

    def folders(self):
        logits, ids, gates = self.logits, self.ids.astype("<i4"), self.gates
        for layer in range(3):
            self.put(f"layers/layer_{layer}.npy", npy(logits[layer]))
            self.put(f"other_words/router{layer}.npy", npy(logits[layer]))
        long_ids, long_gates = ids_of(self.long).astype("u1"), gates_of(self.long)
        for rank, tokens in enumerate([slice(0, 250), slice(250, 600)]):
            arrays = {**by_layer(long_ids[:, tokens], "topk_ids"), **by_layer(long_gates[:, tokens], "topk_weights")}
            self.put(f"ranks/trace_ep{rank}.npz", npz(arrays))
            for layer in range(2):
                self.put(f"layers_of_ranks/layer_{layer}_rank_{rank}.npy", npy(long_ids[layer, tokens]))
        for step, part in enumerate(self.steps, 8):  # 8 comes before 10
            self.put(f"steps/iteration_{step}.safetensors", safetensors(by_layer(ids_of(part).astype("u1"), "topk_ids")))
        shards = {"model-00001-of-00002.safetensors": [0, 2], "model-00002-of-00002.safetensors": [1]}
        for file, layers in shards.items():
            self.put(f"sharded/{file}", safetensors({f"layers.{layer}.router_logits": logits[layer] for layer in layers}))
        weight_map = {f"layers.{layer}.router_logits": file for file, layers in shards.items() for layer in layers}
        index = {"metadata": {"total_size": int(logits.nbytes)}, "weight_map": weight_map}
        self.put("sharded/model.safetensors.index.json", json.dumps(index).encode())

    def line_files(self):
        one_each = lines({"token": t, "topk_ids": ids, "topk_weights": gates} for t, (ids, gates) in
                         enumerate(zip(self.ids[0].tolist(), self.gates[0].astype("f8").round(6).tolist())))
        self.put("tokens.jsonl", one_each)
        self.put("tokens.jsonl.gz", gzip.compress(one_each, mtime=0))
        self.put("tokens.jsonl.zst", zst(one_each))
        bounds = [0, 10, 50, 51, 96]
        self.put("ragged.jsonl", lines({"step": s, "layer_id": layer, "topk_ids": self.ids[layer, first:last].tolist()}
                                       for s, (first, last) in enumerate(zip(bounds, bounds[1:])) for layer in range(3)))

    def refused_files(self):
        self.put("torch.pt", zipped({"archive/data.pkl": b"\x80\x02}q\x00.", "archive/version": b"3\n"}))
        self.put("old_torch.pth", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")
        self.put("data.pkl", b"\x80\x04}.")
        self.put("rows.parquet", b"PAR1" + bytes(64) + b"PAR1")


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent / "data"
    writer = Writer(folder, draw_logits(3, 96, 1), draw_logits(2, 600, 2))
    writer.put("plain.npy", npy(writer.logits))
    writer.put("plain_long.npy", npy(writer.long))
    for write in (writer.counts_files, writer.ids_files, writer.pairs_files, writer.logits_files, writer.probabilities_files,
                  writer.padded_files, writer.folders, writer.line_files, writer.refused_files):
        write()


if __name__ == "__main__":
    main()
