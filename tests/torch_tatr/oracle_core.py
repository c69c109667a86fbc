"""round_topk by the oracle (tests/oracle/reference.py), which shares no code with libtatr: slow, on the CPU, with its gradient."""

import types

import numpy as np
import reference


def round_topk(logits, k, strategy, tile, *, scoring="softmax", normalise=True, selection_bias=None, groups=None, seed=0, layer=0):
    import torch
    default = "normalised" if scoring == "sigmoid" and normalise else "score"
    options = {"renormalise": False, "added_gate": default, **({"name": strategy} if isinstance(strategy, str) else strategy)}
    options = {"label": options["name"], "canonical": options["name"], **options}
    router = {"logits": "fp32", "scoring": scoring, "top_k": k, "normalise_gates": normalise}
    if selection_bias is not None:
        router["selection_bias"] = np.asarray(selection_bias, np.float32)
    if groups:
        router["groups"] = groups
    values = logits.detach().float().cpu().numpy()
    routing = reference.route(values, router)
    rounded = reference.round_routing(routing, options, tile, seed, layer)
    offsets = np.concatenate([[0], np.cumsum(rounded.target)])
    token, expert = torch.tensor(rounded.token), torch.tensor(np.repeat(np.arange(values.shape[1]), rounded.target))
    chosen = torch.tensor(routing.chosen.astype(np.int64))
    scores = logits.float().softmax(1) if scoring == "softmax" else logits.float().sigmoid()
    total = scores.gather(1, chosen).sum(1, keepdim=True)
    at = token.clamp(min=0)
    own = (chosen[at] == expert[:, None]).any(1)
    shared = scores[at, expert] / total[at, 0]
    gate = torch.where(own if normalise else torch.zeros_like(own), shared, scores[at, expert])
    if options["added_gate"] == "normalised":
        gate = torch.where(own, gate, shared.clamp(max=1))
    value = torch.tensor(rounded.gate)
    gate = value + (gate - gate.detach()) * (value != 0)  # the oracle's value, the formula's gradient
    return types.SimpleNamespace(token=token, expert=expert, gate=gate, offsets=torch.tensor(offsets), chosen=chosen, gates=torch.tensor(routing.gates))
