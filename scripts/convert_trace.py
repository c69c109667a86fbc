#!/usr/bin/env python3
"""Makes safetensors, which tatr-sim reads, of what PyTorch or a Parquet writer left of a router.

    scripts/convert_trace.py router.pt trace.safetensors
    scripts/convert_trace.py expert_distribution_recorder_*.pt counts.safetensors
    scripts/convert_trace.py --list rows.parquet

.pt, .pth (needs torch; read with weights_only=True, which runs no code of the file): tensors in dicts and lists get their keys,
joined by dots, for a name; what is no tensor is left out. A list or tuple of tensors, alone or called router_logits, as Hugging Face's
models give it, is layers.0.router_logits and so on. The records of SGLang's recorder in mode per_token become layers.N.topk_ids, its passes one
after the other, without the columns that it has too many and without the layers that have no experts.
.parquet (needs pyarrow): a column of numbers is [rows], one of lists of one length [rows, length]; others are left out.
A plain pickle is refused: to read one is to run it.

Tensors of one name in several files are joined along their tokens (counts of SGLang: steps), in the order of the files.

Exit codes: 0 done; 2 usage, or a file that cannot be converted; 3 a package is missing, or OUT cannot be written.
"""

import argparse
import json
import os
import sys

DTYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "int8": "I8", "uint8": "U8", "int16": "I16",
          "uint16": "U16", "int32": "I32", "uint32": "U32", "int64": "I64", "uint64": "U64", "bool": "BOOL"}


def fail(code, message):
    print(f"convert_trace.py: error: {message}", file=sys.stderr)
    sys.exit(code)


def needed(package, path):
    try:
        return __import__(package, fromlist=["_"])
    except ImportError as error:
        fail(3, f"{path}: {error}; pip install {package.split('.')[0]}")


class Tensor:
    """In C order."""

    def __init__(self, dtype, shape, data):
        self.dtype, self.shape, self.data = dtype, list(shape), data


# ---- PyTorch

def read_torch(path):
    torch = needed("torch", path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        fail(2, f"{path}: torch.load(weights_only=True) refuses it: {str(error).splitlines()[0]}")
    if isinstance(content, dict) and isinstance(content.get("records"), list):
        found = layers_of_records(torch, path, content["records"])
    else:
        found = dict(flat(torch, content, []))
    return {name: of_torch(torch, path, name, tensor) for name, tensor in found.items()}


def flat(torch, value, keys):
    if isinstance(value, torch.Tensor):
        if value.dim() > 0:  # a loss and the like is no record
            yield ".".join(keys) or "tensor", value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from flat(torch, part, [*keys, str(key)])
    elif isinstance(value, (list, tuple)):
        of_layers = keys[-1:] in ([], ["router_logits"]) and all(part is None or isinstance(part, torch.Tensor) for part in value)
        for i, part in enumerate(value):
            yield from flat(torch, part, [*keys[:-1], "layers", str(i), "router_logits"] if of_layers else [*keys, str(i)])


def layers_of_records(torch, path, records):
    """SGLang, per_token: each pass has [layers, tokens, 8] ids, -1 where there are none. per_pass: counts alone."""
    if records and all("topk_ids_of_layer" in record for record in records):
        ids = torch.cat([record["topk_ids_of_layer"] for record in records], 1)
        ids = ids[:, :, (ids != -1).any(0).any(0)]
        return {f"layers.{layer}.topk_ids": part for layer, part in enumerate(ids) if (part != -1).any()}
    if records and all("global_physical_count" in record for record in records):
        return {"physical_count": torch.stack([record["global_physical_count"] for record in records])}
    fail(2, f"{path}: records without topk_ids_of_layer or global_physical_count, which SGLang's recorder writes")


def of_torch(torch, path, name, tensor):
    dtype = DTYPES.get(str(tensor.dtype).removeprefix("torch."))
    if dtype is None or tensor.layout != torch.strided:
        fail(2, f"{path}: {name}: a tensor of {tensor.dtype}, {tensor.layout}; allowed: dense ones of {', '.join(DTYPES)}")
    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return Tensor(dtype, tensor.shape, data)


# ---- Parquet

def read_parquet(path):
    parquet = needed("pyarrow.parquet", path)
    try:
        table = parquet.read_table(path)
    except Exception as error:
        fail(2, f"{path}: {str(error).splitlines()[0]}")
    tensors = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        shape, parts = [len(column)], column
        while hasattr(parts, "value_lengths"):  # lists
            lengths = parts.value_lengths().unique()
            if parts.null_count or len(lengths) != 1:
                fail(2, f"{path}: column {name}: lists of {len(lengths)} lengths; allowed: one length")
            shape.append(lengths[0].as_py())
            parts = parts.flatten()
        dtype = DTYPES.get({"float": "float32", "double": "float64", "halffloat": "float16"}.get(str(parts.type), str(parts.type)))
        if dtype is None or dtype == "BOOL":
            continue
        if parts.null_count:
            fail(2, f"{path}: column {name}: {parts.null_count} values are missing")
        tensors[name] = Tensor(dtype, shape, parts.to_numpy(zero_copy_only=False).tobytes())
    return tensors


# ---- Files

def read(path):
    try:
        with open(path, "rb") as file:
            start = file.read(10)
    except OSError as error:
        fail(2, f"{path}: {error.strerror}")
    if start.startswith(b"PAR1"):
        return read_parquet(path)
    if start.startswith(b"PK") or start == b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20":
        return read_torch(path)
    if start[:1] == b"\x80":
        fail(2, f"{path}: is a pickle, and to read one is to run it; save tensors with torch.save or numpy.save where it was made")
    fail(2, f"{path}: is neither of PyTorch (.pt, .pth) nor Parquet")


def join(tensors, more, path):
    """Adds what `more` holds behind what is there."""
    for name, tensor in more.items():
        before = tensors.setdefault(name, tensor)
        if before is tensor:
            continue
        along_first = len(tensor.shape) <= 2 or name in ("logical_count", "physical_count")
        if not along_first or (before.dtype, before.shape[1:]) != (tensor.dtype, tensor.shape[1:]):
            fail(2, f"{path}: {name}: {tensor.dtype} {tensor.shape} does not continue {before.dtype} {before.shape} of a file before;"
                    " convert each file alone")
        tensors[name] = Tensor(tensor.dtype, [before.shape[0] + tensor.shape[0], *tensor.shape[1:]], before.data + tensor.data)


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [offset, offset + len(tensor.data)]}
        offset += len(tensor.data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".part", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.data)
    os.replace(path + ".part", path)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="IN… and OUT.safetensors; with --list IN… alone")
    parser.add_argument("--list", action="store_true", help="print names, types and shapes, and write nothing")
    arguments = parser.parse_args(argv)
    out = None if arguments.list else arguments.files.pop()
    if out is not None and (not arguments.files or not out.endswith(".safetensors")):
        fail(2, f"{out}: the last file is to be written; allowed: IN… OUT.safetensors")
    tensors = {}
    for path in arguments.files:
        join(tensors, read(path), path)
    if not tensors:
        fail(2, f"{arguments.files[0]}: no tensors in it")
    for name, tensor in tensors.items():
        if arguments.list:
            print(f"{name}  {tensor.dtype}  {tensor.shape}")
    if out is not None:
        try:
            write_safetensors(out, tensors)
        except OSError as error:
            fail(3, f"{out}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
