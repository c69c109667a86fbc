"""The pictures. Each takes an experiment (speedup: all of them) and a layer, and gives a matplotlib figure."""

import math

from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from plot_results import STAGES, SUMS, base_name, differences, distinct, format_percent, format_value, is_number, metric_words, plural, quality_of, tile_words
from plot_style import (GREY, colour_of, draw_point, how_style, label_points, legend_of, plt, short,
                        symlog_threshold, titled)

ROUND = [1, 2, 5, 10]  # steps between ticks


class NothingToDraw(Exception):
    """The result lacks what the picture shows; the message says what."""


def hows_words(settings, before="; "):
    """How times came about, behind `before`; of modelled ones the subtitle tells the device and what casts doubt on it."""
    words = "; ".join(distinct(s.experiment.how_words(s.how) for s in settings if s.how and s.how != "modelled"))
    return before + words if words else ""


def models_of(settings):
    """What a legend says of modelled marks: the GPUs that times are of, with what casts doubt on them, or what stands in for times."""
    alone = {True: "by rows of whole tiles and steps alone (modelled)", False: "by the number of tiles alone (modelled)"}
    return distinct(s.experiment.how_words(s.how) for s in settings if s.how == "modelled") or distinct(alone[s.experiment.trains()] for s in settings)


# --- load per expert ---
def token_axis(axes, settings, tile):
    """Even loads start where they are; uneven ones start at 0 and, where the largest is many tiles, are logarithmic above one
    tile: so both a large expert and the rounding of a small one are seen."""
    counts = [c for s in settings for key in ("counts_before", "counts_after") for c in s.record[key]]
    low, high = min(counts), max(counts)
    margin = 0.06 * (high - low) or 1
    least = min((s.tile for s in settings if s.tile), default=None)
    if low <= high / 4 and least and high > 10 * least:
        axes.set_yscale("symlog", linthresh=least, linscale=math.log10(high / least) / 3)  # a quarter for what is below one tile
        ticks = [0] + [least * 2**i for i in range(32) if least * 2**i <= high]
        axes.set_ylim(max(tick for tick in ticks if tick <= low), high * 1.15)
    else:
        bottom, top = (low - margin if low > high / 4 else 0), high + margin
        axes.set_ylim(bottom, top)
        step = tile or max(1, round((top - bottom) / 5))
        while (top - bottom) / step > 6:
            step *= 2
        ticks = [step * i for i in range(math.ceil(bottom / step), math.floor(top / step) + 1)]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value)))


def draw_load(experiment, layer):
    """Experts sorted by their tokens before (line); dashes, on multiples of the tile, are the rows after."""
    settings = [s for s in experiment.of_layer(layer) if s.record.get("counts_before") and s.record.get("counts_after")]
    if not settings:
        raise NothingToDraw("no counts of experts")
    columns = 2 if len(settings) > 1 else 1
    rows = math.ceil(len(settings) / columns)
    which = f" (layer {layer})" if len(experiment.layers) > 1 else ""
    figure, grid = titled(experiment, (4.6 * columns, 1.45 * rows + 0.9), f"tokens per expert before (line) and after (dashes){which}",
                          rows, columns)
    for axes, setting in zip(grid.flat, settings):
        record = setting.record
        before, after = record["counts_before"], record["counts_after"]
        order = sorted(range(len(before)), key=lambda expert: (-before[expert], expert))
        ranks = range(1, len(order) + 1)
        axes.stairs([before[e] for e in order], [rank - 0.5 for rank in range(1, len(order) + 2)], baseline=None, color=GREY, linewidth=0.9)
        half = max(0.5, len(order) / 250)
        axes.hlines([after[e] for e in order], [r - half for r in ranks], [r + half for r in ranks], color=colour_of(setting.label), linewidth=1.8, clip_on=False)
        token_axis(axes, settings, setting.tile)
        axes.set_xlim(0.5, len(order) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1, steps=ROUND))
        axes.grid(axis="x", visible=False)
        axes.set_title(short(setting.title, 28), loc="left", fontsize=8, fontweight="bold")
        axes.set_title(f"{plural(record.get('tiles'), 'tile')}, {format_value(record.get('dropped'))} dropped, {format_value(record.get('added'))} added",
                       loc="right", fontsize=7, color=GREY)
    for axes in list(grid.flat)[len(settings):]:
        axes.set_visible(False)
    figure.supxlabel("experts, by tokens before rounding", fontsize=8)
    return figure


# --- rows: one for each strategy and tile ---
def name_rows(axes, names, most=34):
    axes.set_yticks(range(len(names)), [short(name, most) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def draw_utilisation(experiment, _):
    settings = [s for s in experiment.settings if is_number(s.record.get("tile_utilisation"))]
    if not settings:
        raise NothingToDraw("no utilisation")
    which = f", {len(experiment.layers)} layers" if experiment.is_network else ""
    figure, [[axes]] = titled(experiment, (6.4, 0.22 * len(settings) + 1.2), f"rows of whole tiles that count, and waste (hatched); counted{which}")
    for row, setting in enumerate(settings):
        used = setting.record["tile_utilisation"]
        axes.barh(row, 1, 0.68, facecolor="white", edgecolor=GREY, hatch="////", linewidth=0.6)
        axes.barh(row, used, 0.68, facecolor=colour_of(setting.label), edgecolor=colour_of(setting.label), linewidth=0.6)
        axes.text(1.015, row, f"{format_percent(used)} of {plural(setting.record.get('tiles'), 'tile')}", va="center", fontsize=7.5)
    name_rows(axes, [s.title for s in settings])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))
    return figure


def draw_timing(experiment, layer):
    settings = [s for s in experiment.of_layer(layer) if s.layer_ms]
    if not settings:
        raise NothingToDraw("no times: no layer, or it was not run")
    ratios = any(s.speedup for s in settings)
    which = f" (layer {layer})" if len(experiment.layers) > 1 else ""
    figure, [panels] = titled(experiment, (7.6, 0.27 * len(settings) + 1.5), f"time of the layer{which}{hows_words(settings, ', ')}", 1, 1 + ratios,
                              gridspec_kw={"width_ratios": [1.7, 1][:1 + ratios]})
    axes = panels[0]
    for row, setting in enumerate(settings):
        (median, low, high), colour = setting.layer_ms, colour_of(setting.label)
        samples = [v for v in setting.record["timing"]["layer_ms"].get("samples") or [] if is_number(v)]
        axes.scatter(samples, [row - 0.22 + 0.44 * ((i * 0.618) % 1) for i in range(len(samples))], s=6, color=colour, alpha=0.75, linewidths=0)
        if is_number(low) and is_number(high):
            hollow = setting.how != "measured"
            axes.barh(row, high - low, 0.6, low, facecolor="none" if hollow else colour, edgecolor=colour, linewidth=0.9,
                      hatch="////" if setting.how == "reduced" else None, alpha=1 if hollow else 0.35,
                      linestyle=":" if setting.how == "modelled" else "-")
        axes.plot([median, median], [row - 0.36, row + 0.36], color=colour, linewidth=2)
        if setting.floor_ms() is not None:
            axes.scatter([setting.floor_ms()], [row], s=34, marker="D", **how_style("modelled", "black"))
    axes.use_sticky_edges = False  # a box does not begin at the axis
    floors = any(s.floor_ms() is not None for s in settings)
    modelled = any(s.how == "modelled" for s in settings)
    axes.set_xlabel(("layer, ms: modelled, and 90% of the model's cases" if modelled else "layer, ms: samples, quartiles, median") + ("\ndotted diamond: modelled floor of the GEMMs" if floors else ""))
    name_rows(axes, [s.title for s in settings])
    if ratios:
        for row, setting in enumerate(settings):
            if setting.speedup:
                draw_point(panels[1], setting.speedup[0], row, setting.label, setting.how, x_span=setting.speedup[1:])
        name_rows(panels[1], [""] * len(settings))
        panels[1].axvline(1, color=GREY, linewidth=0.9)
        panels[1].set_xlabel("speed-up, 90% of the model's cases" if modelled else "speed-up, 95% interval")
        panels[1].xaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
        panels[1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}×"))
    return figure


def parts_axis(axes, values, logarithmic):
    """Alike for all panels that show `values`. Logarithmic, a small stage's differences are seen as well as a large one's."""
    low, high = min(values), max(values)
    if not logarithmic or low <= 0:
        axes.set_xlim(0, 1.05 * high or 1)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value)))
        return
    low, high = low / 1.15, high * 1.15
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    steps = [1, 1.5, 2, 3, 5, 7] if high < 8 * low else [1, 2, 5] if high < 200 * low else [1]
    ticks = [step * 10.0 ** power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high))) for step in steps]
    if high < 3 * low:  # of those, one or none
        ticks = MaxNLocator(6, steps=ROUND).tick_values(low, high)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value)))


def draw_part_marks(axes, settings, parts_of, names):
    """A row for each name, in it a mark for each setting."""
    step = 0.8 / len(settings)
    for place, setting in enumerate(settings):
        for name, (value, low, high) in parts_of(setting).items():
            draw_point(axes, value, names.index(name) - 0.4 + step * (place + 0.5), setting.label, setting.how, x_span=(low, high))
    for row in range(1, len(names)):
        axes.axhline(row - 0.5, color="0.87", linewidth=0.6)


def draw_parts(experiment, layer):
    """A row for each stage, in the order of the layer, in it a mark for each strategy; a panel for each tile. The sums of either way
    of a training pass stand apart: beside them stages could not be read."""
    settings = [s for s in experiment.of_layer(layer) if s.parts()]
    if not settings:
        raise NothingToDraw("no times of stages: no layer, or it was not run")
    kinds = [(names, parts_of) for names, parts_of in ((SUMS, lambda s: s.parts(SUMS)), (STAGES, lambda s: s.parts())) if any(map(parts_of, settings))]
    kinds = [([name for name in names.values() if any(name in parts_of(s) for s in settings)], parts_of) for names, parts_of in kinds]
    tiles = sorted(distinct(s.tile for s in settings), key=lambda tile: tile is None)
    columns = min(len(tiles), 3)
    blocks, most = math.ceil(len(tiles) / columns), max(sum(s.tile == tile for s in settings) for tile in tiles)
    heights = [len(names) for names, _ in kinds]
    which = f" (layer {layer})" if len(experiment.layers) > 1 else ""
    what = "stages of the training pass" if any(s.trains() for s in settings) else "stages of the layer"
    size = (max(6.4, 1.6 + 2.8 * columns), blocks * ((0.2 + 0.07 * most) * sum(heights) + 0.6 * len(kinds)) + 1.1)
    figure, grid = titled(experiment, size, f"{what}{which}{hows_words(settings, ', ')}", blocks * len(kinds), columns,
                          gridspec_kw={"height_ratios": heights * blocks})
    modelled = any(s.how == "modelled" for s in settings)
    for kind, (names, parts_of) in enumerate(kinds):
        values = [value for s in settings for part in parts_of(s).values() for value in part if is_number(value)]
        for place in range(blocks * columns):
            axes = grid[place // columns * len(kinds) + kind][place % columns]
            if place >= len(tiles):
                axes.set_visible(False)
                continue
            draw_part_marks(axes, [s for s in settings if s.tile == tiles[place]], parts_of, names)
            name_rows(axes, names if place % columns == 0 else [""] * len(names))
            parts_axis(axes, values, names[0] in STAGES.values())
            if kind == 0 and len(experiment.tiles) > 1:
                axes.set_title(tile_words(tiles[place]), loc="left", fontsize=8, fontweight="bold")
            if kind == len(kinds) - 1:
                axes.set_xlabel("ms" + (", logarithmic" if axes.get_xscale() == "log" else "") + (" (modelled, 90% of the model's cases)" if modelled else " (median, quartiles)"))
    legend_of(figure, distinct(s.label for s in settings), distinct(s.how for s in settings), models_of(settings))
    return figure


VERDICTS = {"reproduced": ("o", "0.45"), "differs": ("D", "black"), "inconsistent": ("^", "black")}  # colours belong to strategies


def is_share(metric):
    return metric.endswith(("_share", "utilisation", "_change")) or metric == "wasted_flops"


def draw_documented(experiment, _):
    figures = experiment.data.get("documented") or []
    if not figures:
        raise NothingToDraw("the config names no documented figures")
    figure, [[axes]] = titled(experiment, (8.6, 0.21 * len(figures) + 1.4), "documented against measured")
    tiles = len(distinct(f.get("tile") for f in figures)) > 1
    for row, found in enumerate(figures):
        show = format_percent if is_share(found["metric"]) else format_value
        documented, measured, verdict = found.get("documented"), found.get("measured"), found["verdict"]
        compared = verdict in VERDICTS and is_number(measured) and is_number(documented)
        text = f"{show(documented)} → {show(measured) if compared else '–'}, {verdict.replace('_', ' ')}"
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
        if compared and documented * measured > 0:
            marker, colour = VERDICTS[verdict]
            axes.plot([1, measured / documented], [row, row], color=colour, linewidth=1)
            axes.scatter([measured / documented], [row], marker=marker, color=colour, s=26, zorder=3)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.5), max(high, 2))
    ticks = [t for t in (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.axvline(1, color="black", linewidth=0.9)
    axes.set_xlabel("ours over documented (circle: reproduced, diamond: differs,\ntriangle: the documented figures disagree)")
    name_rows(axes, [f"{f['strategy']}, {metric_words(f['metric'])}" + (f", tile {f['tile']}" if tiles and f.get("tile") else "") for f in figures], 44)
    return figure


# --- points ---
def loss_ticks(low, high, threshold, error):
    largest = max(high, -low)
    factors = [1] if not error or largest > 1e4 * error else [1, 3] if largest > 100 * error else [1, 2, 5]
    decade = 10.0 ** math.floor(math.log10(threshold) + 1e-9)
    steps = [factor * decade * 10.0**i for i in range(14) for factor in factors]
    steps = [step for step in steps if step > threshold * (1.6 if error else 0.999) and step <= largest * 1.001]
    steps = [threshold, *steps] if error else steps
    return [-step for step in steps if -step >= low * 1.001 or (error and step == threshold)] + [0] + steps


def draw_pareto(experiment, _):
    settings, found = experiment.settings, None
    timed = any(s.layer_ms for s in settings)
    quality = quality_of(settings)
    if quality:
        name, show, losses, error = quality
        found = [(s, s.layer_ms if timed else (s.tile_rows(), None, None), loss) for s, loss in zip(settings, losses)]
        found = [(s, time, loss) for s, time, loss in found if time and is_number(time[0]) and is_number(loss[0])]
    if not found:
        raise NothingToDraw("no strategy has both a time and a measure of lost quality")
    which = f", {len(experiment.layers)} layers" if experiment.is_network else ""
    how_words = hows_words(settings) if timed else "; time modelled as proportional to rows"
    metric, _, calibration = name.partition(" (")
    figure, [[axes]] = titled(experiment, (6.4, 4.2 + 0.05 * len(found)), f"time against quality{which}{how_words}",
                              also=f"perplexity estimated by the calibration “{calibration.removesuffix(')')}”" if calibration else "")
    threshold = symlog_threshold([value for _, _, loss in found for value in loss], error)
    axes.set_yscale("symlog", linthresh=threshold, linscale=1)
    front, least = [], math.inf
    for _, time, loss in sorted(found, key=lambda f: (f[1][0], f[2][0])):
        if loss[0] < least:
            front.append((time[0], loss[0]))
            least = loss[0]
    axes.step(*zip(*front), where="post", color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    spans = []
    for setting, time, loss in found:
        draw_point(axes, time[0], loss[0], setting.label, setting.how if timed else "modelled", time[1:], loss[1:])
        left, right, bottom, top = [value if is_number(value) else middle for middle, *span in (time, loss) for value in span]
        spans += [(left, loss[0], right, loss[0]), (time[0], bottom, time[0], top)]
    values = [v for _, _, loss in found for v in loss if is_number(v)]
    axes.margins(0.1)
    low, high = min(values), max(values)
    axes.set_ylim(min(low * 2, -0.6 * threshold if error else 0) if low < 0 or error else -0.25 * threshold, max(high * 1.6, 1.2 * threshold))
    axes.yaxis.set_major_locator(FixedLocator(loss_ticks(low, high, threshold, error)))
    if error:
        axes.axhspan(-error, error, color="0.93", linewidth=0, zorder=0)
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+.3g}%".replace("+0%", "0%") if error else show(value)))
    axes.set_ylabel(f"{metric}, lower is better" + (f"\ngrey, linear: within its error, ±{format_percent(error)}" if error else ""))
    modelled = any(s.how == "modelled" for s in settings)
    axes.set_xlabel("layer, ms (modelled, 90% of the model's cases)" if modelled else "layer, ms (median, quartiles)" if timed else "rows of whole tiles")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value)))
    label_points(figure, axes, [(time[0], loss[0], s.title) for s, time, loss in found], spans)
    return figure


def draw_categories(axes, categories, labels, points, words):
    """`points`: (label, category, (value, low, high), how). Side by side within a category; what is modelled stands a little
    to the left, and a thin line joins what is not."""
    step = 0.84 / len(labels)
    place = lambda label, category, how: (categories.index(category) - 0.42 + step * (labels.index(label) + 0.5)
                                          + min(step / 4, 0.012 * len(categories)) * (-1 if how == "modelled" else 1))
    for label in labels:
        joined = sorted((place(label, c, how), value[0]) for own, c, value, how in points if own == label and how != "modelled")
        if len(joined) > 1:
            axes.plot(*zip(*joined), color=colour_of(label), linewidth=0.7, alpha=0.6, zorder=1)
    for label, category, (value, *span), how in points:
        draw_point(axes, place(label, category, how), value, label, how, y_span=span)
    axes.set_xlim(-0.5, len(categories) - 0.5)
    axes.set_xticks(range(len(categories)), [words(category) for category in categories])
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="x", visible=False)
    for i in range(1, len(categories)):
        axes.axvline(i - 0.5, color="0.87", linewidth=0.6)


def speedup_points(settings, category):
    points = []
    for setting in settings:
        if is_number(setting.modelled):
            points.append((setting.label, category(setting), (setting.modelled, None, None), "modelled"))
        if setting.speedup:
            points.append((setting.label, category(setting), setting.speedup, setting.how))
    return points


def ratio_axis(axes):
    axes.axhline(1, color="black", linewidth=0.9, zorder=1)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=ROUND))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f}×" if value < 10 else f"{format_value(value)}×"))


def draw_tiles(experiment, _):
    settings, tiles = experiment.settings, experiment.tiles
    if not settings:
        raise NothingToDraw("no strategies")
    if len(tiles) == 1:
        raise NothingToDraw("all strategies have one tile; utilisation and speedup show them side by side")
    labels = distinct(s.label for s in settings)
    points = speedup_points(settings, lambda s: s.tile)
    which = f", {len(experiment.layers)} layers" if experiment.is_network else ""
    figure, grid = titled(experiment, (7.2, 4.6 if points else 2.8), f"tile sizes{which}", 2 if points else 1)
    shares = [(s.label, s.tile, (s.record["tile_utilisation"], None, None), "measured") for s in settings
              if is_number(s.record.get("tile_utilisation"))]
    draw_categories(grid[0][0], tiles, labels, shares, tile_words)
    least = min((share for *_, (share, _, _), _ in shares), default=0)
    grid[0][0].set_ylim(least - 0.06 * (1 - least or 1), 1 + 0.06 * (1 - least or 1))
    grid[0][0].yaxis.set_major_locator(FixedLocator([tick for tick in MaxNLocator(6, steps=ROUND).tick_values(least, 1) if tick <= 1.0001]
                                                     if least < 1 else [1]))
    grid[0][0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    grid[0][0].set_ylabel("utilisation (counted)")
    if points:
        draw_categories(grid[1][0], tiles, labels, points, tile_words)
        ratio_axis(grid[1][0])
        grid[1][0].set_ylabel("speed-up over none\nat the same tile")
    legend_of(figure, labels, distinct(how for *_, how in points), models_of(settings))
    return figure


def panel_titles(settings):
    """What sets a panel apart from the others, of a setting of each: settings that vary but the load, and the tile."""
    words_of = differences(distinct(s.experiment for s in settings))
    tiles = len(distinct(s.tile for s in settings)) > 1
    return lambda s: ", ".join(filter(None, [words_of(s.experiment), tile_words(s.tile) if tiles else ""])) or f"{base_name(s.experiment)}, {tile_words(s.tile)}"


def interval_words(settings):
    hows = distinct(s.how for s in settings if s.speedup and is_number(s.speedup[1]))
    if not hows:
        return ""
    return "; an interval " + ("holds 90% of the model's cases" if hows == ["modelled"] else
                               "is 95%" + ("; of modelled marks 90% of the model's cases" if "modelled" in hows else ""))


MOST_ROWS = 40  # of speed-ups in one picture


def draw_speedup_rows(settings, title_of):
    """Of one load each there is nothing to draw over: a row for each strategy."""
    experiments = distinct(s.experiment for s in settings)
    names = [", ".join(filter(None, [title_of(s) if len(experiments) > 1 else "", s.title if len(experiments) == 1 else s.label])) for s in settings]
    size, what = (6.4, 0.24 * len(settings) + 1.7), "speed-up over none at the same tile" + interval_words(settings)
    if len(experiments) == 1:
        figure, [[axes]] = titled(experiments[0], size, what)
    else:
        figure, axes = plt.subplots(figsize=size, dpi=150)
        figure.suptitle(what, fontsize=9)
    for row, setting in enumerate(settings):
        for _, _, (value, *span), how in speedup_points([setting], lambda s: 0):
            draw_point(axes, value, row, setting.label, how, x_span=span)
    name_rows(axes, names, 44)
    axes.axvline(1, color="black", linewidth=0.9, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=ROUND))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f}×" if value < 10 else f"{format_value(value)}×"))
    hows = distinct(how for *_, how in speedup_points(settings, lambda s: 0))
    legend_of(figure, [], hows, models_of(settings))
    return figure


def draw_speedup(experiments):
    """Panels hold experiments that differ in their load only. Where all have one load, a row for each strategy."""
    settings = [s for e in experiments if is_number(e.load) for s in e.settings if s.record["name"] != "none"]
    settings = [s for s in settings if s.speedup or is_number(s.modelled)]
    if not settings:
        raise NothingToDraw("no experiment has speed-ups: they need none at the same tile")
    panels = {}
    for setting in settings:
        panels.setdefault((setting.experiment.kin, setting.tile), []).append(setting)
    title_of = panel_titles([own[0] for own in panels.values()])
    if len(settings) <= MOST_ROWS and all(len(distinct(s.experiment.load for s in own)) == 1 for own in panels.values()):
        return draw_speedup_rows(settings, title_of)
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    figure, grid = plt.subplots(rows, columns, figsize=(max(6.4, 3.4 * columns), 2.3 * rows + 0.9), dpi=150, squeeze=False)
    for axes, own in zip(grid.flat, panels.values()):
        labels, loads = distinct(s.label for s in own), sorted(distinct(s.experiment.load for s in own))
        draw_categories(axes, loads, labels, speedup_points(own, lambda s: s.experiment.load), format_value)
        ratio_axis(axes)
        axes.set_xlabel("tokens per expert (mean)")
        axes.set_title(short(title_of(own[0]), 40), loc="left", fontsize=8, fontweight="bold")
    for axes in list(grid.flat)[len(panels):]:
        axes.set_visible(False)
    figure.suptitle("speed-up over tokens per expert" + interval_words(settings), fontsize=9)
    legend_of(figure, distinct(s.label for s in settings), distinct(how for *_, how in speedup_points(settings, lambda s: 0)),
              models_of(settings))
    return figure


FIGURES = {"load": draw_load, "utilisation": draw_utilisation, "pareto": draw_pareto, "tiles": draw_tiles, "timing": draw_timing,
           "parts": draw_parts, "documented": draw_documented}
KINDS = [*FIGURES, "speedup"]
