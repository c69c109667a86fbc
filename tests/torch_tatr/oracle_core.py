"""round_topk by the oracle (tests/oracle/reference.py), which shares no code with libtatr."""

import types

import numpy as np
import reference


def round_topk(logits, k, strategy, tile, *, scoring="softmax", normalise=True):
    import torch
    default = "normalised" if scoring == "sigmoid" and normalise else "score"
    options = {"renormalise": False, "added_gate": default, "label": "", "canonical": "", "name": strategy}
    routing = reference.route(logits.detach().float().numpy(), {"logits": "fp32", "scoring": scoring, "top_k": k, "normalise_gates": normalise})
    rounded = reference.round_routing(routing, options, tile, 0, 0)
    expert = np.repeat(np.arange(logits.shape[1]), rounded.target)
    return types.SimpleNamespace(token=torch.tensor(rounded.token), expert=torch.tensor(expert), gate=torch.tensor(rounded.gate))
