"""torch_tatr lab: its corpus, its model, training with a strategy, going on after a break, and its table.

usage: lab_test.py PROGRAM SOURCE_DIR LIBRARY [unittest arguments]
"""

import gzip
import json
import pathlib
import subprocess
import sys
import unittest

from package import DEVICE, SOURCE, PackageTest, has, in_process, main, needs_torch, tatr

from torch_tatr import corpus
from torch_tatr.problems import Problem
if has("numpy"):
    import numpy as np
if has("numpy", "torch"):
    import torch
    from torch_tatr import forward, lab, lab_model, round_topk
    from torch_tatr.routers import find_blocks

WORDS = "the expert of a token is chosen by its router and each tile holds rows of one expert alone ".split()


class Corpus(PackageTest):
    def test_files_and_what_is_left_of_them(self):
        (self.path / "man/man1").mkdir(parents=True)
        page = self.path / "man/man1/x.1.gz"
        page.write_bytes(gzip.compress(b'.TH X 1\n.\\" remark\nA \\fBbold\\fR word\\-like.\n.PP\nMore.\n'))
        self.assertEqual(corpus.text_in(page), "A bold word-like.\nMore.\n")
        for name, content in (("a", b"bytes\0"), ("b", b"\xff\xfe"), ("c.gz", b"no gzip")):
            (self.path / name).write_bytes(content)
            self.assertIsNone(corpus.text_in(self.path / name))
        self.assertIsNone(corpus.text_in(self.path / "none"))
        info = self.path / "info"
        info.mkdir()
        (info / "p:amd64.list").write_text("/usr\n/usr/share/doc/p/README\n/usr/share/doc/p/x.png\n/usr/bin/p\n/usr/lib/python3/dist-packages/p.py\n")
        self.assertEqual([(package, str(path)) for package, path in corpus.package_files(info)],
                         [("p", "/usr/share/doc/p/README"), ("p", "/usr/lib/python3/dist-packages/p.py")])

    def test_copies_go(self):
        licence, own = "Permission is granted. " * 20, "What this one says. " * 20
        found = corpus.without_copies([("a", licence + "\n\n" + own), ("b", licence + "\n\n" + own[::-1]), ("c", licence)], 10**6)
        self.assertEqual([package for package, _ in found], ["a", "b"])
        self.assertNotIn("Permission", found[1][1])
        self.assertEqual(len(corpus.without_copies([("a", own), ("b", own[::-1])], 300)), 1)
        many = [("a", f"{number} " * 200) for number in range(9)] + [("b", own)]
        self.assertEqual([package for package, _ in corpus.without_copies(many, 8000)], ["a", "a", "a", "b"])

    def test_no_text(self):
        (self.path / "t").mkdir()
        (self.path / "t/a").write_text("short")
        with self.assertRaisesRegex(Problem, "no text of 200"):
            corpus.documents_of(self.path / "t", 1)


@needs_torch
class Lab(PackageTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)  # with more, sums of gradients come in any order
        draw = np.random.default_rng(1)
        texts = self.path / "texts"
        texts.mkdir()
        for number in range(60):
            (texts / f"{number}.txt").write_text(" ".join(draw.choice(WORDS, 100)))

    def lab(self, folder, *arguments):
        return in_process("lab", "--preset", "tiny", "--text", self.path / "texts", "--out", self.path / folder, "--device", DEVICE, *arguments)

    def test_the_model_and_what_is_read_of_it(self):
        for scoring in ("softmax", "sigmoid"):
            shape = lab_model.Shape(vocabulary=64, width=32, layers=2, heads=2, experts=8, top_k=2, expert_width=16, scoring=scoring, length=16)
            model = lab_model.LabModel(shape).eval()
            hidden = torch.randn(40, 32)
            mixture = model.layers[0].mixture
            logits, weights, chosen = mixture.router(hidden)
            expected = torch.zeros(40, 32)
            for t in range(40):
                for e, weight in zip(chosen[t], weights[t]):
                    gate, up = (mixture.experts.gate_up[e] @ hidden[t]).chunk(2)
                    expected[t] += weight * (mixture.experts.down[e] @ (torch.nn.functional.silu(gate) * up))
            torch.testing.assert_close(mixture(hidden[None])[0], expected, rtol=1e-4, atol=1e-5)
            self.assertEqual([(block.layer, block.count, block.hidden, block.intermediate) for block in find_blocks(model)], [(0, 8, 32, 16), (1, 8, 32, 16)])
            ids = torch.randint(64, (2, 16))
            whole = model(ids).logits  # causal: what follows changes nothing before
            torch.testing.assert_close(model(ids[:, :9]).logits, whole[:, :9], rtol=1e-4, atol=1e-5)
        even = torch.full((16, 8), 1 / 8)
        self.assertAlmostEqual(float(lab_model.balance_loss(even, torch.arange(32).reshape(16, 2) % 8)), 1.0, 5)

    def test_rounding_in_training_has_the_gradient_of_a_dense_formula(self):
        shape = lab_model.Shape(vocabulary=64, width=32, layers=1, heads=2, experts=8, top_k=2, expert_width=16, length=16)
        model = lab_model.LabModel(shape)
        mixture, hidden = model.layers[0].mixture, torch.randn(1, 64, 32)
        blocks = lab.blocks_with_options(model, shape)
        given = []

        def watched(*arguments, **options):
            given.append(round_topk(*arguments, **options))
            return given[-1]
        with forward.RoundedForward(torch, blocks, round_topk=watched) as rounded:
            rounded.begin("nearest", 8)
            rounded.group(torch.ones(1, 64))
            (mixture(hidden) ** 2).sum().backward()
        found = [part.grad.clone() for part in mixture.parameters()]
        model.zero_grad()
        flat, r = hidden[0], given[0]
        p = (flat @ mixture.router.weight.T).softmax(1)
        own = torch.zeros(64, 8, dtype=torch.bool).scatter_(1, r.chosen.long(), True)
        gates = torch.where(own, p / (p * own).sum(1, keepdim=True), p)
        there = torch.zeros(64, 8).index_put_((r.token.long(), r.expert.long()), torch.ones(len(r.token)))
        out = 0
        for e in range(8):
            gate, up = (flat @ mixture.experts.gate_up[e].T).chunk(2, 1)
            out = out + (gates * there)[:, e:e + 1] * ((torch.nn.functional.silu(gate) * up) @ mixture.experts.down[e].T)
        (out ** 2).sum().backward()
        for ours, part in zip(found, mixture.parameters()):
            torch.testing.assert_close(ours, part.grad, rtol=1e-3, atol=1e-5)

    def test_the_table_and_what_follows_from_it(self):
        code, said = self.lab("out", "--seeds", 2, "--train", "plain,nearest", "--serve", "down,nearest", "--steps", 40)
        self.assertEqual(code, 0, said)
        out = self.path / "out"
        document = json.loads((out / "lab.json").read_text())
        self.assertEqual({(entry["train"], entry["serve"]) for entry in document["table"]},
                         {(train, serve) for train in ("plain", "nearest") for serve in ("plain", "down", "nearest")})
        for entry in document["table"]:
            self.assertEqual(len(entry["perplexity"]["values"]), 2)
            if (entry["train"], entry["serve"]) == ("plain", "plain"):
                self.assertEqual(entry["change"]["mean"], 0)
                self.assertLess(entry["perplexity"]["mean"], 150)  # it learns: 256 bytes
        self.assertEqual(document["corpus"]["documents"], 60)
        self.assertIn("| plain |", (out / "lab.md").read_text())
        rows = json.loads((out / "measurements.json").read_text())["rows"]
        self.assertEqual({(row["run"], row["strategy"]) for row in rows}, {(run, strategy) for run in (0, 1) for strategy in ("down", "nearest")})
        for trace in out.glob("runs/*/trace/config.json"):
            result = tatr("run", trace, "--set", "/layer=null", "--quiet", "--device", "cpu")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(len(list(out.glob("runs/*/trace/config.json"))), 4)
        before = {path: path.stat().st_mtime_ns for path in out.glob("runs/**/*") if path.is_file()}
        code, said = self.lab("out", "--seeds", 2, "--train", "plain,nearest", "--serve", "down,nearest", "--steps", 40)
        self.assertEqual((code, {path: path.stat().st_mtime_ns for path in out.glob("runs/**/*") if path.is_file()}), (0, before))
        code, said = self.lab("out", "--seeds", 1, "--train", "plain", "--serve", "up", "--steps", 40)  # served anew, not trained
        after = {path: path.stat().st_mtime_ns for path in out.glob("runs/**/*") if path.is_file()}
        self.assertEqual({path.relative_to(out).as_posix() for path in before if before[path] != after[path]}, {"runs/plain-seed0/served.json"})
        self.assertEqual({entry["serve"] for entry in json.loads((out / "lab.json").read_text())["table"]}, {"plain", "up"})
        with self.assertRaisesRegex(Problem, "begun with steps 40, not 41"):
            self.lab("out", "--steps", 41, "--serve", "down,nearest")

    @unittest.skipUnless(DEVICE == "cpu", "on a GPU sums come in any order")
    def test_it_goes_on_where_it_was_broken_off(self):
        arguments = ("--seeds", 1, "--train", "nearest", "--serve", "down", "--checkpoint-steps", 10)
        own = lab.Run.step

        def broken(run, model, optimiser, data, step, rounded):
            if step == 17:
                raise KeyboardInterrupt
            return own(run, model, optimiser, data, step, rounded)
        lab.Run.step = broken
        try:
            with self.assertRaises(KeyboardInterrupt):
                self.lab("broken", *arguments)
        finally:
            lab.Run.step = own
        self.assertFalse((self.path / "broken/lab.json").exists())
        code, said = self.lab("broken", *arguments)
        self.assertEqual(code, 0, said)
        self.assertIn("goes on from step 10", said)
        self.assertEqual(self.lab("whole", *arguments)[0], 0)
        tables = [json.loads((self.path / name / "lab.json").read_text())["table"] for name in ("broken", "whole")]
        self.assertEqual(*tables)

    def test_what_is_refused(self):
        for arguments, word in ((("--train", ","), "names nothing"), (("--step-tokens", 100), "multiple of a sequence"),
                                (("--train-tile", 12), "multiple of 8"), (("--serve", "nearst"), "nearst")):
            with self.assertRaisesRegex(Problem, word):
                self.lab("out", *arguments)
        self.assertFalse((self.path / "out").exists())

    @unittest.skipUnless(has("tokenizers"), "no tokenizers here")
    def test_a_tokenizer_is_trained_and_kept(self):
        documents = [path.read_text() for path in sorted((self.path / "texts").iterdir())]
        folder = pathlib.Path(self.path)
        first = corpus.encode(documents, "bpe", 300, folder)
        self.assertLess(sum(map(len, first)), 0.6 * sum(map(len, documents)))
        self.assertLess(max(map(max, first)), 300)
        self.assertEqual(corpus.encode(documents, "bpe", 300, folder), first)


if __name__ == "__main__":
    main()
