"""Measures a model's perplexity on a text, plain and with its routers rounded, and writes what scripts/calibrate.py fits."""

import argparse
import json
import math

from . import models, settings
from .problems import Problem, check_writable, needed, say, write_whole
from .forward import METRICS, RoundedForward, core
from .routers import describe, find_blocks, learn_all
from .texts import batches_of, interleaved, pieces_of, read_documents


def parser():
    parser = argparse.ArgumentParser(prog="torch_tatr perplexity", description=__doc__, epilog=(
        "A forward pass holds one group: sequences of exactly so many tokens, which are routed and rounded together in every layer. Changes are "
        "paired, of the same tokens plain and rounded; their intervals come from drawing documents (of one text alone: sequences)."))
    models.add_options(parser)
    parser.add_argument("--text", required=True, help='a text file, a .jsonl with "text", or a folder of texts; each a document')
    parser.add_argument("--strategies", default="down,nearest,budget", metavar="LIST",
                        help="names and JSON objects as in an experiment's strategies, with commas between them (down,nearest,budget)")
    parser.add_argument("--tiles", default="64,128,256", metavar="LIST", help="rows of a tile (64,128,256)")
    parser.add_argument("--groups", default="4096", metavar="LIST", help="tokens that are routed and rounded together (4096)")
    parser.add_argument("--probe", action="store_true", help="measure one setting alone, down at tile 128 in groups that give an expert 256 tokens on average: "
                        "scripts/calibrate.py --probe FILE makes a calibration of it")
    parser.add_argument("--tokens", type=models.positive, default=131072, help="tokens of the text to use at most (131072)")
    parser.add_argument("--out", required=True, metavar="FILE", help="measurements: scripts/calibrate.py FILE fits them")
    return parser


def main(argv):
    arguments = parser().parse_args(argv)
    chosen = settings.strategies(arguments.strategies)
    tiles = settings.integers(arguments.tiles, "--tiles", 8, 1024, 8)
    groups = settings.integers(arguments.groups, "--groups", 1, 1 << 20)
    check_writable(arguments.out)
    torch = needed("torch", "perplexity")
    core()
    documents = read_documents(arguments.text)
    model, encode = models.load(arguments)
    blocks = find_blocks(model)
    if arguments.probe:
        chosen, tiles, groups = [{"name": "down"}], [PROBE_TILE], [probe_group(blocks, model)]
    pieces = interleaved(pieces_of([encode(text) for text in documents], arguments.length))
    rows, plain = measure(torch, model, blocks, pieces, chosen, tiles, groups, arguments.tokens, arguments.seed)
    document = {
        "about": f"ln(perplexity) of {models.name_of(arguments.model)}{' with random weights' if arguments.random else ''} on {arguments.text}, rounded "
                 "at evaluation by torch_tatr perplexity, less that with plain top-k; [low, high]: 95 % over documents. layers: means over groups.",
        "model": models.name_of(arguments.model),
        "machine": models.machine(torch, next(model.parameters()).device),
        "router": [block.options.rule() for block in blocks],
        "plain": plain,
        "covers": settings.covers(chosen, [block.options for block in blocks]),
        "rows": rows,
    }
    write_whole(arguments.out, json.dumps(document, indent=1) + "\n")
    say(table(plain, rows))
    say(f"{arguments.out}: {len(rows)} measurement{'s' if len(rows) > 1 else ''}; next: scripts/calibrate.py {'--probe ' if arguments.probe else ''}"
        f"{arguments.out} --name MODEL --output MODEL.calibration.json")
    return 0


PROBE_TILE, PROBE_TOKENS = 128, 256


def probe_group(blocks, model):
    """Tokens of a group in which an expert gets PROBE_TOKENS on average."""
    config = model.config.get_text_config()
    top_k = getattr(config, "num_experts_per_tok", None) or getattr(blocks[0].router, "top_k", None)
    if not top_k:
        raise Problem(f"--probe: {blocks[0].name} does not tell how many experts a token goes to; give --strategies down --tiles {PROBE_TILE} and --groups")
    return -(-PROBE_TOKENS * blocks[0].count // top_k)


def measure(torch, model, blocks, pieces, chosen, tiles, groups, tokens, seed, autocast=False, round_topk=None, tell=say):
    """Rows of changes and metrics for every group size, strategy and tile; and plain figures of each group size."""
    from . import intervals
    rows, plain = [], []
    there = sum(len(piece.tokens) for piece in pieces)
    for group in groups:
        if group > min(there, tokens):
            raise Problem(f"--groups {group}: the text has {there} tokens, and --tokens takes {tokens}: no whole group")
    for group in groups:
        batches = list(batches_of(pieces, group))[:tokens // group]
        run = Evaluation(torch, model, blocks, batches, seed, autocast, round_topk)
        base, _ = run.losses("none", tiles[0])
        documents = [piece.document for batch in batches for piece in batch]
        counted = [len(piece.tokens) - 1 for batch in batches for piece in batch]
        total = sum(counted)
        if total < 1:
            raise Problem(f"--groups {group}: sequences of one token predict nothing")
        if not math.isfinite(sum(base)):
            raise Problem("the model's plain perplexity is no finite number; --dtype float32 or bfloat16 may help")
        plain.append({"tokens": group, "groups": len(batches), "predicted_tokens": total, "documents": len(set(documents)),
                      "log_perplexity": sum(base) / total, "perplexity": math.exp(sum(base) / total),
                      "log_perplexity_unpatched": sum(run.unpatched) / total})
        off = abs(sum(base) - sum(run.unpatched)) / total
        if off > 2e-3:
            tell(f"  note: run through torch_tatr's dispatch, plain top-k changes ln(perplexity) by {off:.4f}: rounding of {next(model.parameters()).dtype}")
        for strategy in chosen:
            for tile in tiles:
                losses, layers = run.losses(settings.options_of(strategy), tile)
                if not math.isfinite(sum(losses)):
                    raise Problem(f"groups of {group}, tile {tile}, {settings.label(strategy)}: the perplexity is no finite number")
                found = intervals.changes(documents, base, losses, counted)
                rows.append({"tokens": group, "tile": tile, "strategy": settings.label(strategy), "options": strategy,
                             "log_perplexity_change": found["value"], "low": found["low"], "high": found["high"], "layers": layers})
                tell(f"  groups of {group}, tile {tile}, {settings.label(strategy)}: {percent(found['value'])}")
    return rows, plain


class Evaluation:
    """Losses of the same batches, under one setting after the other."""

    def __init__(self, torch, model, blocks, batches, seed, autocast, round_topk=None):
        self.torch, self.model, self.blocks, self.batches, self.seed = torch, model, blocks, batches, seed
        self.autocast, self.round_topk = autocast, round_topk
        self.device = next(model.parameters()).device
        self.unpatched = []
        with models.evaluating(torch, self.device, autocast):
            for number, batch in enumerate(batches):
                ids, mask = models.padded(torch, batch, self.device)
                forward = lambda: self.unpatched.extend(losses_of(torch, models.logits_of(model, ids, mask), ids, batch))
                if number == 0 and any(block.options is None for block in blocks):
                    learn_all(torch, model, blocks, forward, mask.flatten().nonzero().flatten())
                    describe(blocks)
                else:
                    forward()

    def losses(self, strategy, tile):
        """Sum of -ln p over each piece's tokens, and each layer's metrics, means over groups."""
        torch, found, sums = self.torch, [], [dict.fromkeys(METRICS, 0.0) for _ in self.blocks]
        with models.evaluating(torch, self.device, self.autocast), RoundedForward(torch, self.blocks, self.seed, self.round_topk) as rounded:
            for number, batch in enumerate(self.batches):
                rounded.begin(strategy, tile, self.seed + (number if settings.draws(strategy) else 0))
                ids, mask = models.padded(torch, batch, self.device)
                rounded.group(mask)
                found += losses_of(torch, models.logits_of(self.model, ids, mask), ids, batch)
                rounded.check()
                for layer, metrics in rounded.metrics.items():
                    for name, value in metrics.items():
                        sums[layer][name] += value
        return found, [{name: float(f"{value / len(self.batches):.9g}") for name, value in layer.items()} for layer in sums]


def losses_of(torch, logits, ids, batch):
    """Of each piece, -ln p summed over all tokens but its first; one piece at a time, for the sake of memory."""
    sums = []
    for row, piece in enumerate(batch):
        count = len(piece.tokens)
        sums.append(torch.nn.functional.cross_entropy(logits[row, :count - 1].float(), ids[row, 1:count], reduction="sum") if count > 1
                    else torch.zeros((), device=ids.device))
    return torch.stack(sums).double().tolist()


def percent(log_change):
    return f"{math.expm1(log_change):+.3%}" if log_change < 20 else "ruined"


def table(plain, rows):
    lines = [f"plain, groups of {entry['tokens']}: perplexity {entry['perplexity']:.4f} over {entry['predicted_tokens']} tokens of "
             f"{entry['documents']} documents" for entry in plain]
    lines.append(f"{'strategy':24}{'group':>8}{'tile':>6}{'perplexity':>13}   95 % interval")
    for row in rows:
        interval = "" if row["low"] is None else f"[{percent(row['low'])}, {percent(row['high'])}]"
        lines.append(f"{row['strategy'][:23]:24}{row['tokens']:8}{row['tile']:6}{percent(row['log_perplexity_change']):>13}   {interval}")
    return "\n".join(lines)
