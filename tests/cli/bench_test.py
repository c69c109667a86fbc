"""scripts/bench_gemm without a GPU: its arguments, that both sides of its library mean the same, and, where there is PyTorch, that the
backward pass that it compares with autograd is the right one, and that a wrong one is found.

usage: bench_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import unittest
import unittest.mock

from program import SOURCE, main

sys.path.insert(0, str(SOURCE / "scripts"))
import bench_grouped  # noqa: E402
import bench_training  # noqa: E402
from bench_grouped import KINDS, BenchGemm, torch  # noqa: E402


def bench(*arguments):
    return subprocess.run([sys.executable, SOURCE / "scripts/bench_gemm", *arguments], capture_output=True, text=True,
                          env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})


class Arguments(unittest.TestCase):
    def test_help_needs_neither_gpu_nor_torch_and_tells_of_training(self):
        result = bench("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("--pass {forward,training}", result.stdout)

    def test_what_is_not_there_is_refused_with_what_is(self):
        for arguments, words in ((("--pass", "training", "--shapes", "P,Q"), "argument --shapes: no 'Q', there are A, B, C, D, F, P, S"),
                                 (("--loads", "half"), "argument --loads: no 'half', there are none, down, up, nearest"),
                                 (("--variants", "{"), "argument --variants: not JSON"),
                                 (("--variants", '{"a": {"tile": 1}}'), "argument --variants: a: no option 'tile', there are tile_rows, "),
                                 (("--pass", "back"), "argument --pass: invalid choice: 'back'")):
            result = bench(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
            self.assertIn(words, result.stderr.splitlines()[-1])

    def test_without_a_gpu_it_says_what_it_needs(self):
        result = bench("--pass", "training")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, "^bench_gemm: needs (a Hopper GPU|PyTorch)[^\n]*\n$")


class Entry(unittest.TestCase):
    def test_the_structs_have_the_same_fields(self):
        text = (SOURCE / "scripts/bench_gemm_entry.cpp").read_text()
        body = re.sub(r"//[^\n]*", "", re.search(r"struct BenchGemm \{(.*?)\n\};", text, re.S)[1])
        fields = []
        for declaration in filter(str.strip, body.split(";")):
            kind = "c_long" if "int64_t" in declaration else "c_void_p"
            names = re.sub(r"std::int64_t|const|void|\*", "", declaration).split(",")
            fields += [(name.strip(), kind) for name in names]
        self.assertEqual([(name, kind.__name__) for name, kind in BenchGemm._fields_], fields)

    def test_kinds_are_numbered_as_in_the_program(self):
        text = re.search(r"enum class GemmKind \{(.*?)\n\};", (SOURCE / "src/gemm/problem.hpp").read_text(), re.S)[1]
        names = re.findall(r"^  (k\w+)", text, re.M)
        self.assertEqual(KINDS, {"forward": names.index("kRaggedRows"), "data gradient": names.index("kDataGradient"),
                                 "weight gradient": names.index("kWeightGradient")})


class PlainLibrary:
    """What src/gemm/problem.hpp says of each kind, one expert after the other; one array may be spoilt."""

    def __init__(self, spoilt=""):
        self.spoilt = spoilt

    def bind(self, a, weights, offsets, c, sizes=None, rows_bound=None, token_index=None, kind="forward", transpose=False, name="", **more):
        assert name in bench_training.FORWARD + bench_training.BACKWARD
        n, k = sizes or weights.shape[-2:]
        ends = offsets.tolist()

        def launch():
            for expert, rows in enumerate(slice(*pair) for pair in zip(ends, ends[1:])):
                left = (a[rows] if token_index is None else a[token_index[rows].long()]).float()
                if kind == "weight gradient":
                    assert rows_bound == ends[-1] and left.shape[1] == n and weights.shape[1] == k
                    product = left.t() @ weights[rows].float()
                    c[expert] = product.t() if transpose else product
                    continue
                own = weights[expert].float()
                assert left.shape[1] == k and own.shape == ((k, n) if kind == "data gradient" else (n, k))
                self.finish(left @ (own if kind == "data gradient" else own.t()), rows, c, **more)
            if kind == "weight gradient" and transpose and self.spoilt == "dW1":
                c[0] *= 1.5
        return launch

    def finish(self, result, rows, c, swiglu=False, keep=False, swiglu_gradient=False, **arrays):
        if swiglu:
            assert keep
            arrays["product"][rows] = result.bfloat16()
            gate, up = result.chunk(2, 1)
            c[rows] = (torch.nn.functional.silu(gate) * up).bfloat16()
        elif swiglu_gradient:
            a, b = arrays["product"][rows].float().chunk(2, 1)
            s, g = torch.sigmoid(a), arrays["gate"][rows][:, None]
            c[rows] = torch.cat([g * result * b * s * (1 + a * (1 - s)), g * result * a * s], 1).bfloat16()
            arrays["weighted"][rows] = (g * a * s * b).bfloat16()
            if self.spoilt != "dgate":
                arrays["gate_gradient"][rows] = (result * a * s * b).sum(1)
        else:
            c[rows] = result.bfloat16()


class Turns:
    """In place of a timer and a heartbeat."""

    def medians(self, candidates):
        """2 ms of PyTorch's, which give something back; 1 ms of all else."""
        return {name: 1.0 if candidate() is None else 2.0 for name, candidate in candidates.items()}

    def next(self, what):
        pass

    def clear(self):
        pass


@unittest.skipUnless(torch, "no PyTorch here")
class Training(unittest.TestCase):
    SHAPE = (512, 128, 64, 4, 2)

    def setUp(self):
        torch.manual_seed(1)
        bench_grouped.DEVICE = "cpu"

    def bench(self, library=PlainLibrary(), loads=("none",), counts=None):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            done = bench_training.bench_training([("T", self.SHAPE, counts)], loads, {"tatr": library}, Turns(), {"tatr": {}}, Turns())
        return done, output.getvalue()

    def test_every_array_agrees_with_autograd_and_every_gemm_is_told(self):
        done, text = self.bench(counts={"an idle expert": [200, 0, 7, 512]})
        self.assertTrue(done)
        for array in ("product", "y", "dgate", "dW2", "dX", "dW1"):
            self.assertRegex(text, rf"{array} (0\.0e\+00|\d\.\de-0[3-6])")
        for gemm in bench_training.FORWARD + bench_training.BACKWARD:
            self.assertRegex(text, rf"{gemm}  1\.000 ms")
        self.assertIn("GEMMs  4.000 ms 1.000 of uniform forward", text)
        self.assertIn("with dX  6.000 ms, torch 0.333 x", text)

    def test_a_wrong_gradient_ends_it_with_its_name_and_gemm(self):
        for spoilt, words in (("dW1", r"T  none +tatr: .* more than 0\.01: dW1 \(of wgrad_up\) \d"),
                              ("dgate", r"dgate \(of dgrad_down\) nan: not all was written$")):
            with self.assertRaisesRegex(SystemExit, words):
                self.bench(PlainLibrary(spoilt))

    def test_counts_that_are_not_the_layers_are_refused(self):
        for counts in ([1, 2, 3], [1, 2, 3, 513]):
            with self.assertRaisesRegex(SystemExit, "T some: . counts up to .*, needs 4 up to 512"):
                self.bench(counts={"some": counts})

    def test_what_does_not_fit_is_left_out_with_a_line(self):
        class Full:
            def bind(self, *_, **__):
                raise torch.cuda.OutOfMemoryError
        with unittest.mock.patch.object(torch.cuda, "mem_get_info", lambda: (0, 80e9)):
            done, text = self.bench(Full(), ("none", "nearest"))
        self.assertFalse(done)
        self.assertEqual(text.count("left out: it does not fit in the 80 GB of the GPU"), 2)


if __name__ == "__main__":
    main()
