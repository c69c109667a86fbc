// The page: a summary, a table and every figure of every experiment, drawn from the results that the page carries.

const FIGURES = [
  {kind: "load", title: "Load per expert, before and after", wide: true, byLayer: true, draw: drawLoad,
   about: "Experts sorted by their tokens before rounding (line); dashes are the rows after. Where loads differ much, tokens are logarithmic above one tile. Point at an expert for its numbers."},
  {kind: "utilisation", title: "Utilisation and waste", draw: drawUtilisation,
   about: "Counted: rows that count as a part of all rows of the tiles that are computed."},
  {kind: "pareto", title: "Time against quality", draw: drawPareto,
   about: "Lower and further left is better. The line joins what no other point beats in both."},
  {kind: "tiles", title: "Tile sizes", draw: drawTileSizes, about: "Dashed marks are modelled: times of a GPU that is not there, or else the speed-up if time were proportional to tiles."},
  {kind: "timing", title: "Timing distributions", byLayer: true, draw: drawTiming,
   about: "Every sample, median and quartiles, or, dashed and hollow, a modelled time with its interval; the dashed diamond is the modelled floor of the two GEMMs, where the device has one."},
  {kind: "documented", title: "Documented against measured", wide: true, draw: drawDocumented,
   about: "Circle: reproduced; diamond: differs; triangle: the documented figures disagree with each other."},
];

function captionOf(experiment, kind) {
  const hows = ["load", "utilisation", "documented"].includes(kind) ? [] : distinct(experiment.settings.map(({how}) => how)).filter(Boolean);
  const badges = hows.map((how) => html("span", {class: `badge ${how}`}, howWords({how, experiment})));
  const sums = experiment.isNetwork && ["utilisation", "pareto", "tiles"].includes(kind) ? `all ${experiment.layers.length} layers ` : "";
  return html("figcaption", {}, html("strong", {}, experiment.title), sums, ...badges);
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

function makeCard(experiment) {
  const {data, environment, tool} = experiment;
  const facts = [
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
  const warnings = distinct([...(data.warnings ?? []), ...data.strategies.flatMap(({label, warnings: own}) => (own ?? []).map((text) => `${label}: ${text}`))]);
  return html("article", {class: "card"}, html("h3", {}, experiment.title),
              html("dl", {}, ...facts.flatMap(([name, text]) => [html("dt", {}, name), html("dd", {}, text)])),
              ...(data.error ? [html("p", {class: "error"}, `Not finished: ${data.error}`)] : []),
              ...(warnings.length ? [html("details", {}, html("summary", {}, plural(warnings.length, "warning")), html("ul", {}, ...warnings.map((text) => html("li", {}, text))))] : []));
}

function section(title, about, ...content) {
  return html("section", {}, html("h2", {}, title), ...(about ? [html("p", {class: "about"}, about)] : []), ...content);
}

// What every modelled time may be off by.
function modelWords(experiments) {
  const models = experiments.map(({data}) => data.model).filter(Boolean);
  return distinct(models.map(({device, words}) => `${device}: ${words}`)).map((text) => html("p", {class: "about model"}, text));
}

function layerTables(experiments) {
  return experiments.filter(({isNetwork}) => isNetwork).map((experiment) => html("details", {},
    html("summary", {}, `${experiment.title}: each of ${experiment.layers.length} layers`),
    settingsTable(experiment.title, experiment.layers.flatMap(experiment.layerSettings), false)));
}

function buildPage(experiments) {
  for (const {settings} of experiments) for (const {label} of settings) styleOf(label);  // in order of appearance
  const several = experiments.length > 1;
  const documented = experiments.filter(({data}) => data.documented?.length > 0);
  const speedups = drawSpeedups(experiments);
  return [
    section("Results", "", html("div", {class: "grid"}, ...experiments.map(makeCard))),
    section("Strategies", "Click a head to sort. Tiles and utilisation are counted, exact on every machine. Rounding at serving time makes a token's output depend on its batch.",
            ...modelWords(experiments),
            settingsTable(several ? "All results" : experiments[0]?.title ?? "No experiment", experiments.flatMap(({settings}) => settings), several),
            ...layerTables(experiments)),
    section("Speed-up over tokens per expert", "Panels hold experiments that differ in their load only. Dashed marks are modelled: times of a GPU that is not there, or else the speed-up if time were proportional to tiles.",
            html("figure", {"data-kind": "speedup"}, html("div", {class: "scroll"}, typeof speedups === "string" ? html("p", {class: "absent"}, speedups) : speedups))),
    ...FIGURES.map((figure) => section(figure.title, figure.about,
      html("div", {class: figure.wide ? "stack" : "grid"}, ...experiments.map((experiment) => makeFigure(experiment, figure))),
      ...(figure.kind === "documented" ? documented.map(documentedTable) : []))),
  ];
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
