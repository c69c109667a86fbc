"""Writes what a model's routers saw of a text: logits before softmax or sigmoid, and a config that tatr-sim runs."""

import argparse
import json
import os
import shutil
import tempfile

from . import models
from .problems import Problem, needed, say, write_whole
from .router_options import few
from .routers import choose_layers, describe, find_blocks, learn_all, logits_from, misses_of, same_rule
from .texts import batches_of, pieces_of, read_documents

DTYPES = {"torch.float16": "F16", "torch.bfloat16": "BF16", "torch.float32": "F32"}


def parser():
    parser = argparse.ArgumentParser(prog="torch_tatr capture", description=__doc__, epilog=(
        "A batch is as many sequences as hold GROUP tokens; padding is neither seen nor recorded. The options of the routers are those that "
        "reproduce the model's own choices and weights, token by token; where none do, nothing is written."))
    models.add_options(parser)
    parser.add_argument("--text", required=True, help='a text file, a .jsonl with "text", or a folder of texts')
    parser.add_argument("--out", required=True, metavar="FOLDER", help="made here: trace.safetensors and config.json; must not exist")
    parser.add_argument("--tokens", type=models.positive, default=16384, help="tokens to record at most (16384); whole groups are recorded")
    parser.add_argument("--group", type=models.positive, default=4096, help="tokens that are routed and rounded together (4096)")
    parser.add_argument("--layers", metavar="0,3-5", help="record these alone")
    return parser


def main(argv):
    arguments = parser().parse_args(argv)
    torch = needed("torch", "capture")
    if os.path.exists(arguments.out):
        raise Problem(f"{arguments.out}: is there already; name a folder that is not")
    documents = read_documents(arguments.text)
    model, encode = models.load(arguments)
    blocks = choose_layers(find_blocks(model), arguments.layers)
    pieces = pieces_of([encode(text) for text in documents], arguments.length)
    there = sum(len(piece.tokens) for piece in pieces)
    group = min(arguments.group, arguments.tokens, there)
    batches = list(batches_of(pieces, group))[:arguments.tokens // group]
    record = record_of(torch, model, blocks, batches)
    describe(blocks)
    write_folder(arguments.out, blocks, record, configs_of(arguments, blocks, group, len(batches)))
    recorded = group * len(batches)
    say(f"{arguments.out}: {recorded} tokens in {len(batches)} group{'s' if len(batches) > 1 else ''} of {group}, {len(blocks)} layers")
    say(f"next: tatr-sim run {arguments.out}/config{'.layer_*' if len(config_groups(blocks)) > 1 else ''}.json --set /layer=null")
    return 0


def record_of(torch, model, blocks, batches, autocast=False):
    """Logits of each layer [tokens, experts], tokens in the order of the text; every choice of the model's is checked against block.options."""
    device = next(model.parameters()).device
    rows = {block.layer: [] for block in blocks}
    real = None

    def keep(block, inputs, output):
        logits = logits_from(torch, block, inputs, output)[real].detach()
        missed = misses_of(torch, block, logits, output, real)
        if missed > few(len(real)):
            raise Problem(f"{block.name}: {missed} of {len(real)} tokens did not choose by the rule that all before did: {block.options.rule()}")
        rows[block.layer].append(logits.cpu())

    hooks = []
    try:
        with models.evaluating(torch, device, autocast):
            for number, batch in enumerate(batches):
                ids, mask = models.padded(torch, batch, device)
                real = mask.flatten().nonzero().flatten()
                if not hooks:
                    learn_all(torch, model, blocks, lambda: models.logits_of(model, ids, mask), real)
                    hooks = [block.router.register_forward_hook(lambda _, inputs, output, block=block: keep(block, inputs, output)) for block in blocks]
                models.logits_of(model, ids, mask)
                say(f"  batch {number + 1} of {len(batches)}")
    finally:
        for hook in hooks:
            hook.remove()
    return {layer: torch.cat(parts) for layer, parts in rows.items()}


def config_groups(blocks):
    """Blocks by the rule of their router: a config has one for all its layers."""
    groups = []
    for block in blocks:
        for group in groups:
            if same_rule(group[0].options, block.options) and (group[0].hidden, group[0].intermediate) == (block.hidden, block.intermediate):
                group.append(block)
                break
        else:
            groups.append([block])
    return groups


def eighth(width):
    return max(8, width // 8 * 8)


def layer_of(block):
    """The expert layer, and a smaller one for a CPU; None where widths are no multiples of 8, as tatr-sim wants them."""
    if block.hidden % 8 or block.intermediate % 8:
        return None
    smaller = max(1.0, block.hidden / 256)
    return {"hidden": block.hidden, "intermediate": block.intermediate,
            "cpu": {"hidden": eighth(int(block.hidden / smaller)), "intermediate": eighth(int(block.intermediate / smaller))}}


def configs_of(arguments, blocks, group, count, name=None):
    """File name to config: one, or where layers' routers differ (each has its own selection bias) one a layer."""
    found, groups = {}, config_groups(blocks)
    name = name or models.name_of(arguments.model)
    for members in groups:
        options = members[0].options
        number = f"{members[0].layer:02d}"
        tensors = [f"layers.{block.layer}.router_logits" for block in members]
        scaled = f" Gates are multiplied by {options.scale:g} in the model, which is left out." if options.scale != 1 else ""
        alone = len(groups) > 1
        found[f"config.layer_{number}.json" if alone else "config.json"] = {
            "name": (f"{name} layer {members[0].layer}" if alone else name)[:100],
            "description": f"Router logits of {name}{' with random weights' if getattr(arguments, 'random', False) else ''}, recorded by torch_tatr "
                           f"capture. {options.rule()}.{scaled}",
            "seed": 1,
            "router": {"tokens": group, **({"batches": "all"} if count > 1 else {}), **options.router(),
                       "source": {"kind": "trace", "file": "trace.safetensors", "values": "logits",
                                  "tensor": tensors if alone else "layers.*.router_logits"}},
            "tile": 128,
            "strategies": ["none", "down", "nearest", "budget", {"name": "budget", "tiles": {"of_nearest": 0.5}, "label": "half"}],
            "layer": layer_of(members[0]),
            "measure": {"samples": 10},
        }
    return found


def safetensors(record):
    """Bytes of a file, part by part."""
    header, offset = {}, 0
    for layer, logits in record.items():
        size = logits.numel() * logits.element_size()
        header[f"layers.{layer}.router_logits"] = {"dtype": DTYPES[str(logits.dtype)], "shape": list(logits.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for logits in record.values():
        yield bytes_of(logits)


def bytes_of(logits):
    """NumPy has no bf16: as bytes."""
    torch = needed("torch", "capture")
    return logits.contiguous().view(torch.uint8).numpy().tobytes()


def write_folder(out, blocks, record, configs):
    """All of it, or nothing: made beside and renamed."""
    parent = os.path.dirname(os.path.abspath(out))
    try:
        os.makedirs(parent, exist_ok=True)
        beside = tempfile.mkdtemp(prefix=os.path.basename(out) + ".", suffix=".part", dir=parent)
    except OSError as error:
        raise Problem(f"{out}: cannot be written: {error.strerror}", 3) from None
    try:
        write_whole(os.path.join(beside, "trace.safetensors"), safetensors(record))
        for name, config in configs.items():
            write_whole(os.path.join(beside, name), json.dumps(config, indent=2) + "\n")
        os.chmod(beside, 0o755)
        os.rename(beside, out)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, OSError):
            raise Problem(f"{out}: cannot be written: {error.strerror}", 3) from None
        raise
