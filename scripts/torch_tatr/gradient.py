"""The gradient of gates towards logits. What was chosen is taken as it is."""

import torch

from .rounding import Rounded, _compute
from .settings import added_gate


def rounded_with_gradient(call):
    names = []
    values = _Gates.apply(call.arrays.logits, call, names)
    return Rounded(**dict(zip(names, values)))


class _Gates(torch.autograd.Function):
    """Forward: all that libtatr gives. Backward: the gates once more, as expressions of the logits, on the rows that it gave."""

    @staticmethod
    def forward(ctx, logits, call, names):
        made = _compute(call)
        names.extend(made)
        ctx.names, ctx.options = list(made), call.options
        ctx.mark_non_differentiable(*(value for name, value in made.items() if name not in ("gate", "gates")))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(logits, *(made[name] for name in ("chosen", "token", "expert", "gate")))
        return tuple(made.values())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *gradients):
        logits, chosen, token, expert, gate = ctx.saved_tensors
        given = [(name, gradient) for name, gradient in zip(ctx.names, gradients) if name in ("gate", "gates") and gradient is not None]
        if not given:
            return None, None, None
        with torch.enable_grad():
            own = logits.detach().float().requires_grad_()
            made = dict(zip(("gates", "gate"), gates_of(own, chosen, token, expert, gate != 0, ctx.options)))
            (gradient,) = torch.autograd.grad([made[name] for name, _ in given], own, [gradient for _, gradient in given])
        return gradient.to(logits.dtype), None, None


def gates_of(logits, chosen, token, expert, weighs, options):
    """Gates of the chosen [T, k] and of rows [R], as docs/figures.md and docs/strategies.md define them. `weighs` [R]: not of padding or duplicates."""
    router, strategy = options["router"], options["strategy"]
    most = torch.finfo(torch.float32).max
    logits = logits.clamp(-most, most)  # as forward takes infinities
    scores = torch.sigmoid(logits) if router["scoring"] == "sigmoid" else torch.softmax(logits, dim=1)
    own = scores.gather(1, chosen.long())
    total = own.sum(dim=1, keepdim=True)
    total = torch.where(total > 0, total, 1)  # before dividing: a branch not taken still has its gradient
    normalise = router["normalise_gates"]
    gates = own / total if normalise else own
    token, expert = token.long().clamp(min=0), expert.long().clamp(min=0)
    score = scores[token, expert]
    gate = score
    if normalise:
        is_own = (chosen[token] == expert.unsqueeze(1)).any(dim=1)
        shared = (score / total[token, 0]).clamp(max=1)
        gate = torch.where(is_own | (added_gate(strategy, router["scoring"], normalise) == "normalised"), shared, score)
    gate = torch.where(weighs, gate, 0)
    if strategy.get("renormalise"):
        after = torch.zeros(len(logits), dtype=gate.dtype, device=gate.device).index_add(0, token, gate)
        gate = gate * (gates.sum(dim=1) / torch.where(after > 0, after, 1))[token]
    return gates, gate
