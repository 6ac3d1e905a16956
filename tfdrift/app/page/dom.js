// Elements, numbers and small drawings.

export const $ = (id) => document.getElementById(id);

/** An element with attributes, listeners (onclick, ...) and children; texts are texts, never markup. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function show(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(Boolean));
  return element;
}

export const error = (text) => h("p", { class: "error", role: "alert" }, text);
export const warning = (text) => h("p", { class: "warning" }, text);
export const empty = (title, ...texts) => h("div", { class: "empty" }, h("h2", {}, title), texts.map((text) => h("p", {}, text)));

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
export const mm3 = (value) =>
  value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 });
export const fixed = (value, digits = 2) =>
  value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
export const interval = (score) =>
  score ? `${fixed(score.value)} [${fixed(score.low)}, ${fixed(score.high)}]` : "–";
export function signal(value) {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 1 : 3;
  return value.toFixed(digits).replace("-", "−");
}

/** A name as DICOM writes it, as people do. */
export const person = (name) => name.split("^").filter(Boolean).join(", ");

export function duration(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Lines over steps, the first solid and the second dashed, so that they differ without colour. */
export function curve({ title, lines, zero = null }) {
  const all = lines.flatMap((line) => line.points);
  const figure = h("figure", {}, h("figcaption", {}, title));
  if (!all.length) return show(figure, h("figcaption", {}, title), h("p", { class: "note" }, "No point yet."));
  const width = 460, height = 190, left = 46, right = 10, top = 8, bottom = 24;
  const steps = all.map((point) => point[0]);
  const sorted = all.map((point) => point[1]).sort((a, b) => a - b);
  // A first point far off would flatten the rest.
  let low = sorted[Math.floor(sorted.length * 0.02)], high = sorted[Math.ceil(sorted.length * 0.98) - 1];
  if (zero !== null) [low, high] = [Math.max(Math.min(low, zero), -1), Math.max(high, zero + 0.1)];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  [low, high] = [low - room, high + room];
  const last = Math.max(...steps, 1);
  const x = (step) => left + (step / last) * (width - left - right);
  const y = (value) => top + (1 - (Math.min(Math.max(value, low), high) - low) / (high - low)) * (height - top - bottom);
  const marks = [low + room, (low + high) / 2, high - room];
  const digits = high - low < 0.1 ? 4 : 2;
  const words = lines.map((line) => line.points.length ? `${line.name} ${fixed(line.points.at(-1)[1], digits)}` : null);
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${title}: at step ${last} ${words.filter(Boolean).join(", ")}` });
  for (const mark of marks) {
    svg.append(s("line", { class: "axis", x1: left, x2: width - right, y1: y(mark), y2: y(mark) }));
    svg.append(s("text", { x: left - 6, y: y(mark) + 4, "text-anchor": "end" }, fixed(mark, digits)));
  }
  for (const part of [0, 0.5, 1]) {
    const at = Math.round(last * part);
    svg.append(s("text", { x: x(at), y: height - 7, "text-anchor": part ? (part === 1 ? "end" : "middle") : "start" },
      `${part ? "" : "step "}${at.toLocaleString("en")}`));
  }
  if (zero !== null) svg.append(s("line", { class: "zero", x1: left, x2: width - right, y1: y(zero), y2: y(zero) }));
  lines.forEach((line, place) => line.points.length < 40 && svg.append(...line.points.map((point) => s("circle",
    { class: place ? "dot second" : "dot", cx: x(point[0]), cy: y(point[1]), r: 2.6 }))));
  lines.forEach((line, place) => svg.append(s("polyline", {
    class: place ? "second" : "first",
    points: line.points.map((point) => `${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`).join(" ") })));
  const keys = lines.map((line, place) => key(place ? "second" : "first", line.name));
  if (zero !== null) keys.push(key("zero", "no change"));
  return show(figure, h("figcaption", {}, title), svg, h("p", {}, keys));
}

export function key(kind, text) {
  return h("span", { class: "key" },
    s("svg", { width: 26, height: 10, "aria-hidden": "true" }, s("line", { class: kind, x1: 1, x2: 25, y1: 5, y2: 5 })), text);
}
