"""A small mixture-of-experts language model: ordinary PyTorch, clear rather than complete.

Its router and experts have the form that torch_tatr finds in any model (routers.py): the router gives logits, weights and choices, the experts
take hidden states, choices and weights.
"""

import dataclasses
import math
import types

import torch
from torch import nn
from torch.nn import functional


@dataclasses.dataclass
class Shape:
    vocabulary: int = 8192
    width: int = 384
    layers: int = 6
    heads: int = 6
    experts: int = 256
    top_k: int = 8
    expert_width: int = 128
    scoring: str = "softmax"
    length: int = 512  # tokens of a sequence


class Router(nn.Module):
    """Top-k of softmax or sigmoid scores, weights normalised; in fp32. `balance`: the load-balancing loss of the last pass in training."""

    def __init__(self, shape):
        super().__init__()
        self.top_k, self.scoring, self.balance = shape.top_k, shape.scoring, None
        self.weight = nn.Parameter(torch.randn(shape.experts, shape.width) / math.sqrt(shape.width))

    def forward(self, hidden):
        with torch.autocast(hidden.device.type, enabled=False):
            logits = functional.linear(hidden.float(), self.weight)
            scores = logits.softmax(1) if self.scoring == "softmax" else logits.sigmoid()
            weights, chosen = scores.topk(self.top_k)
            if self.training:
                self.balance = balance_loss(scores / scores.sum(1, keepdim=True), chosen)
            return logits, weights / weights.sum(1, keepdim=True), chosen


def balance_loss(shares, chosen):
    """Experts times the sum over experts of (part of assignments) times (mean share of score); 1 where both are even (Switch Transformer)."""
    experts = shares.shape[1]
    load = torch.bincount(chosen.flatten(), minlength=experts).float() / chosen.numel()
    return experts * (load * shares.mean(0)).sum()


class Experts(nn.Module):
    """SwiGLU of each expert over the rows that chose it."""

    def __init__(self, shape):
        super().__init__()
        inner, width, count = shape.expert_width, shape.width, shape.experts
        self.gate_up = nn.Parameter(torch.randn(count, 2 * inner, width) / math.sqrt(width))
        self.down = nn.Parameter(torch.randn(count, width, inner) / math.sqrt(inner * 2 * shape.layers))

    def forward(self, hidden, chosen, weights):
        count, top_k = len(self.gate_up), chosen.shape[1]
        expert, order = chosen.flatten().sort(stable=True)
        offsets = torch.bincount(expert, minlength=count).cumsum(0).to(torch.int32)
        token = order // top_k
        gate, up = grouped(hidden[token], self.gate_up, offsets).chunk(2, 1)
        rows = grouped(functional.silu(gate) * up, self.down, offsets) * weights.flatten()[order, None]
        return torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device).index_add(0, token, rows.float()).to(hidden.dtype)


def grouped(rows, weight, offsets):
    """Rows [R, in] of each expert, one behind the other up to its offset, times its weight [experts, out, in]; bf16 on a GPU."""
    if rows.is_cuda:
        multiply = getattr(functional, "grouped_mm", None) or torch._grouped_mm
        return multiply(rows.to(torch.bfloat16), weight.to(torch.bfloat16).transpose(1, 2), offs=offsets)
    counts = torch.diff(offsets, prepend=offsets.new_zeros(1)).tolist()
    return torch.cat([functional.linear(part, matrix) for part, matrix in zip(rows.split(counts), weight.unbind())])


class Mixture(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.router, self.experts = Router(shape), Experts(shape)

    def forward(self, hidden):
        flat = hidden.flatten(0, 1)
        _, weights, chosen = self.router(flat)
        return self.experts(flat, chosen, weights).view_as(hidden)


class Attention(nn.Module):
    """Causal, with rotary positions."""

    def __init__(self, shape):
        super().__init__()
        self.heads = shape.heads
        self.into = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        half = shape.width // shape.heads // 2
        angle = torch.arange(shape.length)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)

    def rotated(self, x):
        first, second = x.chunk(2, 3)
        cosine, sine = (part[:x.shape[2]].to(x.dtype) for part in (self.cosine, self.sine))
        return torch.cat([first * cosine - second * sine, first * sine + second * cosine], 3)

    def forward(self, hidden):
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.into(hidden).chunk(3, 2))
        mixed = functional.scaled_dot_product_attention(self.rotated(query), self.rotated(key), value, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.before_attention, self.before_mixture = nn.RMSNorm(shape.width), nn.RMSNorm(shape.width)
        self.attention, self.mixture = Attention(shape), Mixture(shape)

    def forward(self, hidden):
        hidden = hidden + self.attention(self.before_attention(hidden))
        return hidden + self.mixture(self.before_mixture(hidden))


class LabModel(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.last = nn.RMSNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.normal_(weight, 0, 0.02)

    def forward(self, input_ids, **_):
        """Padding, behind, needs no mask: attention is causal."""
        hidden = self.embedding(input_ids)
        for layer in self.layers:
            hidden = layer(hidden)
        return types.SimpleNamespace(logits=self.head(self.last(hidden)))

    def balance(self):
        """Mean over layers of the last pass's load-balancing loss."""
        return torch.stack([layer.mixture.router.balance for layer in self.layers]).mean()
