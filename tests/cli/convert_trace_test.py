"""Converts files of PyTorch and Parquet with scripts/convert_trace.py, and runs tatr-sim on what comes out. Without torch and
pyarrow that part is skipped, and exits with 77.

usage: convert_trace_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import importlib.util
import json
import subprocess
import sys
import unittest

from program import SOURCE, ProgramTest, main, run

DATA = SOURCE / "tests/traces/data"


def has(package):
    return importlib.util.find_spec(package) is not None


def convert(*arguments):
    command = [sys.executable, SOURCE / "scripts/convert_trace.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


class ConvertTrace(ProgramTest):
    def converted(self, *inputs):
        """Types and shapes by name, and the file."""
        out = self.path / "out.safetensors"
        result = convert(*inputs, out)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        data = out.read_bytes()
        header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
        return {name: f"{tensor['dtype']}  {tensor['shape']}" for name, tensor in header.items()}, out

    def counts_of(self, out, source=None, **router):
        """What tatr-sim reads of it: counts of each layer."""
        config = self.path / "config.json"
        router = {"top_k": 2, **router, "source": {"kind": "trace", "file": str(out), **(source or {})}}
        config.write_text(json.dumps({"name": "c", "router": router, "tile": 8, "strategies": ["none"]}))
        result = run("run", config, "--device", "cpu", "--threads", 1, "--quiet", "--json", "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        return [record["counts_before"] for record in json.loads(result.stdout)["experiments"][0]["strategies"]]

    def assert_refused(self, result, code, *words):
        self.assertEqual((result.returncode, result.stdout), (code, ""))
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_what_is_refused(self):
        out = self.path / "out.safetensors"
        self.assert_refused(convert(DATA / "data.pkl", out), 2, "data.pkl", "pickle", "torch.save")
        self.assert_refused(convert(DATA / "logits.npy", out), 2, "neither of PyTorch")
        self.assert_refused(convert(self.path / "none.pt", out), 2, "none.pt", "No such file")
        self.assert_refused(convert(DATA / "torch.pt"), 2, "OUT.safetensors")
        self.assert_refused(convert(DATA / "torch.pt", "out.pt"), 2, "out.pt", "OUT.safetensors")
        self.assertFalse(out.exists())
        for package, file in (("torch", "torch.pt"), ("pyarrow", "rows.parquet")):
            if not has(package):
                self.assert_refused(convert(DATA / file, out), 3, file, f"pip install {package}")

    @unittest.skipUnless(has("torch"), "no torch here")
    def test_torch(self):
        import torch
        logits = torch.randn(3, 64, 16, generator=torch.Generator().manual_seed(1))
        expected = [torch.bincount(layer.topk(2).indices.flatten(), minlength=16).tolist() for layer in logits]
        path = self.path / "t.pt"
        shapes = {f"layers.{i}.router_logits": "F32  [64, 16]" for i in range(3)}
        for content in (tuple(logits), {"router_logits": list(logits)}):  # as Hugging Face gives them
            torch.save(content, path)
            listed, out = self.converted(path)
            self.assertEqual(listed, shapes)
            self.assertEqual(self.counts_of(out, {"tensor": "layers.*.router_logits"}), expected)
        torch.save([logits[0].bfloat16(), None, logits[1].bfloat16()], path)  # a dense layer in between
        self.assertEqual(list(self.converted(path)[0]), ["layers.0.router_logits", "layers.2.router_logits"])
        torch.save({"model": {"gate": [{"ids": logits[0].topk(2).indices}], "name": "x", "loss": logits.sum()}, "mask": torch.ones(64).bool()}, path)
        self.assertEqual(self.converted(path)[0], {"model.gate.0.ids": "I64  [64, 2]", "mask": "BOOL  [64]"})
        result = convert("--list", path)
        self.assertEqual((result.returncode, result.stdout), (0, "model.gate.0.ids  I64  [64, 2]\nmask  BOOL  [64]\n"))
        torch.save(logits[0].t(), path)  # of other strides
        self.assertEqual(self.converted(path)[0], {"tensor": "F32  [16, 64]"})
        torch.save(logits[0].topk(2).indices.flip(0), path)
        self.assertEqual(self.counts_of(self.converted(path)[1], {"tensors": {"ids": "tensor"}}, experts=16), expected[:1])

    @unittest.skipUnless(has("torch"), "no torch here")
    def test_several_files_are_joined(self):
        import torch
        logits = torch.randn(2, 64, 16, generator=torch.Generator().manual_seed(2))
        paths = [self.path / f"step_{i}.pt" for i in range(2)]
        for path, part in zip(paths, logits.split(32, 1)):
            torch.save(tuple(part), path)
        listed, out = self.converted(*paths)
        self.assertEqual(listed["layers.1.router_logits"], "F32  [64, 16]")
        expected = [torch.bincount(layer.topk(2).indices.flatten(), minlength=16).tolist() for layer in logits]
        self.assertEqual(self.counts_of(out, {"tensor": "layers.*.router_logits"}), expected)
        torch.save({"x": logits}, paths[0])
        self.assert_refused(convert(paths[0], paths[0], out), 2, "step_0.pt", "x", "convert each file alone")

    @unittest.skipUnless(has("torch"), "no torch here")
    def test_the_recorder_of_sglang(self):
        import torch
        ids = torch.rand(3, 40, 16, generator=torch.Generator().manual_seed(3)).topk(2).indices.int()
        counts = [torch.bincount(layer.flatten(), minlength=16).tolist() for layer in ids]
        path = self.path / "expert_distribution_recorder_1.5.pt"
        logical = torch.zeros(4, 3, 16, dtype=torch.int32)
        logical[0] = torch.tensor(counts)  # of 4 buffered steps one was
        torch.save({"rank": 0, "logical_count": logical, "average_utilization_rate_over_window": None}, path)
        listed, out = self.converted(path)
        self.assertEqual(listed, {"logical_count": "I32  [4, 3, 16]"})
        self.assertEqual(self.counts_of(out, {"kind": "counts"}), counts)
        wide = torch.full((4, 40, 8), -1, dtype=torch.int32)  # the first layer is dense, and 6 of 8 columns are empty
        wide[1:, :, :2] = ids
        records = [{"forward_pass_id": i, "rank": 0, "input_ids": [1, 2], "topk_ids_of_layer": part, "misc_objects": []}
                   for i, part in enumerate(wide.split(25, 1))]
        torch.save({"records": records, "last_physical_to_logical_map": torch.arange(16).expand(4, 16)}, path)
        listed, out = self.converted(path)
        self.assertEqual(listed, {f"layers.{layer}.topk_ids": "I32  [40, 2]" for layer in (1, 2, 3)})
        self.assertEqual(self.counts_of(out, experts=16), counts)

    @unittest.skipUnless(has("torch"), "no torch here")
    def test_code_in_a_file_does_not_run(self):
        import torch
        path, mark = self.path / "evil.pt", self.path / "ran"

        class Evil:
            def __reduce__(self):
                return open, (str(mark), "w")
        torch.save({"x": Evil()}, path)
        self.assert_refused(convert(path, self.path / "out.safetensors"), 2, "evil.pt", "weights_only")
        self.assertFalse(mark.exists())

    @unittest.skipUnless(has("pyarrow"), "no pyarrow here")
    def test_parquet(self):
        import pyarrow
        import pyarrow.parquet
        ids = [[(3 * t + k) % 16 for k in (0, 5)] for t in range(50)]
        path = self.path / "rows.parquet"
        fixed = pyarrow.array(ids, pyarrow.list_(pyarrow.int16(), 2))
        scores = pyarrow.array([[0.75, 0.25]] * 50, pyarrow.list_(pyarrow.float32()))
        table = pyarrow.table({"token": list(range(50)), "text": ["a"] * 50, "topk_ids": fixed, "topk_scores": scores})
        pyarrow.parquet.write_table(table, path, row_group_size=20)
        listed, out = self.converted(path)
        self.assertEqual(listed, {"token": "I64  [50]", "topk_ids": "I16  [50, 2]", "topk_scores": "F32  [50, 2]"})
        flat = [expert for row in ids for expert in row]
        self.assertEqual(self.counts_of(out, experts=16), [[flat.count(expert) for expert in range(16)]])
        pyarrow.parquet.write_table(pyarrow.table({"ids": [[1], [2, 3]]}), path)
        self.assert_refused(convert(path, out), 2, "column ids", "2 lengths")
        pyarrow.parquet.write_table(pyarrow.table({"ids": [1, None]}), path)
        self.assert_refused(convert(path, out), 2, "column ids", "1 values are missing")


if __name__ == "__main__":
    if has("torch") and has("pyarrow"):
        main()
    tests = unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[3:]], exit=False)
    print("skipped: no torch or no pyarrow here")
    sys.exit(77 if tests.result.wasSuccessful() else 1)
