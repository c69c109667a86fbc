"""torch_tatr capture: what is recorded of each architecture, and that tatr-sim routes by it as the model did.

usage: capture_test.py PROGRAM SOURCE_DIR LIBRARY [unittest arguments]
"""

import json
import shutil
import unittest

import tiny_models
from package import DEVICE, TEXT, PackageTest, command, has, in_process, main, needs_transformers, tatr

if has("numpy"):
    import numpy as np
    from torch_tatr import router_options
    from torch_tatr.texts import batches_of, interleaved, pieces_of, read_documents
from torch_tatr.problems import Problem, write_whole


def one_layer(config, layer):
    """The config for one layer alone."""
    document = json.loads(config.read_text())
    document["router"]["source"]["tensor"] = f"layers.{layer}.router_logits"
    return document


@unittest.skipUnless(has("numpy"), "no NumPy here")
class WithoutTorch(PackageTest):
    def test_options_are_those_that_reproduce_choices(self):
        draw = np.random.default_rng(1)
        logits = draw.normal(size=(400, 16)).astype(np.float32)
        bias = (draw.normal(size=16) * 0.05).astype(np.float32)
        made = router_options.RouterOptions
        for options in (made(16, 4), made(16, 4, "softmax", False), made(16, 4, "sigmoid", False, scale=2.5), made(16, 1, "softmax", False),
                        made(16, 4, "sigmoid", True, bias, {"count": 4, "top": 2, "group_score": "top2_sum"}, 2.5),
                        made(16, 3, "softmax", False, None, {"count": 4, "top": 1, "group_score": "max"}, 16.0)):
            chosen, gates = router_options.route(logits, options)
            groups = (4, options.groups["top"] if options.groups else 2) if options.top_k > 1 else None
            found, missed = router_options.fit(logits, chosen, gates * options.scale, bias=bias, groups=groups)
            self.assertEqual(missed, 0)
            self.assertEqual((found.scoring, found.groups, found.scale), (options.scoring, options.groups, options.scale))
            self.assertEqual(found.selection_bias is None, options.selection_bias is None)
            self.assertEqual(found.normalise, options.normalise)
            for wrong, there in ((slice(7, 8), True), (slice(7, 12), False)):  # one token may be a tie; five are another rule
                chosen[wrong] = (chosen[wrong] + 1) % 16
                found, missed = router_options.fit(logits, chosen, gates * options.scale, bias=bias, groups=groups)
                self.assertEqual(found is not None, there)
                self.assertGreater(missed, 0)
                chosen[wrong] = (chosen[wrong] - 1) % 16

    def test_options_route_as_the_program_does(self):
        draw = np.random.default_rng(2)
        logits = draw.normal(size=(512, 16)).astype(np.float32)
        np.save(self.path / "logits.npy", logits)
        bias = (draw.normal(size=16) * 0.1).astype(np.float32)
        for options in (router_options.RouterOptions(16, 4), router_options.RouterOptions(16, 2, "softmax", False),
                        router_options.RouterOptions(16, 4, "sigmoid", True, bias, {"count": 4, "top": 2, "group_score": "top2_sum"}),
                        router_options.RouterOptions(16, 4, "softmax", False, None, {"count": 4, "top": 2, "group_score": "max"})):
            router = {**options.router(), "source": {"kind": "trace", "file": "logits.npy", "values": "logits"}}
            (self.path / "c.json").write_text(json.dumps({"name": "c", "router": router, "tile": 8, "strategies": ["none"]}))
            chosen, gates = router_options.route(logits, options)
            compare_dispatch(self, self.path / "c.json", chosen, gates)

    def test_batches_hold_exactly_as_many_tokens(self):
        pieces = pieces_of([[1] * 10, [2] * 3, [3] * 25], 8)
        self.assertEqual([(piece.document, len(piece.tokens)) for piece in pieces], [(0, 8), (0, 2), (1, 3), (2, 8), (2, 8), (2, 8), (2, 1)])
        batches = list(batches_of(pieces, 12))
        self.assertEqual([[(piece.document, len(piece.tokens)) for piece in batch] for batch in batches],
                         [[(0, 8), (0, 2), (1, 2)], [(1, 1), (2, 8), (2, 3)], [(2, 5), (2, 7)]])
        self.assertEqual([piece.document for piece in pieces_of([[1] * 20], 8)], [0, 1, 2])
        self.assertEqual([(piece.document, len(piece.tokens)) for piece in interleaved(pieces)],
                         [(0, 8), (1, 3), (2, 8), (0, 2), (2, 8), (2, 8), (2, 1)])

    def test_documents(self):
        (self.path / "folder/b").mkdir(parents=True)
        (self.path / "folder/a.txt").write_text("one")
        (self.path / "folder/b/c.txt").write_text("two")
        self.assertEqual(read_documents(self.path / "folder"), ["one", "two"])
        lines = self.path / "lines.jsonl"
        lines.write_text('{"text": "one"}\n\n{"text": "two"}\n')
        self.assertEqual(read_documents(lines), ["one", "two"])
        for content, word in (('{"text": 3}\n', ":1:"), ("\n", "no text")):
            lines.write_text(content)
            with self.assertRaisesRegex(Problem, word):
                read_documents(lines)

    def test_a_file_is_whole_or_not_there(self):
        def parts():
            yield b"begun"
            raise ValueError
        (self.path / "kept").write_text("before")
        with self.assertRaises(ValueError):
            write_whole(self.path / "kept", parts())
        self.assertEqual([(path.name, path.read_text()) for path in self.path.iterdir()], [("kept", "before")])

    def test_what_is_refused_before_any_work(self):
        self.assert_refused(command("nonsense"), 2, "nonsense", "capture")
        self.assertEqual(command().returncode, 2)
        if not has("torch"):
            self.assert_refused(command("capture", self.path, "--text", TEXT, "--out", self.path / "o"), 3, "torch", "pip install")


def compare_dispatch(test, config, chosen, gates):
    """Rows of strategy none, as the program exports them, against each token's experts and gates [tokens, top_k]."""
    out = test.path / "export"
    result = tatr("run", config, "--device", "cpu", "--quiet", "--export", out)
    test.assertEqual((result.returncode, result.stderr), (0, ""))
    files = {kind: next(out.rglob(f"*none*{kind}.npy")) for kind in ("token", "gate", "offsets")}
    token, gate, offsets = (np.load(files[kind]) for kind in ("token", "gate", "offsets"))
    expert = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    theirs = sorted(zip(token.tolist(), expert.tolist(), gate.tolist()))
    ours = sorted(zip(np.repeat(np.arange(len(chosen)), chosen.shape[1]).tolist(), chosen.ravel().tolist(), gates.ravel().tolist()))
    test.assertEqual([row[:2] for row in theirs], [row[:2] for row in ours])
    np.testing.assert_allclose([row[2] for row in theirs], [row[2] for row in ours], rtol=2e-3, atol=1e-6)
    shutil.rmtree(out)


@needs_transformers
class Capture(PackageTest):
    def capture(self, *arguments):
        out = self.path / "out"
        shutil.rmtree(out, ignore_errors=True)
        code, said = in_process("capture", self.path / "model", "--text", TEXT, "--out", out, "--tokenizer", "bytes", "--device", DEVICE, *arguments)
        self.assertEqual(code, 0, said)
        self.assertNotIn("Warning", said)
        return out

    def test_every_architecture(self):
        """Choices and weights that the routers return in a run of their own, with other batches, against the program's by config and trace."""
        import torch
        for name, (_, _, expected) in tiny_models.MODELS.items():
            with self.subTest(name):
                shutil.rmtree(self.path / "model", ignore_errors=True)
                model = tiny_models.make(name, self.path / "model")
                out = self.capture("--tokens", 500, "--group", 500, "--length", 96)
                own = choices(torch, model, TEXT.read_bytes()[:500], 96)
                configs = sorted(out.glob("config*.json"))
                self.assertEqual(len(configs), 2 if expected.get("bias") else 1)
                for layer, (chosen, weights) in enumerate(own):
                    document = one_layer(configs[layer if expected.get("bias") else 0], layer)
                    router = document["router"]
                    self.assertEqual((router["scoring"], router["normalise_gates"], router.get("groups")),
                                     (expected["scoring"], expected["normalise"], expected.get("groups")))
                    self.assertEqual("selection_bias" in router, bool(expected.get("bias")))
                    (out / "one.json").write_text(json.dumps({**document, "layer": None}))
                    compare_dispatch(self, out / "one.json", chosen, weights / expected.get("scale", 1.0))
                for config in configs:
                    for arguments in (("validate", config), ("run", config, "--set", "/layer=null", "--quiet", "--device", "cpu")):
                        result = tatr(*arguments)
                        self.assertEqual((result.returncode, result.stderr), (0, ""))
                    layer = json.loads(config.read_text())["layer"]
                    self.assertEqual((layer["hidden"], layer["intermediate"]), (32, 16))

    def test_bf16_groups_layers_and_random_weights(self):
        tiny_models.make("gpt_oss", self.path / "model", "bfloat16")
        for extra, layers in ((("--random",), 2), (("--layers", "1"), 1)):
            out = self.capture("--tokens", 700, "--group", 256, *extra)
            data = (out / "trace.safetensors").read_bytes()
            header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
            self.assertEqual([(tensor["dtype"], tensor["shape"]) for tensor in header.values()], [("BF16", [512, 8])] * layers)
            result = tatr("run", out / "config.json", "--set", "/layer=null", "--json", "-", "--device", "cpu", "--quiet")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(json.loads(result.stdout)["experiments"][0]["warnings"], [])

    def test_padding_is_not_recorded(self):
        """Documents of several lengths in one batch: as many rows as tokens, each as the document alone gives it."""
        import torch
        model = tiny_models.make("mixtral", self.path / "model")
        texts = ["a" * 40, "some words", "x" * 14]
        (self.path / "t.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        out = self.path / "out"
        result = command("capture", self.path / "model", "--text", self.path / "t.jsonl", "--out", out, "--tokenizer", "bytes", "--device", DEVICE)
        self.assertEqual(result.returncode, 0, result.stderr)
        from safetensors.torch import load_file
        rows = load_file(out / "trace.safetensors")["layers.1.router_logits"]
        self.assertEqual(list(rows.shape), [64, 8])
        expected = []
        model.model.layers[1].mlp.gate.register_forward_hook(lambda _, inputs, output: expected.append(output[0]))
        with torch.no_grad():
            for text in texts:
                model(input_ids=torch.tensor([list(text.encode())]))
        torch.testing.assert_close(rows, torch.cat(expected), rtol=1e-4, atol=1e-5)

    def test_what_is_refused(self):
        model, out = self.path / "model", self.path / "out"
        given = ("--text", TEXT, "--out", out, "--device", DEVICE)
        self.assert_refused(command("capture", model, *given), 2, "model", "config.json")
        tiny_models.make("mixtral", model)
        self.assert_refused(command("capture", model, *given), 2, "no tokenizer", "bytes")
        self.assert_refused(command("capture", model, *given, "--tokenizer", "bytes", "--layers", "7"), 2, "7", "0, 1")
        self.assert_refused(command("capture", model, "--text", self.path / "none", "--out", out), 2, "none", "No such file")
        self.assert_refused(command("capture", model, *given, "--device", "cuda:77", "--tokenizer", "bytes"), 3, "cuda:77")
        out.mkdir()
        self.assert_refused(command("capture", model, *given, "--tokenizer", "bytes"), 2, "is there already")
        out.rmdir()
        self.assertEqual([path.name for path in self.path.iterdir()], ["model"])

    def test_a_model_without_experts_and_a_router_of_another_rule(self):
        import torch
        import transformers
        from torch_tatr import routers
        dense = transformers.LlamaConfig(**{**tiny_models.COMMON, "intermediate_size": 32})
        with self.assertRaisesRegex(Problem, "no mixture of experts"):
            routers.find_blocks(transformers.AutoModelForCausalLM.from_config(dense))
        model = tiny_models.make("mixtral", self.path / "model")
        gate = model.model.layers[0].mlp.gate
        own = gate.forward
        gate.forward = lambda hidden: (lambda logits, weights, chosen: (logits, weights, (chosen + 1) % 8))(*own(hidden))
        blocks = routers.find_blocks(model)
        with torch.no_grad(), self.assertRaisesRegex(Problem, "layers.0.mlp.gate: .* no rule"):
            routers.learn_all(torch, model, blocks, lambda: model(input_ids=torch.arange(64)[None]), torch.arange(64))


def choices(torch, model, data, length):
    """What each router itself returned: chosen experts and weights of all tokens, sequence after sequence."""
    found = {}
    hooks = [module.register_forward_hook(lambda module, inputs, output: found.setdefault(module, []).append(output[1:]))
             for name, module in model.named_modules() if name.endswith((".gate", ".router"))]
    with torch.no_grad():
        for first in range(0, len(data), length):
            model(input_ids=torch.tensor([list(data[first:first + length])]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return [(torch.cat([chosen for _, chosen in parts]).numpy(), torch.cat([weights for weights, _ in parts]).float().numpy()) for parts in found.values()]


if __name__ == "__main__":
    main()
