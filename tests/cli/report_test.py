"""Opens pages of tatr-sim report in headless Chromium. Exits with 77 (skipped) where there is no Chromium.

usage: report_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import base64
import copy
import itertools
import json
import math
import re
import sys
import unittest

import chromium
from program import SOURCE, run
from sample_results import LABEL, MARKUP, make_results, rows_both_ways

sys.path.insert(0, str(SOURCE / "scripts"))
import plot_colours  # noqa: E402

KINDS = {"load", "utilisation", "pareto", "tiles", "timing", "documented"}

# Texts of a figure that lie on each other or stick out of it.
CLASHES = """(() => {
  const found = [];
  for (const svg of document.querySelectorAll("figure svg")) {
    const name = svg.getAttribute("aria-label"), frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map((node) => ({text: node.textContent, box: node.getBoundingClientRect()}));
    texts.forEach(({text, box}, i) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) found.push([name, "cut off", text]);
      for (const other of texts.slice(0, i)) {
        if (Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left) > 1 &&
            Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top) > 2) found.push([name, text, other.text]);
      }
    });
  }
  return found;
})()"""

# Number of colours of a picture, part of its pixels that differ from the first, and brightness of the first.
LOOK = """(async () => {
  const image = new Image();
  image.src = "data:image/png;base64,%s";
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer), first = pixels[0];
  return [new Set(pixels).size, pixels.filter((pixel) => pixel !== first).length / pixels.length, first & 255];
})()"""


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.results = make_results(cls)
        for name, result in cls.results.items():
            (cls.path / f"{name}.json").write_text(json.dumps(result))
        cls.browser = chromium.Chromium()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.browser.settings(1280)

    def page(self, *names):
        page = self.path / "page.html"
        completed = run("report", *[self.path / f"{name}.json" for name in names], "--html", page)
        count = sum(len(self.results[name]["experiments"]) if name in self.results else 1 for name in names)
        self.assertEqual((completed.returncode, completed.stdout, completed.stderr), (0, "", f"Wrote {page}: {count} experiment{'' if count == 1 else 's'}\n"))
        return page

    def open(self, *names):
        """Opens the page, and all that is folded in it."""
        page = self.page(*names)
        self.browser.open(page)
        self.unfold()
        self.assertEqual(self.browser.complaints(), [])
        self.assertEqual(self.browser.requests(), [page.resolve().as_uri()])

    def unfold(self):
        self.browser.evaluate("""(async () => { for (let i = 0; i < 4; ++i) {
            for (const details of document.querySelectorAll('details')) details.open = true;
            await new Promise((done) => setTimeout(done, 30)); } })()""")

    def texts(self, selector):
        return self.browser.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map((node) => node.textContent)")

    def drawn(self):
        return set(self.browser.evaluate("[...document.querySelectorAll('figure')].filter((f) => f.querySelector('svg')).map((f) => f.dataset.kind)"))

    def test_every_strategy_and_figure_of_all_results(self):
        self.open(*self.results)
        self.assertEqual(self.drawn(), KINDS | {"speedup"})
        experiments = [experiment for result in self.results.values() for experiment in result["experiments"]]
        articles = self.browser.evaluate("[...document.querySelectorAll('article')].map((a) => [...a.querySelectorAll('.table')[0].querySelectorAll('tbody td')].map((cell) => cell.textContent))")
        self.assertEqual(len(articles), len(experiments))
        self.assertEqual(len(set(self.texts("details.experiment > summary"))), len(experiments))
        for experiment, cells in zip(experiments, articles):
            for record in experiment["strategies"]:
                self.assertIn(record["label"], cells)
        rows = self.browser.evaluate("document.querySelectorAll('#answer .long tbody tr').length")
        self.assertEqual(rows, len(experiments))

    def test_the_answer_is_seen_without_scrolling(self):
        for width, scheme in ((1280, "light"), (390, "dark")):
            self.browser.settings(width, scheme)
            self.browser.open(self.page("modelled"))
            top = self.browser.evaluate("Math.min(...[...document.querySelectorAll('#answer td')].filter((cell) => /^[0-9.]+×/.test(cell.textContent)).map((cell) => cell.getBoundingClientRect().bottom))")
            self.assertLess(top, 900)
            self.assertEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
        heads = [re.sub(r" \[.*", "", text) for text in self.texts("#answer th")]
        for head in ("Strategy", "Speed-up over none, same tile", "Tiles (against none)", "Dropped"):
            self.assertIn(head, heads)
        self.assertIn("Fastest: ", self.texts(".lead")[0])

    def test_times_of_a_cpu_are_no_answer(self):
        self.assertEqual(self.results["timed"]["environment"]["device"], "cpu")
        self.browser.open(self.page("timed"))
        lead = self.texts(".lead")[0]
        self.assertIn("A CPU has no tiles: its time ratios are no speed-ups of a GPU. Fewest tiles: ", lead)
        self.assertNotIn("Fastest", lead)
        heads = self.texts("#answer th, .every th")
        self.assertIn("CPU time ratio [95%]", heads)
        self.assertEqual([head for head in heads if head.startswith("Speed-up")], [])

    def test_on_a_cpu_a_training_pass_is_bound_by_rows_of_both_ways(self):
        self.browser.open(self.page("trained"))
        self.unfold()
        records = self.results["trained"]["experiments"][0]["strategies"]
        plain = {record["tile"]: rows_both_ways(record) for record in records if record["name"] == "none"}
        expected = [f"{plain[record['tile']] / rows_both_ways(record):.2f}×" for record in records]
        for table in ("#answer table", ".every table"):
            place = self.texts(f"{table} th").index("By rows (modelled)") + 1
            self.assertEqual(self.texts(f"{table} tbody td:nth-child({place})"), expected)
        self.assertNotIn("By tiles (modelled)", self.texts("th"))
        self.assertTrue(any(record["estimated_perplexity_change_trained"]["value"] for record in records if record["estimated_perplexity_change_trained"]))
        place = self.texts("#answer th").index("Perplexity, trained with it (published)") + 1
        told = self.texts(f"#answer tbody td:nth-child({place})")
        self.assertEqual([text != "–" for text in told], [bool(record["estimated_perplexity_change_trained"]) and record["name"] != "none" for record in records])
        self.assertIn("of a model trained with plain top-k, rounded at evaluation, is not estimated", " ".join(self.texts("#answer .about")))
        self.assertIn("by rows of forward and backward (modelled)", self.texts(".lead")[0])
        tips = self.browser.evaluate("[...document.querySelectorAll('[data-tip]')].map((node) => node.getAttribute('data-tip'))")
        self.assertTrue(any("by rows alone" in tip for tip in tips))
        self.assertFalse(any("by tiles alone" in tip for tip in tips))

    def test_gradients_are_named_as_they_were_computed(self):
        for device, told in (("cpu", "fp32"), ("NVIDIA Test GPU", "bf16")):
            trained, forward = (copy.deepcopy(self.results["trained"]) for _ in range(2))
            for key in ("pass", "grad_dtype"):
                del forward["experiments"][0]["config"]["layer"][key]
            for name, result in (("trained pass", trained), ("forward pass", forward)):
                result["environment"]["device"] = device
                (self.path / f"{name}.json").write_text(json.dumps(result))
            page = self.path / "page.html"
            completed = run("report", self.path / "trained pass.json", self.path / "forward pass.json", "--html", page)
            self.assertEqual(completed.returncode, 0, completed.stderr)
            self.browser.open(page)
            place = self.texts("#answer th").index("Grad dtype") + 1
            self.assertEqual(set(self.texts(f"#answer tbody td:nth-child({place})")), {told, "–"})

    def test_the_headline_is_by_layer_time_and_over_the_fastest_none(self):
        self.browser.open(self.page("modelled"))
        network = self.results["modelled"]["experiments"][0]["network"]
        nones = [record for record in network if record["name"] == "none"]
        base = min(nones, key=lambda record: record["layer_ms"])
        faster = [record for record in network if record["name"] != "none" and record["speedup_over_fastest_none"]["low"] > 1]
        lead = self.texts(".lead")[0]
        if not faster:
            self.assertIn("No strategy is surely faster than none.", lead)
            faster = [record for record in network if record["name"] != "none"]
        best = min(faster, key=lambda record: record["layer_ms"])
        gain = best["speedup_over_fastest_none"]
        self.assertIn(f"{best['label']}, tile {best['tile']}, {gain['value']:.2f}× [{gain['low']:.2f}×, {gain['high']:.2f}×] over none at tile {base['tile']}, its fastest", lead)
        self.assertTrue(any(head.startswith("Speed-up over none, same tile") for head in self.texts("#answer th")))

    def test_the_headline_says_where_no_strategy_is_without_loss(self):
        lossy = copy.deepcopy(self.results["modelled"])
        for record in lossy["experiments"][0]["network"] + lossy["experiments"][0]["strategies"]:
            if record["name"] != "none":
                record["estimated_perplexity_change"] = {"value": 0.02, "low": 0.01, "high": 0.03, "calibration": "test"}
            if record.get("speedup_over_fastest_none"):
                record["speedup_over_fastest_none"] = {"value": 1.5, "low": 1.4, "high": 1.6}
        (self.path / "lossy.json").write_text(json.dumps(lossy))
        self.browser.open(self.page("lossy"))
        self.assertIn("without loss there is none alone", self.texts(".lead")[0])

    def test_what_all_rows_share_is_told_once(self):
        self.open("wide")
        self.assertNotIn("Tile", self.texts("#answer th"))
        self.assertIn("Tile 8", self.texts("#answer .same")[0])
        self.open("modelled")
        self.assertIn("Tile", self.texts("#answer th"))
        self.assertNotIn("Tile ", self.texts("#answer .same")[0])

    def test_a_sweep_is_one_screen(self):
        [experiment] = self.results["timed"]["experiments"]
        many = {**self.results["timed"], "experiments": []}
        for i in range(200):
            copy = json.loads(json.dumps(experiment))
            copy["name"] = f"\u8def\u7531 (router/source/sigma={i % 20}, seed={i // 20})"
            copy["config"]["router"]["source"] = {"kind": "lognormal", "sigma": i % 20}
            copy["config"]["seed"] = i // 20
            many["experiments"].append(copy)
        self.results["many"] = many
        self.addCleanup(self.results.pop, "many")
        (self.path / "many.json").write_text(json.dumps(many))
        self.browser.open(self.page("many"))
        self.assertEqual(self.browser.complaints(), [])
        self.assertLess(self.browser.evaluate("document.documentElement.scrollHeight"), 1250)
        self.assertEqual(self.texts("h1"), ["\u8def\u7531"])
        heads = self.texts("#answer .long th")
        self.assertEqual([head for head in heads if head in ("Sigma", "Seed", "Experts")], ["Sigma", "Seed"])
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('article').length"), 0)
        self.browser.evaluate("document.querySelectorAll('#answer .long button.link')[25].click()")
        self.browser.evaluate("new Promise((done) => setTimeout(done, 100))")
        self.assertEqual(self.texts("details.experiment[open] > summary"), ["sigma 5, seed 1"])
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('article').length"), 1)
        panels = [text for text in self.texts("[data-kind=speedup] text.strong")]
        self.assertEqual(panels[51], "sigma 5, seed 1, tile 16")

    def test_colours_belong_to_strategies_as_in_plot(self):
        labels = [["none", "none"], ["eight", "budget"], ["nearest", "nearest"], ["my own", "down"], ["other", "down"], ["half", "budget"]]
        self.open("timed")
        found = self.browser.evaluate(f"[...assignStyles({json.dumps(labels)})]")
        self.assertEqual(dict(found), plot_colours.assign([tuple(pair) for pair in labels]))
        self.assertEqual(dict(found)["nearest"], "nearest")
        self.assertEqual(dict(found)["my own"], "down")
        for scheme in ("light", "dark"):
            self.browser.settings(1280, scheme)
            colour = self.browser.evaluate("getComputedStyle(document.querySelector('polygon.s-down')).getPropertyValue('--c').trim()")
            self.assertEqual(colour, plot_colours.STYLES["down"][scheme])

    def test_eight_colours_are_told_apart_and_seen(self):
        def linear(colour):
            return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5))]

        def times(matrix, vector):
            return [sum(a * b for a, b in zip(row, vector)) for row in matrix]

        def lightness(colour):
            return times([(0.2126, 0.7152, 0.0722)], linear(colour))[0]

        def oklab(parts):  # Ottosson 2020
            lms = times([(0.4122, 0.5363, 0.0514), (0.2119, 0.6807, 0.1074), (0.0883, 0.2817, 0.6300)], parts)
            return times([(0.2105, 0.7936, -0.0041), (1.9780, -2.4286, 0.4506), (0.0259, 0.7828, -0.8087)], [max(part, 0) ** (1 / 3) for part in lms])

        seen = {"all": [(1, 0, 0), (0, 1, 0), (0, 0, 1)],  # Machado and others 2009: without one kind of cone
                "protan": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
                "deutan": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)]}
        for scheme in ("light", "dark"):
            for sight, matrix in seen.items():
                eight = {name: oklab([min(max(part, 0), 1) for part in times(matrix, linear(style[scheme]))]) for name, style in list(plot_colours.STYLES.items())[:8]}
                for one, other in itertools.combinations(eight, 2):
                    self.assertGreater(math.dist(eight[one], eight[other]), 0.09, (scheme, sight, one, other))
        for scheme, back in (("light", 1.0), ("dark", lightness("#15171a"))):
            colours = [style[scheme] for style in plot_colours.STYLES.values()]
            self.assertEqual(len(set(colours)), len(colours))
            for colour in colours:
                low, high = sorted((lightness(colour), back))
                self.assertGreaterEqual((high + 0.05) / (low + 0.05), 3, (scheme, colour))
        self.assertEqual(len({style["marker"] for style in list(plot_colours.STYLES.values())[:8]}), 8)

    def test_what_was_read_and_which_group_is_shown_is_told(self):
        (self.path / "counts.json").write_text("[[[6, 10]], [[8, 8]], [[16, 0]]]")
        config = self.path / "config.json"
        config.write_text(json.dumps({"name": "read", "router": {"source": {"kind": "counts", "file": "counts.json"}},
                                      "tile": 8, "strategies": ["none", "down"]}))
        completed = run("run", config, "--device", "cpu", "--quiet", "--json", self.path / "read.json")
        self.assertEqual(completed.returncode, 0, completed.stderr)
        self.open("read")
        words = " ".join(self.texts("article dd"))
        self.assertIn("counts of 2 experts, 1 layer and 3 steps of 16 tokens", words)
        self.assertIn("3 of 16 tokens; figures are of group 2", words)  # 3, 2 and 2 tiles: the lower median, the later group

    def test_nothing_overlaps_and_nothing_is_cut_off(self):
        self.open(*self.results)
        for width in (1280, 500):
            self.browser.settings(width)
            self.assertEqual(self.browser.evaluate(CLASHES), [])

    def test_both_colour_schemes_and_print_show_something(self):
        page = self.page("timed", "documented")
        looks = {}
        for scheme, media in (("light", "screen"), ("dark", "screen"), ("dark", "print")):
            self.browser.settings(1000, scheme, media)
            self.browser.open(page)
            picture = base64.b64encode(self.browser.screenshot()).decode()
            self.browser.call("Page.navigate", url="about:blank")
            looks[scheme, media] = self.browser.evaluate(LOOK % picture)
        for colours, part, _ in looks.values():
            self.assertGreater(colours, 50)
            self.assertGreater(part, 0.02)
        self.assertEqual(looks["light", "screen"][2], 255)
        self.assertLess(looks["dark", "screen"][2], 60)
        self.assertEqual(looks["dark", "print"][2], 255)

    def test_a_page_that_makes_a_request_would_be_noticed(self):
        page = self.path / "loud.html"
        page.write_text("<img src='http://127.0.0.1:9/x.png'><script>throw new Error('loud')</script>")
        self.browser.open(page)
        self.assertIn("http://127.0.0.1:9/x.png", self.browser.requests())
        self.assertNotEqual(self.browser.complaints(), [])

    def test_the_page_may_make_no_request(self):
        self.open("timed")
        self.assertTrue(self.browser.evaluate("fetch('http://127.0.0.1:9/').then(() => false, () => true)"))
        self.assertIn("Content Security Policy", "".join(self.browser.complaints()))

    def test_markup_in_names_is_shown_and_not_run(self):
        self.open("markup", "timed")
        self.assertFalse(self.browser.evaluate("'hacked' in window"))
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('img').length + document.scripts.length"), 2)
        self.assertIn(MARKUP, self.texts("details.experiment > summary"))
        self.assertIn(LABEL, self.texts("td"))
        self.assertTrue(any(text.startswith("</script><img") for text in self.texts("figure text")))

    def test_hover_shows_values(self):
        self.open("timed")
        box = self.browser.evaluate("(() => { const hit = document.querySelectorAll('.hit')[9]; hit.scrollIntoView({block: 'center'});"
                                    "const {x, y, width, height} = hit.getBoundingClientRect(); return [x + width / 2, y + height / 2]; })()")
        self.browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
        record = self.results["timed"]["experiments"][0]["strategies"][1]  # eight experts a panel: the second panel's second
        expert = sorted(range(8), key=lambda e: (-record["counts_before"][e], e))[1]
        self.assertFalse(self.browser.evaluate("document.getElementById('tip').hidden"))
        self.assertIn(f"expert {expert}\n{record['counts_before'][expert]} → {record['counts_after'][expert]} tokens", self.texts("#tip")[0])
        missing = self.browser.evaluate("['path.interval', 'rect.waste', 'rect.useful', 'polygon.mark', 'rect.box'].filter((kind) => kind !== 'path.interval' && "
                                        "document.querySelector('figure ' + kind) && ![...document.querySelectorAll('figure ' + kind)].some((node) => node.dataset.tip))")
        self.assertEqual(missing, [])

    def test_tables_sort(self):
        self.open("timed")
        def click():
            self.browser.evaluate("[...document.querySelectorAll('th button')].find((b) => b.textContent === 'Tiles (against none)').click()")
            column = self.texts("#answer th").index("Tiles (against none)") + 1
            return [int(text.split()[0].replace(",", "")) for text in self.texts(f"#answer td:nth-child({column})")]
        tiles = [record["tiles"] for record in self.results["timed"]["experiments"][0]["strategies"]]
        self.assertNotEqual(tiles, sorted(tiles))
        self.assertEqual(click(), sorted(tiles))
        self.assertEqual(self.browser.evaluate("document.querySelector('th[aria-sort]').getAttribute('aria-sort')"), "ascending")
        self.assertEqual(click(), sorted(tiles, reverse=True))

    def test_a_mean_of_nothing_is_no_value(self):
        self.open("timed")
        column = self.browser.evaluate("[...document.querySelectorAll('.every th')].map((h) => h.textContent)").index("Prob.") + 1
        shown = self.texts(f".every td:nth-child({column})")
        records = self.results["timed"]["experiments"][0]["strategies"]
        self.assertEqual([text == "–" for text in shown], [record["dropped"] == 0 for record in records])
        self.assertIn("–", shown)

    def test_an_estimate_of_0_is_shown_where_others_are(self):
        """As in text and Markdown: tests/cli/show_test.py."""
        self.open("timed")  # eight experts, which no calibration covers; none changes nothing
        self.assertEqual([text for text in self.texts("#answer th, .every th") if text.startswith("Perplexity")], [])
        done = run("run", SOURCE / "configs/real_router.json", "--set", "/layer=null", "--quiet", "--json", self.path / "estimated.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.open("estimated")
        column = self.texts("#answer th").index("Perplexity (estimated)") + 1
        shown = dict(zip(self.texts("#answer td:first-child"), self.texts(f"#answer td:nth-child({column})")))
        self.assertEqual(shown["none"], "0%")
        reach = " ".join(self.texts("#answer p.reach"))
        self.assertRegex(reach, r"holds 90 % of unseen settings of the network it was fitted to; on others the change was 0\.4 to 1\.6 times")

    def test_a_tiny_estimate_reads_as_in_the_text(self):
        values = {0: "0%", 2e-5: "+0.00%", -2e-5: "-0.00%", 0.0027: "+0.27%", 0.012: "+1.2%", 1.79: "+179%"}
        self.open("timed")
        for value, words in values.items():
            self.assertEqual(self.browser.evaluate(f"formatLoss({value})"), words)

    def test_measured_reduced_and_modelled_look_different(self):
        self.open("timed", "reduced", "gpu")
        kinds = self.browser.evaluate("['measured', 'reduced', 'modelled'].map((how) => { const {fill, stroke, strokeDasharray} = "
                                      "getComputedStyle(document.querySelector(`figure polygon.mark.${how}`)); return [fill === stroke, fill, strokeDasharray].join(); })")
        self.assertEqual(len(set(kinds)), 3)
        badges = set(self.texts("figcaption .badge"))
        self.assertEqual(badges, {"measured", "CPU, reduced shape: not to be compared with a GPU's"})
        self.assertTrue(any("estimated perplexity change (test)" in text for text in self.texts("[data-kind=pareto] text")))
        self.assertTrue(any("square of lost gate mass" in text for text in self.texts("[data-kind=pareto] text")))

    def test_modelled_times_are_hollow_and_named(self):
        self.open("modelled", "timed")
        device = "NVIDIA A100-SXM4-80GB, modelled: datasheet, not validated"
        self.assertEqual(set(self.texts("figcaption .badge")), {"measured", device})
        self.assertTrue(all(text.startswith(device) for text in self.texts("p.model")))
        self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('rect.box.modelled, polygon.mark.modelled')]"
                                               ".some((mark) => getComputedStyle(mark).fill !== 'none')"), False)
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('rect.box.modelled').length"), 6)
        self.assertIn(device, self.texts("#answer td"))
        self.assertTrue(any(device in text for text in self.texts("[data-kind=speedup] text")))

    def test_a_result_with_missing_parts_gives_a_sensible_page(self):
        expected = {"wide": KINDS - {"timing", "documented", "tiles"}, "lone": KINDS - {"timing", "documented"},
                    "layers": KINDS - {"timing", "documented"}, "failed": set(), "bare": set()}
        for name, kinds in expected.items():
            with self.subTest(name):
                self.open(name)
                self.assertEqual(self.drawn(), kinds)
                told = KINDS - kinds - {"documented"} - ({"tiles"} if name in ("wide", "bare") else set())  # of what was never to be
                self.assertEqual(len(self.texts(".absent")), len(told))
                self.assertFalse([text for text in self.texts(".absent") if text.startswith(("Tile sizes: All", "Documented"))])
        self.open("failed")
        self.assertIn("Not finished: out of memory", self.texts(".error"))
        self.open("layers")
        self.assertEqual(len(self.texts("figure[data-kind=load] option")), 60)
        before = self.browser.evaluate("document.querySelector('path.before').getAttribute('d')")
        self.browser.evaluate("(() => { const select = document.querySelector('select'); select.value = 59; select.dispatchEvent(new Event('change')); })()")
        self.assertNotEqual(self.browser.evaluate("document.querySelector('path.before').getAttribute('d')"), before)
        self.assertEqual(len(self.texts("details.layers tbody tr")), 60 * 6)


if __name__ == "__main__":
    if chromium.find() is None:
        print("skipped: no Chromium here")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
