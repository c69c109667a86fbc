"""Times what round_topk adds to the forward pass of an expert layer: from router logits to rows by expert, among the layer's own work.

Beside it stands plain top-k in PyTorch's own operations (softmax, topk, division, a stable sort by expert). All take turns in shuffled order; each
runs in a whole layer with random weights and data: router, dispatch, grouped GEMMs (torch._grouped_mm on a GPU, one after the other on a CPU), SwiGLU,
weighted sum. Medians, with the 95 % interval of the median of differences in the same turn."""

import argparse
import json
import random
import statistics
import time

from .library import LibraryError
from .models import device_of, machine
from .problems import Problem, check_writable, needed, say, write_whole
from .rounding import round_topk


def parser():
    parser = argparse.ArgumentParser(prog="torch_tatr overhead", description=__doc__)
    for name, value in (("tokens", 16384), ("experts", 256), ("top-k", 8), ("hidden", 4096), ("intermediate", 1024), ("tile", 128), ("turns", 50)):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"({value})")
    parser.add_argument("--strategies", default="none,nearest,budget", help="(none,nearest,budget)")
    parser.add_argument("--device", default="auto", help="cuda, cuda:1, cpu; auto: a GPU where there is one")
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    return parser


class Layer:
    def __init__(self, torch, shape, device):
        self.torch, self.shape, self.device = torch, shape, device
        kind = {"dtype": torch.bfloat16, "device": device}
        torch.manual_seed(0)
        self.x = torch.randn(shape.tokens, shape.hidden, **kind)
        self.router = torch.randn(shape.hidden, shape.experts, **kind) / shape.hidden ** 0.5
        self.up = torch.randn(shape.experts, shape.hidden, 2 * shape.intermediate, **kind) / shape.hidden ** 0.5
        self.down = torch.randn(shape.experts, shape.intermediate, shape.hidden, **kind) / shape.intermediate ** 0.5

    def grouped(self, rows, weights, ends):
        if self.device.type == "cuda":
            return self.torch._grouped_mm(rows, weights, offs=ends)
        parts, first = [], 0
        for expert, end in enumerate(ends.tolist()):
            parts.append(rows[first:end] @ weights[expert])
            first = end
        return self.torch.cat([*parts, rows.new_zeros(len(rows) - first, weights.shape[2])])

    def forward(self, dispatch, mark):
        """`mark` is called before and after the dispatch."""
        logits = (self.x @ self.router).float()
        mark()
        token, gate, ends = dispatch(logits)
        mark()
        held = self.grouped(self.x[token.clamp(min=0)], self.up, ends)
        gate_half, value_half = held.chunk(2, dim=1)
        rows = self.grouped(self.torch.nn.functional.silu(gate_half) * value_half, self.down, ends)
        rows = self.torch.where(gate[:, None] != 0, rows * gate[:, None].to(rows.dtype), 0)  # behind the last row is whatever was there
        return self.torch.zeros_like(self.x).index_add(0, token.clamp(min=0), rows)

    def plain(self, logits):
        torch, k = self.torch, self.shape.top_k
        weights, chosen = torch.softmax(logits, dim=1).topk(k, dim=1)
        weights = weights / weights.sum(dim=1, keepdim=True)
        order = chosen.flatten().argsort(stable=True)
        return order // k, weights.flatten()[order], torch.bincount(chosen.flatten(), minlength=self.shape.experts).cumsum(0).int()

    def rounded(self, strategy):
        def dispatch(logits):
            made = round_topk(logits, self.shape.top_k, strategy, self.shape.tile, rows="most")
            return made.token, made.gate, made.offsets[1:]
        return dispatch


class Clock:
    """Marks in the order of the work, and the milliseconds between them."""

    def __init__(self, torch, device):
        self.torch, self.on_gpu = torch, device.type == "cuda"

    def mark(self):
        if not self.on_gpu:
            return time.perf_counter()
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def wait(self):
        if self.on_gpu:
            self.torch.cuda.synchronize()

    def between(self, first, last):
        return first.elapsed_time(last) if self.on_gpu else (last - first) * 1e3


def measure(layer, dispatches, turns):
    """Milliseconds of the dispatch and of the layer, by name, a value each turn."""
    clock, times = Clock(layer.torch, layer.device), {name: ([], []) for name in dispatches}
    for turn in range(-3, turns):
        for name in random.sample(list(dispatches), len(dispatches)):
            marks = [clock.mark()]
            layer.forward(dispatches[name], lambda: marks.append(clock.mark()))
            marks.append(clock.mark())
            clock.wait()
            if turn >= 0:
                times[name][0].append(clock.between(marks[1], marks[2]))
                times[name][1].append(clock.between(marks[0], marks[3]))
    return times


def median_interval(values):
    """The median, and order statistics that hold it in 95 of 100 cases (binomial)."""
    ordered, count = sorted(values), len(values)
    reach = int(0.98 * count ** 0.5) + 1
    return statistics.median(ordered), ordered[max(0, count // 2 - reach)], ordered[min(count - 1, count // 2 + reach)]


def main(argv):
    arguments = parser().parse_args(argv)
    torch = needed("torch", "overhead")
    if min(arguments.tokens, arguments.experts, arguments.top_k, arguments.hidden, arguments.intermediate, arguments.tile) < 1 or arguments.turns < 10:
        raise Problem("sizes are from 1, turns from 10")
    if arguments.top_k > arguments.experts:
        raise Problem(f"--top-k {arguments.top_k}: allowed: at most the experts, {arguments.experts}")
    if arguments.json:
        check_writable(arguments.json)
    device = device_of(arguments.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # events are of the current one
    names = arguments.strategies.split(",")
    try:
        with torch.no_grad():
            layer = Layer(torch, arguments, device)
            times = measure(layer, {"plain": layer.plain, **{name: layer.rounded(name) for name in names}}, arguments.turns)
    except LibraryError as error:
        raise Problem(str(error)) from None
    where = machine(torch, device)
    rows = []
    say(f"{where}: {arguments.tokens} tokens, {arguments.experts} experts, top-{arguments.top_k}, {arguments.hidden} x {arguments.intermediate}, "
        f"tile {arguments.tile}; {arguments.turns} turns")
    print(f"{'dispatch':<12} {'dispatch us':>12} {'over plain us':>30} {'layer ms':>10}")
    for name, (parts, wholes) in times.items():
        middle, low, high = median_interval([(own - plain) * 1e3 for own, plain in zip(parts, times["plain"][0])])
        rows.append({"dispatch": name, "dispatch_us": statistics.median(parts) * 1e3, "over_plain_us": middle, "over_plain_us_interval": [low, high],
                     "layer_ms": statistics.median(wholes)})
        over = "" if name == "plain" else f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]"
        print(f"{name:<12} {rows[-1]['dispatch_us']:>12.1f} {over:>30} {rows[-1]['layer_ms']:>10.3f}")
    if arguments.json:
        write_whole(arguments.json, json.dumps({"device": where, "shape": {key: value for key, value in vars(arguments).items() if isinstance(value, int)},
                                                "rows": rows}, indent=1) + "\n")
    return 0
