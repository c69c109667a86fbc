"""What a router does with its logits, as tatr-sim's options say it (docs/figures.md, "Routing"), and whether a model's own choices
follow them. NumPy alone.

A model's options are not taken from its name. Those that its module and config declare are tried on what it chose, and are
only used where they give the same experts and weights: `fit`.
"""

import dataclasses
import itertools

import numpy as np


@dataclasses.dataclass
class RouterOptions:
    experts: int
    top_k: int
    scoring: str = "softmax"
    normalise: bool = True
    selection_bias: np.ndarray | None = None  # [experts]
    groups: dict | None = None                # {"count": …, "top": …, "group_score": …}
    scale: float = 1.0                        # what the model multiplies its gates by; no option of tatr-sim

    def router(self):
        """These options as keys of an experiment's `router`."""
        keys = {"top_k": self.top_k, "scoring": self.scoring, "normalise_gates": self.normalise}
        if self.selection_bias is not None:
            keys["selection_bias"] = [float(f"{bias:.9g}") for bias in self.selection_bias]
        return keys | ({"groups": self.groups} if self.groups else {})

    def rule(self):
        """In words."""
        words = [f"{self.scoring}, top-{self.top_k} of {self.experts}", "normalised" if self.normalise else "not normalised"]
        if self.selection_bias is not None:
            words.append("a selection bias")
        if self.groups:
            words.append(f"the best {self.groups['top']} of {self.groups['count']} groups")
        return ", ".join(words + ([f"times {self.scale:g}"] if self.scale != 1 else []))


def scores(logits, scoring):
    logits = logits.astype(np.float32)
    if scoring == "sigmoid":
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def best(values, count):
    """Columns of the largest; of equal values the lower column."""
    return np.argsort(-values, axis=1, kind="stable")[:, :count]


def selection_values(p, options):
    """What experts are chosen by: p plus bias, and nothing outside the best groups."""
    value = p if options.selection_bias is None else p + options.selection_bias.astype(np.float32)
    if options.groups:
        count = options.groups["count"]
        within = -np.sort(-value.reshape(len(value), count, -1), axis=2)
        pairs = within.shape[2] > 1 and options.groups.get("group_score", "top2_sum") == "top2_sum"
        of_group = within[:, :, 0] + within[:, :, 1] if pairs else within[:, :, 0]
        allowed = np.zeros(of_group.shape, bool)
        np.put_along_axis(allowed, best(of_group, options.groups["top"]), True, axis=1)
        value = np.where(np.repeat(allowed, options.experts // count, axis=1), value, -np.inf)
    return value


def route(logits, options):
    """Chosen experts [tokens, top_k], best first, and their gates, the scale left out."""
    p = scores(logits, options.scoring)
    chosen = best(selection_values(p, options), options.top_k)
    gates = np.take_along_axis(p, chosen, axis=1)
    return chosen, gates / gates.sum(1, keepdims=True) if options.normalise else gates


def misses(logits, options, chosen, weights, tolerance):
    """Tokens [tokens] whose experts or weights the options do not give. Experts of equal value may stand for each other: a model's top-k
    breaks ties as it likes."""
    p = scores(logits, options.scoring)
    value = selection_values(p, options)
    ours = np.take_along_axis(value, best(value, options.top_k), axis=1)
    theirs = -np.sort(-np.take_along_axis(value, chosen, axis=1), axis=1)
    with np.errstate(invalid="ignore"):
        wrong = (np.abs(ours - theirs) > 1e-6 * np.maximum(1, np.abs(ours))).any(1) | ~np.isfinite(theirs).all(1)
    gates = np.take_along_axis(p, chosen, axis=1)
    if options.normalise:
        gates = gates / gates.sum(1, keepdims=True)
    off = np.abs(gates * options.scale - weights) > tolerance * np.maximum(np.abs(weights), weights.max(1, keepdims=True) / 16)
    return wrong | off.any(1)


def few(tokens):
    """Tokens that may miss: values, and those of groups, that are equal but for the last bits of another exp choose either way."""
    return max(1, tokens // 1000)


def scale_of(logits, options, chosen, weights):
    """What weights are a multiple of the gates by, of most tokens; 1 where it is near."""
    gates = np.take_along_axis(scores(logits, options.scoring), chosen, axis=1).sum(1, dtype=np.float64)
    total = np.ones(len(gates)) if options.normalise else np.maximum(gates, 1e-30)
    ratio = float(np.median(weights.sum(1, dtype=np.float64) / total))
    rounded = float(f"{ratio:.3g}")  # routed_scaling_factor is 2.5, 16.0, 1.826 …
    near = rounded if abs(ratio - rounded) < 1e-3 * rounded else ratio
    return 1.0 if abs(ratio - 1) < 2e-3 else near


def candidates(experts, top_k, bias, groups):
    """Options to try, the likelier first: with what the module declares before without it."""
    with_bias = [bias, None] if bias is not None and np.any(bias != 0) else [None]
    grouped = [None]
    if groups is not None and groups[0] > 1 and experts % groups[0] == 0 and groups[1] < groups[0]:
        grouped = [{"count": groups[0], "top": groups[1], "group_score": how} for how in ("top2_sum", "max")] + [None]
    for b, g, scoring, normalise in itertools.product(with_bias, grouped, ("softmax", "sigmoid"), (True, False)):
        yield RouterOptions(experts, top_k, scoring, normalise, b, g)


def fit(logits, chosen, weights, *, bias=None, groups=None, tolerance=1e-3, first=512):
    """The options that give what a router chose, or None; and how many tokens they, or the nearest ones, missed.

    logits [tokens, experts], chosen and weights [tokens, top_k]; `groups` is (count, top) where the module has such."""
    fewest = len(logits)
    for options in candidates(logits.shape[1], chosen.shape[1], bias, groups):
        for part in (slice(0, first), slice(None)):
            options.scale = scale_of(logits[part], options, chosen[part], weights[part])
            missed = int(misses(logits[part], options, chosen[part], weights[part], tolerance).sum())
            if missed > few(len(chosen[part])):
                fewest = min(fewest, missed)
                break
        else:
            return options, missed
    return None, fewest
