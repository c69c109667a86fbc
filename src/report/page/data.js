// What the results say, in the shape that tables and figures need. A key that is missing counts as null.

// How a figure came about. They are never drawn alike: filled, hollow, dashed without a filling.
const HOW_WORDS = {
  measured: "measured",
  reduced: "CPU, reduced shape: not to be compared with a GPU's",
  modelled: "modelled",
};

// The same of a setting: whose model it is, and what casts doubt on it.
function howWords({how, experiment}) {
  const {model} = experiment.data;
  return how === "modelled" && model ? `${model.device}${model.doubt ? `: ${model.doubt}` : ""}` : HOW_WORDS[how];
}

const distinct = (values) => [...new Set(values)];
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const finite = (values) => values.filter(isNumber);

function formatValue(value) {
  if (!isNumber(value)) return "–";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  const rounded = Number(value.toPrecision(3));
  return value !== 0 && Math.abs(value) < 1e-3 ? rounded.toExponential() : String(rounded);
}
const formatPercent = (share) => (isNumber(share) ? formatValue(100 * share) + "%" : "–");
const formatRatio = (ratio) => (isNumber(ratio) ? `${ratio < 10 ? ratio.toFixed(2) : formatValue(ratio)}×` : "–");
function formatInterval({value, low, high}, format) {
  return isNumber(low) && isNumber(high) ? `${format(value)} [${format(low)}, ${format(high)}]` : format(value);
}

const sumOrNull = (...values) => (values.every(isNumber) ? values.reduce((a, b) => a + b) : null);

// One strategy at one tile: a layer's record, or the network's where there are several layers.
function settingOf(record, experiment) {
  const {timing} = record;
  const setting = {record, label: record.label, tile: record.tile ?? null, experiment, how: null, layerMs: null,
                   gemmMs: null, speedup: null};
  const tileWords = setting.tile === null ? "own tiles" : `tile ${setting.tile}`;
  setting.title = experiment.tiles.length > 1 ? `${record.label}, ${tileWords}` : record.label;
  if (timing) {
    const {layer_ms: layer, speedup} = timing;
    setting.how = timing.kind === "modelled" ? "modelled" : timing.cpu_reduced ? "reduced" : "measured";
    if (isNumber(layer?.value)) setting.layerMs = {value: layer.value, low: layer.low, high: layer.high};
    if (isNumber(layer?.median)) setting.layerMs = {value: layer.median, low: layer.lower_quartile, high: layer.upper_quartile};
    setting.gemmMs = sumOrNull(timing.up_ms?.median ?? timing.up_ms?.value, timing.down_ms?.median ?? timing.down_ms?.value);
    if (isNumber(speedup?.value)) setting.speedup = speedup;
  } else if (isNumber(record.layer_ms)) {  // a network's sums of medians, which have no interval
    setting.how = record.timing_kind === "modelled" ? "modelled" : record.cpu_reduced ? "reduced" : "measured";
    setting.layerMs = {value: record.layer_ms};
    setting.gemmMs = record.gemm_ms ?? null;
    if (isNumber(record.speedup_of_sums)) setting.speedup = {value: record.speedup_of_sums};
  }
  return setting;
}

// What the number of tiles alone would give. Tiles of another size are not comparable; a model of the layer's time says more.
function addModelledSpeedups(settings) {
  for (const setting of settings) {
    const plain = settings.find((other) => other.record.name === "none" && other.tile === setting.tile);
    setting.modelled = setting.how !== "modelled" && setting.tile !== null && plain && setting.record.tiles > 0
      ? plain.record.tiles / setting.record.tiles : null;
  }
}

// Tokens for each expert on average: the load that rounding works on.
function meanLoad(data) {
  const routing = data.routing?.[0];
  return routing && routing.experts > 0 ? routing.assignments / routing.experts : null;
}

// What experiments have in common that differ in their load only: these are joined in one panel.
function kinship(data, environment) {
  const {name, description, documented, measure, router, ...rest} = data.config ?? {};
  const {tokens, experts, top_k, ...others} = router ?? {};
  return JSON.stringify([data.config ? rest : data.name, others, environment.device, data.model?.digest]);
}

function describeExperiment(data, source, result) {
  const environment = result.environment ?? {};
  const experiment = {data, source, environment, tool: result.tool ?? {}, title: data.name};
  experiment.layers = distinct(data.strategies.map((record) => record.layer ?? 0));
  experiment.tiles = distinct(data.strategies.map((record) => record.tile ?? null));
  const network = experiment.layers.length > 1 ? data.network ?? [] : [];
  experiment.isNetwork = network.length > 0;
  const records = experiment.isNetwork ? network : data.strategies;
  experiment.settings = records.map((record) => settingOf(record, experiment));
  experiment.layerSettings = (layer) => data.strategies.filter((record) => (record.layer ?? 0) === layer)
    .map((record) => settingOf(record, experiment));
  addModelledSpeedups(experiment.settings);
  experiment.load = meanLoad(data);
  experiment.kin = kinship(data, environment);
  return experiment;
}

// Every experiment of every result, each with a title that no other has.
function experimentsOf(documents) {
  const experiments = documents.flatMap(({source, result}) =>
    result.experiments.map((data) => describeExperiment(data, source, result)));
  for (const title of distinct(experiments.map((experiment) => experiment.title))) {
    const same = experiments.filter((experiment) => experiment.title === title);
    const apart = distinct(same.map((experiment) => experiment.source)).length === same.length;
    if (same.length > 1) {
      same.forEach((experiment, i) => { experiment.title += apart ? ` (${experiment.source})` : ` #${i + 1}`; });
    }
  }
  return experiments;
}

const plural = (count, noun) => `${formatValue(count)} ${noun}${count === 1 ? "" : "s"}`;

// "16,384 tokens, 256 experts, top-8"
function routingWords({data}) {
  const routing = data.routing?.[0];
  if (!routing) return "";
  const layers = data.routing.length > 1 ? `${data.routing.length} layers, ` : "";
  return `${layers}${plural(routing.tokens, "token")}, ${plural(routing.experts, "expert")}, top-${routing.top_k}`;
}

// Where and how the times were taken, one line for each way.
function timingWords(experiment) {
  const timings = experiment.data.strategies.map((record) => record.timing).filter(Boolean);
  return distinct(timings.map((timing) => {
    const how = timing.kind === "modelled" ? "modelled, layer" : timing.cpu_reduced ? "CPU, reduced shape" : "layer";
    return `${how} ${timing.shape?.hidden} × ${timing.shape?.intermediate}, ${timing.backend}`;
  }));
}

// The best estimate of lost quality that the records hold, and its name.
function qualityOf(settings) {
  const estimates = settings.map((setting) => setting.record.estimated_perplexity_change);
  if (settings.length > 0 && estimates.every((estimate) => isNumber(estimate?.value))) {
    const names = distinct(estimates.map((estimate) => estimate.calibration));
    return {title: `estimated perplexity change (${names.join(", ")})`, values: estimates, format: formatPercent};
  }
  const metric = ["mean_square_dropped_mass", "dropped_gate_mass"].find(
    (name) => settings.some((setting) => isNumber(setting.record[name])));
  if (!metric) return null;
  return {title: metric, values: settings.map((setting) => ({value: setting.record[metric]})), format: formatValue};
}
