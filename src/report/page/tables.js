// Tables whose heads sort them. A column is {title, value, text, show}: `value` of a row sorts, `text` tells, `show` gives
// nodes in its place; missing values come last either way. A column may have a `help`. What is the same in all rows is told
// once above the table, unless the column is to `stay`.

function compareValues(a, b, direction) {
  const missing = (value) => value === null || value === undefined;
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  return direction * (typeof a === "string" ? a.localeCompare(b, "en", {numeric: true}) : a - b);
}

const cellText = (row, {value, text}) => (text ? text(row) : String(value(row) ?? "–"));

function makeTable(caption, columns, rows) {
  const filled = columns.filter(({value}) => rows.some((row) => (value(row) ?? null) !== null));
  const same = rows.length < 2 ? [] : filled.filter((column) => !column.stay && distinct(rows.map((row) => cellText(row, column))).length === 1);
  const shown = filled.filter((column) => !same.includes(column));
  const body = html("tbody");
  const cell = (row, column) => {
    const text = cellText(row, column);
    const kind = typeof column.value(row) !== "string" ? "number" : text.length > 24 ? "prose" : "word";
    return html("td", {class: kind}, ...(column.show ? column.show(row) : [text]));
  };
  const fill = (sorted) => body.replaceChildren(...sorted.map((row) => html("tr", {}, ...shown.map((column) => cell(row, column)))));
  const heads = shown.map(({title, value, help}) => {
    const button = html("button", {type: "button", ...(help ? {title: help} : {})}, title);
    const head = html("th", {scope: "col", ...(rows.some((row) => typeof value(row) === "string") ? {} : {class: "number"})}, button);
    button.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      fill([...rows].sort((a, b) => compareValues(value(a), value(b), direction)));
    });
    return head;
  });
  fill(rows);
  const alike = same.flatMap((column, i) => [i ? " · " : "", html("span", {title: column.help ?? ""}, `${column.title.replace(/ \[.*/, "")} `, html("b", {}, cellText(rows[0], column)))]);
  return html("div", {class: "table"}, ...(caption ? [html("p", {class: "about caption"}, caption)] : []),
              ...(same.length ? [html("p", {class: "about same"}, "The same in all rows: ", ...alike)] : []),
              html("div", {class: "scroll"}, html("table", {}, html("thead", {}, html("tr", {}, ...heads)), body)));
}

// A metric of the catalogue; its help is the head's tip.
function metricColumn(name, title) {
  const {share, of, help} = METRICS.find((metric) => metric.name === name), format = share ? formatPercent : formatValue;
  const value = ({record}) => (of && record[of] === 0 ? null : record[name] ?? null);
  return {title, help, value, text: (row) => format(value(row))};
}

// "measured", "CPU, reduced shape", or the modelled GPU with what casts doubt on it.
function timesWords(setting) {
  if (setting.how === null) return null;
  return setting.how === "reduced" ? HOW_WORDS.reduced.split(":")[0] : howWords(setting);
}

// A strategy's marker, as in the figures.
function swatch(label) {
  const svg = canvas(14, 14, "");
  svg.setAttribute("class", "swatch");
  addMarker(svg, 7, 7, label, "measured", null, 4.6);
  return svg;
}

// The interval that a speed-up has: of the model's cases, or of what was measured.
function speedupTitle(settings) {
  const hows = distinct(settings.filter(({speedup}) => isNumber(speedup?.low)).map(({how}) => how));
  const several = distinct(settings.filter(({record}) => record.name === "none").map(({tile}) => tile)).length > 1;
  return `Speed-up${several ? " over none, same tile" : ""}${hows.length === 0 ? "" : hows.every((how) => how === "modelled") ? " [90% of cases]" : hows.includes("modelled") ? " [95%, modelled 90%]" : " [95%]"}`;
}

// Whether an estimate is of a setting that no measurement of its calibration had.
function isBeyond(record) {
  return Boolean(record.estimated_perplexity_change && record.name !== "none" && record.estimate_beyond?.length);
}

const perplexityColumn = {
  title: "Perplexity (estimated)", help: "estimated change of the perplexity, with its interval",
  value: ({record}) => record.estimated_perplexity_change?.value ?? null,
  text: ({record}) => formatInterval(record.estimated_perplexity_change ?? {}, formatLoss) + (isBeyond(record) ? "*" : ""),
};

// Of a training pass what suits it: of models that were trained with the strategy.
const trainedColumn = {
  title: "Perplexity, trained with it (published)", help: "of models trained with the strategy and evaluated without it, by tokens per expert over tile",
  value: ({record, experiment}) => (trains(experiment) && record.name !== "none" ? record.estimated_perplexity_change_trained?.value ?? null : null),
  text: ({record}) => (record.name === "none" ? "–" : formatInterval(record.estimated_perplexity_change_trained ?? {}, formatLoss)),
};

const plainOf = (setting) => setting.experiment.settings.find(({record, tile}) => record.name === "none" && tile === setting.tile);

// Tiles beside those of none at the same tile.
function tilesText(setting) {
  const plain = plainOf(setting), {tiles} = setting.record;
  const change = plain && plain !== setting && plain.record.tiles > 0 ? ` (${formatChange(Math.round(1000 * (tiles / plain.record.tiles - 1)) / 1000)})` : "";
  return `${formatValue(tiles)}${change}`;
}

const nameColumns = (differing) => [
  ...differing.map(({title, of}) => ({title, value: ({experiment}) => of(experiment), stay: true})),
  {title: "Strategy", value: ({label}) => label, show: ({label}) => [swatch(label), label], stay: true},
  {title: "Tile", value: ({tile}) => tile ?? "by load", text: ({tile}) => (tile === null ? "by load" : String(tile))},
];
const speedupColumn = (settings) => ({title: speedupTitle(settings), value: ({speedup}) => speedup?.value ?? null, stay: true,
                                      help: "time of the layer with none at the same tile over the strategy's",
                                      text: ({speedup}) => formatInterval(speedup ?? {}, formatRatio)});
const cpuRatioColumn = {title: "CPU time ratio [95%]", value: ({cpuRatio}) => cpuRatio?.value ?? null, text: ({cpuRatio}) => formatInterval(cpuRatio ?? {}, formatRatio),
                        help: "time of the layer on this CPU with none at the same tile over the strategy's: a CPU has no tiles, so no speed-up of a GPU"};
// What is modelled without a time, as on the first screen of the text.
const modelledColumn = (settings) => ({
  title: `By ${modelledBy(settings)} (modelled)`, value: ({modelled}) => modelled ?? null, text: ({modelled}) => formatRatio(modelled),
  help: modelledBy(settings) === "tiles" ? "tiles of none over the strategy's: the speed-up if time were proportional to tiles"
    : "of a training pass rows of none over the strategy's, of whole tiles and of whole steps of weight gradients: the speed-up of both ways if time were proportional to them",
});
// Of a training pass: what one way gains.
const wayColumn = (way) => ({title: `${way[0].toUpperCase()}${way.slice(1)} [95%]`, value: ({record}) => record.timing?.[`${way}_speedup`]?.value ?? null,
                             help: `time of the pass ${way} with none at the same tile over the strategy's`,
                             text: ({record}) => formatInterval(record.timing?.[`${way}_speedup`] ?? {}, formatRatio)});
// Of a stage, in the order of the layer; null of a pass that does not have it.
const stageColumn = ([key, title]) => ({title: `${title} ms`, value: ({record}) => record.timing?.[key]?.median ?? null,
                                        text: ({record}) => formatValue(record.timing?.[key]?.median)});
const PASS_COLUMNS = [["forward_ms", "Forward"], ["backward_ms", "Backward"], ["gather_dy_ms", "Gather of dY"], ["dgrad_down_ms", "Data gradient, down"],
                      ["swiglu_gradient_ms", "SwiGLU gradient"], ["wgrad_down_ms", "Weight gradient, down"], ["dgrad_up_ms", "Data gradient, up"],
                      ["combine_dx_ms", "Combine of dX"], ["gather_again_ms", "Gather again"], ["wgrad_up_ms", "Weight gradient, up"]];
const timesColumn = {title: "Times", value: timesWords, text: (setting) => timesWords(setting) ?? "–"};

// How far to trust intervals, as experiments say; those of before say nothing.
function reachWords(settings) {
  const estimated = settings.filter(({record}) => record.name !== "none" && record.estimated_perplexity_change);
  return distinct(estimated.map(({experiment}) => experiment.data.inputs?.calibration?.reach ?? REACH));
}

// Why estimates are missing, what marked ones lack, and how far to trust their intervals.
function whyNotEstimated(settings) {
  const reasons = distinct(settings.map(({record}) => (record.estimated_perplexity_change ? null : record.why_not_estimated)).filter(Boolean));
  const beyond = distinct(settings.filter(({record}) => isBeyond(record)).flatMap(({record}) => record.estimate_beyond));
  const list = (items) => items.slice(0, 3).join("; ") + (items.length > 3 ? "; …" : "");
  const kind = settings.some((setting) => trainedColumn.value(setting) !== null) ? " of a model trained with plain top-k, rounded at evaluation," : "";
  return [...(reasons.length ? [html("p", {class: "about"}, `Perplexity${kind} is not estimated: ${list(reasons)}.`)] : []),
          ...(beyond.length ? [html("p", {class: "about"}, `*: beyond what the estimate is calibrated on: ${list(beyond)}.`)] : []),
          ...reachWords(settings).map((words) => html("p", {class: "about reach"}, `Perplexity [90%]: ${words}.`))];
}

// The answer: what each strategy gains, and what it costs.
function answerTable(settings, differing) {
  return makeTable("", [
    ...nameColumns(differing),
    speedupColumn(settings),
    cpuRatioColumn,
    wayColumn("forward"),
    wayColumn("backward"),
    {...modelledColumn(settings), value: ({modelled, speedup}) => (speedup ? null : modelled ?? null)},
    {...metricColumn("tiles", "Tiles (against none)"), text: tilesText, stay: true},
    {...metricColumn("dropped", "Dropped"), stay: true,
     text: ({record}) => `${formatValue(record.dropped)}${record.dropped > 0 && isNumber(record.dropped_share) ? ` (${formatPercent(record.dropped_share)})` : ""}`},
    perplexityColumn,
    trainedColumn,
    metricColumn("dropped_gate_mass", "Lost gate mass"),
    metricColumn("tile_utilisation", "Utilisation"),
    timesColumn,
  ], settings);
}

function settingsTable(caption, settings, differing) {
  return makeTable(caption, [
    ...nameColumns(differing),
    {title: "Layer", value: ({record, experiment}) => (experiment.layers.length > 1 ? record.layer : null), stay: true},
    metricColumn("tile_utilisation", "Utilisation"),
    ...METRICS.filter(({heading}) => heading).map(({name, heading}) => metricColumn(name, name === "dropped_gate_mass" ? "Lost gate mass" : heading)),
    metricColumn("mean_square_dropped_mass", "Its square"),
    perplexityColumn,
    trainedColumn,
    {title: "GEMM ms", value: ({gemmMs}) => gemmMs, text: ({gemmMs}) => formatValue(gemmMs)},
    {title: "Layer ms", value: ({layerMs}) => layerMs?.value ?? null, text: ({layerMs}) => formatValue(layerMs?.value)},
    speedupColumn(settings),
    cpuRatioColumn,
    modelledColumn(settings),
    wayColumn("forward"),
    wayColumn("backward"),
    ...PASS_COLUMNS.map(stageColumn),
    {title: "End to end [95%]", value: ({record}) => record.timing?.end_to_end_speedup?.value ?? null,
     text: ({record}) => formatInterval(record.timing?.end_to_end_speedup ?? {}, formatRatio)},
    {title: "Useful TFLOP/s", value: ({record}) => record.timing?.useful_tflops ?? null, text: ({record}) => formatValue(record.timing?.useful_tflops)},
    {title: "Output error", value: ({record}) => record.timing?.output_error ?? null, text: ({record}) => formatValue(record.timing?.output_error)},
    timesColumn,
  ], settings);
}

function documentedTable(experiment) {
  const format = ({metric}, value) => (isShare(metric) ? formatPercent(value) : formatValue(value));
  return makeTable("", [
    {title: "Strategy", value: ({strategy}) => strategy, stay: true},
    {title: "Figure", value: ({metric}) => metricWords(metric), stay: true},
    {title: "Tile", value: ({tile}) => tile},
    {title: "Documented", value: ({documented}) => documented, text: (row) => format(row, row.documented), stay: true},
    {title: "Ours", value: ({measured}) => measured, text: (row) => format(row, row.measured), stay: true},
    {title: "Verdict", value: ({verdict}) => String(verdict).replace("_", " "), stay: true},
    {title: "Why", value: ({why}) => why},
    {title: "Source", value: ({source}) => source},
  ], experiment.data.documented);
}
