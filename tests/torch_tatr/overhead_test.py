"""torch_tatr overhead: what it prints and writes, and that its layer with plain rounding is the layer with plain top-k.

usage: overhead_test.py PROGRAM SOURCE_DIR LIBRARY [unittest arguments]
"""

import json

from package import PackageTest, command, main, needs_torch

SMALL = ("--tokens", 96, "--experts", 8, "--top-k", 2, "--hidden", 16, "--intermediate", 8, "--tile", 16, "--turns", 10, "--device", "cpu")


@needs_torch
class Overhead(PackageTest):
    def test_a_row_for_each_dispatch(self):
        result = command("overhead", *SMALL, "--strategies", "nearest,up", "--json", self.path / "o.json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([line.split()[0] for line in result.stdout.splitlines()], ["dispatch", "plain", "nearest", "up"])
        document = json.loads((self.path / "o.json").read_text())
        self.assertEqual([row["dispatch"] for row in document["rows"]], ["plain", "nearest", "up"])
        for row in document["rows"]:
            self.assertLess(0, row["dispatch_us"])
            self.assertLess(row["dispatch_us"], 1e3 * row["layer_ms"])
            low, high = row["over_plain_us_interval"]
            self.assertTrue(low <= row["over_plain_us"] <= high)

    def test_bad_arguments_are_refused(self):
        self.assert_refused(command("overhead", *SMALL, "--tokens", 0), 2, "sizes are from 1")
        self.assert_refused(command("overhead", *SMALL, "--strategies", "closest"), 2, "closest")
        self.assert_refused(command("overhead", *SMALL, "--json", self.path / "no/o.json"), 3, "o.json")

    def test_without_rounding_the_layer_is_the_plain_one(self):
        import argparse

        import torch
        from torch_tatr.overhead import Layer
        shape = argparse.Namespace(tokens=96, experts=8, top_k=2, hidden=16, intermediate=8, tile=16)
        layer = Layer(torch, shape, torch.device("cpu"))
        plain, rounded = (layer.forward(dispatch, lambda: None).float() for dispatch in (layer.plain, layer.rounded("none")))
        torch.testing.assert_close(plain, rounded, rtol=0.05, atol=0.02)
        self.assertGreater(plain.abs().max(), 0.05)


if __name__ == "__main__":
    main()
