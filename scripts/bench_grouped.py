"""The project's grouped GEMM as scripts/bench_gemm calls it (bench_gemm_entry.cpp), and the random data that it is given."""
import ctypes
import sys

try:
    import torch
except ImportError:  # bench_gemm says so, and its --help needs none
    torch = None

TILE = 128
DEVICE = "cuda"
SOURCES = ["src/gemm/sm90/tatr_gemm.cu", "src/gemm/sm90/tatr_plan.cpp", "scripts/bench_gemm_entry.cpp"]
PLAN_OPTIONS = ("tile_rows", "band_pairs", "k_stagger", "schedule")  # that --variants may set
KINDS = {"forward": 0, "data gradient": 2, "weight gradient": 3}  # as in enum GemmKind


def fields(names, kind):
    return [(name, kind) for name in names.split()]


class BenchGemm(ctypes.Structure):
    _fields_ = (fields("experts n k tile_rows rows_bound gather swiglu band_pairs k_stagger schedule", ctypes.c_int64)
                + fields("a token_index weights offsets c queue", ctypes.c_void_p)
                + fields("kind keep swiglu_gradient transpose fp32_gradient", ctypes.c_int64)
                + fields("product gate weighted gate_gradient gate_parts", ctypes.c_void_p))


class Library:
    def __init__(self, path):
        self.path, self.functions = path, ctypes.CDLL(path)
        self.functions.bench_gemm_bind.restype = ctypes.c_void_p
        self.functions.bench_gemm_launch.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self.queue = torch.zeros(2, dtype=torch.int32, device="cuda")

    def bind(self, a, weights, offsets, c, sizes=None, rows_bound=None, tile_rows=TILE, token_index=None, swiglu=False, band_pairs=0,
             k_stagger=-1, schedule=-1, kind="forward", keep=False, swiglu_gradient=False, transpose=False, name="the GEMM", **arrays):
        """A function that launches the GEMM on the current stream. `sizes`: n and k, where the weights' are not; `arrays`: product,
        gate, weighted, gate_gradient; `name`: for errors. All as in src/gemm/problem.hpp; gradients of weights are bf16."""
        n, k = sizes or weights.shape[-2:]
        arrays |= {"a": a, "weights": weights, "offsets": offsets, "c": c, "token_index": token_index, "queue": self.queue}
        bench = BenchGemm(experts=len(offsets) - 1, n=n, k=k, tile_rows=tile_rows, rows_bound=c.shape[0] if rows_bound is None else rows_bound,
                          gather=token_index is not None, swiglu=swiglu, band_pairs=band_pairs, k_stagger=k_stagger, schedule=schedule,
                          kind=KINDS[kind], keep=keep, swiglu_gradient=swiglu_gradient, transpose=transpose)
        if swiglu_gradient:
            arrays["gate_parts"] = torch.empty(self.gate_parts(bench), device="cuda")
        for field, array in arrays.items():
            setattr(bench, field, None if array is None else array.data_ptr())
        gemm = self.functions.bench_gemm_bind(ctypes.byref(bench))
        stream = torch.cuda.current_stream().cuda_stream
        if not gemm:
            sys.exit(f"bench_gemm: {name} cannot run so")

        def launch():
            if self.functions.bench_gemm_launch(gemm, stream) != 0 or not arrays:  # arrays: they live as long as this
                sys.exit(f"bench_gemm: {name} was not launched")
        return launch

    def gate_parts(self, bench):
        if not hasattr(self.functions, "bench_gemm_gate_parts"):
            sys.exit(f"bench_gemm: {self.path}: built from sources without a backward pass")
        self.functions.bench_gemm_gate_parts.restype = ctypes.c_int64
        count = self.functions.bench_gemm_gate_parts(ctypes.byref(bench))
        if count < 0:
            sys.exit(1)
        return count


def random_matrix(*shape, scale=1.0):
    matrix = torch.empty(*shape, dtype=torch.bfloat16, device=DEVICE)
    for part in matrix.view(-1).split(1 << 28):
        part.normal_(0, scale)
    return matrix


def gaussian_counts(tokens, experts, top_k):
    chosen = torch.randn(tokens, experts, device=DEVICE).topk(top_k, dim=1).indices
    return torch.bincount(chosen.flatten(), minlength=experts)


def rounded(counts, how):
    rest = counts % TILE
    down, up = counts - rest, (counts + TILE - 1) // TILE * TILE
    return {"none": counts, "down": down, "up": up, "nearest": torch.where(TILE - rest < rest, up, down)}[how]


def loads_of(shape, named, given):
    """Counts by load: those of a near-uniform load, rounded as `named`, or the lists of `given`."""
    if given is not None:
        return {how: torch.tensor(values, device=DEVICE) for how, values in given.items()}
    counts = gaussian_counts(shape[0], shape[3], shape[4])
    return {how: rounded(counts, how) for how in named}


def offsets_of(counts):
    offsets = torch.zeros(len(counts) + 1, dtype=torch.int32, device=counts.device)
    offsets[1:] = counts.cumsum(0)
    return offsets


def relative_error(actual, expected):
    """Of the norm, by parts: fp32 copies of whole outputs would not fit beside the weights."""
    difference = reference = 0.0
    for a, b in zip(actual.split(1 << 14), expected.split(1 << 14)):
        difference += (a.float() - b.float()).square().sum().item()
        reference += b.float().square().sum().item()
    return (difference / reference) ** 0.5
