// Figures with a point for each strategy and tile: time against quality, and speed-ups and utilisation over tile sizes or
// over the tokens of an expert.

// Points that no other point beats in both: fastest first, each better in quality than those before.
function paretoFront(points) {
  const front = [];
  for (const point of [...points].sort((a, b) => a.time - b.time || a.loss - b.loss)) {
    if (front.length === 0 || point.loss < front[front.length - 1].loss) front.push(point);
  }
  return front;
}

// Rows of whole tiles, on which a GEMM's time depends: comparable across tile sizes.
function tileRowsOf(record) {
  if (isNumber(record.tile) && isNumber(record.tiles)) return record.tile * record.tiles;
  const useful = record.rows - record.padded - record.duplicated;
  return isNumber(useful) && record.tile_utilisation > 0 ? Math.round(useful / record.tile_utilisation) : undefined;
}

// Time of each setting; where nothing was measured, rows of whole tiles stand in for it.
function timesOf(settings) {
  if (settings.some(({layerMs}) => layerMs)) {
    const modelled = settings.some(({how}) => how === "modelled");
    return {title: `layer, ms (${modelled ? "modelled, 90% of its cases" : "median, quartiles"})`, values: settings.map(({layerMs}) => layerMs)};
  }
  return {title: "rows of whole tiles (time modelled as proportional)",
          values: settings.map(({record}) => ({value: tileRowsOf(record)}))};
}

// Where the axis of lost quality turns from linear to logarithmic, and its ticks: at the estimate's error, within which a
// difference says nothing; without an estimate at the power of ten below the smallest loss.
function lossAxis(losses, error) {
  const sizes = losses.map(Math.abs).filter((size) => size > 0), largest = Math.max(...sizes, error ?? 0) || 1;
  const threshold = error ?? 10 ** Math.floor(Math.log10(Math.max(Math.min(...(sizes.length ? sizes : [1])), largest / 1e5)));
  const steps = [];
  const decade = 10 ** Math.floor(Math.log10(threshold));
  const factors = !error || largest / threshold > 1e4 ? [1] : largest / threshold > 100 ? [1, 3] : [1, 2, 5];
  for (let i = 0; i < 14; ++i) for (const factor of factors) steps.push(Number((factor * decade * 10 ** i).toPrecision(2)));
  const beyond = steps.filter((step) => step > threshold * (error ? 1.6 : 0.999) && step <= largest * 1.001);
  const positive = error ? [threshold, ...beyond] : beyond;
  const negative = positive.map((step) => -step).filter((step) => step >= Math.min(...losses) * 1.001 || (error && step === -threshold));
  return {threshold, isError: Boolean(error), ticks: [0, ...positive, ...negative]};
}

function drawPareto(experiment) {
  const {settings} = experiment, quality = qualityOf(settings), times = timesOf(settings);
  const points = !quality ? [] : settings.map((setting, i) => ({
    setting, how: times.values[i] && setting.how ? setting.how : "modelled", time: times.values[i]?.value, span: times.values[i],
    loss: quality.values[i].value, lossSpan: quality.values[i],
  })).filter(({time, loss}) => isNumber(time) && isNumber(loss));
  if (points.length === 0) return "No strategy has both a time and a measure of lost quality.";
  const width = 600, area = {x: 72, y: 28, width: 512, height: 280 + 4 * points.length};
  const svg = canvas(width, area.y + area.height + 40, `Time against quality, ${experiment.title}`);
  const [from, to] = padded(points.flatMap(({span}) => finite([span.value, span.low, span.high])), 0.1);
  const x = linear(from, to, area.x, area.x + area.width);
  const losses = points.flatMap(({lossSpan: {value, low, high}}) => finite([value, low, high]));
  const {threshold, ticks, isError} = lossAxis(losses, quality.error);
  const warp = symlog(threshold);
  const bend = linear(...padded([0, isError ? -0.5 : 0, 1, ...losses.map(warp)], 0.06), area.y + area.height, area.y);
  const y = (loss) => bend(warp(loss));
  drawXAxis(svg, area, x, niceTicks(from, to, 7), formatValue, times.title);
  const inside = ticks.filter((tick) => y(tick) >= area.y - 0.5 && y(tick) <= area.y + area.height + 0.5);
  drawYAxis(svg, area, y, inside, isError ? formatChange : quality.format, fit(`${quality.title}${isError ? ": linear within its error" : ""}`, width - 24));
  if (isError) {
    const top = y(threshold), foot = Math.min(y(-threshold), area.y + area.height);
    svg.insertBefore(add(svg, "rect", {x: area.x, y: top, width: area.width, height: foot - top, class: "band",
                                       "data-tip": `±${formatPercent(threshold)}: within the estimate's error`}), svg.firstChild);
  }
  const front = paretoFront(points);
  add(svg, "path", {d: front.map(({time, loss}, i) => (i ? `H${x(time).toFixed(1)}V${y(loss).toFixed(1)}` : `M${x(time).toFixed(1)} ${y(loss).toFixed(1)}`)).join(""), class: "front"});
  for (const {setting, how, time, span, loss, lossSpan} of points) {
    const colour = colourOf(setting.label);
    drawInterval(svg, span, x, y(loss), colour);
    drawInterval(svg, lossSpan, y, x(time), colour, true);
    addMarker(svg, x(time), y(loss), setting.label, how,
              `${setting.title}\n${times.title.split(" ")[0].replace(",", "")} ${formatValue(time)} (${setting.how ? howWords(setting) : HOW_WORDS[how]})\n` +
              `${quality.title} ${formatInterval(lossSpan, quality.format)}`);
  }
  const bars = points.flatMap(({time, span, loss, lossSpan}) => {
    const left = x(span.low ?? time), top = y(lossSpan.high ?? loss);
    return [{x: left, y: y(loss) - 2, width: x(span.high ?? time) - left, height: 4},
            {x: x(time) - 2, y: top, width: 4, height: y(lossSpan.low ?? loss) - top}];
  });
  labelPoints(svg, area, points.map(({setting, time, loss}) => ({x: x(time), y: y(loss), text: setting.title})), bars);
  return svg;
}

// Points over categories, side by side within each. A series is {label, points: Map from category to a list of
// {value, low, high, how, tip}}; a thin line joins what is not modelled, and what is modelled stands a little to the left.
function drawCategories(svg, area, categories, series, y, format) {
  const slot = area.width / categories.length, step = (0.84 * slot) / series.length;
  const place = (i, j, how) =>
    area.x + slot * (i + 0.08) + step * (j + 0.5) + Math.min(step / 4, 8) * (how === "modelled" ? -1 : 1);
  addLine(svg, area.x, area.y + area.height, area.x + area.width, area.y + area.height, "axis");
  categories.forEach((category, i) => {
    if (i > 0) addLine(svg, area.x + i * slot, area.y, area.x + i * slot, area.y + area.height, "grid");
    addText(svg, area.x + (i + 0.5) * slot, area.y + area.height + 15, fit(format(category), slot), "middle quiet");
  });
  series.forEach(({label, points}, j) => {
    const joined = categories.flatMap((category, i) => (points.get(category) ?? []).filter(({how}) => how !== "modelled")
      .map(({value}) => `${place(i, j, "").toFixed(1)},${y(value).toFixed(1)}`));
    if (joined.length > 1) add(svg, "polyline", {points: joined.join(" "), class: `join ${colourOf(label)}`});
    categories.forEach((category, i) => {
      for (const point of points.get(category) ?? []) {
        const x = place(i, j, point.how);
        addMarker(svg, x, y(point.value), label, point.how, point.tip, 4.5);
        drawInterval(svg, point, y, x, colourOf(label), true);
      }
    });
  });
}

// The speed-ups of a setting as points of a category: measured, and as tiles alone, or rows, would have it.
function speedupPoints(setting) {
  const {title, speedup, modelled, how} = setting;
  const points = [];
  if (isNumber(modelled)) points.push({value: modelled, how: "modelled", tip: `${title}\nmodelled: ${formatRatio(modelled)} by ${modelledBy([setting])} alone`});
  if (speedup) points.push({...speedup, how, tip: `${title}\nspeed-up ${formatInterval(speedup, formatRatio)}\n${howWords(setting)}`});
  return points;
}

// What a legend says of each way: of modelled marks also whose models there are.
function legendWords(settings) {
  const models = distinct(settings.filter(({how}) => how === "modelled").map(howWords));
  return (how) => (how === "modelled" && models.length > 0 ? models.join("; ") : HOW_WORDS[how]);
}

// One series for each `name` of the settings, with `points` of each setting under its `category`.
function seriesOf(settings, name, category, points) {
  const series = new Map();
  for (const setting of settings) {
    if (!series.has(name(setting))) series.set(name(setting), {label: setting.label, points: new Map()});
    const found = series.get(name(setting)).points;
    found.set(category(setting), [...(found.get(category(setting)) ?? []), ...points(setting)]);
  }
  return [...series.values()];
}

const allPoints = (series) => series.flatMap(({points}) => [...points.values()].flat());
const extent = (points) => points.flatMap(({value, low, high}) => finite([value, low, high]));

function drawTileSizes(experiment) {
  const {settings, tiles} = experiment;
  if (settings.length === 0) return "The result holds no strategies.";
  if (tiles.length === 1) return "";  // the table above says it all
  const shares = seriesOf(settings, ({label}) => label, ({tile}) => tile, ({record, title}) =>
    (isNumber(record.tile_utilisation) ? [{value: record.tile_utilisation, how: "measured", tip: `${title}\nutilisation ${formatPercent(record.tile_utilisation)}`}] : []));
  const ratios = seriesOf(settings, ({label}) => label, ({tile}) => tile, speedupPoints);
  const svg = canvas(600, 100, `Tile sizes, ${experiment.title}`);
  const hows = distinct(allPoints(ratios).map(({how}) => how));
  const top = drawLegend(svg, 600, distinct(settings.map(({label}) => label)), hows, legendWords(settings)) + 18;
  const upper = {x: 54, y: top, width: 536, height: 150}, lower = {...upper, y: top + 150 + 50};
  svg.setAttribute("viewBox", `0 0 600 ${lower.y + (hows.length ? 172 : -25)}`);
  const used = padded([1, ...extent(allPoints(shares))], 0.06);
  const share = linear(...used, upper.y + upper.height, upper.y);
  drawYAxis(svg, upper, share, niceTicks(...used, 5).filter((tick) => tick <= 1), formatPercent, "utilisation (counted)");
  drawCategories(svg, upper, tiles, shares, share, tileWords);
  if (hows.length === 0) return svg;
  const range = padded([1, ...extent(allPoints(ratios))], 0.06);
  const ratio = linear(...range, lower.y + lower.height, lower.y);
  drawYAxis(svg, lower, ratio, niceTicks(...range, 5), formatRatio, "speed-up over none at the same tile");
  addLine(svg, lower.x, ratio(1), lower.x + lower.width, ratio(1), "reference");
  drawCategories(svg, lower, tiles, ratios, ratio, tileWords);
  return svg;
}

// What sets a panel apart from the others, of a setting of each: settings that vary but the load, and the tile.
function panelTitles(settings) {
  const experiments = distinct(settings.map(({experiment}) => experiment));
  const differing = differences(experiments, /^(measure|router\/(tokens|experts|top_k)$)/);
  const tiles = distinct(settings.map(({tile}) => tile)).length > 1;
  return ({experiment, tile}) => [...differing.map((difference) => differenceWords(difference, experiment)), tiles ? tileWords(tile) : ""].filter(Boolean).join(", ") ||
    [baseName(experiment), tileWords(tile)].join(", ");
}

// Speed-up over mean tokens per expert, for all experiments: one panel for those that differ in nothing else, and tile.
function drawSpeedups(experiments) {
  const settings = experiments.filter(({load}) => isNumber(load))
    .flatMap((experiment) => experiment.settings.filter(({record}) => record.name !== "none"))
    .filter((setting) => speedupPoints(setting).length > 0);
  if (settings.length === 0) return "No experiment has speed-ups: they need none at the same tile.";
  const panels = new Map();
  for (const setting of settings) {
    const key = `${setting.experiment.kin} ${setting.tile}`;
    panels.set(key, [...(panels.get(key) ?? []), setting]);
  }
  const titleOf = panelTitles([...panels.values()].map(([setting]) => setting));
  const columns = Math.min(panels.size, 3), width = 1100, gap = 30, panelWidth = (width - gap * (columns - 1)) / columns;
  const svg = canvas(width, 100, "Speed-up over tokens per expert");
  const hows = distinct(settings.flatMap(speedupPoints).map(({how}) => how));
  const top = drawLegend(svg, width, distinct(settings.map(({label}) => label)), hows, legendWords(settings)) + 24;
  svg.setAttribute("viewBox", `0 0 ${width} ${top + Math.ceil(panels.size / columns) * 240}`);
  [...panels.values()].forEach((own, i) => {
    const area = {x: (i % columns) * (panelWidth + gap) + 50, y: top + Math.floor(i / columns) * 240, width: panelWidth - 54, height: 170};
    const range = padded([1, ...extent(own.flatMap(speedupPoints))], 0.06);
    const ratio = linear(...range, area.y + area.height, area.y);
    const title = titleOf(own[0]);
    drawYAxis(svg, area, ratio, niceTicks(...range, 5), formatRatio);
    addText(svg, area.x, area.y - 8, fit(title, area.width, 600), "strong");
    addLine(svg, area.x, ratio(1), area.x + area.width, ratio(1), "reference");
    addText(svg, area.x + area.width / 2, area.y + area.height + 33, "tokens per expert (mean)", "middle");
    const loads = distinct(own.map(({experiment}) => experiment.load)).sort((a, b) => a - b);
    const series = seriesOf(own, ({label}) => label, ({experiment}) => experiment.load, speedupPoints);
    drawCategories(svg, area, loads, series, ratio, formatValue);
  });
  return svg;
}
