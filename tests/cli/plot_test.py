"""Draws every kind of picture with scripts/plot.py. Exits with 77 (skipped) where there is no matplotlib.

usage: plot_test.py PROGRAM SOURCE_DIR [unittest arguments]
"""

import copy
import json
import os
import subprocess
import sys
import unittest

try:
    import matplotlib.image
except ImportError:  # the distribution's Python has it where another comes first on the PATH
    if sys.executable != "/usr/bin/python3" and os.access("/usr/bin/python3", os.X_OK):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print("skipped: no matplotlib here")
    sys.exit(77)

from program import SOURCE, TINY
from sample_results import LABEL, MARKUP, make_results, rows_both_ways

sys.path.insert(0, str(SOURCE / "scripts"))
from plot import free_name  # noqa: E402
from plot_figures import FIGURES, KINDS, NothingToDraw, draw_speedup, parts_axis, plt  # noqa: E402
from plot_colours import STYLES
from plot_results import quality_of, read_experiments, settings_of  # noqa: E402
from plot_style import colour_of, give_styles  # noqa: E402


def plot(*arguments, text=""):
    return subprocess.run([sys.executable, SOURCE / "scripts/plot.py", *map(str, arguments)], input=text, capture_output=True, text=True, timeout=120)


def texts_of(figure):
    """Every text that is seen, with its box in pixels."""
    figure.canvas.draw()
    found = [text for text in figure.findobj(plt.Text) if text.get_text().strip() and text.get_visible()]
    hidden = {text for axes in figure.axes if not axes.get_visible() for text in axes.findobj(plt.Text)}
    for axes in figure.axes:  # labels of ticks beyond the limits exist and are not drawn
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    return [(text.get_text(), text.get_window_extent()) for text in found if text not in hidden]


def clashes(figure, texts=None):
    found, frame = [], figure.bbox
    texts = texts or texts_of(figure)
    for i, (text, box) in enumerate(texts):
        if box.x0 < frame.x0 - 1 or box.x1 > frame.x1 + 1 or box.y0 < frame.y0 - 1 or box.y1 > frame.y1 + 1:
            found.append((text, "cut off"))
        for other, place in texts[:i]:
            if min(box.x1, place.x1) - max(box.x0, place.x0) > 2 and min(box.y1, place.y1) - max(box.y0, place.y0) > 3:
                found.append((text, other))
    return found


def without_shape(result):
    bare = copy.deepcopy(result)
    for experiment in bare["experiments"]:
        for record in experiment["strategies"]:
            (record.get("timing") or {}).pop("shape", None)
    return bare


class Plot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        alike = ("gpt_oss_120b", "olmoe", "qwen3_30b_a3b", "sonicmoe", "real_router")  # drawing takes its time
        cls.results = {name: result for name, result in make_results(cls).items() if name not in alike}

    def assert_fails(self, result, code, *fragments):
        self.assertEqual((result.returncode, result.stdout), (code, ""), result.stderr)
        self.assertEqual(len(result.stderr.strip().split("\n")), 1, result.stderr)
        for fragment in ("plot.py: error: ", *fragments):
            self.assertIn(fragment, result.stderr)

    def test_every_kind_of_every_result_without_clashes(self):
        drawn = set()
        for name, result in self.results.items():
            for experiment in read_experiments([(name, result)]):
                pictures = {kind: lambda draw=draw: draw(experiment, experiment.layers[0] if experiment.layers else 0) for kind, draw in FIGURES.items()}
                for kind, draw in {**pictures, "speedup": lambda: draw_speedup([experiment])}.items():
                    try:
                        figure = draw()
                    except NothingToDraw:
                        continue
                    drawn.add((name, kind))
                    with self.subTest(f"{name} {kind}"):
                        texts = texts_of(figure)
                        self.assertEqual(clashes(figure, texts), [])
                        words = "\n".join(text for text, _ in texts)
                        labels = {setting.label for setting in experiment.settings} - {LABEL}
                        if kind not in ("documented", "speedup"):
                            self.assertEqual([label for label in labels if label not in words], [])
                    plt.close(figure)
        shown = {kind for _, kind in drawn}
        self.assertEqual(shown, set(KINDS))
        self.assertEqual({kind for name, kind in drawn if name == "gpu"}, set(KINDS) - {"documented"})
        self.assertEqual({kind for name, kind in drawn if name == "lone"}, {"load", "utilisation", "pareto", "tiles"})
        self.assertFalse({kind for name, kind in drawn if name == "failed"})

    def test_clashes_would_be_noticed(self):
        figure, axes = plt.subplots()
        for x, text in ((0.4, "one text"), (0.42, "on another"), (1.5, "outside")):
            axes.text(x, 0.5, text)
        self.assertEqual(len(clashes(figure)), 2)
        plt.close(figure)

    def test_many_results_in_one_speedup_picture(self):
        experiments = read_experiments(list(self.results.items()))
        self.assertEqual(len({experiment.title for experiment in experiments}), len(experiments))
        self.assertEqual(clashes(draw_speedup(experiments)), [])

    def test_json_and_jsonl_from_a_pipe_as_png_and_svg(self):
        timed, gpu = json.dumps(self.results["timed"], indent=1), json.dumps(self.results["gpu"])
        for suffix in ("png", "svg"):
            out = self.path / f"one.{suffix}"
            result = plot("--kind", "pareto", "--out", out, text=timed)
            self.assertEqual((result.returncode, result.stderr, result.stdout), (0, "", f"{out}\n"))
        folder = self.path / "all"
        result = plot("-", "--out", folder, text=json.dumps(self.results["timed"]) + "\n\n" + gpu + "\n")
        self.assertEqual(result.returncode, 0, result.stderr)
        expected = {f"{name}-{kind}.png" for name in ("tiny", "gpu") for kind in FIGURES if kind != "documented"} | {"speedup.png"}
        self.assertEqual({path.name for path in folder.iterdir()}, expected)
        for picture in folder.iterdir():
            pixels = matplotlib.image.imread(picture)
            self.assertGreater((pixels[..., :3] != pixels[0, 0, :3]).any(axis=2).mean(), 0.005, picture)
        self.assertTrue((self.path / "one.svg").read_text().rstrip().endswith("</svg>"))

    def test_a_pdf_has_a_page_for_each_picture(self):
        text = json.dumps(self.results["timed"])
        out = self.path / "all.pdf"
        result = plot("--out", out, text=text)
        self.assertEqual((result.returncode, result.stdout), (0, f"{out}\n"), result.stderr)
        self.assertEqual(out.read_bytes().count(b"/Type /Page "), len(KINDS) - 1)  # none documented
        before = out.read_bytes()
        result = plot("--kind", "documented", "--out", out, text=text)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(out.read_bytes(), before)
        self.assertEqual(list(self.path.glob("*.part")), [])

    def test_a_python_without_matplotlib_gives_way_to_one_with_it(self):
        bare = self.path / "bare"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
        text, out = json.dumps(self.results["lone"]), self.path / "other.png"
        command = [bare / "bin/python3", SOURCE / "scripts/plot.py", "--kind", "load", "--out", out]
        path = f"{bare / 'bin'}:/usr/bin:/bin"
        if os.path.realpath(sys.executable) == os.path.realpath("/usr/bin/python3"):
            result = subprocess.run(command, input=text, capture_output=True, text=True, env={**os.environ, "PATH": path})
            self.assertEqual((result.returncode, result.stdout), (0, f"{out}\n"), result.stderr)
        result = subprocess.run(command, input=text, capture_output=True, text=True, env={**os.environ, "PATH": path, "TATR_PLOT_PYTHON": "tried"})
        self.assert_fails(result, 3, "has no matplotlib", "python3-matplotlib")

    def test_letters_that_no_font_has_are_told(self):
        result = copy.deepcopy(self.results["lone"])
        result["experiments"][0]["name"] = "\ue000\u8def"
        done = plot("--kind", "load", "--out", self.path / "wide.png", text=json.dumps(result))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("\ue000", done.stderr)
        self.assertIn("fonts-noto-cjk", done.stderr)

    def test_colours_belong_to_strategies(self):
        experiments = read_experiments([("timed", self.results["timed"])])
        give_styles(experiments)
        self.assertEqual(colour_of("down"), STYLES["down"]["light"])
        other = copy.deepcopy(self.results["timed"])
        other["experiments"][0]["strategies"].reverse()
        give_styles(read_experiments([("other", other)]))
        self.assertEqual(colour_of("down"), STYLES["down"]["light"])

    def test_panels_are_titled_by_what_differs(self):
        many = copy.deepcopy(self.results["timed"])
        [experiment] = many["experiments"]
        many["experiments"] = []
        for sigma in (0.5, 2):
            for load in (1, 2):
                own = copy.deepcopy(experiment)
                own["name"] = f"sweep (router/source/sigma={sigma}, router/tokens={load})"
                own["config"]["router"]["source"] = {"kind": "lognormal", "sigma": sigma}
                own["routing"][0]["assignments"] *= load
                many["experiments"].append(own)
        one_load = draw_speedup(read_experiments([("many", {**many, "experiments": many["experiments"][::2]})]))
        rows = [label.get_text() for label in one_load.axes[0].get_yticklabels()]
        self.assertEqual(rows, [f"sigma {sigma}, tile {tile}, {label}" for sigma in (0.5, 2) for tile in experiment["config"]["tile"] for label in ("down", "half")])
        plt.close(one_load)
        figure = draw_speedup(read_experiments([("many", many)]))
        titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
        self.assertEqual(titles, [f"sigma {sigma}, tile {tile}" for sigma in (0.5, 2) for tile in experiment["config"]["tile"]])
        plt.close(figure)

    def test_one_tile_is_no_picture_of_tiles_and_one_load_none_over_loads(self):
        [wide] = read_experiments([("wide", self.results["wide"])])
        with self.assertRaisesRegex(NothingToDraw, "one tile"):
            FIGURES["tiles"](wide, 0)
        figure = draw_speedup([wide])
        [axes] = figure.axes
        self.assertEqual([label.get_text() for label in axes.get_yticklabels()], ["down", "half"])
        self.assertIn("tiles alone", "".join(text for text, _ in texts_of(figure)))
        plt.close(figure)

    def test_titles_name_a_device_once_and_axes_are_two_lines_at_most(self):
        for name in ("modelled", "timed", "gpu"):
            [experiment] = read_experiments([(name, self.results[name])])
            for kind in ("pareto", "timing"):
                figure = FIGURES[kind](experiment, 0)
                title = " ".join(figure._suptitle.get_text().split())
                if name == "modelled":
                    self.assertEqual(title.count("NVIDIA"), 1, title)
                self.assertLessEqual(figure.axes[0].get_ylabel().count("\n"), 1)
                plt.close(figure)

    def test_modelled_marks_of_a_training_pass_are_of_both_ways(self):
        [experiment] = read_experiments([("trained", self.results["trained"])])
        records = self.results["trained"]["experiments"][0]["strategies"]
        plain = {record["tile"]: record for record in records if record["name"] == "none"}
        expected = [rows_both_ways(plain[record["tile"]]) / rows_both_ways(record) for record in records]
        self.assertEqual([setting.modelled for setting in experiment.settings], expected)
        self.assertNotEqual(expected, [plain[record["tile"]]["tiles"] / record["tiles"] for record in records])
        for figure in (draw_speedup([experiment]), FIGURES["tiles"](experiment, 0)):
            self.assertIn("by rows of whole tiles and steps alone (modelled)", [text for text, _ in texts_of(figure)])
            plt.close(figure)
        layered = copy.deepcopy(self.results["trained"])
        [data] = layered["experiments"]
        data["strategies"] += [{**record, "layer": 1} for record in copy.deepcopy(data["strategies"])]
        self.assertEqual([setting.modelled for setting in read_experiments([("layered", layered)])[0].settings], expected)

    def test_titles_have_no_empty_slots(self):
        results = {name: self.results[name] for name in ("modelled", "reduced", "gpu", "trained", "bare")}
        for name, result in {**results, "trained without a shape": without_shape(self.results["trained"])}.items():
            [experiment] = read_experiments([(name, result)])
            for kind, draw in FIGURES.items():
                try:
                    figure = draw(experiment, experiment.layers[0])
                except NothingToDraw:
                    continue
                for line in figure._suptitle.get_text().split("\n"):
                    with self.subTest(f"{name} {kind}: {line}"):
                        self.assertNotRegex(line, r"[,;:]\s*[,;:]|[,;] *$|None|  |\(\)")
                plt.close(figure)

    def test_a_logarithmic_axis_has_ticks_however_narrow_it_is(self):
        for values in ([0.0081, 0.0127], [3.0, 3.1], [0.01, 0.09], [0.01, 1.0], [0.001, 10.0]):
            _, axes = plt.subplots()
            parts_axis(axes, values, True)
            low, high = axes.get_xlim()
            ticks = [tick for tick in axes.xaxis.get_majorticklocs() if low <= tick <= high]
            self.assertTrue(3 <= len(ticks) <= 10, (values, ticks))
            plt.close("all")

    def test_parts_have_a_panel_for_each_tile_and_sums_apart(self):
        [experiment] = read_experiments([("trained", self.results["trained"])])
        figure = FIGURES["parts"](experiment, 0)
        panels = [axes for axes in figure.axes if axes.get_visible()]
        self.assertEqual([axes.get_title(loc="left") for axes in panels], ["tile 16", "tile 64", "", ""])
        names = [[label.get_text() for label in axes.get_yticklabels()] for axes in panels]
        self.assertEqual(names[0], ["forward", "backward"])
        self.assertEqual(names[2][0], "gather")
        self.assertEqual(len(names[2]), 13)
        self.assertFalse(set(names[0]) & set(names[2]))
        self.assertEqual(names[1] + names[3], [""] * 15)
        strategies = len(self.results["trained"]["experiments"][0]["strategies"]) // 2
        for axes, own in zip(panels, names):
            self.assertEqual(sum(type(mark).__name__ == "PathCollection" for mark in axes.collections), strategies * len(own))
        for above, beside in ((0, 1), (2, 3)):  # alike, to be compared
            self.assertEqual(panels[above].get_xlim(), panels[beside].get_xlim())
        plt.close(figure)

    def test_gradients_are_named_as_they_were_computed(self):
        for device, told in (("cpu", "fp32"), ("NVIDIA Test GPU", "bf16")):
            trained = copy.deepcopy(self.results["trained"])
            trained["environment"]["device"] = device
            self.assertEqual(settings_of(read_experiments([("trained", trained)])[0])["layer/grad_dtype"], told)

    def test_what_is_below_one_tile_takes_a_quarter_of_the_load_axis(self):
        uneven = copy.deepcopy(self.results["wide"])
        for record in uneven["experiments"][0]["strategies"]:
            record["counts_before"] = record["counts_after"] = [0, *range(1, 900, 2)]
        [experiment] = read_experiments([("uneven", uneven)])
        figure = FIGURES["load"](experiment, 0)
        axes = figure.axes[0]
        self.assertEqual(axes.get_yscale(), "symlog")
        bottom, tile, top = (axes.transData.transform((1, value))[1] for value in (0, 8, axes.get_ylim()[1]))
        self.assertLess((tile - bottom) / (top - bottom), 0.27)
        plt.close(figure)

    def test_perplexity_is_linear_within_its_error(self):
        [experiment] = read_experiments([("modelled", self.results["gpu"])])
        error = quality_of(experiment.settings)[3]
        self.assertGreater(error, 0)
        figure = FIGURES["pareto"](experiment, 0)
        self.assertEqual(figure.axes[0].get_yaxis().get_transform().linthresh, error)
        plt.close(figure)

    def test_the_same_result_gives_the_same_picture(self):
        text = json.dumps(self.results["timed"])
        pictures = []
        for name in ("first.svg", "second.svg"):
            self.assertEqual(plot("--kind", "timing", "--out", self.path / name, text=text).returncode, 0)
            pictures.append((self.path / name).read_bytes())
        self.assertEqual(*pictures)

    def test_measured_reduced_and_modelled_look_different(self):
        looks = {}
        for name in ("timed", "reduced", "gpu"):
            figure = draw_speedup(read_experiments([(name, self.results[name])]))
            marks = {(tuple(mark.get_facecolor().ravel()), str(mark.get_linestyle())) for mark in figure.axes[0].collections
                     if mark.get_offsets().size == 2 and len(mark.get_paths()) == 1}
            looks[name] = marks
        self.assertNotEqual(looks["timed"], looks["reduced"])
        self.assertEqual(looks["timed"], looks["gpu"])
        self.assertGreater(len({line for _, line in looks["timed"]}), 1)
        for name, words in (("gpu", "estimated perplexity change, lower is better"), ("reduced", "square of lost gate mass")):
            [experiment] = read_experiments([(name, self.results[name])])
            self.assertIn(words, "".join(text for text, _ in texts_of(FIGURES["pareto"](experiment, 0))))

    def test_modelled_times_are_hollow_and_named(self):
        [experiment] = read_experiments([("modelled", self.results["modelled"])])
        for kind in ("timing", "pareto", "tiles", "speedup"):
            figure = draw_speedup([experiment]) if kind == "speedup" else FIGURES[kind](experiment, 0)
            with self.subTest(kind):
                words = " ".join("\n".join(text for text, _ in texts_of(figure)).split())
                self.assertIn("NVIDIA A100-SXM4-80GB, modelled: datasheet, not validated", words)
                marks = [mark for mark in figure.axes[-1].collections if mark.get_offsets().size == 2 and len(mark.get_paths()) == 1]
                self.assertTrue(marks)
                self.assertFalse(any(mark.get_facecolor().size for mark in marks))
            plt.close(figure)

    def test_every_picture_has_a_file_of_its_own(self):
        self.assertEqual(free_name("a", set()), "a")
        self.assertEqual(free_name("a", {"a", "a-2"}), "a-1")
        self.assertEqual(free_name("a", {"a", "a-1", "a-2"}), "a-3")

    def test_names_are_text(self):
        text = json.dumps(self.results["markup"])
        result = plot("--out", self.path / "markup", "--format", "svg", text=text)
        self.assertEqual(result.returncode, 0, result.stderr)
        for picture in (self.path / "markup").iterdir():
            self.assertNotIn(MARKUP, picture.read_text())
        [experiment] = read_experiments([("markup", self.results["markup"])])
        self.assertIn(LABEL[:10], "".join(text for text, _ in texts_of(FIGURES["load"](experiment, 0))))

    def test_layers(self):
        text = json.dumps(self.results["layers"])
        self.assertEqual(plot("--kind", "load", "--layer", 59, "--out", self.path / "59.png", text=text).returncode, 0)
        self.assert_fails(plot("--kind", "load", "--layer", 60, "--out", self.path / "60.png", text=text), 2, "--layer 60", "59")
        self.assertFalse((self.path / "60.png").exists())

    def test_faults_are_one_line(self):
        good = json.dumps(self.results["lone"])
        self.assert_fails(plot("--out", self.path, text=""), 2, "standard input", "empty")
        self.assert_fails(plot("--out", self.path, text="{"), 2, "standard input", "JSON")
        self.assert_fails(plot("--out", self.path, text=good.replace("\n", "") + "\n{}\n"), 2, "line 2", "experiments")
        self.assert_fails(plot("--out", self.path, text='{"experiments": [3]}'), 2, "not a result")
        self.assert_fails(plot(self.path / "missing.json"), 2, "missing.json", "No such file")
        config = self.path / "a config.json"
        config.write_text(json.dumps(TINY))
        self.assert_fails(plot(config), 2, "a config.json: is a config, no result", f"tatr-sim run '{config}' --json")
        self.assert_fails(plot(SOURCE / "configs/devices/h100.json"), 2, "is a device file, no result")
        (self.path / "data.npy").write_bytes(b"\x93NUMPY\x01\x00")
        self.assert_fails(plot(self.path / "data.npy"), 2, "data.npy: is no text", "tatr-sim run")
        self.assert_fails(plot("--kind", "parteo", text=good), 2, "'parteo'", "did you mean 'pareto'", *KINDS)
        self.assert_fails(plot("--knd", "load", text=good), 2, "--knd", "did you mean --kind")
        for name in ("h.png", "h.pdf"):  # as tatr-sim report answers
            self.assert_fails(plot("--kind", "load", "--out", self.path / "new" / name, text=good), 3, name, "no such folder", f"mkdir -p {self.path / 'new'}")
        self.assertFalse((self.path / "new").exists())
        for name, what in (("a.html", "an HTML page; "), ("a.HTM", "an HTML page; "), ("a.json", "a JSON file; "), ("a.jpg", "a picture of a kind that is not drawn; ")):
            self.assert_fails(plot("--kind", "load", "--out", self.path / name, text=good), 2, f"--out: {self.path / name} is the name of {what}", "a folder", "a.png")
            self.assertFalse((self.path / name).exists())
        (self.path / "a.html").mkdir()  # a folder that is there is one
        self.assertEqual(plot("--kind", "load", "--out", self.path / "a.html", text=good).returncode, 0)
        self.assertEqual(plot("--kind", "load", "--out", self.path / "run-1.5", text=good).returncode, 0)
        self.assert_fails(plot("--out", self.path / "all.png", text=good), 2, "all.png", "pictures")
        self.assert_fails(plot("--kind", "load", "--out", "/proc/none/x.png", text=good), 3, "/proc/none")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
