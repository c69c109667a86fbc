"""Opens pages of tatr-sim report in headless Chromium. Exits with 77 (skipped) where there is no Chromium.

usage: report_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import base64
import json
import sys
import unittest

import chromium
from program import run
from sample_results import LABEL, MARKUP, make_results

KINDS = {"load", "utilisation", "pareto", "tiles", "timing", "documented", "speedup"}

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
        self.assertEqual((completed.returncode, completed.stderr), (0, ""))
        return page

    def open(self, *names):
        page = self.page(*names)
        self.browser.open(page)
        self.assertEqual(self.browser.complaints(), [])
        self.assertEqual(self.browser.requests(), [page.resolve().as_uri()])

    def texts(self, selector):
        return self.browser.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map((node) => node.textContent)")

    def drawn(self):
        return set(self.browser.evaluate("[...document.querySelectorAll('figure')].filter((f) => f.querySelector('svg')).map((f) => f.dataset.kind)"))

    def test_every_strategy_and_figure_of_all_results_side_by_side(self):
        self.open(*self.results)
        self.assertEqual(self.drawn(), KINDS)
        figures = self.browser.evaluate("document.querySelectorAll('figure').length")
        experiments = [experiment for result in self.results.values() for experiment in result["experiments"]]
        self.assertEqual(figures, 1 + (len(KINDS) - 1) * len(experiments))
        titles = self.texts("article h3")
        self.assertEqual(len(set(titles)), len(experiments))
        rows = self.browser.evaluate("[...document.querySelectorAll('main > section:nth-child(2) > div tbody tr')].map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent))")
        expected = [[title, record["label"], str(record.get("tile") or "by load")] for title, experiment in zip(titles, experiments)
                    for record in (experiment["network"] if len(experiment.get("routing", [])) > 1 else experiment["strategies"])]
        self.assertEqual(rows, expected)
        for label in {record["label"] for experiment in experiments for record in experiment["strategies"]} - {LABEL}:
            named = self.browser.evaluate("[...document.querySelectorAll('figure[data-kind=load] text')].some((t) => t.textContent.split(', tile')[0].split(', own')[0] === " + json.dumps(label) + ")")
            self.assertTrue(named, label)

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
        self.assertIn(MARKUP, self.texts("article h3"))
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
            self.browser.evaluate("[...document.querySelectorAll('th button')].find((b) => b.textContent === 'Tiles').click()")
            return [int(text.replace(",", "")) for text in self.texts("main > section:nth-child(2) td:nth-child(5)")]
        tiles = [record["tiles"] for record in self.results["timed"]["experiments"][0]["strategies"]]
        self.assertNotEqual(tiles, sorted(tiles))
        self.assertEqual(click(), sorted(tiles))
        self.assertEqual(self.browser.evaluate("document.querySelector('th[aria-sort]').getAttribute('aria-sort')"), "ascending")
        self.assertEqual(click(), sorted(tiles, reverse=True))

    def test_a_mean_of_nothing_is_no_value(self):
        self.open("timed")
        column = self.browser.evaluate("[...document.querySelectorAll('main > section:nth-child(2) th')].map((h) => h.textContent)").index("Prob.") + 1
        shown = self.texts(f"main > section:nth-child(2) td:nth-child({column})")
        records = self.results["timed"]["experiments"][0]["strategies"]
        self.assertEqual([text == "–" for text in shown], [record["dropped"] == 0 for record in records])
        self.assertIn("–", shown)

    def test_measured_reduced_and_modelled_look_different(self):
        self.open("timed", "reduced", "gpu")
        kinds = self.browser.evaluate("['measured', 'reduced', 'modelled'].map((how) => { const {fill, stroke, strokeDasharray} = "
                                      "getComputedStyle(document.querySelector(`figure polygon.mark.${how}`)); return [fill === stroke, fill, strokeDasharray].join(); })")
        self.assertEqual(len(set(kinds)), 3)
        badges = set(self.texts("figcaption .badge"))
        self.assertEqual(badges, {"measured", "CPU, reduced shape: not to be compared with a GPU's"})
        self.assertTrue(any("estimated perplexity change (test)" in text for text in self.texts("[data-kind=pareto] text")))
        self.assertTrue(any("mean_square_dropped_mass" in text for text in self.texts("[data-kind=pareto] text")))

    def test_modelled_times_are_hollow_and_named(self):
        self.open("modelled", "timed")
        device = "NVIDIA A100-SXM4-80GB, modelled: datasheet, not validated"
        self.assertEqual(set(self.texts("figcaption .badge")), {"measured", device})
        self.assertTrue(all(text.startswith(device) for text in self.texts("p.model")))
        self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('rect.box.modelled, polygon.mark.modelled')]"
                                               ".some((mark) => getComputedStyle(mark).fill !== 'none')"), False)
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('rect.box.modelled').length"), 6)
        self.assertIn(device, self.texts("main > section:nth-child(2) td"))
        self.assertTrue(any(device in text for text in self.texts("[data-kind=speedup] text")))

    def test_a_result_with_missing_parts_gives_a_sensible_page(self):
        expected = {"wide": KINDS - {"timing", "documented"}, "lone": {"load", "utilisation", "pareto", "tiles"},
                    "layers": KINDS - {"timing", "documented"}, "failed": set(), "bare": {"tiles"}}
        for name, kinds in expected.items():
            with self.subTest(name):
                self.open(name)
                self.assertEqual(self.drawn(), kinds)
                self.assertEqual(len(self.texts(".absent")), len(KINDS) - len(kinds))
        self.open("failed")
        self.assertIn("Not finished: out of memory", self.texts(".error"))
        self.open("layers")
        self.assertEqual(len(self.texts("figure[data-kind=load] option")), 60)
        before = self.browser.evaluate("document.querySelector('path.before').getAttribute('d')")
        self.browser.evaluate("(() => { const select = document.querySelector('select'); select.value = 59; select.dispatchEvent(new Event('change')); })()")
        self.assertNotEqual(self.browser.evaluate("document.querySelector('path.before').getAttribute('d')"), before)
        self.assertEqual(len(self.texts("details tbody tr")), 60 * 6)


if __name__ == "__main__":
    if chromium.find() is None:
        print("skipped: no Chromium here")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
