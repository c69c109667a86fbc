"""Routes and rounds router logits: tensors of PyTorch, differentiably, or arrays of NumPy."""

import dataclasses
import json
import operator
import sys
import threading
import typing

from .library import LibraryError, Rounder
from .settings import draws

FLOATS = ("gates", "gate", "topk_weights")


@dataclasses.dataclass
class Rounded:
    """Rows by expert: those of expert e are offsets[e] … offsets[e+1] - 1. R rows; `rows="most"`: as many as there may be,
    of which those from offsets[E] on have token and expert -1 and gate 0."""
    token: typing.Any  # [R] int32; -1: padding
    expert: typing.Any  # [R] int32
    gate: typing.Any  # [R] float32, what the row weighs in its token's sum
    offsets: typing.Any  # [E + 1] int32
    targets: typing.Any  # [E] int32: rows of each expert
    counts: typing.Any  # [E] int32: before rounding
    chosen: typing.Any  # [T, k] int32: plain top-k, best first
    gates: typing.Any  # [T, k] float32: what they weigh
    token_offsets: typing.Any = None  # [T + 1] int32: the rows of token t are token_rows[token_offsets[t]] …
    token_rows: typing.Any = None  # [R] int32, without padding rows
    topk_ids: typing.Any = None  # [T, width] int32: the experts of each token's rows; -1: none
    topk_weights: typing.Any = None  # [T, width] float32


def round_topk(logits, k, strategy="nearest", tile=128, *, scoring="softmax", normalise=True, selection_bias=None, groups=None,
               seed=0, layer=0, rows="exact", by_token=False, width=None):
    """Top-k routing of logits [T, E], and its rounding to whole tiles.

    logits: a tensor of PyTorch (fp32, bf16 or fp16, on the CPU or a GPU) or an array of NumPy (fp32). Of a tensor the gates carry the gradient
    to the scores of the rows that were kept or added; decisions have none.
    strategy: a name or an object of tatr-sim's configs ({"name": "budget", "candidates": "tiles"}); so are scoring, selection_bias and groups.
    seed, layer: of strategies that draw.
    A CUDA graph captures it with rows="most", after a first call alike; graphs of one stream and the same options share a workspace, so replay them
    one after the other.
    rows: "exact" waits for the GPU, cuts the lists to the rows there are, and refuses NaN; "most" waits for nothing, once a first call with these
    shapes and options has made a rounder (and where selection_bias is no tensor of the GPU).
    by_token: list the rows of each token, too.
    width: how many places topk_ids and topk_weights have; "most": as many as a token needs, at least k. They carry no gradient.
    """
    if rows not in ("exact", "most"):
        raise ValueError(f"rows is {rows!r}; expected 'exact' or 'most'")
    if width == "most" and rows != "exact":
        raise ValueError("width is 'most' with rows 'most', which does not wait to see how many; expected a number")
    if getattr(logits, "ndim", None) != 2:
        raise ValueError("logits are not of two dimensions; expected [tokens, experts]")
    arrays = _arrays_of(logits)
    tokens, experts = logits.shape
    k, width = operator.index(k), width if width in (None, "most") else operator.index(width)
    router = {"tokens": tokens, "experts": experts, "top_k": k, "scoring": scoring, "normalise_gates": normalise}
    if selection_bias is not None:
        router["selection_bias"] = selection_bias.tolist() if hasattr(selection_bias, "tolist") else selection_bias
    if groups is not None:
        router["groups"] = groups
    strategy = {"name": strategy} if isinstance(strategy, str) else dict(strategy)
    options = {"router": router, "strategy": strategy, "tile": tile, "device": arrays.device, "dtype": arrays.dtype}
    if draws(strategy):  # else layers share a rounder
        options.update(seed=seed, layer=layer)
    call = _Call(options, arrays, rows, by_token or width == "most", width)
    return arrays.round(call) if tokens else _without_tokens(call)


@dataclasses.dataclass
class _Call:
    options: dict
    arrays: typing.Any
    rows: str
    by_token: bool
    width: typing.Any


def _arrays_of(logits):
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(logits, torch.Tensor):
        return _Tensors(torch, logits)
    return _Arrays(logits)


class _Arrays:
    """NumPy's, on the CPU."""
    device, dtype, stream, capturing = "cpu", "fp32", None, False

    def __init__(self, logits):
        import numpy
        self.numpy = numpy
        if logits.dtype != numpy.float32:
            raise ValueError(f"logits are of {logits.dtype}; expected float32")
        self.logits = numpy.ascontiguousarray(logits)

    def empty(self, shape, kind):
        return self.numpy.empty(shape, {"f": self.numpy.float32, "i": self.numpy.int32, "b": self.numpy.uint8}[kind])

    @staticmethod
    def address(array):
        return array.ctypes.data

    def round(self, call):
        return Rounded(**_compute(call))


class _Tensors:
    """PyTorch's, on the device of the logits."""

    def __init__(self, torch, logits):
        self.torch = torch
        if logits.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(f"logits are of {logits.dtype}; expected float32, bfloat16 or float16")
        if logits.device.type not in ("cpu", "cuda"):
            raise ValueError(f"logits are on {logits.device}; expected the CPU or a CUDA GPU")
        self.logits = logits.float() if logits.dtype == torch.float16 else logits
        self.dtype = "bf16" if self.logits.dtype == torch.bfloat16 else "fp32"
        on_gpu = logits.device.type == "cuda"
        index = logits.device.index if on_gpu and logits.device.index is not None else (torch.cuda.current_device() if on_gpu else None)
        self.device = f"cuda:{index}" if on_gpu else "cpu"
        self.stream = torch.cuda.current_stream(logits.device).cuda_stream if on_gpu else None
        self.capturing = False
        if on_gpu:
            with torch.cuda.device(logits.device):
                self.capturing = torch.cuda.is_current_stream_capturing()

    def empty(self, shape, kind):
        dtype = {"f": self.torch.float32, "i": self.torch.int32, "b": self.torch.uint8}[kind]
        return self.torch.empty(shape, dtype=dtype, device=self.logits.device)

    @staticmethod
    def address(tensor):
        return tensor.data_ptr()

    def round(self, call):
        from .gradient import rounded_with_gradient
        return rounded_with_gradient(call)


class _Prepared:
    """A rounder and its workspace, for one stream."""

    def __init__(self, options, arrays):
        self.rounder = Rounder(options)
        self.workspace = arrays.empty((self.rounder.workspace_bytes + 256,), "b")
        start = arrays.address(self.workspace)
        self.rounder.prepare(start + -start % 256, arrays.stream)


_KEPT_BYTES = 4 << 30  # of workspaces that nobody uses: each is as large as the logits and a little more
_idle = []  # (key, prepared), the last used last
_captured = {}  # by key; a CUDA graph holds addresses of their workspaces, so they are kept for good, and used by graphs alone
_looking = threading.Lock()


def _take(key, call):
    """A rounder that nobody else uses, until _give."""
    with _looking:
        if call.arrays.capturing and key in _captured:
            return _captured[key]
        for i in reversed(range(len(_idle))):
            same_stream = _idle[i][0] == key
            if same_stream or (call.arrays.capturing and _idle[i][0][::2] == key[::2]):  # captures begin when all else is done
                return _idle.pop(i)[1]
    if call.arrays.capturing:
        raise LibraryError("a rounder cannot be made while a CUDA graph is captured; call round_topk once before, with these shapes and options")
    return _Prepared(call.options, call.arrays)


def _give(key, call, prepared):
    with _looking:
        if call.arrays.capturing:
            _captured[key] = prepared
        else:
            _idle.append((key, prepared))
            while len(_idle) > 1 and sum(one.rounder.workspace_bytes for _, one in _idle) > _KEPT_BYTES:
                del _idle[0]


def _shapes(call, most_rows):
    tokens, experts, k = (call.options["router"][name] for name in ("tokens", "experts", "top_k"))
    shapes = {"chosen": (tokens, k), "gates": (tokens, k), "counts": (experts,), "targets": (experts,), "offsets": (experts + 1,),
              "token": (most_rows,), "expert": (most_rows,), "gate": (most_rows,)}
    if call.by_token:
        shapes.update(token_offsets=(tokens + 1,), token_rows=(most_rows,))
    if isinstance(call.width, int):
        shapes.update(topk_ids=(tokens, call.width), topk_weights=(tokens, call.width))
    return shapes


def _compute(call):
    """The arrays of a Rounded, by name."""
    arrays = call.arrays
    key = (json.dumps(call.options, sort_keys=True), arrays.stream, type(arrays))
    prepared = _take(key, call)
    rounder = prepared.rounder

    def outputs_for(shapes):
        made = {name: arrays.empty(shape, "f" if name in FLOATS else "i") for name, shape in shapes.items()}
        rounder.round_logits(arrays.address(logits), {name: arrays.address(array) for name, array in made.items()},
                             call.width if isinstance(call.width, int) else 0, arrays.stream)
        return made

    logits = arrays.logits if isinstance(arrays, _Arrays) else arrays.logits.detach().contiguous()
    made = outputs_for(_shapes(call, rounder.most_rows))
    if call.rows == "exact":
        rounder.check(arrays.stream)
        if call.width == "most":
            longest = int((made["token_offsets"][1:] - made["token_offsets"][:-1]).max())
            call.width = max(longest, call.options["router"]["top_k"])
            wide = {name: shape for name, shape in _shapes(call, rounder.most_rows).items() if name.startswith("topk_")}
            made.update(outputs_for(wide))
        there = int(made["offsets"][-1])
        for name in ("token", "expert", "gate"):
            made[name] = made[name][:there]
        if call.by_token:
            made["token_rows"] = made["token_rows"][:int(made["token_offsets"][-1])]
    _give(key, call, prepared)
    return made


def _without_tokens(call):
    """What there is of no token: nothing, for every expert."""
    if call.width == "most":
        call.width = call.options["router"]["top_k"]
    made = {name: call.arrays.empty(shape, "f" if name in FLOATS else "i") for name, shape in _shapes(call, 0).items()}
    for array in made.values():
        array[...] = 0
    if getattr(call.arrays.logits, "requires_grad", False):  # the router takes part, if only with zeros
        made["gate"], made["gates"] = (made[name] + call.arrays.logits.sum() * 0 for name in ("gate", "gates"))
    return Rounded(**made)
