"""The Python package over libtatr: the program's bits for every strategy, by NumPy alone; with PyTorch, where it is, gradients too.

usage: rounding_test.py PROGRAM SOURCE_DIR LIBRARY [unittest arguments]
"""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import unittest

import numpy

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
os.environ["TATR_LIBRARY"] = sys.argv[3]
sys.path.insert(0, str(SOURCE / "scripts"))

from torch_tatr import LibraryError, library_path, round_topk, sonicmoe, topk  # noqa: E402

TORCH = importlib.util.find_spec("torch")
T, E, K = 1500, 32, 4


def logits(seed=0, tokens=T, experts=E):
    values = numpy.random.default_rng(seed).normal(size=(tokens, experts))
    values[:, : experts // 4] += 1.0  # an uneven load
    return values.astype(numpy.float32)


def strategies():
    """Every name that the program lists, and options of some."""
    listed = subprocess.run([PROGRAM, "list", "strategies"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^  (\w+)", listed, re.MULTILINE)
    assert {"none", "nearest", "budget", "dynamic"} <= set(names), listed
    extra = [{"name": "budget", "candidates": "tiles"}, {"name": "budget", "tiles": {"of_nearest": 0.5}}, {"name": "up", "renormalise": True},
             {"name": "up", "fill": "duplicate"}, {"name": "up", "fill": "pad"}, {"name": "nearest", "added_gate": "normalised"},
             {"name": "adaptive", "threshold": 0.4}, {"name": "capacity", "factor": 0.8, "then": "nearest"}]
    steps = {"tiles_by_load": [{"below": 150, "tile": 16}, {"tile": 64}]}
    return [{"name": name, **(steps if name == "dynamic" else {})} for name in names] + extra


class OfProgram(unittest.TestCase):
    def exported(self, given, router, chosen, tile, folder, seed=0):
        """What the program exports for these strategies, in their order."""
        numpy.save(folder / "logits.npy", given)
        config = {"name": "x", "seed": seed, "tile": tile, "router": {**router, "source": {"kind": "trace", "file": "logits.npy", "axes": ["tokens", "experts"]}},
                  "strategies": [{**strategy, "label": f"s{i}"} for i, strategy in enumerate(chosen)]}
        (folder / "config.json").write_text(json.dumps(config))
        result = subprocess.run([PROGRAM, "run", folder / "config.json", "--device", "cpu", "--quiet", "--export", folder / "out"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        return [{what: numpy.load(folder / f"out/x.layer0.tile{tile}.s{i}.{what}.npy") for what in ("target", "offsets", "token", "gate")}
                for i in range(len(chosen))]

    def compare(self, given, router, chosen, tile=64, seed=0, **options):
        with tempfile.TemporaryDirectory() as folder:
            exported = self.exported(given, router, chosen, tile, pathlib.Path(folder), seed)
        for strategy, expected in zip(chosen, exported):
            with self.subTest(strategy=strategy, **options):
                got = round_topk(given, router["top_k"], strategy, tile, seed=seed, **options)
                for ours, theirs in ((got.targets, "target"), (got.offsets, "offsets"), (got.token, "token"), (got.gate, "gate")):
                    self.assertEqual(ours.dtype, expected[theirs].dtype)
                    self.assertEqual(ours.tobytes(), expected[theirs].tobytes(), theirs)

    def test_every_strategy_has_the_bits_of_the_program(self):
        self.compare(logits(), {"top_k": K}, strategies(), seed=7)

    def test_so_have_routers_of_every_kind(self):
        some = [{"name": "nearest"}, {"name": "budget", "candidates": "tiles"}, {"name": "score"}]
        bias = [float(value) for value in numpy.linspace(-0.2, 0.3, E)]
        groups = {"count": 8, "top": 3}
        self.compare(logits(1), {"top_k": K, "scoring": "sigmoid"}, some, scoring="sigmoid")
        self.compare(logits(2), {"top_k": K, "normalise_gates": False}, some, normalise=False)
        self.compare(logits(3), {"top_k": K, "scoring": "sigmoid", "selection_bias": bias, "groups": groups}, some,
                     scoring="sigmoid", selection_bias=numpy.array(bias), groups=groups)


class Arrays(unittest.TestCase):
    def test_rows_by_token_and_as_top_k_are_the_rows_by_expert(self):
        got = round_topk(logits(), K, "up", 64, width="most")
        wanted = sorted((token, expert, gate) for token, expert, gate in zip(got.token, got.expert, got.gate) if token >= 0)
        gates, tokens, experts = sonicmoe(got)
        self.assertTrue((numpy.diff(tokens) >= 0).all())
        self.assertEqual(list(zip(tokens, experts, gates)), wanted)
        ids, weights = topk(got)
        there = numpy.nonzero(ids >= 0)
        self.assertEqual(list(zip(there[0], ids[there], weights[there])), wanted)
        self.assertGreater(ids.shape[1], K)
        self.assertEqual(ids.shape[1], numpy.bincount(tokens).max())
        self.assertTrue((weights[ids < 0] == 0).all())

    def test_most_rows_hold_the_exact_ones_and_then_none(self):
        exact, most = round_topk(logits(), K, "nearest", 64), round_topk(logits(), K, "nearest", 64, rows="most", width=K)
        rows = len(exact.token)
        self.assertEqual(rows, exact.offsets[-1])
        self.assertEqual(len(most.token), T * K + E * 63)
        for name in ("token", "expert", "gate"):
            self.assertEqual(getattr(most, name)[:rows].tobytes(), getattr(exact, name).tobytes())
        self.assertTrue((most.token[rows:] == -1).all() and (most.expert[rows:] == -1).all() and (most.gate[rows:] == 0).all())

    def test_plain_top_k(self):
        got = round_topk(logits(), K, "none", 64)
        order = numpy.argsort(-logits(), axis=1, kind="stable")[:, :K]
        self.assertTrue((got.chosen == order).all())
        self.assertTrue((got.counts == got.targets).all())
        numpy.testing.assert_allclose(got.gates.sum(axis=1), 1, rtol=1e-6)

    def test_results_outlive_later_calls_and_threads_do_not_meet(self):
        first = round_topk(logits(0), K, "nearest", 64)
        before = first.token.tobytes()
        wrong = []

        def work(seed):
            for _ in range(20):
                got = round_topk(logits(seed), K, "nearest", 64)
                if got.token.tobytes() != expected[seed]:
                    wrong.append(seed)

        expected = [round_topk(logits(seed), K, "nearest", 64).token.tobytes() for seed in range(4)]
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(first.token.tobytes(), before)

    def test_layers_share_a_rounder_unless_they_draw(self):
        from torch_tatr import rounding
        del rounding._idle[:]
        for layer in range(40):
            round_topk(logits(), K, "nearest", 64, layer=layer)
        self.assertEqual(len(rounding._idle), 1)
        drawn = [round_topk(logits(), K, "stochastic", 64, layer=layer).targets.tolist() for layer in (0, 1, 0)]
        self.assertEqual(drawn[0], drawn[2])
        self.assertNotEqual(drawn[0], drawn[1])

    def test_integers_and_biases_of_numpy(self):
        bias = numpy.linspace(-0.1, 0.1, E)
        one = round_topk(logits(), numpy.int64(K), "nearest", 64, width=numpy.int32(K + 20), scoring="sigmoid", selection_bias=bias)
        other = round_topk(logits(), K, "nearest", 64, width=K + 20, scoring="sigmoid", selection_bias=bias.tolist())
        self.assertEqual(one.topk_ids.tobytes(), other.topk_ids.tobytes())

    def test_no_tokens(self):
        got = round_topk(logits(tokens=0), K, "nearest", 64, width=K)
        self.assertEqual((len(got.token), got.offsets.tolist(), got.topk_ids.shape), (0, [0] * (E + 1), (0, K)))

    def test_what_cannot_be_rounded_is_refused(self):
        given = logits()
        for words, error, call in (
                ("options:/strategy/name: \"closest\"", LibraryError, lambda: round_topk(given, K, "closest")),
                ("options:/router/top_k: 33", LibraryError, lambda: round_topk(given, 33)),
                ("options:/tile: 3", LibraryError, lambda: round_topk(given, K, tile=3)),
                ("NaN", LibraryError, lambda: round_topk(numpy.full((9, 8), numpy.nan, numpy.float32), 2)),
                ("rows is 'all'", ValueError, lambda: round_topk(given, K, rows="all")),
                ("width is 'most'", ValueError, lambda: round_topk(given, K, rows="most", width="most")),
                ("of two dimensions", ValueError, lambda: round_topk(given[0], K)),
                ("of float64", ValueError, lambda: round_topk(given.astype(float), K)),
                ("expected by_token=True", ValueError, lambda: sonicmoe(round_topk(given, K))),
                ("expected its width", ValueError, lambda: topk(round_topk(given, K)))):
            with self.subTest(words), self.assertRaises(error) as caught:
                call()
            self.assertIn(words, str(caught.exception))

    def test_a_library_that_is_none_is_told(self):
        for path, words in (("/no/libtatr.so", "libtatr is not there"), (PROGRAM, "libtatr is not there")):
            result = subprocess.run([sys.executable, "-c", "import torch_tatr; torch_tatr.round_topk(__import__('numpy').zeros((4, 4), 'f4'), 1)"],
                                    env={**os.environ, "TATR_LIBRARY": path, "PYTHONPATH": str(SOURCE / "scripts")}, capture_output=True, text=True)
            self.assertIn(words, result.stderr)
        self.assertEqual(library_path(), sys.argv[3])


@unittest.skipUnless(TORCH, "PyTorch is not there")
class Tensors(unittest.TestCase):
    CASES = [("nearest", {}), ({"name": "up", "renormalise": True}, {}), ({"name": "nearest", "renormalise": True}, {}), ({"name": "down", "renormalise": True}, {}), ({"name": "up", "fill": "duplicate"}, {}),
             ({"name": "nearest", "added_gate": "normalised"}, {}), ("up", {"normalise": False}), ("up", {"scoring": "sigmoid"}),
             ({"name": "up", "added_gate": "score"}, {"scoring": "sigmoid"}), ("nearest", {"scoring": "sigmoid", "selection_bias": 0.1}), ("none", {})]

    def test_tensors_have_the_bits_of_arrays(self):
        import torch
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            given = torch.from_numpy(logits()).to(dtype)
            ours = round_topk(given, K, "nearest", 64, by_token=True, width=K + 3)
            theirs = round_topk(given.float().numpy(), K, "nearest", 64, by_token=True, width=K + 3)
            for name in vars(theirs):
                self.assertEqual(getattr(ours, name).detach().numpy().tobytes(), getattr(theirs, name).tobytes(), (dtype, name))

    def test_gradients_are_those_of_a_dense_formula(self):
        """The gates once more as a dense [T, E] matrix of masks, whose gradient PyTorch knows; and its values are libtatr's."""
        import torch
        for strategy, options in self.CASES:
            with self.subTest(strategy=strategy, **options):
                given = torch.from_numpy(logits(5)).requires_grad_()
                got = round_topk(given, K, strategy, 64, **options)
                self.assertTrue(got.gate.requires_grad and not got.token.requires_grad)
                torch.manual_seed(1)
                weight, plain_weight = torch.randn(len(got.gate)), torch.randn(T, K)
                (got.gate @ weight + (got.gates * plain_weight).sum()).backward()

                dense = torch.from_numpy(logits(5)).double().requires_grad_()
                score = torch.sigmoid(dense) if options.get("scoring") == "sigmoid" else torch.exp(dense) / torch.exp(dense).sum(1, keepdim=True)
                own = torch.zeros(T, E, dtype=torch.bool)
                own[torch.arange(T)[:, None], got.chosen.long()] = True
                total = torch.where(own, score, 0).sum(1, keepdim=True)
                normalise = options.get("normalise", True)
                own_gate = score / total if normalise else score
                scale = isinstance(strategy, dict) and strategy.get("added_gate") or ("normalised" if options.get("scoring") == "sigmoid" else "score")
                added_gate = (score / total).clamp(max=1) if scale == "normalised" and normalise else score
                matrix = torch.where(own, own_gate, added_gate)
                row_weight = torch.zeros(T, E, dtype=torch.float64)
                there = torch.zeros(T, E, dtype=torch.float64)
                for row in torch.nonzero(got.gate != 0).flatten().tolist():
                    row_weight[got.token[row], got.expert[row]] = weight[row].double()
                    there[got.token[row], got.expert[row]] = 1
                matrix = matrix * there
                if isinstance(strategy, dict) and strategy.get("renormalise"):
                    matrix = matrix * (torch.where(own, own_gate, 0).sum(1) / matrix.sum(1))[:, None]
                rows = torch.nonzero(got.gate != 0).flatten()
                torch.testing.assert_close(got.gate[rows].double(), matrix[got.token[rows].long(), got.expert[rows].long()], rtol=1e-5, atol=1e-7)
                gates = own_gate.gather(1, got.chosen.long())
                ((matrix * row_weight).sum() + (gates * plain_weight.double()).sum()).backward()
                torch.testing.assert_close(given.grad.double(), dense.grad, rtol=2e-4, atol=1e-6)

    def test_gradients_are_numbers_where_gates_are(self):
        """Tokens that lost all rows, chosen scores that are all 0, infinities."""
        import torch
        for strategy, options in (({"name": "nearest", "renormalise": True}, {}), ({"name": "down", "renormalise": True}, {}), ("nearest", {}),
                                  ("up", {"scoring": "sigmoid"})):
            for k in (1, 2):
                with self.subTest(strategy=strategy, k=k, **options):
                    values = torch.from_numpy(logits(tokens=256, experts=16))
                    values[3] = -200.0
                    values[5, 2], values[5, 3] = float("inf"), float("-inf")
                    values.requires_grad_()
                    got = round_topk(values, k, strategy, 64, **options)
                    (got.gate.sum() + got.gates.square().sum()).backward()
                    self.assertTrue(got.gate.isfinite().all() and got.gates.isfinite().all())
                    self.assertTrue(values.grad.isfinite().all())

    def test_no_tokens_leave_the_router_in_the_graph(self):
        import torch
        given = torch.zeros(0, 8, requires_grad=True)
        got = round_topk(given, 2, "nearest", 16, width="most")
        got.gate.sum().backward()
        self.assertEqual((given.grad.shape, got.topk_ids.shape), ((0, 8), (0, 2)))

    def test_gradients_reach_half_precision_and_need_not_be_asked_for(self):
        import torch
        for dtype in (torch.bfloat16, torch.float16):
            given = torch.from_numpy(logits()).to(dtype).requires_grad_()
            round_topk(given, K, "nearest", 64).gate.sum().backward()
            self.assertEqual(given.grad.dtype, dtype)
            self.assertGreater(given.grad.abs().max(), 0)
        with torch.no_grad():
            self.assertFalse(round_topk(given, K, "nearest", 64).gate.requires_grad)
        self.assertFalse(round_topk(torch.from_numpy(logits()), K, "nearest", 64).gate.requires_grad)

    def test_a_layer_trains_through_it(self):
        """Adam finds logits that give one expert's rows all weight: gates rise where the loss asks."""
        import torch
        torch.manual_seed(0)
        given = torch.randn(256, 8).requires_grad_()
        optimiser = torch.optim.Adam([given], lr=0.05)
        losses = []
        for _ in range(40):
            got = round_topk(given, 2, "nearest", 16)
            loss = torch.where(got.expert % 2 == 0, got.gate, -got.gate).sum() / 256
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        self.assertLess(losses[-1], losses[0] - 0.3)


def has_gpu():
    if not TORCH:
        return False
    import torch
    return torch.cuda.is_available()


@unittest.skipUnless(has_gpu(), "no PyTorch with a GPU")
class OnGpu(unittest.TestCase):
    def assert_same(self, gpu, cpu):
        for name, expected in vars(cpu).items():
            if expected is not None:
                self.assertEqual(getattr(gpu, name).detach().cpu().numpy().tobytes(), expected.detach().numpy().tobytes(), name)

    def test_a_gpu_gives_the_bits_of_the_cpu(self):
        import torch
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            for strategy in strategies():
                with self.subTest(dtype=dtype, strategy=strategy):
                    given = torch.from_numpy(logits()).to(dtype)
                    options = {"strategy": strategy, "tile": 64, "by_token": True, "width": K + 8, "seed": 3}
                    self.assert_same(round_topk(given.cuda(), K, **options), round_topk(given, K, **options))

    def test_on_a_stream_of_its_own_and_in_a_graph(self):
        import torch
        given = torch.from_numpy(logits()).cuda()
        expected = round_topk(given, K, "nearest", 64, rows="most")
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.assert_same(round_topk(given, K, "nearest", 64, rows="most"), on_cpu(expected))
        torch.cuda.current_stream().wait_stream(stream)
        still, graph = torch.zeros_like(given), torch.cuda.CUDAGraph()
        with torch.cuda.stream(stream):
            round_topk(still, K, "nearest", 64, rows="most")  # makes the rounder, which a capture cannot
            with torch.cuda.graph(graph, stream=stream):
                captured = round_topk(still, K, "nearest", 64, rows="most")
        still.copy_(given)
        graph.replay()
        torch.cuda.synchronize()
        self.assert_same(captured, on_cpu(expected))

    def test_gradients_are_the_cpus(self):
        import torch
        for strategy, options in Tensors.CASES:
            with self.subTest(strategy=strategy, **options):
                made = []
                for device in ("cpu", "cuda"):
                    given = torch.from_numpy(logits(5)).to(device).requires_grad_()
                    got = round_topk(given, K, strategy, 64, **options)
                    (got.gate.square().sum() + got.gates.square().sum()).backward()
                    made.append(given.grad.cpu())
                torch.testing.assert_close(made[0], made[1], rtol=1e-4, atol=1e-7)


def on_cpu(rounded):
    return type(rounded)(**{name: value if value is None else value.detach().cpu() for name, value in vars(rounded).items()})


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
