// Who has which colour and marker. They belong to strategies: STRATEGY_STYLES, from scripts/plot_colours.json, which plot.py
// reads too, so that a strategy looks the same in every page and picture.

// The same of each label that the results hold, `pairs` of [label, strategy] in order of appearance: its own; if it has none,
// its strategy's, unless that is taken; else the last that is free. scripts/plot_colours.py does the same.
function assignStyles(pairs) {
  const names = Object.keys(STRATEGY_STYLES), styles = new Map();
  const labels = new Map([...pairs].reverse());
  const ordered = distinct(pairs.map(([label]) => label));
  for (const label of ordered) if (label in STRATEGY_STYLES) styles.set(label, label);
  for (const label of ordered) {
    if (styles.has(label)) continue;
    const taken = new Set(styles.values()), free = names.filter((name) => !taken.has(name)), own = labels.get(label);
    styles.set(label, free.includes(own) ? own : free.length > 0 ? free[free.length - 1] : names[styles.size % names.length]);
  }
  return styles;
}

let styles = new Map();
const styleOf = (label) => styles.get(label) ?? "none";
const colourOf = (label) => `s-${styleOf(label)}`;

// Classes that set --c, for light and dark screens.
function colourRules() {
  const rules = (scheme) => Object.entries(STRATEGY_STYLES).map(([name, style]) => `.s-${name} { --c: ${style[scheme]}; }`).join(" ");
  return `${rules("light")}\n@media screen and (prefers-color-scheme: dark) { ${rules("dark")} }`;
}
