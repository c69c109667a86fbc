"""Results that the tests of pictures and pages share, made by the program; and what may be missing from a result."""

import copy
import json
import pathlib
import random
import struct
import tempfile

import program

MARKUP = "<script>window.hacked = 1</script>"
LABEL = "</script><img src=x onerror='window.hacked=1'> $x^{2 & {{script}}"
TINY = {**program.TINY, "layer": {"hidden": 32, "intermediate": 16}, "measure": {"samples": 10}}


def write_trace(path, layers, tokens, experts):
    """Router logits of many layers, as safetensors."""
    draw, size = random.Random(1), 4 * tokens * experts
    header = json.dumps({f"layers.{i:02}.router_logits": {"dtype": "F32", "shape": [tokens, experts],
                                                          "data_offsets": [i * size, (i + 1) * size]} for i in range(layers)}).encode()
    data = b"".join(struct.pack("<f", draw.gauss(0, 1)) for _ in range(layers * tokens * experts))
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


class Maker:
    def __init__(self, folder):
        self.folder = folder

    def run(self, config, *settings, device="cpu"):
        if isinstance(config, dict):
            path = self.folder / "config.json"
            path.write_text(json.dumps(config))
            config = path
        overrides = [part for setting in settings for part in ("--set", setting)]
        completed = program.run("run", config, *overrides, "--device", device, "--threads", "1", "--quiet", "--json", "-")
        assert completed.returncode == 0, completed.stderr
        return json.loads(completed.stdout)

    def shipped(self):
        """Every shipped config, with few tokens and no layer."""
        return {path.stem: self.run(path, "/router/tokens=512", "/layer=null") for path in program.LAYER_FREE}

    def others(self):
        """With times, modelled ones, with marks of a GPU, with 60 layers, 512 experts, and with much missing."""
        timed = self.run(TINY)
        gpu = copy.deepcopy(timed)
        gpu["environment"].update(device="NVIDIA Test GPU", driver="1", cuda="13.0")
        gpu["experiments"][0]["name"] = "gpu"
        for record in gpu["experiments"][0]["strategies"]:
            record["timing"]["floors"] = {gemm: {"ms": 0.4 * record["timing"]["layer_ms"]["median"], "bound": "flops"} for gemm in ("up", "down")}
            value = record["mean_square_dropped_mass"] / 10
            record["estimated_perplexity_change"] = {"value": value, "low": -0.001, "high": value * 2 + 1e-4, "calibration": "test"}
        reduced = copy.deepcopy(timed)
        reduced["experiments"][0]["name"] = "reduced"
        for record in reduced["experiments"][0]["strategies"] + reduced["experiments"][0]["network"]:
            record["estimated_perplexity_change"] = None
            if "timing" in record:
                record["timing"]["cpu_reduced"] = True
        write_trace(self.folder / "trace.safetensors", 60, 32, 8)
        deep = {"router": {"top_k": 2, "source": {"kind": "trace", "file": "trace.safetensors", "tensor": "layers.*.router_logits"}}}
        failed = self.run({**TINY, "layer": None})
        failed["experiments"][0].update(strategies=[], network=[], routing=[], config=None, error="out of memory")
        bare = {"schema_version": "1.0", "experiments": [{"name": "bare", "strategies": [{"name": "down", "label": "down"}]}]}
        return {
            "timed": timed, "modelled": self.run({**TINY, "name": "no GPU", "tile": [64, 128]}, device="model:a100"), "gpu": gpu, "reduced": reduced, "failed": failed, "bare": bare,
            "trained": self.run({**TINY, "name": "training pass", "tile": [16, 64], "layer": {**TINY["layer"], "pass": "training"}}),
            "layers": self.run({**TINY, **deep, "layer": None, "name": "sixty layers"}),
            "wide": self.run({**TINY, "layer": None, "name": "512 experts", "tile": 8, "router": {**TINY["router"], "tokens": 4096, "experts": 512}}),
            "lone": self.run({**TINY, "layer": None, "name": "one strategy", "strategies": ["down"]}),
            "markup": self.run({**TINY, "layer": None, "name": MARKUP, "strategies": ["none", {"name": "down", "label": LABEL}]}),
        }


def rows_both_ways(record):
    """Rows that a training pass multiplies: of whole tiles for the layer and the gradients of data, of whole steps of 64 for those of weights."""
    return 2 * record["tiles"] * record["tile"] + sum(-(-count // 64) * 64 for count in record["counts_after"])


def make_results(test_class):
    """All results by name; and a folder for the class's tests, test_class.path, that goes with them."""
    folder = tempfile.TemporaryDirectory()
    test_class.addClassCleanup(folder.cleanup)
    test_class.path = pathlib.Path(folder.name)
    maker = Maker(test_class.path)
    return {**maker.shipped(), **maker.others()}
