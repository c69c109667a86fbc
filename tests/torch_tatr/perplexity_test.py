"""torch_tatr perplexity: rounding inside a model's forward pass, its metrics against the program's, and what calibrate.py makes of it.

usage: perplexity_test.py PROGRAM SOURCE_DIR LIBRARY [unittest arguments]
"""

import json
import math
import os
import subprocess
import sys
import unittest

import tiny_models
from package import DEVICE, SOURCE, TEXT, PackageTest, command, has, in_process, main, needs_torch, needs_transformers, tatr

from torch_tatr import settings
from torch_tatr.problems import Problem
if has("numpy"):
    import numpy as np
    from torch_tatr import intervals
    from torch_tatr.router_options import RouterOptions
if has("numpy", "torch"):
    import oracle_core
    import torch
    from torch_tatr import round_topk
    from torch_tatr.forward import RoundedForward, metrics_of
    from torch_tatr.routers import find_blocks, learn_all

SETTINGS = [{"name": "down"}, {"name": "up"}, {"name": "nearest"}, {"name": "adaptive", "threshold": 0.5}, {"name": "balance"},
            {"name": "nearest", "fill": "pad"}, {"name": "nearest", "fill": "duplicate"}, {"name": "budget"}, {"name": "nearest", "renormalise": True},
            {"name": "budget", "candidates": "tiles"}, {"name": "none"}]


class Settings(unittest.TestCase):
    def test_strategies_of_a_command_line(self):
        found = settings.strategies('nearest,down, {"name": "budget", "tiles": {"of_nearest": 0.5}},{"name":"adaptive","label":"a, b"},none')
        self.assertEqual([settings.label(strategy) for strategy in found],
                         ["nearest", "down", '{"name": "budget", "tiles": {"of_nearest": 0.5}}', "a, b"])
        self.assertEqual(settings.options_of(found[0]), "nearest")
        self.assertEqual(settings.options_of(found[3]), "adaptive")
        self.assertEqual(settings.options_of(found[2]), {"name": "budget", "tiles": {"of_nearest": 0.5}})
        for text, word in (("nearst", "nearst.*allowed"), ("", "names none"), ("none", "names none"), ('{"name": "down"', "--strategies"),
                           ("down,down", "twice"), ("[1]", "no such")):
            with self.assertRaisesRegex(Problem, word):
                settings.strategies(text)

    def test_which_strategies_draw(self):
        for options, expected in (("stochastic", True), ({"name": "score"}, True), ({"name": "capacity", "factor": 1.0, "then": "stochastic"}, True),
                                  ("nearest", False), ({"name": "capacity", "factor": 1.0}, False)):
            self.assertEqual(settings.draws(options), expected)

    def test_lists_of_numbers(self):
        self.assertEqual(settings.integers("64,128", "--tiles", 8, 1024, 8), [64, 128])
        for text in ("63", "64,x", "", "2048", "64,64"):
            with self.assertRaisesRegex(Problem, "--tiles.*allowed"):
                settings.integers(text, "--tiles", 8, 1024, 8)

    @unittest.skipUnless(has("numpy"), "no NumPy here")
    def test_covers(self):
        layers = [RouterOptions(8, 2), RouterOptions(16, 2)]
        found = settings.covers(settings.strategies('nearest_even,down,{"name":"budget","candidates":"tiles"}'), layers)
        self.assertEqual(found, {"scoring": "softmax", "normalise_gates": True, "added_gate": "score", "selection_bias": False, "groups": False,
                                 "experts": {"least": 8, "most": 16}, "top_k": {"least": 2, "most": 2}, "strategies": ["down", "nearest", "tiles"]})
        sigmoid = [RouterOptions(8, 2, "sigmoid", True, np.ones(8), {"count": 2, "top": 1})]
        self.assertEqual({key: settings.covers([{"name": "down"}], sigmoid)[key] for key in ("scoring", "added_gate", "selection_bias", "groups")},
                         {"scoring": "sigmoid", "added_gate": "normalised", "selection_bias": True, "groups": True})
        self.assertFalse(settings.covers([{"name": "down"}], [RouterOptions(8, 2, "softmax", False)])["normalise_gates"])
        with self.assertRaisesRegex(Problem, "softmax, gates as they are; softmax, gates normalised"):
            settings.covers([{"name": "down"}], [RouterOptions(8, 2), RouterOptions(8, 2, "softmax", False)])
        with self.assertRaisesRegex(Problem, "one gate"):
            settings.covers([{"name": "down"}, {"name": "up", "added_gate": "normalised"}], layers)

    @unittest.skipUnless(has("numpy"), "no NumPy here")
    def test_intervals(self):
        draw = np.random.default_rng(3)
        documents = np.repeat(np.arange(50), 4)
        tokens = draw.integers(10, 100, 200)
        base = draw.normal(300, 50, 200)
        found = intervals.changes(documents, base, base + 0.01 * tokens, tokens)  # the same for every token: no spread
        for key in ("value", "low", "high"):
            self.assertAlmostEqual(found[key], 0.01, 12)
        noisy = intervals.changes(documents, base, base + tokens * draw.normal(0.01, 0.05, 200), tokens)
        self.assertTrue(noisy["low"] < 0.01 < noisy["high"] and noisy["high"] - noisy["low"] < 0.03, noisy)
        self.assertEqual(intervals.changes([0, 0], [1.0, 2.0], [1.0, 3.0], [10, 10]), {"value": 0.05, "low": None, "high": None})
        self.assertEqual(intervals.spread([1, 3])["deviation"], math.sqrt(2))
        self.assertIsNone(intervals.spread([1])["deviation"])


def learned(name, folder, count=512):
    """A tiny model, its blocks with their options, and tokens of the text."""
    model = tiny_models.make(name, folder)
    ids = torch.tensor(list(TEXT.read_bytes()[:count])).reshape(-1, 64)
    blocks = find_blocks(model)
    with torch.no_grad():
        learn_all(torch, model, blocks, lambda: model(input_ids=ids), torch.arange(ids.numel()))
    return model, blocks, ids


def dense(block, hidden, rounded, scale):
    """What the block's experts give by a formula over all experts: sum of gate * expert(x) of the rows that there are."""
    weight = torch.zeros(len(hidden), block.count)
    useful = rounded.token >= 0
    weight.index_put_((rounded.token[useful].long(), rounded.expert[useful].long()), rounded.gate[useful] * scale, accumulate=True)
    every = torch.arange(block.count)
    apart = [block.experts(hidden, every[e].expand(len(hidden), 1), torch.ones(len(hidden), 1)) for e in range(block.count)]
    return sum(weight[:, e:e + 1] * apart[e] for e in range(block.count))


@needs_transformers
class Forward(PackageTest):
    def test_every_architecture_runs_the_rounded_rows(self):
        for name in tiny_models.MODELS:
            with self.subTest(name), torch.no_grad():
                model, blocks, ids = learned(name, self.path / name)
                plain = model(input_ids=ids).logits
                kept = {}
                hooks = [block.experts.register_forward_hook(lambda _, inputs, output, block=block: kept.__setitem__(block.name, (inputs, output)))
                         for block in blocks]
                gave = []

                def remembered(*arguments, **options):
                    gave.append(round_topk(*arguments, **options))
                    return gave[-1]

                with RoundedForward(torch, blocks, round_topk=remembered) as rounded:
                    rounded.group(torch.ones_like(ids))
                    rounded.begin("none", 8)
                    torch.testing.assert_close(model(input_ids=ids).logits, plain, rtol=1e-3, atol=1e-4)
                    rounded.check()
                    gave.clear()
                    rounded.begin("nearest", 64)
                    rounded.group(torch.ones_like(ids))
                    changed = model(input_ids=ids).logits
                    rounded.begin(None, 0)
                    torch.testing.assert_close(model(input_ids=ids).logits, plain)
                self.assertGreater(float((changed - plain).abs().max()), 1e-3)
                with RoundedForward(torch, blocks, round_topk=remembered) as rounded:
                    rounded.group(torch.ones_like(ids))
                    rounded.begin("nearest", 64)
                    model(input_ids=ids)
                for hook in hooks:
                    hook.remove()
                for block, given in zip(blocks, gave):
                    inputs, output = kept[block.name]
                    torch.testing.assert_close(output, dense(block, inputs[0], given, block.options.scale), rtol=1e-3, atol=1e-5)
                torch.testing.assert_close(model(input_ids=ids).logits, plain)  # all hooks are gone

    def test_padding_takes_no_part(self):
        """A group of sequences of several lengths is rounded as its tokens alone are."""
        with torch.no_grad():
            model, blocks, ids = learned("qwen3_moe", self.path / "m")
            mask = torch.ones_like(ids)
            mask[0, 40:] = mask[3, 5:] = 0
            seen = []

            def watched(logits, *arguments, **options):
                seen.append(logits)
                return round_topk(logits, *arguments, **options)

            results = []
            for filler in (0, 7):
                with RoundedForward(torch, blocks, round_topk=watched) as rounded:
                    rounded.begin("nearest", 64)
                    rounded.group(mask)
                    results.append(model(input_ids=torch.where(mask == 1, ids, filler), attention_mask=mask).logits[mask == 1])
            self.assertEqual({logits.shape[0] for logits in seen}, {int(mask.sum())})
            torch.testing.assert_close(*results)

    def test_what_passes_the_experts_by_is_told(self):
        with torch.no_grad():
            model, blocks, ids = learned("mixtral", self.path / "m")
            block = model.model.layers[1].mlp
            own = block.forward
            block.forward = lambda hidden: (block.gate(hidden), hidden)[1]
            with RoundedForward(torch, blocks, round_topk=round_topk) as rounded, self.assertRaisesRegex(Problem, "layers.1.mlp.gate"):
                rounded.begin("nearest", 64)
                rounded.group(torch.ones_like(ids))
                model(input_ids=ids)
                rounded.check()
            block.forward = own


@needs_torch
class Metrics(PackageTest):
    def test_metrics_are_the_programs(self):
        torch.manual_seed(4)
        logits = torch.randn(512, 16) + torch.randn(16)
        np.save(self.path / "logits.npy", logits.numpy())
        for router in ({"top_k": 4}, {"top_k": 2, "scoring": "sigmoid"}, {"top_k": 4, "normalise_gates": False}):
            names = [{**strategy, "label": f"s{number}"} for number, strategy in enumerate(SETTINGS)
                     if not (strategy.get("renormalise") and router.get("normalise_gates") is False)]
            config = {"name": "c", "router": {**router, "source": {"kind": "trace", "file": "logits.npy"}}, "tile": [16, 64], "strategies": names}
            (self.path / "c.json").write_text(json.dumps(config))
            result = tatr("run", self.path / "c.json", "--device", "cpu", "--quiet", "--json", "-")
            self.assertEqual(result.returncode, 0, result.stderr)
            for record in json.loads(result.stdout)["experiments"][0]["strategies"]:
                strategy = next(entry for entry in names if entry["label"] == record["label"])
                r = round_topk(logits, router["top_k"], settings.options_of(strategy), record["tile"], scoring=router.get("scoring", "softmax"),
                                           normalise=router.get("normalise_gates", True))
                for name, value in metrics_of(torch, r, 16, record["tile"]).items():
                    self.assertAlmostEqual(value, record[name], 9, f"{router}, {strategy}, {record['tile']}, {name}")


@needs_transformers
class Perplexity(PackageTest):
    def setUp(self):
        super().setUp()
        tiny_models.make("mixtral", self.path / "model")
        lines = TEXT.read_text().split("\n\n")
        (self.path / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in lines))

    def perplexity(self, *arguments):
        return in_process("perplexity", self.path / "model", "--text", self.path / "text.jsonl", "--tokenizer", "bytes", "--device", DEVICE, "--out",
                          self.path / "m.json", "--length", 64, *arguments)

    def test_a_measurement_is_fitted_and_taken(self):
        tiny_models.make("mixtral", self.path / "model", learn=TEXT.read_bytes())
        code, said = self.perplexity("--strategies", 'down,nearest,adaptive,{"name":"budget","tiles":{"of_nearest":0.5},"label":"half"}',
                                     "--tiles", "32,64", "--groups", "256,512", "--tokens", 1536)
        self.assertEqual(code, 0, said)
        document = json.loads((self.path / "m.json").read_text())
        self.assertEqual(len(document["rows"]), 16)
        self.assertEqual(document["covers"]["strategies"], ["down", "nearest", "adaptive", "budget"])
        self.assertEqual({(row["tokens"], row["tile"], row["strategy"]) for row in document["rows"]},
                         {(g, t, s) for g in (256, 512) for t in (32, 64) for s in ("down", "nearest", "adaptive", "half")})
        for row in document["rows"]:
            self.assertLessEqual(row["low"], row["log_perplexity_change"])
            self.assertGreaterEqual(row["high"], row["log_perplexity_change"])
            self.assertEqual(len(row["layers"]), 2)
            if row["strategy"] == "down":
                self.assertFalse(any(layer["added_share"] for layer in row["layers"]))
        for plain in document["plain"]:
            self.assertAlmostEqual(plain["log_perplexity"], plain["log_perplexity_unpatched"], 4)
        self.assertIn("half", said)
        harmed = [row["log_perplexity_change"] for row in document["rows"] if row["strategy"] == "down"]
        self.assertGreater(min(harmed), 0)
        self.assertGreater(max(harmed), 0.02)
        fitted = subprocess.run([sys.executable, SOURCE / "scripts/calibrate.py", self.path / "m.json", "--name", "tiny", "--output", self.path / "c.json"],
                                capture_output=True, text=True)
        self.assertEqual(fitted.returncode, 0, fitted.stderr)
        code, said = in_process("capture", self.path / "model", "--text", self.path / "text.jsonl", "--tokenizer", "bytes", "--device", DEVICE, "--out",
                                self.path / "trace", "--tokens", 512, "--group", 512)
        self.assertEqual(code, 0, said)
        result = tatr("run", self.path / "trace/config.json", "--set", "/layer=null", "--set", "/tile=32", "--calibration", self.path / "c.json", "--quiet",
                      "--device", "cpu", "--json", "-")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        network = {record["label"]: record for record in json.loads(result.stdout)["experiments"][0]["network"]}
        self.assertEqual(network["nearest"]["estimated_perplexity_change"]["calibration"], "tiny")

    def test_the_probe(self):
        code, said = self.perplexity("--probe", "--tokens", 2048)
        self.assertEqual(code, 0, said)
        rows = json.loads((self.path / "m.json").read_text())["rows"]
        self.assertEqual([(row["strategy"], row["tile"], row["tokens"]) for row in rows], [("down", 128, 1024)])  # 256 tokens for each of 8 experts, of top-2

    def test_changes_are_those_of_a_computation_apart(self):
        """By hand and by the oracle: one group, ln p of every token with experts replaced by the dense formula."""
        code, said = self.perplexity("--strategies", "down", "--tiles", "32", "--groups", "256", "--tokens", 256)
        self.assertEqual(code, 0, said)
        row = json.loads((self.path / "m.json").read_text())["rows"][0]
        from torch_tatr.models import padded
        from torch_tatr.texts import batches_of, interleaved, pieces_of, read_documents
        import transformers
        model = transformers.AutoModelForCausalLM.from_pretrained(self.path / "model").eval()
        batch = next(batches_of(interleaved(pieces_of([list(text.encode()) for text in read_documents(self.path / "text.jsonl")], 64)), 256))
        ids, mask = padded(torch, batch, "cpu")
        losses = []
        for rounding in (False, True):
            owns = []
            if rounding:
                for layer in model.model.layers:
                    block = layer.mlp
                    owns.append(block.forward)

                    def forward_by_hand(hidden, block=block, own=block.forward):
                        flat, real = hidden.reshape(-1, 32), mask.flatten() == 1
                        logits = flat @ block.gate.weight.T
                        given = oracle_core.round_topk(logits[real], 2, "down", 32)
                        weight = torch.zeros(int(real.sum()), 8)
                        weight[given.token, given.expert] = given.gate
                        every = [block.experts(flat[real], torch.full((len(weight), 1), e), torch.ones(len(weight), 1)) for e in range(8)]
                        out = torch.zeros_like(flat)
                        out[real] = sum(weight[:, e:e + 1] * every[e] for e in range(8))
                        return out.reshape(hidden.shape)
                    block.forward = forward_by_hand
            with torch.no_grad():
                logits = model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
            known = (mask[:, 1:] == 1)
            losses.append(-logits[:, :-1].gather(2, ids[:, 1:, None])[..., 0][known].double().mean())
        self.assertAlmostEqual(float(losses[1] - losses[0]), row["log_perplexity_change"], 5)

    def test_what_is_refused(self):
        for arguments, words in ((("--strategies", "nearst"), ("nearst", "allowed")), (("--tiles", "63"), ("63", "multiples of 8")),
                                 (("--groups", "999999"), ("999999", "no whole group"))):
            with self.assertRaises(Problem) as refused:
                self.perplexity(*arguments)
            for word in words:
                self.assertIn(word, str(refused.exception))
        with self.assertRaisesRegex(Problem, "cannot be written"):
            self.perplexity("--out", self.path / "nowhere/m.json")
        self.assertFalse((self.path / "m.json").exists())
        os.environ["TATR_LIBRARY"], there = str(self.path / "none.so"), os.environ["TATR_LIBRARY"]
        try:
            self.assert_refused(command("perplexity", self.path / "model", "--text", TEXT, "--out", self.path / "m.json"), 3, "libtatr is not there")
        finally:
            os.environ["TATR_LIBRARY"] = there
        self.assert_refused(command("perplexity", self.path, "--text", TEXT, "--out", self.path / "m.json"), 2, "config.json")


if __name__ == "__main__":
    main()
