"""Rounding inside a model's own forward pass: each block's experts compute the rows that rounding decided, with the gates that it
gave them, in place of those that the router chose. Works in training too: gradients reach the router by the gates.
"""

import functools

from .problems import Problem, needed
from .routers import logits_from

METRICS = ("dropped_gate_mass", "mean_square_dropped_mass", "mean_cube_dropped_mass", "added_share", "dropped_share", "rows", "tiles",
           "starved_experts", "tokens_without_expert")


def core():
    """round_topk of this package; what libtatr refuses becomes a Problem."""
    from torch_tatr import LibraryError, round_topk

    def rounding(*arguments, **options):
        try:
            return round_topk(*arguments, **options)
        except (LibraryError, ValueError) as error:
            raise Problem(str(error), 3 if "not there" in str(error) else 2) from None
    numpy = needed("numpy", "rounding")
    rounding(numpy.zeros((8, 2), numpy.float32), 1)  # told before any work: that libtatr is not there
    return rounding


class RoundedForward:
    """While entered, the blocks run with `strategy` at `tile`; None: as the model is. What is real of a batch's positions must be told
    before each forward pass: all of it is one group of tokens.

    with RoundedForward(torch, blocks) as rounded:
        rounded.begin("nearest", 128)
        rounded.group(mask)
        model(…)
        rounded.metrics     # of each block, of this pass: METRICS
    """

    def __init__(self, torch, blocks, seed=0, round_topk=None):
        self.torch, self.blocks, self.seed = torch, blocks, seed
        self.round_topk = round_topk or core()
        self.strategy, self.tile, self.real, self.metrics, self.logits = None, None, None, {}, {}
        self.wants_metrics = True

    def __enter__(self):
        self.hooks = [block.router.register_forward_hook(functools.partial(self.keep, block)) for block in self.blocks]
        self.before = []
        for number, block in enumerate(self.blocks):
            own = block.experts.forward
            self.before.append(vars(block.experts).get("forward"))  # another's patch, if there is one
            block.experts.forward = functools.partial(self.run, block, number, own)
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()
        for block, before in zip(self.blocks, self.before):
            del block.experts.forward  # the class's own is behind it
            if before is not None:
                block.experts.forward = before

    def begin(self, strategy, tile, seed=None):
        self.strategy, self.tile = strategy, tile
        self.seed = self.seed if seed is None else seed

    def group(self, mask):
        """Positions [sequences, length] that are real (non-zero) in the pass to come."""
        self.real = mask.flatten().nonzero().flatten()
        self.positions, self.metrics = mask.numel(), {}

    def check(self):
        """After a pass: that every block ran its experts here. A fused kernel would pass them by."""
        missing = [block.name for number, block in enumerate(self.blocks) if number not in self.metrics]
        if missing:
            raise Problem(f"{missing[0]}: its experts did not run where they can be given other rows (a fused kernel?)")

    def keep(self, block, _, inputs, output):
        if self.strategy is not None:
            self.logits[id(block)] = logits_from(self.torch, block, inputs, output)

    def run(self, block, number, own, hidden, chosen, weights):
        if self.strategy is None:
            return own(hidden, chosen, weights)
        torch, options = self.torch, block.options
        logits = self.logits.pop(id(block))
        if logits.shape[0] != self.positions or hidden.shape[0] != self.positions:
            raise Problem(f"{block.name}: routes {logits.shape[0]} positions of {self.positions}")
        bias = None if options.selection_bias is None else options.selection_bias.tolist()
        r = self.round_topk(logits[self.real], options.top_k, self.strategy, self.tile, scoring=options.scoring, normalise=options.normalise,
                            selection_bias=bias, groups=options.groups, seed=self.seed, layer=number)
        self.metrics[number] = metrics_of(torch, r, options.experts, self.tile) if self.wants_metrics else None
        useful = (r.token >= 0).nonzero().flatten()  # no pads: they add nothing
        token, expert = self.real[r.token[useful].long()], r.expert[useful].long()
        gate = (r.gate[useful] * options.scale).to(weights.dtype)
        out = torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device)
        if len(token):
            rows = own(hidden[token], expert[:, None], gate[:, None])
            out = out.index_add(0, token, rows.float())
        return out.to(hidden.dtype)


def metrics_of(torch, r, experts, tile):
    """What this rounding did to one layer's group, as docs/figures.md defines it; sums in fp64."""
    tokens, top_k = r.chosen.shape
    chosen, device = r.chosen.long(), r.chosen.device
    useful = r.token >= 0
    token, expert = r.token[useful].long(), r.expert[useful].long()
    present = torch.zeros(tokens, experts, dtype=torch.bool, device=device)
    present[token, expert] = True
    own = torch.zeros_like(present).scatter_(1, chosen, True)
    kept = present.gather(1, chosen)
    lost = (r.gates.detach().double() * ~kept).sum(1)
    counts = torch.bincount(chosen.flatten(), minlength=experts)
    rows = r.offsets.long().diff()
    return {
        "dropped_gate_mass": float(lost.mean()),
        "mean_square_dropped_mass": float((lost ** 2).mean()),
        "mean_cube_dropped_mass": float((lost ** 3).mean()),
        "added_share": float((present & ~own).sum()) / (tokens * top_k),
        "dropped_share": float((~kept).sum()) / (tokens * top_k),
        "rows": int(rows.sum()),
        "tiles": int((-(-rows // tile)).sum()),
        "starved_experts": int(((counts > 0) & (rows == 0)).sum()),
        "tokens_without_expert": int((~present.any(1)).sum()),
    }
