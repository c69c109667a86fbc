// The answer, which the page begins with: of one or a few experiments each strategy, of many each strategy over all of them
// and then a row for each experiment.

const FEW = 4;  // experiments whose strategies are listed each; of more there is an overview

function median(values) {
  const sorted = [...values].sort((a, b) => a - b), half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// "1.09×, 1.02× to 1.21×": median and range.
function rangeText(values, format) {
  if (values.length === 0) return "–";
  const [low, high] = [Math.min(...values), Math.max(...values)].map(format);
  return low === high ? low : `${format(median(values))}, ${low} to ${high}`;
}

// The limit and the rule of the text report's verdict (src/analysis/worth.hpp).
const PERPLEXITY_LIMIT = 0.001;

// The fastest that is surely faster than none and whose estimate surely keeps the limit. Where any estimate is covered by its
// calibration, others do not count. `surely` are in order of layer time.
function fastestWithin(surely) {
  const estimated = surely.filter(({record}) => record.estimated_perplexity_change);
  const covered = estimated.filter(({record}) => !isBeyond(record));
  return (covered.length > 0 ? covered : estimated).find(({record}) => record.estimated_perplexity_change.high <= PERPLEXITY_LIMIT);
}

// The fastest strategy, and the fastest within the limit of quality.
function answerWords({settings}) {
  const onCpu = settings.some((setting) => setting.onCpu); // its times are no GPU's: tiles answer, as in the text
  const ahead = settings.filter(({record, headline, layerMs}) => record.name !== "none" && headline && layerMs).sort((a, b) => a.layerMs.value - b.layerMs.value);
  const surely = ahead.filter(({headline}) => (headline.low ?? headline.value) > 1);
  const costs = ({record}) => {
    const estimate = record.estimated_perplexity_change;
    return `${formatPercent(record.dropped_share)} of assignments dropped` + (estimate ? `, estimated perplexity ${formatInterval(estimate, formatLoss)}` : "");
  };
  const gain = (setting) => [html("b", {}, `${setting.title}, ${formatInterval(setting.headline, formatRatio)}`), ` over ${setting.over} (${timesWords(setting)}), ${costs(setting)}`];
  if (ahead.length > 0) {
    if (surely.length === 0) return ["No strategy is surely faster than none. Nearest to it: ", ...gain(ahead[0]), "."];
    const within = fastestWithin(surely);
    const beyond = within && isBeyond(within.record) ? "; its calibration does not cover it" : "";
    const estimated = surely.some(({record}) => record.estimated_perplexity_change);
    const limit = within === surely[0] ? [" It surely stays within +0.1 % of perplexity", beyond, "."]
      : within ? [" Fastest within +0.1 % of perplexity: ", ...gain(within), beyond, "."]
      : estimated ? [" Nothing faster than none surely stays within +0.1 % of perplexity: without loss there is none alone."] : [];
    return ["Fastest: ", ...gain(surely[0]), ".", ...limit];
  }
  const fewest = settings.filter((setting) => setting.record.name !== "none" && plainOf(setting) && isNumber(setting.record.tiles))
    .sort((a, b) => a.record.tiles / plainOf(a).record.tiles - b.record.tiles / plainOf(b).record.tiles)[0];
  if (!fewest) return [];
  const both = trains(fewest.experiment) && isNumber(fewest.modelled) ? `, ${formatRatio(fewest.modelled)} by rows of forward and backward (modelled)` : "";
  return [onCpu ? "A CPU has no tiles: its time ratios are no speed-ups of a GPU. Fewest tiles: " : "No times. Fewest tiles: ", html("b", {}, `${fewest.title}, ${tilesText(fewest)}${both}, ${costs(fewest)}`), "."];
}

// A row for each strategy, tile and way of timing, over all experiments.
function strategiesTable(experiments) {
  const groups = new Map();
  for (const setting of experiments.flatMap(({settings}) => settings)) {
    if (setting.record.name === "none") continue;
    const key = JSON.stringify([setting.label, setting.tile, timesWords(setting)]);
    groups.set(key, [...(groups.get(key) ?? []), setting]);
  }
  const column = (title, of, format, options = {}) => {
    const values = ({settings}) => finite(settings.map(of));
    return {title, value: (row) => (values(row).length ? median(values(row)) : null), text: (row) => rangeText(values(row), format), ...options};
  };
  const tilesChange = (setting) => (plainOf(setting) ? setting.record.tiles / plainOf(setting).record.tiles - 1 : null);
  return makeTable("Median and range over the experiments.", [
    {title: "Strategy", value: ({label}) => label, show: ({label}) => [swatch(label), label], stay: true},
    {title: "Tile", value: ({tile}) => tile ?? "by load", text: ({tile}) => (tile === null ? "by load" : String(tile))},
    {title: "Experiments", value: ({settings}) => settings.length},
    column("Speed-up", ({speedup}) => speedup?.value, formatRatio, {stay: true}),
    column("Tiles against none", tilesChange, formatChange, {stay: true}),
    column("Dropped", ({record}) => record.dropped_share, formatPercent, {stay: true}),
    column("Perplexity (estimated)", ({record}) => record.estimated_perplexity_change?.value, formatLoss),
    column("Lost gate mass", ({record}) => record.dropped_gate_mass, formatValue),
    {title: "Times", value: ({settings}) => timesWords(settings[0])},
  ], [...groups.values()].map((settings) => ({label: settings[0].label, tile: settings[0].tile, settings})));
}

// A row for each experiment: what sets it apart, and each strategy's speed-up, or tiles where there are no times.
function experimentsTable(experiments, open) {
  const settings = experiments.flatMap((experiment) => experiment.settings).filter(({record}) => record.name !== "none");
  const timed = settings.some(({speedup}) => speedup), tiles = distinct(settings.map(({tile}) => tile));
  const find = (experiment, label, tile) => experiment.settings.find((setting) => setting.label === label && setting.tile === tile);
  const columns = distinct(settings.map(({label, tile}) => JSON.stringify([label, tile]))).map((key) => {
    const [label, tile] = JSON.parse(key);
    const of = (experiment) => {
      const setting = find(experiment, label, tile);
      return timed ? setting?.speedup?.value ?? null : setting && plainOf(setting) ? setting.record.tiles / plainOf(setting).record.tiles - 1 : null;
    };
    return {title: tiles.length > 1 ? `${label}, ${tileWords(tile)}` : label, value: of, text: (row) => (timed ? formatRatio : formatChange)(of(row)), stay: true};
  });
  const number = new Map(experiments.map((experiment, i) => [experiment, i + 1]));
  const link = (experiment) => {
    const button = html("button", {type: "button", class: "link", title: `Details of ${experiment.title}`}, `${number.get(experiment)} ▸`);
    button.addEventListener("click", () => open(experiment));
    return [button];
  };
  const node = makeTable(`${timed ? "Speed-ups" : "Tiles against none"} of each experiment; its number opens the details.`, [
    {title: "No.", value: (row) => number.get(row), show: link, stay: true},
    ...differences(experiments).map(({title, of}) => ({title, value: of, stay: true})),
    {title: "Tokens per expert", value: ({load}) => load, text: ({load}) => formatValue(load)},
    ...columns,
    {title: "Not finished", value: ({data}) => data.error ?? null},
    {title: "Times", value: ({settings: own}) => distinct(own.map(timesWords).filter(Boolean)).join("; ") || null},
  ], experiments);
  node.classList.add("long");
  return node;
}
