"""What perplexity changes come to over documents. NumPy alone."""

import math

import numpy as np

RESAMPLES, SEED, LEVEL = 4000, 20261128, 0.95


def change(base, other, tokens):
    """Change of ln(perplexity): of sums, so that a token counts alike in any document."""
    return float((np.sum(other) - np.sum(base)) / np.sum(tokens))


def bootstrap(documents, values):
    """Interval of a ratio of sums by drawing documents: `values` is (above, below), a number for each piece; `documents` says whose it is.

    Base and rounded losses of a document are drawn together, so what documents differ in cancels. Two documents or fewer: no interval."""
    above, below = (np.bincount(documents, weights=part) for part in values)
    there = below > 0
    above, below = above[there], below[there]
    if len(below) < 3:
        return None
    draws = np.random.default_rng(SEED).integers(0, len(below), (RESAMPLES, len(below)))
    ratios = above[draws].sum(1) / below[draws].sum(1)
    return tuple(float(value) for value in np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))


def changes(documents, base, other, tokens):
    """{value, low, high}; the interval null where there are too few documents."""
    documents, base, other, tokens = (np.asarray(part, np.float64) for part in (documents, base, other, tokens))
    low, high = bootstrap(documents.astype(np.int64), (other - base, tokens)) or (None, None)
    return {"value": change(base, other, tokens), "low": low, "high": high}


def spread(values):
    """Mean and standard deviation (of a sample) of what several seeds gave."""
    values = [float(value) for value in values]
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else None
    return {"mean": mean, "deviation": deviation, "values": values}
