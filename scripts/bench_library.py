"""What the GPU benchmarks share: building the code that they time, and timing it beside PyTorch."""
import os
import random
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def build(path, sources, options=(), libraries=()):
    """A shared library for Hopper at `path`, from sources under the root; `libraries` as the linker takes them.

    A source that is missing shows here, not when the library is loaded."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    subprocess.run(["nvcc", "-std=c++20", "-O3", "-gencode=arch=compute_90a,code=sm_90a", "-cudart", "static",
                    "--expt-relaxed-constexpr", "-Isrc", "-shared", "-Xlinker", "--no-undefined", *options, *sources, *libraries, "-o", path],
                   cwd=ROOT, check=True)


class ColdTimer:
    """Medians by CUDA events, each sample with a cold L2: 256 MB of random bytes are written before it, and others read.

    Those read last leave nothing in L2 that must be written back first: that would take 3 us of a sample's time."""

    def __init__(self, rounds, warm_s=0.0):
        import torch
        self.rounds, self.warm_s = rounds, warm_s
        self.source = torch.randint(0, 255, (256 << 20,), dtype=torch.uint8, device="cuda")
        self.target = torch.empty_like(self.source)
        self.sum = torch.empty((), dtype=torch.int64, device="cuda")

    def flush(self):
        import torch
        self.target.copy_(self.source)
        torch.sum(self.source.view(torch.int64), dim=0, out=self.sum)

    def medians(self, candidates):
        """Milliseconds by name: all are run in turn for warm_s, or three times, then once a round, in an order drawn anew.

        A candidate that launches on a stream of its own has it as `stream`; the others use the current one."""
        import torch
        current = torch.cuda.current_stream()
        stream_of = {name: getattr(candidate, "stream", current) for name, candidate in candidates.items()}
        events, order, start, turns = {name: [] for name in candidates}, list(candidates), time.time(), 0
        while turns < 3 or time.time() - start < self.warm_s:
            for name in order:
                candidates[name]()
            torch.cuda.synchronize()
            turns += 1
        for _ in range(self.rounds):
            random.shuffle(order)
            for name in order:
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                stream_of[name].wait_stream(current)
                with torch.cuda.stream(stream_of[name]):
                    self.flush()
                    begin.record()
                    candidates[name]()
                    end.record()
                current.wait_stream(stream_of[name])
                events[name].append((begin, end))
        torch.cuda.synchronize()
        return {name: sorted(a.elapsed_time(b) for a, b in pairs)[len(pairs) // 2] for name, pairs in events.items()}
