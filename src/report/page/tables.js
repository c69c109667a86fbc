// Tables whose heads sort them. A column is {title, value, text}: `value` of a row sorts, `text` shows; missing values
// come last either way. A column may have a `help`.

function compareValues(a, b, direction) {
  const missing = (value) => value === null || value === undefined;
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  return direction * (typeof a === "string" ? a.localeCompare(b, "en", {numeric: true}) : a - b);
}

function makeTable(caption, columns, rows) {
  const shown = columns.filter(({value}) => rows.some((row) => (value(row) ?? null) !== null));
  const body = html("tbody");
  const cell = (row, {value, text}) => {
    const shownText = text ? text(row) : String(value(row) ?? "–");
    return html("td", {class: typeof value(row) !== "string" ? "number" : shownText.length > 24 ? "prose" : "word"}, shownText);
  };
  const fill = (sorted) => body.replaceChildren(...sorted.map((row) => html("tr", {}, ...shown.map((column) => cell(row, column)))));
  const heads = shown.map(({title, value, help}) => {
    const button = html("button", {type: "button", ...(help ? {title: help} : {})}, title);
    const head = html("th", {scope: "col"}, button);
    button.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      fill([...rows].sort((a, b) => compareValues(value(a), value(b), direction)));
    });
    return head;
  });
  fill(rows);
  return html("div", {class: "scroll"}, html("table", {}, html("caption", {}, caption), html("thead", {}, html("tr", {}, ...heads)), body));
}

// A metric of the catalogue; its help is the head's tip.
function metricColumn(name, title) {
  const {share, of, help} = METRICS.find((metric) => metric.name === name), format = share ? formatPercent : formatValue;
  const value = ({record}) => (of && record[of] === 0 ? null : record[name] ?? null);
  return {title, help, value, text: (row) => format(value(row))};
}

// "CPU, reduced shape", or the modelled GPU with what casts doubt on it.
function timesWords(setting) {
  if (setting.how === null) return null;
  return setting.how === "reduced" ? HOW_WORDS.reduced.split(":")[0] : howWords(setting);
}

function settingsTable(caption, settings, several) {
  return makeTable(caption, [
    ...(several ? [{title: "Result", value: ({experiment}) => experiment.title}] : []),
    {title: "Strategy", value: ({label}) => label},
    {title: "Tile", value: ({tile}) => tile, text: ({tile}) => (tile === null ? "by load" : String(tile))},
    {title: "Layer", value: ({record, experiment}) => (experiment.layers.length > 1 ? record.layer : null)},
    metricColumn("tile_utilisation", "Utilisation"),
    ...METRICS.filter(({heading}) => heading).map(({name, heading}) => metricColumn(name, heading)),
    metricColumn("mean_square_dropped_mass", "Mean square"),
    {title: "Perplexity (estimated)", value: ({record}) => record.estimated_perplexity_change?.value ?? null,
     text: ({record}) => formatInterval(record.estimated_perplexity_change ?? {}, formatPercent)},
    {title: "GEMM ms", value: ({gemmMs}) => gemmMs, text: ({gemmMs}) => formatValue(gemmMs)},
    {title: "Layer ms", value: ({layerMs}) => layerMs?.value ?? null, text: ({layerMs}) => formatValue(layerMs?.value)},
    {title: "Speed-up [95%]", value: ({speedup}) => speedup?.value ?? null, text: ({speedup}) => formatInterval(speedup ?? {}, formatRatio)},
    {title: "By tiles (modelled)", value: ({modelled}) => modelled ?? null, text: ({modelled}) => formatRatio(modelled)},
    {title: "End to end [95%]", value: ({record}) => record.timing?.end_to_end_speedup?.value ?? null,
     text: ({record}) => formatInterval(record.timing?.end_to_end_speedup ?? {}, formatRatio)},
    {title: "Useful TFLOP/s", value: ({record}) => record.timing?.useful_tflops ?? null, text: ({record}) => formatValue(record.timing?.useful_tflops)},
    {title: "Output error", value: ({record}) => record.timing?.output_error ?? null, text: ({record}) => formatValue(record.timing?.output_error)},
    {title: "Times", value: timesWords, text: (setting) => timesWords(setting) ?? "–"},
  ], settings);
}

function documentedTable(experiment) {
  const format = ({metric}, value) => (isShare(metric) ? formatPercent(value) : formatValue(value));
  return makeTable(experiment.title, [
    {title: "Strategy", value: ({strategy}) => strategy},
    {title: "Figure", value: ({metric}) => metric},
    {title: "Tile", value: ({tile}) => tile},
    {title: "Documented", value: ({documented}) => documented, text: (row) => format(row, row.documented)},
    {title: "Ours", value: ({measured}) => measured, text: (row) => format(row, row.measured)},
    {title: "Verdict", value: ({verdict}) => String(verdict).replace("_", " ")},
    {title: "Why", value: ({why}) => why},
    {title: "Source", value: ({source}) => source},
  ], experiment.data.documented);
}
