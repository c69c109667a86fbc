// Figures with a row for each strategy and tile, or for each documented figure.

// Names of the rows on the left. Returns their width.
function drawRowNames(svg, titles, top, rowHeight, most) {
  const names = titles.map((title) => fit(title, most));
  const width = Math.max(...names.map(textWidth)) + 2;
  names.forEach((name, i) => addText(svg, width, top + (i + 0.5) * rowHeight + 4, name, "end"));
  return width;
}

function drawUtilisation(experiment) {
  const settings = experiment.settings.filter(({record}) => isNumber(record.tile_utilisation));
  if (settings.length === 0) return "The result holds no utilisation.";
  const width = 600, rowHeight = 22, height = settings.length * rowHeight;
  const svg = canvas(width, height + 44, `Utilisation and waste, ${experiment.title}`);
  const left = drawRowNames(svg, settings.map(({title}) => title), 2, rowHeight, 200) + 8;
  const texts = settings.map(({record}) => `${formatPercent(record.tile_utilisation)} of ${plural(record.tiles, "tile")}`);
  const area = {x: left, y: 2, width: width - left - Math.max(...texts.map(textWidth)) - 10, height};
  const x = linear(0, 1, area.x, area.x + area.width);
  drawXAxis(svg, area, x, niceTicks(0, 1, 5), (share) => `${Math.round(100 * share)}%`, "rows of whole tiles that count (waste: hatched)");
  settings.forEach(({record, title, label}, i) => {
    const used = record.tile_utilisation, y = 2 + i * rowHeight + 3, bar = rowHeight - 6;
    const tip = `${title}\nuseful ${formatPercent(used)}, wasted ${formatPercent(1 - used)}\n` +
      `${plural(record.rows, "row")} in ${plural(record.tiles, "tile")}`;
    if (used < 1) add(svg, "rect", {x: x(used), y, width: x(1) - x(used), height: bar, class: "waste", "data-tip": tip});
    add(svg, "rect", {x: x(0), y, width: x(used) - x(0), height: bar, class: `useful ${colourOf(label)}`, "data-tip": tip});
    addText(svg, x(1) + 8, y + bar - 4, texts[i]);
  });
  return svg;
}

function drawSamples(svg, setting, x, middle) {
  const {record: {timing}, layerMs, how, label, title} = setting;
  const tip = `${title}, layer (${howWords(setting)})\n` + (how === "modelled"
    ? `${formatValue(layerMs.value)} ms, 90 % from ${formatValue(layerMs.low)} to ${formatValue(layerMs.high)} ms`
    : `median ${formatValue(layerMs.value)} ms, quartiles ${formatValue(layerMs.low)} to ${formatValue(layerMs.high)} ms\n${plural(timing.layer_ms.n, "sample")}`);
  const colour = colourOf(label);
  if (isNumber(layerMs.low) && isNumber(layerMs.high)) {
    add(svg, "rect", {x: x(layerMs.low), y: middle - 8, width: Math.max(x(layerMs.high) - x(layerMs.low), 1), height: 16,
                      class: `box ${how} ${colour}`, "data-tip": tip});
  }
  finite(timing.layer_ms.samples ?? []).forEach((sample, i) => {  // spread up and down, the same way each time
    add(svg, "circle", {cx: x(sample), cy: middle - 6 + 12 * ((i * 0.618) % 1), r: 1.8, class: `sample ${colour}`});
  });
  addLine(svg, x(layerMs.value), middle - 10, x(layerMs.value), middle + 10, `median ${how} ${colour}`, tip);
}

const floorOf = ({record: {timing}}) => sumOrNull(...gemmsOf(timing).map((gemm) => timing.floors?.[gemm]?.ms));

// An interval with caps, seen beside a marker that is larger than it. `low` and `high` may be missing.
function drawInterval(svg, {low, high}, scale, across, colour, vertical = false) {
  if (!isNumber(low) || !isNumber(high) || low === high) return;
  const from = scale(low), to = scale(high), cap = 7;
  const d = vertical ? `M${across - cap} ${from}h${2 * cap}m${-cap} 0V${to}m${-cap} 0h${2 * cap}`
    : `M${from} ${across - cap}v${2 * cap}m0 ${-cap}H${to}m0 ${-cap}v${2 * cap}`;
  add(svg, "path", {d, class: `interval ${colour}`});
}

function drawTiming(experiment, layer) {
  const settings = experiment.layerSettings(layer).filter(({layerMs}) => layerMs);
  if (settings.length === 0) return "No times: the experiment has no layer, or it was not run.";
  const width = 600, rowHeight = 28, height = settings.length * rowHeight;
  const svg = canvas(width, height + 44, `Timing, ${experiment.title}`);
  const left = drawRowNames(svg, settings.map(({title}) => title), 2, rowHeight, 160) + 12;
  const ratios = settings.some(({speedup}) => speedup);
  const times = {x: left, y: 2, width: (width - left - 12) * (ratios ? 0.62 : 1), height};
  const floors = settings.map(floorOf);
  const [from, to] = padded([...settings.flatMap(({layerMs, record}) =>
    finite([layerMs.value, layerMs.low, layerMs.high, ...(record.timing.layer_ms.samples ?? [])])), ...finite(floors)], 0.04);
  const x = linear(from, to, times.x, times.x + times.width);
  drawXAxis(svg, times, x, niceTicks(from, to, 6), formatValue, "layer, ms");
  settings.forEach((setting, i) => {
    const middle = 2 + (i + 0.5) * rowHeight;
    drawSamples(svg, setting, x, middle);
    if (!isNumber(floors[i])) return;
    add(svg, "polygon", {points: SHAPES.D.map(([dx, dy]) => `${x(floors[i]) + 6 * dx},${middle + 6 * dy}`).join(" "), class: "mark modelled plain",
                         "data-tip": `${setting.title}, all GEMMs\nmodelled floor ${formatValue(floors[i])} ms\nmeasured ${formatValue(setting.gemmMs)} ms`});
  });
  if (!ratios) return svg;
  const right = {...times, x: times.x + times.width + 24, width: width - times.x - times.width - 34};
  const ends = settings.flatMap(({speedup}) => (speedup ? finite([speedup.value, speedup.low, speedup.high]) : []));
  const [least, most] = padded([1, ...ends], 0.08);
  const ratio = linear(least, most, right.x, right.x + right.width);
  drawXAxis(svg, right, ratio, niceTicks(least, most, 4), (value) => `${value}×`, settings.some(({how}) => how === "modelled") ? "speed-up [90% of cases]" : "speed-up [95%]");
  settings.forEach((setting, i) => {
    const {speedup, label, how, title} = setting;
    if (!speedup) return;
    const middle = 2 + (i + 0.5) * rowHeight;
    drawInterval(svg, speedup, ratio, middle, colourOf(label));
    addMarker(svg, ratio(speedup.value), middle, label, how, `${title}\nspeed-up ${formatInterval(speedup, formatRatio)}\n${howWords(setting)}`);
  });
  return svg;
}

const VERDICTS = {reproduced: "o", differs: "D", inconsistent: "^"};  // the shape of each verdict's mark
const isShare = (metric) => METRICS.some(({name, share}) => name === metric && share) || metric.endsWith("_change");

function drawDocumented(experiment) {
  const figures = experiment.data.documented ?? [];
  if (figures.length === 0) return "";
  const ratios = figures.map(({documented, measured, verdict}) =>
    (verdict in VERDICTS && documented * measured > 0 ? measured / documented : null));
  const width = 1000, rowHeight = 20, height = figures.length * rowHeight, top = 20;
  const svg = canvas(width, height + top + 44, `Documented against measured, ${experiment.title}`);
  const tiles = distinct(figures.map(({tile}) => tile)).length > 1;
  const left = drawRowNames(svg, figures.map(({strategy, metric, tile}) =>
    `${strategy}, ${metricWords(metric)}${tiles && tile ? `, tile ${tile}` : ""}`), top, rowHeight, 340) + 12;
  const format = (metric) => (isShare(metric) ? formatPercent : formatValue);
  const texts = figures.map(({metric, documented, measured, verdict}) => {
    const ours = verdict in VERDICTS ? format(metric)(measured) : "–";
    return `${format(metric)(documented)} → ${ours}  ${String(verdict).replace("_", " ")}`;
  });
  const heading = "documented → ours";
  const area = {x: left, y: top, width: width - left - Math.max(textWidth(heading), ...texts.map(textWidth)) - 20, height};
  const [from, to] = padded([Math.log10(0.5), Math.log10(2), ...finite(ratios).map(Math.log10)], 0.05);
  const log = linear(from, to, area.x, area.x + area.width), x = (ratio) => log(Math.log10(ratio));
  const ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100].filter((tick) => Math.log10(tick) > from && Math.log10(tick) < to);
  drawXAxis(svg, area, x, ticks, (tick) => `${tick}×`, "ours over documented");
  addLine(svg, x(1), area.y, x(1), area.y + height, "reference");
  addText(svg, area.x + area.width + 12, top - 7, heading, "quiet");
  figures.forEach((figure, i) => {
    const y = top + (i + 0.5) * rowHeight;
    const tip = `${figure.strategy}, ${metricWords(figure.metric)}\n${texts[i]}\n${figure.why ?? ""}\n${figure.source ?? ""}`;
    addText(svg, area.x + area.width + 12, y + 4, texts[i]).setAttribute("data-tip", tip);
    if (ratios[i] === null) return;
    addLine(svg, x(1), y, x(ratios[i]), y, `verdict ${figure.verdict}`);
    const points = SHAPES[VERDICTS[figure.verdict]].map(([dx, dy]) => `${x(ratios[i]) + 5 * dx},${y + 5 * dy}`).join(" ");
    add(svg, "polygon", {points, class: `verdict ${figure.verdict}`, "data-tip": tip});
  });
  return svg;
}
