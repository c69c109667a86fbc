// The page: the answer, then every figure and table of every experiment, drawn from the results that the page carries.

const FIGURES = [
  {kind: "pareto", title: "Time against quality", draw: drawPareto,
   about: "Lower and further left is better. The line joins what no other point beats in both."},
  {kind: "timing", title: "Timing distributions", byLayer: true, draw: drawTiming,
   about: "Every sample, median and quartiles, or, dashed and hollow, a modelled time with its interval; the dashed diamond is the modelled floor of its GEMMs, where the device has one."},
  {kind: "utilisation", title: "Utilisation and waste", draw: drawUtilisation,
   about: "Counted: rows that count as a part of all rows of the tiles that are computed."},
  {kind: "tiles", title: "Tile sizes", draw: drawTileSizes, about: "Dashed marks are modelled: times of a GPU that is not there, or else the speed-up if time were proportional to tiles, or of a training pass to rows of tiles and steps."},
  {kind: "load", title: "Load per expert, before and after", wide: true, byLayer: true, draw: drawLoad,
   about: "Experts sorted by their tokens before rounding (line); dashes are the rows after. Where loads differ much, tokens are logarithmic above one tile. Point at an expert for its numbers."},
  {kind: "documented", title: "Documented against measured", wide: true, draw: drawDocumented,
   about: "Circle: reproduced; diamond: differs; triangle: the documented figures disagree with each other."},
];

function captionOf(experiment, kind) {
  const hows = ["load", "utilisation", "documented"].includes(kind) ? [] : distinct(experiment.settings.map(({how}) => how)).filter(Boolean);
  const badges = hows.map((how) => html("span", {class: `badge ${how}`}, howWords({how, experiment})));
  const sums = experiment.isNetwork && ["utilisation", "pareto", "tiles"].includes(kind) ? `all ${experiment.layers.length} layers ` : "";
  return html("figcaption", {}, sums, ...badges);
}

function makeFigure(experiment, {kind, byLayer, draw}) {
  const figure = html("figure", {"data-kind": kind}, captionOf(experiment, kind));
  const holder = html("div", {class: "scroll"});
  const show = (layer) => {
    const drawn = draw(experiment, layer);
    holder.replaceChildren(typeof drawn === "string" ? html("p", {class: "absent"}, drawn) : drawn);
  };
  if (byLayer && experiment.layers.length > 1) {
    const select = html("select", {"aria-label": "layer"}, ...experiment.layers.map((layer) => html("option", {value: layer}, `layer ${layer}`)));
    select.addEventListener("change", () => show(Number(select.value)));
    figure.firstChild.append(select);
  }
  show(experiment.layers[0] ?? 0);
  figure.append(holder);
  return figure;
}

/// Of several groups of tokens: which one the page shows.
function groupWords(batches) {
  if (!batches) return "";
  return `${batches.count} of ${formatValue(batches.tokens)} tokens; figures are of group ${batches.median_group}, which has the median of tiles`;
}

// How an experiment was made, and what it warns of.
function factsOf(experiment) {
  const {data, environment, tool} = experiment;
  return [
    ["Routing", routingWords(experiment)],
    ["Load", data.routing?.[0]?.counts ? `${formatValue(experiment.load)} tokens per expert, from ${formatValue(data.routing[0].counts.min)} to ` +
      `${formatValue(data.routing[0].counts.max)}${data.routing.length > 1 ? ", first layer" : ""}` : ""],
    ["Read as", data.reading],
    ["Groups", groupWords(data.network?.[0]?.batches)],
    ["Tiles", experiment.tiles.map((tile) => tile ?? "by load").join(", ")],
    ["Times", timingWords(experiment).join("; ") || "none measured"],
    ...(data.model ? [["Modelled", `${data.model.device}: ${data.model.words}`]] : []),
    ["Device", environment.device === "cpu" ? environment.cpu : environment.device],
    ["Date", environment.date],
    ["Made by", [tool.version && `tatr-sim ${tool.version}`, tool.git].filter(Boolean).join(", ")],
    ["File", experiment.source],
  ].filter(([, text]) => text);
}

function warningsOf({data, short}, named = false) {
  const warnings = distinct([...(data.warnings ?? []), ...data.strategies.flatMap(({label, warnings: own}) => (own ?? []).map((text) => `${label}: ${text}`))]);
  return [
    ...(data.error ? [html("p", {class: "error"}, `${named ? `${short}: ` : ""}Not finished: ${data.error}`)] : []),
    ...(warnings.length ? [html("details", {class: "warnings", ...(warnings.length < 3 ? {open: ""} : {})}, html("summary", {}, `${named ? `${short}: ` : ""}${plural(warnings.length, "warning")}`),
                                html("ul", {}, ...warnings.map((text) => html("li", {}, text))))] : []),
  ];
}

function section(title, about, ...content) {
  return html("section", {}, html("h2", {}, title), ...(about ? [html("p", {class: "about"}, about)] : []), ...content);
}

// Details that are made when they are opened first.
function lazyDetails(summary, make, attributes = {}, open = false) {
  const details = html("details", attributes, html("summary", {}, summary));
  const fill = () => { if (details.childElementCount === 1) details.append(...make()); };
  details.addEventListener("toggle", () => { if (details.open) fill(); });
  if (open) { fill(); details.open = true; }
  return details;
}

// What every modelled time may be off by.
function modelWords(experiments) {
  const models = experiments.map(({data}) => data.model).filter(Boolean);
  return distinct(models.map(({device, words}) => `${device}: ${words}`)).map((text) => html("p", {class: "about model"}, text));
}

// All of one experiment but its answer. Figures that it has nothing for are named in one line each; of those that it was
// never to have (why is "") nothing is said.
function experimentParts(experiment) {
  const figures = FIGURES.map((figure) => ({...figure, node: makeFigure(experiment, figure)}));
  const drawn = figures.filter(({node}) => node.querySelector("svg:not(.swatch)"));
  const why = ({node}) => node.querySelector(".absent")?.textContent;
  const absent = figures.filter(why);
  return [
    html("div", {class: "figures"}, ...drawn.map(({title, about, wide, node}) => html("section", {class: wide ? "wide" : ""}, html("h3", {}, title), html("p", {class: "about"}, about), node))),
    ...absent.map(({title, node}) => html("p", {class: "absent"}, `${title}: `, why({node}))),
    ...(experiment.data.documented?.length > 0 ? [lazyDetails("Documented figures, as a table", () => [documentedTable(experiment)])] : []),
    lazyDetails("Every figure of each strategy", () => [settingsTable("", experiment.settings, [])], {class: "every"}),
    ...(experiment.isNetwork ? [lazyDetails(`Each of ${experiment.layers.length} layers`, () => [settingsTable("", experiment.layers.flatMap(experiment.layerSettings), [])], {class: "layers"})] : []),
    html("h3", {}, "How this was made"),
    html("dl", {class: "facts"}, ...factsOf(experiment).flatMap(([name, text]) => [html("dt", {}, name), html("dd", {}, text)])),
  ];
}

const answerOf = (experiment) => [
  html("p", {class: "lead"}, ...answerWords(experiment)), answerTable(experiment.settings, []), ...whyNotEstimated(experiment.settings), ...modelWords([experiment]), ...warningsOf(experiment),
];
const RULES = "Tiles and utilisation are counted, exact on every machine. Rounding at serving time makes a token's output depend on its batch. Click a head to sort.";

function onePage(experiment) {
  const parts = [routingWords(experiment), ...timingWords(experiment)].filter(Boolean).join("; ");
  return [
    html("header", {}, html("h1", {}, experiment.title), ...(parts ? [html("p", {class: "about"}, parts)] : [])),
    html("section", {id: "answer"}, ...answerOf(experiment), html("p", {class: "about"}, RULES)),
    html("article", {}, ...experimentParts(experiment)),
  ];
}

// Many experiments: an overview first, and each experiment's details when asked for.
function manyPage(experiments) {
  const names = distinct(experiments.map(baseName)), few = experiments.length <= FEW;
  const articles = new Map(experiments.map((experiment, i) => [experiment, lazyDetails(
    experiment.short, () => [html("article", {}, html("p", {class: "about"}, experiment.title), ...answerOf(experiment), ...experimentParts(experiment))], {class: "experiment", id: `experiment-${i + 1}`})]));
  const list = html("details", {id: "experiments", ...(few ? {open: ""} : {})}, html("summary", {}, `Details of each of ${experiments.length} experiments`), ...articles.values());
  const open = (experiment) => {
    list.open = articles.get(experiment).open = true;
    articles.get(experiment).scrollIntoView();
  };
  const speedups = drawSpeedups(experiments);
  const about = "Panels hold experiments that differ in their load only. Dashed marks are modelled: times of a GPU that is not there, or else the speed-up if time were proportional to tiles, or of a training pass to rows of tiles and steps.";
  return [
    html("header", {}, html("h1", {}, names.length > 3 ? `${experiments.length} experiments` : names.join(", ")),
         html("p", {class: "about"}, [plural(experiments.length, "experiment"), ...distinct(experiments.map(routingWords)).slice(0, 1).filter((words) => words && experiments.every((other) => routingWords(other) === words))].join(" of "))),
    html("section", {id: "answer"},
         ...(few ? [answerTable(experiments.flatMap(({settings}) => settings), differences(experiments))] : [strategiesTable(experiments), experimentsTable(experiments, open)]),
         ...whyNotEstimated(experiments.flatMap(({settings}) => settings)),
         ...modelWords(experiments), ...(few ? experiments.flatMap((experiment) => warningsOf(experiment, true)) : []), html("p", {class: "about"}, RULES)),
    ...(typeof speedups === "string" ? [html("p", {class: "absent"}, `Speed-up over tokens per expert: ${speedups}`)]
      : [html("details", {id: "speedup", ...(speedups.viewBox.baseVal.height < 600 ? {open: ""} : {})}, html("summary", {}, "Speed-up over tokens per expert"), html("p", {class: "about"}, about),
              html("figure", {"data-kind": "speedup"}, html("div", {class: "scroll"}, speedups)))]),
    list,
  ];
}

function buildPage(experiments) {
  styles = assignStyles(experiments.flatMap(({settings, data}) => [...data.strategies, ...settings.map(({record}) => record)].map(({label, name}) => [label, name])));
  document.head.append(html("style", {}, colourRules()));
  if (experiments.length === 0) return [html("h1", {}, "No experiment")];
  document.title = `${distinct(experiments.map(baseName)).slice(0, 3).join(", ")} – tatr-sim`;
  return experiments.length === 1 ? onePage(experiments[0]) : manyPage(experiments);
}

// The values of what the pointer is on.
function followPointer(tip) {
  document.addEventListener("pointermove", ({target, clientX, clientY}) => {
    const text = target.closest?.("[data-tip]")?.getAttribute("data-tip");
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    tip.style.left = `${Math.max(0, Math.min(clientX + 14, document.documentElement.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${clientY + 18 + tip.offsetHeight > window.innerHeight ? clientY - tip.offsetHeight - 10 : clientY + 18}px`;
  });
}

function addHatch() {
  const svg = canvas(0, 0, "");
  svg.setAttribute("class", "patterns");
  const pattern = add(add(svg, "defs"), "pattern", {id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)"});
  addLine(pattern, 0, 0, 0, 6, "hatch");
  document.body.append(svg);
}

addHatch();
followPointer(document.getElementById("tip"));
document.getElementById("page").replaceChildren(...buildPage(experimentsOf(JSON.parse(document.getElementById("results").textContent))));
