"""What the GPU benchmarks share: building the code that they time, timing it beside PyTorch, and saying how far they are."""
import os
import random
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Heartbeat:
    """Says on stderr what is under way, for how long and, from whole steps that are done, the time left: on a terminal a line that
    is written anew each second, elsewhere a line every `every_s`. From a thread of its own: whoever times something only calls
    next(), between what it times. A context manager."""

    def __init__(self, total, every_s=20.0):
        self.total, self.done, self.what, self.start = total, -1, "", time.monotonic()
        self.terminal = sys.stderr.isatty()
        self.every_s = 1.0 if self.terminal else every_s
        self.ends, self.thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def next(self, what):
        """The next step begins."""
        self.done, self.what = self.done + 1, what

    def words(self):
        spent = time.monotonic() - self.start
        text = f"{self.what} ({min(self.done + 1, self.total)} of {self.total}), {spent:.0f} s"
        if 0 < self.done < self.total:
            left = spent / self.done * (self.total - self.done)
            text += f", about {left:.0f} s left" if left < 100 else f", about {left / 60:.0f} min left"
        return text

    def _run(self):
        while not self.ends.wait(self.every_s):
            if self.what:
                sys.stderr.write(f"\r\033[K{self.words()}" if self.terminal else self.words() + "\n")
                sys.stderr.flush()

    def clear(self):
        """Before text: the line goes."""
        if self.terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()
        self.clear()


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
