"""Where a model's experts are, and what their routers do. Found by structure: a block whose one child holds weights of all experts
in three dimensions, and whose other child weighs the hidden state for each of them and gives logits, weights and choices.

Models of transformers 5 have this form (Mixtral, Qwen, OLMoE, DeepSeek, gpt-oss, Granite …), and so has that of the lab.
"""

import dataclasses
import re

import numpy as np

from .problems import Problem, needed, say
from .router_options import RouterOptions, fit, misses


@dataclasses.dataclass
class Block:
    name: str      # of the router, as the model names it
    layer: int     # decoder layer, where the name tells it; else which block
    router: object
    experts: object
    count: int     # experts
    hidden: int
    intermediate: int
    bias: object   # [count], added to scores when experts are chosen; None: there is none
    groups: tuple | None             # (count, top)
    options: RouterOptions | None = None  # what was found to reproduce its choices
    source: str = "output"           # of logits: what the router gives, or "linear": its input times its weight


def stacked(module):
    """Weights of all experts that a module itself holds."""
    return [weight for weight in module.parameters(recurse=False) if weight.dim() == 3]


def find_blocks(model):
    blocks = []
    for name, module in model.named_modules():
        for experts in module.children():
            weights = stacked(experts)
            count = weights[0].shape[0] if weights else 0
            for child, router in module.named_children():
                weight = getattr(router, "weight", None)
                if count > 1 and router is not experts and weight is not None and weight.dim() == 2 and weight.shape[0] == count:
                    blocks.append(block_of(f"{name}.{child}" if name else child, len(blocks), module, router, experts))
    if not blocks:
        raise Problem("no mixture of experts found in this model: looked for a module that holds its experts' weights in three dimensions "
                      "[experts, …, …] beside a router of weight [experts, hidden], as models of transformers 5 do")
    if len({block.layer for block in blocks}) < len(blocks):
        for number, block in enumerate(blocks):
            block.layer = number
    return blocks


def block_of(name, number, module, router, experts):
    count, hidden = router.weight.shape
    down = min(stacked(experts), key=lambda weight: weight.numel())
    told = re.findall(r"(?:layers|h|blocks)\.(\d+)\.", name)
    return Block(name, int(told[-1]) if told else number, router, experts, count, hidden, down.numel() // (count * hidden),
                 selection_bias(module, router, experts, count), groups_of(router))


def selection_bias(module, router, experts, count):
    """What has a number for each expert and is no part of the product that makes logits: e_score_correction_bias and its like."""
    inside = {id(tensor) for tensor in (*experts.parameters(), *experts.buffers(), router.weight, getattr(router, "bias", None)) if tensor is not None}
    for part in (router, module):
        for tensor_name, tensor in (*part.named_parameters(), *part.named_buffers()):
            if tensor.numel() == count and id(tensor) not in inside and "bias" in tensor_name:
                return tensor
    return None


def groups_of(router):
    count = next((getattr(router, name) for name in ("num_group", "n_group") if getattr(router, name, None)), None)
    top = getattr(router, "topk_group", None)
    if not count or not top or getattr(router, "topk_method", None) == "greedy":
        return None
    return int(count), int(top)


def outputs_of(block, output):
    """Logits (None: not given), weights and chosen experts, as the router returns them in whatever order."""
    logits = weights = chosen = None
    for tensor in output if isinstance(output, (tuple, list)) else [output]:
        if not hasattr(tensor, "dim") or tensor.dim() < 2:
            continue
        tensor = tensor.reshape(-1, tensor.shape[-1])
        if not tensor.is_floating_point():
            chosen = tensor if chosen is None else chosen
        elif tensor.shape[-1] == block.count and logits is None:
            logits = tensor
        else:
            weights = tensor if weights is None else weights
    if weights is None or chosen is None or weights.shape != chosen.shape:
        raise Problem(f"{block.name}: gives {shapes(output)}; expected logits [tokens, {block.count}], weights and experts [tokens, top-k]: "
                      "transformers 5 or later gives them")
    return logits, weights, chosen


def shapes(output):
    parts = output if isinstance(output, (tuple, list)) else [output]
    return ", ".join(f"{str(part.dtype).removeprefix('torch.')} {list(part.shape)}" if hasattr(part, "shape") else type(part).__name__ for part in parts)


def linear_logits(torch, block, hidden):
    weight, bias = block.router.weight, getattr(block.router, "bias", None)
    hidden = hidden.reshape(-1, hidden.shape[-1])
    return torch.nn.functional.linear(hidden.to(weight.dtype), weight, bias)


def logits_from(torch, block, inputs, output):
    given = outputs_of(block, output)[0]
    return given if block.source == "output" and given is not None else linear_logits(torch, block, inputs[0])


def as_numpy(tensor):
    return (tensor.detach().float() if tensor.is_floating_point() else tensor.detach()).cpu().numpy()


def tolerance_of(torch, *tensors):
    """Of weights: a few steps of the coarsest dtype that they went through."""
    return max(1e-3, *(4 * torch.finfo(tensor.dtype).eps for tensor in tensors))


def learn_options(torch, block, inputs, output, real):
    """Sets block.options and block.source: those that give what the router chose for these tokens. `real` picks those that are no padding."""
    given, weights, chosen = outputs_of(block, output)
    bias = None if block.bias is None else as_numpy(block.bias).reshape(-1)
    fewest = len(real)
    for source in ("output", "linear"):
        logits = given if source == "output" else linear_logits(torch, block, inputs[0])
        if logits is None or logits.shape[-1] != block.count:
            continue
        options, missed = fit(as_numpy(logits[real]), as_numpy(chosen[real]), as_numpy(weights[real]), bias=bias, groups=block.groups,
                              tolerance=tolerance_of(torch, logits, weights))
        if options is not None:
            block.options, block.source = options, source
            return
        fewest = min(fewest, missed)
    raise Problem(f"{block.name}: its choices follow no rule that tatr-sim knows (the largest softmax or sigmoid scores, a selection bias, the best "
                  f"groups; weights normalised or not): the nearest rule misses {fewest} of {len(real)} tokens")


def misses_of(torch, block, logits, output, real):
    """Tokens that block.options does not explain; `logits` are of the real ones."""
    _, weights, chosen = outputs_of(block, output)
    return int(misses(as_numpy(logits), block.options, as_numpy(chosen[real]), as_numpy(weights[real]), tolerance_of(torch, logits, weights)).sum())


def learn_all(torch, model, blocks, run, real):
    """One forward pass, `run()`, that tells what every router does."""
    hooks = [block.router.register_forward_hook(
        lambda _, inputs, output, block=block: learn_options(torch, block, inputs, output, real)) for block in blocks]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    silent = [block.name for block in blocks if block.options is None]
    if silent:
        raise Problem(f"{silent[0]}: was not called in a forward pass")


def same_rule(a, b):
    """Whether two layers' options can stand in one config."""
    same_bias = (a.selection_bias is None) == (b.selection_bias is None) and (a.selection_bias is None or np.array_equal(a.selection_bias, b.selection_bias))
    return same_bias and (a.experts, a.top_k, a.scoring, a.normalise, a.groups, a.scale) == (b.experts, b.top_k, b.scoring, b.normalise, b.groups, b.scale)


def choose_layers(blocks, text):
    """Those that --layers names: 0,3-5."""
    if text is None:
        return blocks
    wanted = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not found:
            raise Problem(f"--layers {text}: {part!r} is no layer; allowed: numbers and ranges, as 0,3-5")
        wanted |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
    there = {block.layer for block in blocks}
    if not wanted <= there:
        raise Problem(f"--layers {text}: no experts in layer {min(wanted - there)}; they are in {', '.join(map(str, sorted(there)))}")
    return [block for block in blocks if block.layer in wanted]


def describe(blocks):
    rules = {}
    for block in blocks:
        rules.setdefault(block.options.rule(), []).append(block.layer)
    for rule, layers in rules.items():
        say(f"  {len(layers)} layer{'s' if len(layers) > 1 else ''} ({layers[0]} to {layers[-1]}): {rule}; hidden {blocks[0].hidden}, "
            f"intermediate {blocks[0].intermediate}")
