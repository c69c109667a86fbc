// Tokens of each expert before and after rounding: a panel for each strategy and tile. Experts are sorted by their tokens
// before, so that a line shows these and dashes, on multiples of the tile, those after; 512 experts remain readable.

const PANEL = {width: 535, height: 170, left: 52, right: 8, top: 24, bottom: 22};

// Range, scale and ticks of tokens. Even loads start where they are; uneven ones start at 0 and, where the largest is many
// tiles, are logarithmic above one tile, which takes a quarter of the height: so both a large expert and the rounding of a small one are seen.
function tokenAxis(settings) {
  const counts = settings.flatMap(({record}) => [...record.counts_before, ...record.counts_after]);
  const [low, high] = counts.reduce(([least, most], count) => [Math.min(least, count), Math.max(most, count)], [Infinity, 0]);
  const tile = settings.reduce((least, setting) => Math.min(least, setting.tile ?? Infinity), Infinity);
  const margin = 0.06 * (high - low) || 1;
  if (low > high / 4) return {warp: (count) => count, range: [low - margin, high + margin], ticks: tileTicks};
  if (high <= 10 * tile || tile === Infinity) return {warp: (count) => count, range: [0, high + margin], ticks: tileTicks};
  const powers = [0, ...Array.from({length: 32}, (_, i) => tile * 2 ** i)].filter((power) => power <= high);
  const least = Math.max(...powers.filter((power) => power <= low));
  return {warp: symlog(tile, Math.log10(high / tile) / 3), range: [least, high * 1.1], ticks: () => powers.filter((power) => power >= least)};
}

// Multiples of the tile, or of two, four, … tiles where these would be too many.
function tileTicks(low, high, tile) {
  if (tile === null) return niceTicks(low, high, 5);
  let step = tile;
  while ((high - low) / step > 6) step *= 2;
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(tick);
  return ticks;
}

function drawLoadPanel(svg, left, top, {record, title, label, tile}, {warp, range, ticks}) {
  const area = {x: left + PANEL.left, y: top + PANEL.top, width: PANEL.width - PANEL.left - PANEL.right,
                height: PANEL.height - PANEL.top - PANEL.bottom};
  const before = record.counts_before, after = record.counts_after;
  const order = before.map((_, expert) => expert).sort((a, b) => before[b] - before[a] || a - b);
  const x = linear(0, order.length, area.x, area.x + area.width);
  const bend = linear(...range.map(warp), area.y + area.height, area.y), y = (count) => bend(warp(count));
  const summary = `${plural(record.tiles, "tile")}, ${formatValue(record.dropped)} dropped, ${formatValue(record.added)} added`;
  addText(svg, area.x, area.y - 8, fit(title, area.width - textWidth(summary) - 12, 600), "strong");
  addText(svg, area.x + area.width, area.y - 8, summary, "end quiet");
  drawYAxis(svg, area, y, ticks(...range, tile), formatValue);
  const ranks = niceTicks(1, order.length, 6).filter((rank) => rank >= 1 && Number.isInteger(rank));
  drawXAxis(svg, {...area, y: area.y + area.height, height: 0}, (rank) => x(rank - 0.5), distinct([1, ...ranks]), formatValue);
  const steps = order.map((expert, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(before[expert]).toFixed(1)}H${x(i + 1).toFixed(1)}`);
  add(svg, "path", {d: steps.join(""), class: "before"});
  const dash = Math.max(x(1) - x(0), 2.5);
  const dashes = order.map((expert, i) => `M${(x(i + 0.5) - dash / 2).toFixed(1)} ${y(after[expert]).toFixed(1)}h${dash.toFixed(1)}`);
  add(svg, "path", {d: dashes.join(""), class: `after ${colourOf(label)}`});
  order.forEach((expert, i) => add(svg, "rect", {x: x(i), y: area.y, width: x(1) - x(0), height: area.height, class: "hit",
    "data-tip": `${title}, expert ${expert}\n${formatValue(before[expert])} → ${plural(after[expert], "token")}, ` +
                plural(record.tiles_per_expert?.[expert], "tile")}));
}

function drawLoad(experiment, layer) {
  const settings = experiment.layerSettings(layer)
    .filter(({record}) => record.counts_before?.length > 0 && record.counts_after?.length === record.counts_before.length);
  if (settings.length === 0) return "The result holds no counts of experts.";
  const axis = tokenAxis(settings);
  const columns = settings.length > 1 ? 2 : 1;
  const svg = canvas(columns * PANEL.width + 10, Math.ceil(settings.length / columns) * PANEL.height,
                     `Load per expert, ${experiment.title}`);
  settings.forEach((setting, i) => drawLoadPanel(svg, (i % columns) * (PANEL.width + 10),
                                                 Math.floor(i / columns) * PANEL.height, setting, axis));
  return svg;
}
