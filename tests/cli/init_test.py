"""tatr-sim init, list and help: configs to begin with, and what a config may name.

usage: init_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import json

import program
from program import SOURCE, ProgramTest, run

QWEN = {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144,
        "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": True}
DEEPSEEK = {"model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
            "n_routed_experts": 256, "num_experts_per_tok": 8, "n_group": 8, "topk_group": 4, "scoring_func": "sigmoid",
            "topk_method": "noaux_tc", "norm_topk_prob": True, "n_shared_experts": 1, "routed_scaling_factor": 2.5}
MIXTRAL = {"model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_local_experts": 8, "num_experts_per_tok": 2}


class InitTest(ProgramTest):
    def made(self, *arguments, code=0):
        out = self.path / "made.json"
        out.unlink(missing_ok=True)
        result = run("init", *arguments, "--out", out)
        self.assertEqual((result.returncode, result.stderr), (code, ""))
        config = json.loads(out.read_text())
        self.assertEqual(run("validate", out).returncode, 0)
        schema = (out.parent / config["$schema"]).resolve()
        self.assertIn("properties", json.loads(schema.read_text()))
        return config, result.stdout

    def model(self, document):
        path = self.path / "config.json"
        path.write_text(json.dumps(document))
        return path

    def test_a_plain_config_runs_and_is_explained(self):
        config, text = self.made()
        self.assertEqual(config["tile"], [64, 128])
        self.assertIn("every figure is an example", text)
        self.assertIn("/router/top_k", text)
        self.assertLessEqual(len(text.splitlines()), 45)
        self.assertLessEqual(max(map(len, text.splitlines()[1:-2])), 80)
        result = run("run", self.path / "made.json", "--device", "cpu", "--set", "/router/tokens=512", "--set",
                     "/layer=null", "--quiet")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_shipped_model_is_copied_whatever_its_spelling(self):
        shipped = json.loads((SOURCE / "configs/models/qwen3_30b_a3b.json").read_text())
        for name in ("qwen3_30b_a3b", "Qwen3-30B-A3B"):
            config, _ = self.made("--from", name)
            self.assertEqual({**config, "$schema": 0}, {**shipped, "$schema": 0})

    def test_a_models_own_config_is_read_and_what_it_lacks_is_told(self):
        config, text = self.made("--from", self.model(QWEN))
        self.assertEqual((config["name"], config["router"]["experts"], config["router"]["top_k"]), ("qwen3_moe", 128, 8))
        self.assertEqual((config["layer"]["hidden"], config["layer"]["intermediate"]), (2048, 768))
        self.assertEqual(config["layer"]["cpu"], {"hidden": 256, "intermediate": 96})
        self.assertIn("no scoring_func", " ".join(text.split()))
        config, text = self.made("--from", self.model(DEEPSEEK))
        shipped = json.loads((SOURCE / "configs/models/deepseek_v3.json").read_text())["router"]
        self.assertEqual({key: config["router"][key] for key in shipped}, shipped)
        self.assertIn("shared experts (n_shared_experts 1)", " ".join(text.split()))
        config, text = self.made("--from", self.model(MIXTRAL))
        self.assertEqual(config["layer"]["intermediate"], 14336)
        self.assertIn("no norm_topk_prob", " ".join(text.split()))
        self.assertIn("no norm_topk_prob", config["description"])
        config, _ = self.made("--from", self.model({"text_config": QWEN, "vision_config": {}, "model_type": "qwen3_vl"}))
        self.assertEqual(config["router"]["experts"], 128)

    def test_what_cannot_be_simulated_or_is_no_number_is_refused(self):
        for change, words in (({"scoring_func": "relu"}, ("/scoring_func", '"relu"')), ({"num_experts": "many"}, ("/num_experts",)),
                              ({"num_experts_per_tok": 200}, ("top_k",)), ({"hidden_size": 100}, ("/layer/hidden", "100"))):
            self.assert_fails(run("init", "--from", self.model(QWEN | change), "--out", self.path / "new.json"), 2, *words)
            self.assertFalse((self.path / "new.json").exists())

    def test_a_file_is_never_replaced(self):
        config = self.path / "there.json"
        config.write_text("mine")
        self.assert_fails(run("init", "--out", config), 2, "is there already")
        self.assertEqual(config.read_text(), "mine")

    def test_standard_output_gets_the_config_alone(self):
        result = run("init", "--from", "olmoe", "--out", "-")
        self.assertEqual(json.loads(result.stdout)["router"]["experts"], 64)
        self.assertIn("64 experts", result.stderr)


class ListTest(ProgramTest):
    def test_configs_are_those_that_ship(self):
        text = run("list", "configs").stdout
        for path in program.CONFIGS:
            self.assertRegex(text, rf"(?m)^  (models/|parallel/)?{path.stem} ")
        self.assertLessEqual(max(map(len, text.splitlines()[1:-1])), 80)
        self.assertNotIn("devices/", text)

    def test_strategies_and_sources_come_with_their_options(self):
        text = " ".join(run("list", "strategies").stdout.split())
        for words in ("threshold: number from 0 to 1; default 0.9", 'then: none, down', "objective: mass_squared, mass",
                      "an object with max_dropped_mass", "Options of all: label:"):
            self.assertIn(words, text)
        one = run("list", "strategies", "adaptive").stdout
        self.assertIn("threshold", one)
        self.assertNotIn("capacity", one)
        self.assertIn("sigma: number from 0 to 100; default 0.5", run("list", "sources", "lognormal").stdout)
        self.assertNotIn("threshold: number", run("list").stdout)

    def test_help_is_a_command_too(self):
        self.assertEqual(run("help").stdout, run("--help").stdout)
        self.assertEqual(run("help", "advise").stdout, run("advise", "--help").stdout)
        self.assertEqual(run("-v").stdout, run("--version").stdout)
        for word in ("init", "configs|strategies", "--uncalibrated"):
            self.assertIn(word, run("--help-all").stdout)
        self.assertIn("init", run("completion", "bash").stdout)


if __name__ == "__main__":
    program.main()
