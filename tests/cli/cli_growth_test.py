"""Nothing grows as the square of layers or experiments: processor time of the program at one size and at eight times it.

usage: growth_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import json
import os
import subprocess
import sys
import time

from program import PROGRAM, SOURCE, TINY, ProgramTest, main, run
from sample_results import write_trace

sys.path.insert(0, str(SOURCE / "scripts"))
from plot_results import read_experiments  # noqa: E402

MOST = 24  # linear work takes 8 times as long, or less where starting the program counts; quadratic work up to 64


def cpu_seconds(*arguments):
    process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    stderr = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, stderr
    return usage.ru_utime + usage.ru_stime


class Growth(ProgramTest):
    def assert_linear(self, arguments_of, size):
        small, large = arguments_of(size), arguments_of(8 * size)
        ratios = []
        for _ in range(3):  # a busy machine may need more than one try
            ratios.append(cpu_seconds(*large) / max(cpu_seconds(*small), 0.005))
            if ratios[-1] <= MOST:
                return
        self.fail(f"8 times {size} take {min(ratios):.0f} times as long")

    def test_layers_of_a_trace(self):
        def arguments(layers):
            trace, config = self.path / f"{layers}.safetensors", self.path / f"{layers}.json"
            write_trace(trace, layers, 8, 4)
            source = {"kind": "trace", "file": trace.name, "tensor": "layers.*.router_logits"}
            config.write_text(json.dumps({"name": "deep", "router": {"top_k": 1, "source": source}, "tile": 8,
                                          "strategies": ["none", "nearest"]}))
            return ("run", config, "--device", "cpu", "--threads", 1, "--json", self.path / "out.json",
                    "--csv", self.path / "out.csv", "--markdown", self.path / "out.md")

        self.assert_linear(arguments, 500)

    def test_files_of_many_experiments(self):
        config = self.path / "c.json"
        config.write_text(json.dumps({**TINY, "sweep": {"/seed": list(range(8))}}))
        lines = self.path / "lines.jsonl"
        result = run("run", config, "--device", "cpu", "--jsonl", lines)
        self.assertEqual(result.returncode, 0, result.stderr)
        documents = [json.loads(line) for line in lines.read_text().splitlines()]

        def grown(count):
            """As many results, of experiments that the config does not have."""
            path = self.path / f"{count}.jsonl"
            with path.open("w") as file:
                for number in range(count):
                    document = documents[number % len(documents)]
                    document["experiments"][0].update(name=f"n{number}", config_hash=f"{number:016x}")
                    file.write(json.dumps(document) + "\n")
            return path

        commands = {
            "resume": lambda count: ("run", config, "--device", "cpu", "--resume", "--jsonl", grown(count)),
            "compare": lambda count: ("compare", grown(count), grown(count)),
            "merge": lambda count: ("merge", grown(count), grown(count), "--jsonl", self.path / "merged.jsonl",
                                    "--csv", self.path / "merged.csv"),
            "report": lambda count: ("report", grown(count), "--html", self.path / "page.html"),
        }
        for name, arguments in commands.items():
            with self.subTest(name):
                self.assert_linear(arguments, 40)

    def test_pictures_of_many_experiments(self):
        record = {"name": "none", "label": "none", "tile": 8, "tiles": 2}
        seconds = {}
        for count in (500, 4000):
            documents = [("x", {"experiments": [{"name": f"n{number}", "strategies": [record]}]}) for number in range(count)]
            many_tiles = [("x", {"experiments": [{"name": "n", "strategies": [{**record, "tile": number} for number in range(count)]}]})]
            start = time.process_time()
            experiments = read_experiments(documents + documents[:1]) + read_experiments(many_tiles)
            seconds[count] = time.process_time() - start
            self.assertEqual([experiments[0].title, experiments[1].title], ["n0 #1", "n1"])
            self.assertEqual(experiments[-1].settings[-1].modelled, 1)
        self.assertLess(seconds[4000], MOST * max(seconds[500], 0.005))


if __name__ == "__main__":
    main()
