"""What scripts/bench_gemm --pass training times: the GEMMs of a layer that is trained, beside PyTorch's autograd."""
import sys

from bench_grouped import loads_of, offsets_of, random_matrix, relative_error, torch

FORWARD, BACKWARD = ("up", "down"), ("dgrad_down", "wgrad_down", "dgrad_up", "wgrad_up")
MOST_ERROR = 1e-2
MAKER = {"product": "up", "y": "up, down", "dgate": "dgrad_down", "dW2": "dgrad_down, wgrad_down", "dX": "dgrad_up", "dW1": "wgrad_up"}


class TrainedLayer:
    """A layer's tensors, and its rows under one load: an expert's tokens are distinct, random, in order."""

    def __init__(self, shape, counts):
        self.tokens, self.hidden, self.intermediate, self.experts, self.top_k = shape
        self.x, self.d_y = random_matrix(self.tokens, self.hidden), random_matrix(self.tokens, self.hidden)
        self.w1 = random_matrix(self.experts, 2 * self.intermediate, self.hidden, scale=self.hidden ** -0.5)
        self.w2 = random_matrix(self.experts, self.hidden, self.intermediate, scale=self.intermediate ** -0.5)
        self.offsets = offsets_of(counts)
        self.token = torch.cat([torch.randperm(self.tokens, device=counts.device)[:count].sort().values for count in counts.tolist()])
        self.rows = len(self.token)
        self.gate = (torch.rand(self.rows, device=counts.device) * 0.2 + 0.05).bfloat16()  # so that both sides take the same ones

    def by_token(self, rows):
        """The sums over each token's rows, in their type."""
        return rows.new_zeros(self.tokens, self.hidden).index_add_(0, self.token, rows)


class OwnPass:
    """What the project's GEMMs read and write, and, by variant, a launch of each."""

    def __init__(self, layer):
        def matrix(*shape):
            return layer.x.new_empty(shape)
        rows, half = layer.rows, layer.intermediate
        self.layer = layer
        self.token, self.gate = layer.token.int(), layer.gate.float()
        self.product, self.activated, self.down = matrix(rows, 2 * half), matrix(rows, half), matrix(rows, layer.hidden)
        self.d_up, self.weighted, self.d_rows = matrix(rows, 2 * half), matrix(rows, half), matrix(rows, layer.hidden)
        self.d_gate = torch.empty_like(self.gate)
        self.d_w1, self.d_w2 = torch.empty_like(layer.w1), torch.empty_like(layer.w2)

    def bind(self, library, options):
        """The launches by name, in the order of a pass."""
        layer, hidden, half = self.layer, self.layer.hidden, self.layer.intermediate

        def bind(name, a, weights, c, **more):
            return library.bind(a, weights, layer.offsets, c, name=name, **(options | more))
        by_token = {"token_index": self.token}
        weights_of_rows = {"kind": "weight gradient", "rows_bound": layer.rows}
        return {
            "up": bind("up", layer.x, layer.w1, self.activated, swiglu=True, keep=True, product=self.product, **by_token),
            "down": bind("down", self.activated, layer.w2, self.down),
            "dgrad_down": bind("dgrad_down", layer.d_y, layer.w2, self.d_up, kind="data gradient", sizes=(half, hidden),
                               swiglu_gradient=True, product=self.product, gate=self.gate, weighted=self.weighted,
                               gate_gradient=self.d_gate, **by_token),
            "wgrad_down": bind("wgrad_down", layer.d_y, self.weighted, self.d_w2, sizes=(hidden, half), **weights_of_rows, **by_token),
            "dgrad_up": bind("dgrad_up", self.d_up, layer.w1, self.d_rows, kind="data gradient", sizes=(hidden, 2 * half)),
            "wgrad_up": bind("wgrad_up", layer.x, self.d_up, self.d_w1, sizes=(hidden, 2 * half), transpose=True, **weights_of_rows,
                             **by_token),
        }

    def poison(self):
        for array in (self.product, self.activated, self.down, self.d_up, self.weighted, self.d_rows, self.d_gate, self.d_w1, self.d_w2):
            array.fill_(float("nan"))

    def results(self):
        """By name, as PyTorch has them; sums over a token's rows in fp32."""
        y = self.layer.by_token(self.down.float().mul_(self.gate[:, None]))
        return {"product": self.product, "y": y, "dgate": self.d_gate, "dW2": self.d_w2,
                "dX": self.layer.by_token(self.d_rows.float()), "dW1": self.d_w1}


class TorchPass:
    """The same pass in eager PyTorch. The gate multiplies what SwiGLU gives: narrower than the rows that go back."""

    def __init__(self, layer):
        self.layer, self.ends = layer, layer.offsets[1:].contiguous()
        self.inputs = [array.detach().requires_grad_() for array in (layer.x, layer.w1, layer.w2, layer.gate)]
        self.y, self.product = self.forward()

    def forward(self):
        x, w1, w2, gate = self.inputs
        product = torch._grouped_mm(x.index_select(0, self.layer.token), w1.transpose(-2, -1), offs=self.ends)
        a, b = product.chunk(2, dim=-1)
        weighted = torch.nn.functional.silu(a) * b * gate[:, None]
        rows = torch._grouped_mm(weighted, w2.transpose(-2, -1), offs=self.ends)
        return self.layer.by_token(rows), product

    def backward(self):
        return torch.autograd.grad(self.y, self.inputs, self.layer.d_y, retain_graph=True)

    def results(self):
        d_x, d_w1, d_w2, d_gate = self.backward()
        return {"product": self.product.detach(), "y": self.y.detach(), "dgate": d_gate, "dW2": d_w2, "dX": d_x, "dW1": d_w1}


def run_alone(what, launch):
    """Ends the program if the kernel fails, with its name: an error shows only when it is waited for."""
    launch()
    try:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    except RuntimeError as error:
        sys.exit(f"bench_gemm: {what}: {str(error).splitlines()[0]}")


def as_rows(array):
    return array if array.dim() < 3 else array.reshape(-1, array.shape[-1])


def compare(what, own, expected):
    """The errors by array; ends the program, with all that are too large and the GEMMs that made them."""
    errors = {name: relative_error(as_rows(own[name]), as_rows(expected[name])) for name in own}
    wrong = [f"{name} (of {MAKER[name]}) {error:.2e}{'' if error == error else ': not all was written'}"
             for name, error in errors.items() if not error < MOST_ERROR]
    if wrong:
        sys.exit(f"bench_gemm: {what}: differs from PyTorch by more than {MOST_ERROR}: {'; '.join(wrong)}")
    return errors


def uniform_candidates(layer):
    """The forward GEMMs by cuBLAS, where all experts have the same number of rows."""
    each = layer.tokens * layer.top_k // layer.experts
    x, activated = random_matrix(layer.experts, each, layer.hidden), random_matrix(layer.experts, each, layer.intermediate)
    w1, w2 = layer.w1.transpose(-2, -1), layer.w2.transpose(-2, -1)
    up, down = torch.bmm(x, w1), torch.bmm(activated, w2)
    return {("uniform", "up"): lambda: torch.bmm(x, w1, out=up), ("uniform", "down"): lambda: torch.bmm(activated, w2, out=down)}


def bench_load(title, shape, counts, libraries, timer, variants):
    """Milliseconds by (variant, GEMM), ("torch", pass), ("uniform", GEMM) and ("rows", sum over a token's rows)."""
    layer = TrainedLayer(shape, counts)
    own, rival, candidates = OwnPass(layer), TorchPass(layer), {}
    expected = rival.results()
    for variant, options in variants.items():
        launches = own.bind(libraries[variant], options)
        own.poison()
        for gemm, launch in launches.items():
            run_alone(f"{title} {variant}: {gemm}", launch)
        errors = compare(f"{title} {variant}", own.results(), expected)
        print(f"{title} {variant:8s} differs from torch by " + ", ".join(f"{name} {error:.1e}" for name, error in errors.items()), flush=True)
        candidates |= {(variant, gemm): launch for gemm, launch in launches.items()}
    del expected
    candidates |= {("torch", "forward"): rival.forward, ("torch", "backward"): rival.backward}
    candidates |= uniform_candidates(layer)
    candidates["rows", "y"] = lambda: layer.by_token(own.down * layer.gate[:, None])
    candidates["rows", "dX"] = lambda: layer.by_token(own.d_rows)
    return timer.medians(candidates)


def report(title, shape, rows, times, variants):
    _, hidden, intermediate, _, _ = shape
    uniform = times["uniform", "up"] + times["uniform", "down"]
    print(f"{title} torch    forward {times['torch', 'forward']:.3f} ms, backward {times['torch', 'backward']:.3f} ms; cuBLAS uniform: up "
          f"{times['uniform', 'up']:.3f} ms, down {times['uniform', 'down']:.3f} ms; in torch for both: y of rows {times['rows', 'y']:.3f} ms, "
          f"dX of rows {times['rows', 'dX']:.3f} ms")
    for variant in variants:
        for way, gemms, more in (("forward", FORWARD, "y"), ("backward", BACKWARD, "dX")):
            parts = []
            for gemm in gemms:
                work, time = 2 * rows * hidden * intermediate * (2 if gemm.endswith("up") else 1), times[variant, gemm]
                parts.append(f"{gemm} {time:6.3f} ms {work / time / 1e9:4.0f} TFLOP/s")
            own, whole = (sum(times[variant, gemm] for gemm in gemms) + extra for extra in (0, times["rows", more]))
            parts.append(f"GEMMs {own:6.3f} ms {own / uniform:5.3f} of uniform forward")
            parts.append(f"with {more} {whole:6.3f} ms, torch {times['torch', way] / whole:5.3f} x")
            print(f"{title} {variant:8s} {way:8s} " + " | ".join(parts), flush=True)
    if "against" in variants:
        first = next(iter(variants))
        ratios = ", ".join(f"{gemm} {times[first, gemm] / times['against', gemm]:.4f}" for gemm in FORWARD + BACKWARD)
        print(f"{title} over against: {ratios}", flush=True)


def bench_training(runs, named, libraries, timer, variants, heartbeat):
    """`runs`: (name, shape, counts by load or None). A load that does not fit is left out, with a line; False if all were."""
    timed = 0
    for name, shape, given in runs:
        for load, counts in loads_of(shape, named, given).items():
            title = f"{name:2s} {load:8s}"
            heartbeat.next(f"training {name}, {load}")
            if len(counts) != shape[3] or int(counts.max()) > shape[0]:
                sys.exit(f"bench_gemm: {name} {load}: {len(counts)} counts up to {int(counts.max())}, needs {shape[3]} up to {shape[0]}")
            try:
                times = bench_load(title, shape, counts, libraries, timer, variants)
            except torch.cuda.OutOfMemoryError:
                times = None
            torch.cuda.empty_cache()
            heartbeat.clear()
            if times is None:
                print(f"{title} left out: it does not fit in the {torch.cuda.mem_get_info()[1] / 1e9:.0f} GB of the GPU", flush=True)
                continue
            report(title, shape, int(counts.sum()), times, variants)
            timed += 1
    return timed > 0
