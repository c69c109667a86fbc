"""Experts over ranks: what is counted on the shipped trace, how it is kept and shown, and what is refused.

usage: parallel_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import csv
import io
import json

from program import SOURCE, TINY, ProgramTest, main, run

EP4 = SOURCE / "configs/parallel/ep4.json"


class Parallel(ProgramTest):
    def result(self, *arguments):
        result = run("run", *arguments, "--device", "cpu", "--quiet", "--json", "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)["experiments"]

    def config(self, parallel, **changes):
        path = self.path / "config.json"
        path.write_text(json.dumps({**TINY, "parallel": parallel, **changes}))
        return path

    def test_the_shipped_router_over_four_ranks(self):
        """Known figures of this trace: once for all 3.0 % are dropped, each rank alone 13.9 %, padded fragments are 1.34 times the tiles."""
        once, alone, padded = self.result(EP4)
        none, nearest, _ = once["strategies"]
        self.assertEqual((none["tiles"], nearest["tiles"], nearest["dropped"]), (1151, 1029, 3945))
        self.assertEqual((alone["strategies"][1]["tiles"], alone["strategies"][1]["dropped"]), (1009, 18233))
        self.assertEqual(alone["strategies"][0]["tiles"], 1151)  # plain top-k does not round
        (fragments,) = padded["strategies"]
        self.assertEqual((fragments["tiles"], fragments["dropped"]), (1542, 0))
        self.assertEqual([rank["tiles"] for rank in none["parallel"]["ranks"]], [307, 275, 283, 286])
        self.assertAlmostEqual(none["parallel"]["busiest_tiles_over_mean"], 307 * 4 / 1151)

    def test_over_eight_ranks_padding_nearly_doubles_the_tiles(self):
        (padded,) = self.result(EP4, "--set", "/sweep=[{}]", "--set", "/parallel={\"ranks\": 8, \"rounding\": \"per_fragment\"}", "--set", "/strategies=[\"none\"]")
        self.assertEqual(padded["strategies"][0]["tiles"], 2272)

    def test_what_is_sent_is_received_and_bytes_follow(self):
        for dedup in (True, False):
            for placement in ("contiguous", "round_robin", "by_load", [0, 1, 2, 2, 1, 0, 1, 1]):
                config = self.config({"ranks": 3, "placement": placement, "dedup": dedup}, layer={"hidden": 64, "intermediate": 32})
                (experiment,) = self.result(config)
                for strategy in experiment["strategies"]:
                    own, ranks = strategy["parallel"], strategy["parallel"]["ranks"]
                    self.assertIsNone(strategy["timing"])
                    for what in ("rows", "copies"):
                        sent = sum(rank[f"sent_{what}"] for rank in ranks)
                        self.assertEqual((sum(rank[f"received_{what}"] for rank in ranks), own[f"wire_{what}"]), (sent, sent))
                    self.assertEqual(sum(rank["tiles"] for rank in ranks), strategy["tiles"])
                    self.assertEqual(sum(rank["rows"] for rank in ranks), strategy["rows"])
                    self.assertEqual(sum(rank["experts"] for rank in ranks), 8)
                    self.assertLess(own["wire_copies"], own["wire_rows"])
                    self.assertEqual(own["wire_bytes"], own["wire_copies" if dedup else "wire_rows"] * 64 * 2)

    def test_one_rank_sends_nothing(self):
        (experiment,) = self.result(self.config({"ranks": 1, "rounding": "per_rank"}))
        (plain,) = self.result(self.config({"ranks": 1}))
        for own, other in zip(experiment["strategies"], plain["strategies"]):
            self.assertEqual(own["parallel"]["wire_rows"], 0)
            self.assertEqual(own["parallel"]["busiest_tiles_over_mean"], 1)
            self.assertEqual(own["parallel"]["wire_bytes"], None)  # no layer tells a token's width
            self.assertEqual([own[key] for key in ("tiles", "dropped", "added")], [other[key] for key in ("tiles", "dropped", "added")])

    def test_it_is_shown_again_and_in_csv(self):
        shown = run("run", EP4, "--device", "cpu", "--json", self.path / "r.json", "--csv", self.path / "r.csv", "--show", "ranks")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("4 ranks, experts in blocks, rounded once for all ranks:", shown.stdout)
        again = run("show", self.path / "r.json", "--show", "ranks").stdout
        self.assertTrue(shown.stdout.startswith(again) and "Rank 3" in again, again)
        rows = list(csv.DictReader(io.StringIO((self.path / "r.csv").read_text())))
        self.assertEqual(rows[0]["parallel_wire_copies"], "44215")
        self.assertEqual(run("show", self.path / "r.json").returncode, 0)
        first = run("run", EP4, "--device", "cpu", "--set", "/sweep=[{}]").stdout
        self.assertIn("(--show ranks)", first.replace("\n ", ""))

    def test_best_of_many_keeps_the_limit_or_is_none(self):
        lines = run("run", EP4, "--device", "cpu").stdout.splitlines()
        (alone,) = [line for line in lines if line.startswith("  ep4, each rank alone")]
        self.assertEqual(alone.split()[-4:], ["-"] * 4)  # its fastest would triple the perplexity

    def test_what_cannot_be_is_refused(self):
        for parallel, words in (({"ranks": 9}, "/parallel/ranks: 9 is not allowed; expected at most the number of experts, 8"),
                                ({"ranks": 0}, "/parallel/ranks: 0"), ({}, "\"ranks\" is missing"),
                                ({"ranks": 2, "placement": [0, 1]}, "/parallel/placement: a list of 2 items"),
                                ({"ranks": 2, "placement": [0, 1, 0, 1, 0, 1, 0, 2]}, "/parallel/placement/7: 2"),
                                ({"ranks": 2, "rounding": "per_fragment"}, "\"down\" is not allowed where /parallel/rounding is \"per_fragment\""),
                                ({"ranks": 2, "rounding": "local"}, "/parallel/rounding: \"local\"")):
            with self.subTest(parallel):
                self.assert_fails(run("run", self.config(parallel), "--device", "cpu"), 2, words)
        budget = self.config({"ranks": 2, "rounding": "per_rank"}, strategies=[{"name": "budget", "tiles": 40}])
        self.assert_fails(run("run", budget, "--device", "cpu"), 2, "/strategies/0/tiles: a number of tiles is not allowed")
        dynamic = self.config({"ranks": 2, "rounding": "per_rank"}, strategies=["none", "dynamic"])
        self.assert_fails(run("run", dynamic, "--device", "cpu"), 2, "ranks would choose different tiles")
        self.assert_fails(run("run", self.config({"ranks": 9}, router={"tokens": 4, "experts": 16, "top_k": 2}), "--device", "cpu"), 2, "number of tokens, 4")


if __name__ == "__main__":
    main()
