// Drawing: elements, scales, axes, markers, and labels that keep out of each other's way. Lengths are SVG units.

const TEXT = 12;  // font size, as in page.css
const pen = document.createElement("canvas").getContext("2d");

function textWidth(text, weight = "") {
  pen.font = `${weight} ${TEXT}px system-ui, sans-serif`;
  return pen.measureText(text).width;
}

// The text, cut to a width.
function fit(text, width, weight = "") {
  if (textWidth(text, weight) <= width) return text;
  let kept = [...text];
  while (kept.length > 1 && textWidth(kept.join("") + "…", weight) > width) kept.pop();
  return kept.join("") + "…";
}

function html(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Appends an SVG element; `text` is its text.
function add(parent, name, attributes = {}, text = null) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    node.setAttribute(key, typeof value === "number" ? Math.round(value * 100) / 100 : value);
  }
  if (text !== null) node.textContent = text;
  parent.append(node);
  return node;
}

function canvas(width, height, title) {
  const holder = document.createDocumentFragment();
  return add(holder, "svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title});
}

const addText = (parent, x, y, text, kind = "") => add(parent, "text", {x, y, class: kind}, text);
const addLine = (parent, x1, y1, x2, y2, kind, tip) =>
  add(parent, "line", {x1, y1, x2, y2, class: kind, ...(tip ? {"data-tip": tip} : {})});

// --- scales ---
function linear(from, to, low, high) {
  const span = to - from || 1;
  return (value) => low + ((value - from) / span) * (high - low);
}

// Linear up to `threshold`, logarithmic beyond: shows zero, signs and magnitudes alike. What is linear is as long as `decades`.
function symlog(threshold, decades = 1) {
  return (value) => {
    const parts = Math.abs(value) / threshold;
    return parts <= 1 ? decades * value / threshold : Math.sign(value) * (decades + Math.log10(parts));
  };
}

// Round numbers from `low` to `high`, about `count` of them.
function niceTicks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const [step] = [1, 2, 5, 10].map((factor) => factor * power)
    .sort((a, b) => Math.abs(Math.log(a / raw)) - Math.abs(Math.log(b / raw)));
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

// Smallest and largest of the values, with a margin of a part of their distance.
function padded(values, part) {
  const low = Math.min(...values), high = Math.max(...values);
  const margin = (high - low || Math.abs(high) || 1) * part;
  return [low - margin, high + margin];
}

// --- axes: `area` is {x, y, width, height} ---
function drawXAxis(svg, area, scale, ticks, format, title) {
  const y = area.y + area.height;
  addLine(svg, area.x, y, area.x + area.width, y, "axis");
  let free = -Infinity;
  for (const tick of ticks) {
    const x = scale(tick), half = textWidth(format(tick)) / 2;
    addLine(svg, x, area.y, x, y, "grid");
    if (x - half < Math.max(free, 0) || x + half > svg.viewBox.baseVal.width) continue;
    addText(svg, x, y + 15, format(tick), "middle quiet");
    free = x + half + 6;
  }
  if (title) addText(svg, area.x + area.width / 2, y + 33, fit(title, area.width), "middle");
}

function drawYAxis(svg, area, scale, ticks, format, title) {
  addLine(svg, area.x, area.y, area.x, area.y + area.height, "axis");
  for (const tick of ticks) {
    addLine(svg, area.x, scale(tick), area.x + area.width, scale(tick), "grid");
    addText(svg, area.x - 6, scale(tick) + 4, format(tick), "end quiet");
  }
  if (title) addText(svg, Math.max(area.x - 50, 0), area.y - 8, title);
}

// --- markers ---
const polygon = (corners, turn, radius = () => 1) => Array.from({length: corners}, (_, i) => {
  const angle = ((i / corners) * 2 + turn) * Math.PI;
  return [radius(i) * Math.sin(angle), -radius(i) * Math.cos(angle)];
});
const SHAPES = {  // by the letters that matplotlib has for them
  o: polygon(24, 0), s: polygon(4, 0.25, () => 1.2), "^": polygon(3, 0, () => 1.25), D: polygon(4, 0, () => 1.25),
  v: polygon(3, 1, () => 1.25), "*": polygon(10, 0, (i) => (i % 2 ? 0.55 : 1.4)), h: polygon(6, 0, () => 1.1),
  P: polygon(8, 0, (i) => (i % 2 ? 0.5 : 1.3)),
};
const shapeOf = (label) => SHAPES[STRATEGY_STYLES[styleOf(label)].marker];

function addMarker(svg, x, y, label, how, tip, size = 5) {
  const points = shapeOf(label).map(([dx, dy]) => `${(x + size * dx).toFixed(1)},${(y + size * dy).toFixed(1)}`);
  return add(svg, "polygon", {points: points.join(" "), class: `mark ${how} ${colourOf(label)}`, ...(tip ? {"data-tip": tip} : {})});
}

// Marker and name of each label, then of each way a figure came about, in `words`. Returns the height used.
function drawLegend(svg, width, labels, hows, words = (how) => HOW_WORDS[how]) {
  let x = 0, y = 12;
  const item = (text, mark) => {
    const needed = 18 + textWidth(text) + 16;
    if (x > 0 && x + needed > width) { x = 0; y += 20; }
    mark(x + 7, y - 4);
    addText(svg, x + 18, y, fit(text, width - 20));
    x += needed;
  };
  for (const label of labels) item(label, (cx, cy) => addMarker(svg, cx, cy, label, "measured"));
  for (const how of hows) {
    item(words(how), (cx, cy) => add(svg, "circle", {cx, cy, r: 5, class: `mark ${how} plain`}));
  }
  return y + 12;
}

// --- labels ---
const overlaps = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

// Writes each point's text near it, in `area`, clear of all points, of each other and of the boxes in `taken`; a line
// leads to a text far off.
function labelPoints(svg, area, points, taken) {
  taken.push(...points.map(({x, y}) => ({x: x - 6, y: y - 6, width: 12, height: 12})));
  const inside = (box) => box.x >= area.x && box.x + box.width <= area.x + area.width && box.y >= area.y &&
    box.y + box.height <= area.y + area.height;
  for (const {x, y, text} of points) {
    const shown = fit(text, area.width / 3);
    const width = textWidth(shown) + 4, height = TEXT + 3;
    let box = null, reach = 0;
    search: for (reach = 9; reach < 300; reach += 5) {
      for (let i = 0; i < 16; ++i) {
        const dx = Math.cos((i * Math.PI) / 8), dy = Math.sin((i * Math.PI) / 8);
        box = {x: x + reach * dx - (width * (1 - dx)) / 2, y: y + reach * dy - (height * (1 - dy)) / 2, width, height};
        if (inside(box) && !taken.some((other) => overlaps(box, other))) break search;
      }
    }
    taken.push(box);
    if (reach > 14) {
      addLine(svg, x, y, Math.min(Math.max(x, box.x), box.x + width), Math.min(Math.max(y, box.y), box.y + height), "leader");
    }
    addText(svg, box.x + 2, box.y + TEXT, shown, "label");
  }
}
