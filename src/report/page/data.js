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
const formatChange = (share) => (isNumber(share) && share > 0 ? "+" : "") + formatPercent(share);
// Of perplexity: as the text has it (format_change of src/core/format.cpp), so that only what is exactly 0 reads "0%".
function formatLoss(share) {
  if (!isNumber(share)) return "–";
  const percent = 100 * share, size = Math.abs(percent);
  return share === 0 ? "0%" : `${share > 0 ? "+" : ""}${percent.toFixed(size < 1 ? 2 : size < 100 ? 1 : 0)}%`;
}
// A metric's key in the words of the page.
const metricWords = (metric) => ({dropped_gate_mass: "lost gate mass", mean_square_dropped_mass: "square of lost gate mass", tile_utilisation: "utilisation",
                                  speedup: "speed-up", end_to_end_speedup: "end-to-end speed-up", forward_speedup: "forward speed-up",
                                  backward_speedup: "backward speed-up"})[metric] ?? metric.replaceAll("_", " ");
const formatRatio = (ratio) => (isNumber(ratio) ? `${ratio < 10 ? ratio.toFixed(2) : formatValue(ratio)}×` : "–");
function formatInterval({value, low, high}, format) {
  return isNumber(low) && isNumber(high) && low !== high ? `${format(value)} [${format(low)}, ${format(high)}]` : format(value);
}

const sumOrNull = (...values) => (values.every(isNumber) ? values.reduce((a, b) => a + b) : null);

const tileWords = (tile) => (tile === null ? "tiles by load" : `tile ${tile}`);

// The GEMMs of a pass by their keys.
const gemmsOf = (timing) => (timing.pass === "training" ? ["up", "down", "dgrad_down", "wgrad_down", "dgrad_up", "wgrad_up"] : ["up", "down"]);

// One strategy at one tile: a layer's record, or the network's where there are several layers.
function settingOf(record, experiment) {
  const {timing} = record;
  const setting = {record, label: record.label, tile: record.tile ?? null, experiment, how: null, layerMs: null,
                   gemmMs: null, speedup: null, cpuRatio: null, onCpu: false};
  setting.title = experiment.tiles.length > 1 ? `${record.label}, ${tileWords(setting.tile)}` : record.label;
  if (timing) {
    const {layer_ms: layer, speedup} = timing;
    setting.how = timing.kind === "modelled" ? "modelled" : timing.cpu_reduced ? "reduced" : "measured";
    if (isNumber(layer?.value)) setting.layerMs = {value: layer.value, low: layer.low, high: layer.high};
    if (isNumber(layer?.median)) setting.layerMs = {value: layer.median, low: layer.lower_quartile, high: layer.upper_quartile};
    setting.gemmMs = sumOrNull(...gemmsOf(timing).map((gemm) => timing[`${gemm}_ms`]?.median ?? timing[`${gemm}_ms`]?.value));
    if (isNumber(speedup?.value)) setting.speedup = speedup;
  } else if (isNumber(record.layer_ms)) {  // a network's sums of medians, which have no interval
    setting.how = record.timing_kind === "modelled" ? "modelled" : record.cpu_reduced ? "reduced" : "measured";
    setting.layerMs = {value: record.layer_ms};
    setting.gemmMs = record.gemm_ms ?? null;
    if (isNumber(record.speedup_of_sums)) setting.speedup = {value: record.speedup_of_sums};
  }
  if (experiment.environment.device === "cpu" && setting.how !== "modelled") {  // no speed-up of a GPU: the text's rule
    setting.onCpu = setting.how !== null;
    setting.cpuRatio = setting.speedup;
    setting.speedup = null;
  }
  return setting;
}

// Whether the experiment's passes go forward and backward.
const trains = ({data}) => data.config?.layer?.pass === "training";

const REDUCTION_STEP = 64;  // rows that a weight gradient adds up at once: kReductionStep of src/model/tile_cost.hpp

// What the time of a setting's GEMMs follows, against others of its tile: tiles; of a training pass rows both ways, of whole tiles
// and of whole steps of weight gradients, over all layers. Null where it is not known.
function workOf({record, label, tile, experiment}) {
  if (tile === null) return null;
  if (!trains(experiment)) return record.tiles > 0 ? record.tiles : null;
  const layers = experiment.isNetwork ? experiment.data.strategies.filter((other) => other.label === label && other.tile === tile) : [record];
  const rows = ({tiles, counts_after: counts}) => (counts?.length > 0
    ? 2 * tiles * tile + counts.reduce((sum, count) => sum + Math.ceil(count / REDUCTION_STEP) * REDUCTION_STEP, 0) : null);
  const all = layers.length > 0 ? sumOrNull(...layers.map(rows)) : null;
  return all > 0 ? all : null;
}

// What tiles alone would give, or rows of a training pass. Tiles of another size are not comparable; a model of the layer's time
// says more.
function addModelledSpeedups(settings) {
  for (const setting of settings) {
    const plain = settings.find((other) => other.record.name === "none" && other.tile === setting.tile);
    const before = plain ? workOf(plain) : null, after = workOf(setting);
    setting.modelled = setting.how !== "modelled" && isNumber(before) && isNumber(after) ? before / after : null;
  }
}

// What a modelled gain that is no time follows, of settings of one kind or several.
function modelledBy(settings) {
  const kinds = distinct(settings.map(({experiment}) => (trains(experiment) ? "rows" : "tiles")));
  return kinds.sort().reverse().join(" or ");
}

// What a verdict says is gained: over none at the tile where it is fastest, as the text report has it. Where none stands at
// one tile, or a result is too old to tell, over none at the same tile.
function addHeadlines(settings, networks) {
  const nones = settings.filter(({record, layerMs}) => record.name === "none" && isNumber(layerMs?.value)).sort((a, b) => a.layerMs.value - b.layerMs.value);
  for (const setting of settings) {
    const own = networks.find(({label, tile}) => label === setting.label && (tile ?? null) === setting.tile)?.speedup_over_fastest_none;
    const told = !setting.onCpu && nones.length > 1 && isNumber(own?.value);
    setting.headline = told ? own : setting.speedup;
    setting.over = told ? `none at ${tileWords(nones[0].tile)}, its fastest` : nones.length > 1 ? "none at the same tile" : "none";
  }
}

// Tokens for each expert on average: the load that rounding works on.
function meanLoad(data) {
  const routing = data.routing?.[0];
  return routing && routing.experts > 0 ? routing.assignments / routing.experts : null;
}

// Where nothing that changes a token has an estimate, that what changes nothing costs nothing is none either: the rule of
// src/report/first_screen.cpp.
function dropEmptyEstimates(records, all) {
  const changes = ({dropped, added}) => dropped > 0 || added > 0;
  if (records.some((record) => changes(record) && record.estimated_perplexity_change)) return;
  for (const record of all) record.estimated_perplexity_change = null;
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
  dropEmptyEstimates(records, [...data.strategies, ...network]);
  experiment.settings = records.map((record) => settingOf(record, experiment));
  experiment.layerSettings = (layer) => data.strategies.filter((record) => (record.layer ?? 0) === layer)
    .map((record) => settingOf(record, experiment));
  addModelledSpeedups(experiment.settings);
  addHeadlines(experiment.settings, data.network ?? []);
  experiment.load = meanLoad(data);
  experiment.kin = kinship(data, environment);
  return experiment;
}

// The values of a config that tell experiments apart, by the path of each; a source of another kind is one value.
function settingsOf({data, environment, source}) {
  const found = new Map();
  const walk = (path, value) => {
    if (Array.isArray(value) || value === null || typeof value !== "object") found.set(path, Array.isArray(value) ? value.join(", ") : value);
    else for (const [key, inner] of Object.entries(value)) walk(path ? `${path}/${key}` : key, inner);
  };
  const {name, description, documented, strategies, $schema, ...config} = data.config ?? {};
  walk("", config);
  if (environment.device === "cpu" && found.has("layer/grad_dtype")) found.set("layer/grad_dtype", "fp32");  // whatever is asked for
  found.set("device", data.model?.device ?? (environment.device === "cpu" ? environment.cpu : environment.device) ?? null);
  found.set("file", source);
  return found;
}

// The kind of a source, and what varies among the sources of its kind.
function sourceWords({data}, experiments) {
  const {kind, ...rest} = data.config?.router?.source ?? {};
  const alike = experiments.map((other) => other.data.config?.router?.source ?? {}).filter((other) => other.kind === kind);
  const words = Object.entries(rest).filter(([key, value]) => value !== null && typeof value !== "object" && alike.some((other) => other[key] !== value))
    .map(([key, value]) => `${key.replaceAll("_", " ")} ${value}`);
  return [kind, ...words].filter(Boolean).join(", ");
}

const baseName = ({data}) => String(data.name).replace(/ \([a-z_]+[/=].*\)$/s, "");  // without what a sweep adds

// What differs between experiments, each {title, of(experiment), plain}: their names, or, of one sweep, the settings that
// vary. The device and the file count where no setting does. `except` matches the paths that do not count.
function differences(experiments, except = /^measure/) {
  if (experiments.length < 2) return [];
  if (distinct(experiments.map(baseName)).length > 1) return [{title: "Result", of: ({title}) => title, plain: true}];
  const settings = new Map(experiments.map((experiment) => [experiment, settingsOf(experiment)]));
  const paths = distinct([...settings.values()].flatMap((own) => [...own.keys()])).filter((path) => !except.test(path));
  let varied = paths.filter((path) => distinct([...settings.values()].map((own) => own.get(path) ?? null)).length > 1);
  if (varied.some((path) => path !== "file")) varied = varied.filter((path) => path !== "file");
  const kinds = varied.includes("router/source/kind");
  if (kinds) varied = varied.filter((path) => !path.startsWith("router/source/") || path === "router/source/kind");
  const last = (path) => path.split("/").pop();
  return varied.map((path) => {
    if (path === "router/source/kind") return {title: "Source", of: (experiment) => sourceWords(experiment, experiments), plain: true};
    const own = varied.filter((other) => last(other) === last(path)).length > 1 ? path : last(path);
    const title = own.replaceAll("_", " ").replaceAll("/", " ");
    return {title: title[0].toUpperCase() + title.slice(1), of: (experiment) => settings.get(experiment)?.get(path) ?? null, plain: path === "device" || path === "file"};
  });
}

function differenceWords({title, of, plain}, experiment) {
  const value = of(experiment);
  if (value === null || value === "") return "";
  return plain ? String(value) : `${title.toLowerCase()} ${value}`;
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
  const differing = differences(experiments);
  for (const experiment of experiments) {
    const words = differing.map((difference) => differenceWords(difference, experiment)).filter(Boolean).join(", ");
    const only = !experiments.some((other) => other !== experiment && differing.every(({of}) => of(other) === of(experiment)));
    experiment.short = words && only ? words : experiment.title;
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
    return `${how} ${timing.shape?.hidden} × ${timing.shape?.intermediate}, ${timing.backend}${timing.pass === "training" ? ", training pass" : ""}`;
  }));
}

// The best estimate of lost quality that the records hold, and its name.
function qualityOf(settings) {
  const estimates = settings.map((setting) => setting.record.estimated_perplexity_change);
  if (settings.length > 0 && estimates.every((estimate) => isNumber(estimate?.value))) {
    const names = distinct(estimates.map((estimate) => estimate.calibration));
    const halves = estimates.map(({low, high}) => (high - low) / 2).filter((half) => half > 0);
    const error = halves.length ? Number(Math.min(...halves).toPrecision(1)) : null;
    return {title: `estimated perplexity change (${names.join(", ")})`, values: estimates, format: formatLoss, error};
  }
  const metric = ["mean_square_dropped_mass", "dropped_gate_mass"].find(
    (name) => settings.some((setting) => isNumber(setting.record[name])));
  if (!metric) return null;
  return {title: `${metricWords(metric)}, mean over tokens`, values: settings.map((setting) => ({value: setting.record[metric]})), format: formatValue};
}
