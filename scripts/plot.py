#!/usr/bin/env python3
"""Draws pictures of results.

    tatr-sim run configs/documented.json --json - | scripts/plot.py --kind pareto --out pareto.png
    scripts/plot.py results/*.json --out pictures/ --format svg

Reads results of `tatr-sim run --json`, or JSONL with one a line, from files or stdin. Every picture of every experiment goes
into a folder as EXPERIMENT-KIND.FORMAT, which is made where it is not there; with one --kind and one experiment, --out may be a file; a .pdf takes all,
one a page. `speedup` is one picture of all experiments. A picture that a result has nothing for is left out, which is said on stderr.

Needs matplotlib: where the Python that runs this has none, it looks for one on the PATH that has.

Exit codes: 0 done; 2 usage, or a file that is no result; 3 matplotlib is missing, or a picture cannot be written.
"""

import argparse
import difflib
import importlib.util
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys


def fail(code, message):
    print(f"plot.py: error: {message}", file=sys.stderr)
    sys.exit(code)


def find_python():
    """A Python that has matplotlib: on the PATH, or the distribution's. None if there is none."""
    for python in dict.fromkeys(filter(None, (shutil.which("python3"), "/usr/bin/python3", "/usr/local/bin/python3"))):
        if os.path.abspath(python) == os.path.abspath(sys.executable) or not os.access(python, os.X_OK):
            continue
        if subprocess.run([python, "-c", "import matplotlib"], capture_output=True).returncode == 0:
            return python
    return None


if importlib.util.find_spec("matplotlib") is None:
    other = None if "TATR_PLOT_PYTHON" in os.environ else find_python()
    if __name__ == "__main__" and other:
        os.environ["TATR_PLOT_PYTHON"] = other  # not a second time, whatever it is
        os.execv(other, [other, *sys.argv])
    fail(3, f"{sys.executable} has no matplotlib" + (f"; use {other}" if other else "; install python3-matplotlib, or: pip install matplotlib"))
from plot_figures import FIGURES, KINDS, NothingToDraw, draw_speedup
from plot_results import ResultError, parse_documents, read_experiments
from plot_style import give_styles, warn_of_glyphs


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line, with what was likely meant."""
        words = message.removeprefix("unrecognized arguments: ").split()
        near = difflib.get_close_matches(words[0], self._option_string_actions, 1) if message.startswith("unrecognized") else []
        fail(2, message + (f"; did you mean {near[0]}?" if near else "") + " (plot.py --help)")


def kind_of(word):
    kinds = ["all", *KINDS]
    if word in kinds:
        return word
    near = difflib.get_close_matches(word.lower(), kinds, 1)
    raise argparse.ArgumentTypeError(f"'{word}' is no picture; there are {', '.join(kinds)}" + (f"; did you mean '{near[0]}'?" if near else ""))


def arguments_of(argv):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", default=["-"], metavar="RESULT", help="a file; - is stdin (default)")
    parser.add_argument("--kind", default="all", type=kind_of, metavar="KIND", help=f"all (default), {', '.join(KINDS)}")
    parser.add_argument("--out", default=".", metavar="PATH", help="a folder; a .png or .svg file for one picture; or a .pdf, a page for each (default: .)")
    parser.add_argument("--format", choices=["png", "svg", "pdf"], default="png", help="of the pictures in a folder")
    parser.add_argument("--layer", type=int, metavar="N", help="for load and timing (default: the first)")
    return parser.parse_args(argv)


def read(path):
    source = "standard input" if path == "-" else path
    try:
        text = sys.stdin.read() if path == "-" else pathlib.Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ResultError(f"{source}: is no text; expected a result of tatr-sim run --json (tatr-sim run {source} tells what data hold)") from None
    except OSError as error:
        raise ResultError(f"{source}: {error.strerror or error}") from None
    return parse_documents(text, source)


def pictures(experiments, kind, layer):
    """(name, function that draws it) of every picture."""
    for experiment in experiments:
        shown = experiment.layers[0] if layer is None and experiment.layers else layer
        for own, draw in FIGURES.items():
            if kind in ("all", own):
                yield f"{experiment.title}-{own}", lambda draw=draw, experiment=experiment, shown=shown: draw(experiment, shown)
    if kind in ("all", "speedup"):
        yield "speedup", lambda: draw_speedup(experiments)


def check_folder(path):
    """A file's folder is to be there, as for all files that tatr-sim writes; a folder that is itself asked for is made."""
    if not path.parent.is_dir():
        fail(3, f"{path}: no such folder; mkdir -p {shlex.quote(str(path.parent))} makes it")


# Endings that no folder is meant by; tatr-sim knows the same (apps/tatr-sim/output_names.cpp).
OTHER_FILES = {"an HTML page": (".html", ".htm", ".xhtml"), "a JSON file": (".json", ".jsonl", ".ndjson"), "a CSV table": (".csv",),
               "a Markdown table": (".md", ".markdown"), "a text": (".txt", ".log"), "a file in YAML or TOML": (".yaml", ".yml", ".toml"),
               "an array": (".npy", ".npz", ".safetensors", ".parquet", ".pt"),
               "a picture of a kind that is not drawn": (".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".eps", ".ps", ".svgz")}


def check_name(path):
    """Refuses a name that a folder would have though it is a file's. Other endings, and none, are free."""
    what = next((what for what, endings in OTHER_FILES.items() if path.suffix.lower() in endings), None)
    if what is None or path.is_dir():
        return
    page = "; tatr-sim report makes a page" if what == "an HTML page" else ""
    fail(2, f"--out: {path} is the name of {what}; expected a folder, or a file such as {path.with_suffix('.png')}, .svg or .pdf{page}")


def make_folder(path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(3, f"{path}: {error.strerror or error}")


def save(figure, path):
    from plot_style import plt
    try:
        figure.savefig(path, metadata={".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix))
    except OSError as error:
        fail(3, f"{path}: {error.strerror or error}")
    plt.close(figure)
    print(path)


def save_pages(asked, path):
    """All pictures in one PDF, which is there only if all went well."""
    from matplotlib.backends.backend_pdf import PdfPages
    from plot_style import plt
    part = path.with_name(path.name + ".part")
    try:
        with PdfPages(part, metadata={"CreationDate": None}) as pages:
            for name, figure in drawn(asked):
                pages.savefig(figure)
                plt.close(figure)
            count = pages.get_pagecount()
        if count:
            part.replace(path)
    except OSError as error:
        fail(3, f"{path}: {error.strerror or error}")
    finally:
        part.unlink(missing_ok=True)
    if count == 0:
        fail(2, "nothing to draw")
    print(path)


def drawn(asked):
    """Each picture that the results hold something for; the others are told."""
    for name, draw in asked:
        try:
            yield name, draw()
        except NothingToDraw as reason:
            print(f"plot.py: {name}: left out: {reason}", file=sys.stderr)


def free_name(plain, taken):
    """For names that differ in odd characters only."""
    return next(name for name in (plain, *(f"{plain}-{number}" for number in range(1, len(taken) + 2))) if name not in taken)


def main(argv):
    arguments = arguments_of(argv)
    try:
        experiments = read_experiments([document for path in arguments.results for document in read(path)])
    except ResultError as error:
        fail(2, str(error))
    layers = sorted({layer for experiment in experiments for layer in experiment.layers})
    if arguments.layer is not None and arguments.layer not in layers:
        fail(2, f"--layer {arguments.layer}: no such layer; the results hold {', '.join(map(str, layers)) or 'none'}")
    asked = list(pictures(experiments, arguments.kind, arguments.layer))
    out = pathlib.Path(arguments.out)
    check_name(out)
    give_styles(experiments)
    to_file = out.suffix.lower() in (".png", ".svg") and not out.is_dir()
    if to_file and len(asked) != 1:
        fail(2, f"--out {out}: {len(asked)} pictures do not go into one file; name a folder, or one --kind of one experiment")
    to_pdf = out.suffix.lower() == ".pdf" and not out.is_dir()
    if to_file or to_pdf:
        check_folder(out)
    warn_of_glyphs(experiments)
    if to_pdf:
        save_pages(asked, out)
        return
    written = set()
    for name, figure in drawn(asked):
        stem = free_name(re.sub(r"[^\w.-]+", "_", name), written)
        written.add(stem)
        if not to_file:
            make_folder(out)
        save(figure, out if to_file else out / f"{stem}.{arguments.format}")
    if not written:
        fail(2, "nothing to draw")


if __name__ == "__main__":
    main(sys.argv[1:])
