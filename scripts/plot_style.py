"""What the pictures share: colours, markers, intervals, legends, and labels that keep out of each other's way."""

import math
import sys
import textwrap
import warnings

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib import font_manager, patheffects
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from plot_colours import STYLES, assign
from plot_results import HOW_WORDS, distinct, is_number

plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
                     "axes.grid": True, "grid.color": "0.87", "grid.linewidth": 0.6, "hatch.linewidth": 0.6,
                     "text.parse_math": False, "svg.hashsalt": "tatr-sim", "figure.constrained_layout.use": True,
                     "figure.constrained_layout.h_pad": 0.08, "figure.constrained_layout.w_pad": 0.08})

# Fonts with Chinese, Japanese and Korean glyphs, where one is installed: matplotlib takes from them what its own lacks.
WIDE_FONTS = ["Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans",
              "Microsoft YaHei", "Droid Sans Fallback", "AR PL UMing CN", "IPAexGothic", "IPAGothic", "NanumGothic", "Unifont"]
FONTS = ["DejaVu Sans", *(name for name in WIDE_FONTS if name in set(font_manager.get_font_names()))]
plt.rcParams["font.family"] = FONTS

GREY = "0.35"
styles = {}  # a name in STYLES for each label


def give_styles(experiments):
    """Colours and markers for all that will be drawn: the same in every picture of these results, and in their page."""
    pairs = [(record["label"], record["name"]) for experiment in experiments
             for record in [*experiment.data["strategies"], *(setting.record for setting in experiment.settings)]]
    styles.clear()
    styles.update(assign(pairs))


def style_of(label):
    return STYLES[styles.get(label, label if label in STYLES else "none")]


def colour_of(label):
    return style_of(label)["light"]


def marker_of(label):
    return style_of(label)["marker"]


def warn_of_glyphs(experiments):
    """One line on stderr if names have letters that no installed font has."""
    names = "".join(distinct([experiment.title for experiment in experiments] + [s.label for experiment in experiments for s in experiment.settings]))
    known = set()
    for name in FONTS:
        known |= set(font_manager.get_font(font_manager.findfont(name)).get_charmap())
    missing = distinct(letter for letter in names if ord(letter) > 127 and ord(letter) not in known)
    if missing:
        print(f"plot.py: no font here has {''.join(missing[:8])}{'…' if len(missing) > 8 else ''}, drawn as boxes; install fonts-noto-cjk or fonts-wqy-zenhei", file=sys.stderr)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")


def titled(experiment, size, what, rows=1, columns=1, also="", **options):
    """A figure under the experiment's title, and its axes as a grid. `also` is a line of its own."""
    figure, axes = plt.subplots(rows, columns, figsize=size, dpi=150, squeeze=False, **options)
    lines = textwrap.wrap(f"{experiment.title}: {what}", int(size[0] * 15)) + textwrap.wrap(experiment.subtitle(), int(size[0] * 15)) + textwrap.wrap(also, int(size[0] * 15))
    figure.suptitle("\n".join(lines), fontsize=9)
    return figure, axes


def how_style(how, colour):
    """Filled: measured; hollow: on a reduced shape; dotted outline: modelled."""
    if how == "measured":
        return {"facecolor": colour, "edgecolor": colour, "linewidth": 1}
    if how == "reduced":
        return {"facecolor": "white", "edgecolor": colour, "linewidth": 1.3}
    return {"facecolor": "none", "edgecolor": colour, "linewidth": 0.9, "linestyle": (0, (1.2, 1))}


def short(text, most=34):
    return textwrap.shorten(text, most, placeholder="…") if " " in text[:most] else text if len(text) <= most else text[:most - 1] + "…"


def draw_point(axes, x, y, label, how, x_span=(None, None), y_span=(None, None)):
    """A marker, and caps where it has intervals."""
    colour = colour_of(label)
    for (low, high), vertical in ((x_span, False), (y_span, True)):
        if is_number(low) and is_number(high) and low != high:
            middle = y if not vertical else x
            if vertical:
                axes.errorbar([middle], [low], yerr=[[0], [high - low]], fmt="none", ecolor=colour, elinewidth=0.9, capsize=3.5, capthick=0.9, zorder=2)
            else:
                axes.errorbar([low], [middle], xerr=[[0], [high - low]], fmt="none", ecolor=colour, elinewidth=0.9, capsize=3.5, capthick=0.9, zorder=2)
    axes.scatter([x], [y], s=52 if marker_of(label) == "*" else 30, marker=marker_of(label), zorder=3, **how_style(how, colour))


def legend_of(figure, labels, hows, models=()):
    """Below the picture: a marker for each label, then one for each way a figure came about; `models` name what is modelled."""
    def handle(marker, text, how, colour):
        style = how_style(how, colour)
        return Line2D([], [], linestyle="none", marker=marker, label=text, markersize=5.5, markerfacecolor=style["facecolor"],
                      markeredgecolor=colour, markeredgewidth=style["linewidth"], fillstyle="full")
    handles = [handle(marker_of(label), short(label), "measured", colour_of(label)) for label in labels]
    for how in hows:
        if how == "modelled":  # lines have no dotted marker edges
            handles.append(plt.scatter([], [], s=30, marker="o", label="; ".join(models) or how, **how_style(how, "black")))
        else:
            handles.append(handle("o", HOW_WORDS[how].split(":")[0], how, "black"))
    longest = max(len(item.get_label()) for item in handles)
    width = figure.get_size_inches()[0]
    columns = max(1, min(len(handles), int(width / (0.06 * longest + 0.45)), 7))
    figure.legend(handles=handles, loc="lower center", ncol=columns, frameon=False, handletextpad=0.3, columnspacing=1.2)
    part = (0.19 * math.ceil(len(handles) / columns) + 0.1) / figure.get_size_inches()[1]
    figure.get_layout_engine().set(rect=(0, part, 1, 1 - part))


def symlog_threshold(values, error=None):
    """Where the axis of lost quality turns from linear to logarithmic: at the estimate's error, within which a difference says
    nothing; without an estimate at the power of ten below the smallest value."""
    if error:
        return error
    sizes = [abs(value) for value in values if is_number(value) and value != 0] or [1]
    return 10.0 ** math.floor(math.log10(max(min(sizes), max(sizes) / 1e5)))


def label_points(figure, axes, points, spans):
    """Writes each (x, y, text) near its point, clear of points, of other texts and of `spans`, the intervals as data boxes
    (x0, y0, x1, y1); a thin line leads to a text far off."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    figure.set_layout_engine("none")  # the places found here would be wrong after another layout
    scale = figure.dpi / 72
    to_data = axes.transData.inverted().transform  # pixels would not survive saving at another resolution
    at = [axes.transData.transform((x, y)) for x, y, _ in points]
    taken = [Bbox.from_extents(x - 4 * scale, y - 4 * scale, x + 4 * scale, y + 4 * scale) for x, y in at]
    for x0, y0, x1, y1 in spans:
        (left, bottom), (right, top) = axes.transData.transform([(x0, y0), (x1, y1)])
        taken.append(Bbox.from_extents(left - 2, bottom - 2, right + 2, top + 2))
    frame = axes.get_window_extent(renderer)
    for (x, y), (_, _, text) in zip(at, points):
        note = axes.text(*to_data((x, y)), short(text, 30), fontsize=7.5, zorder=4,
                         path_effects=[patheffects.withStroke(linewidth=2, foreground="white")])
        size = note.get_window_extent(renderer)
        width, height = size.width + 3 * scale, size.height + 1.5 * scale
        box, reach = None, 0
        for reach in range(6, 200, 3):
            places = []
            for step in range(16):
                dx, dy = math.cos(step * math.pi / 8), math.sin(step * math.pi / 8)
                left = x + reach * scale * dx - width * (1 - dx) / 2
                bottom = y + reach * scale * dy - height * (1 - dy) / 2
                places.append(Bbox.from_bounds(left, bottom, width, height))
            box = next((b for b in places if frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1
                        and not any(b.overlaps(other) for other in taken)), None)
            if box is not None:
                break
        box = box or places[0]
        taken.append(box)
        note.set_position(to_data((box.x0 + 1.5 * scale, box.y0 + 1.5 * scale)))
        if reach > 9:
            ends = to_data([(x, y), (min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1))])
            axes.plot(*ends.T, color="0.5", linewidth=0.6, zorder=1, scalex=False, scaley=False)
