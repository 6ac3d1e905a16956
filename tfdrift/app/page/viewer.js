// MRIs in three planes with contours and one map over them, by NiiVue.

import { h, show, signal } from "./dom.js";

const { Niivue } = window.niivue;

// NiiVue's outline is one pixel of the screen wide, which is hard to see on a bright lesion; this is two of the page's.
const OUTLINE_PIXELS = 2 * Math.max(1, window.devicePixelRatio);
const compile = WebGL2RenderingContext.prototype.shaderSource;
WebGL2RenderingContext.prototype.shaderSource = function (shader, source) {
  compile.call(this, shader, source
    .replace("vec3 offsetX = dFdx(texPos);", `vec3 offsetX = ${OUTLINE_PIXELS.toFixed(1)} * dFdx(texPos);`)
    .replace("vec3 offsetY = dFdy(texPos);", `vec3 offsetY = ${OUTLINE_PIXELS.toFixed(1)} * dFdy(texPos);`));
};

const CROSS = [0.95, 0.85, 0.2, 0.9];

// Blue against orange is told apart by every kind of colour vision; both grow lighter away from 0.
const ramp = (stops) => ({
  R: stops.map((stop) => stop[1]), G: stops.map((stop) => stop[2]), B: stops.map((stop) => stop[3]),
  A: stops.map((stop) => stop[4] ?? 255), I: stops.map((stop) => stop[0]) });
const RAMPS = {
  "tfdrift-more": ramp([[0, 120, 50, 0, 0], [110, 200, 96, 16, 170], [190, 240, 150, 60], [255, 255, 226, 170]]),
  "tfdrift-less": ramp([[0, 0, 50, 130, 0], [110, 30, 104, 196, 170], [190, 92, 166, 240], [255, 196, 228, 255]]),
  "tfdrift-amount": ramp([[0, 68, 1, 84, 0], [25, 72, 33, 115, 190], [90, 49, 104, 142], [165, 53, 183, 121], [255, 253, 231, 37]]),
};

export const MAPS = {
  drift_mean: { label: "Drift: second MRI minus first", unit: "scanner units", kind: "signed" },
  drift_std: { label: "Spread of the outcomes", unit: "scanner units", kind: "amount" },
  lesion_probability: { label: "Share of outcomes with lesion", unit: "share of the outcomes", kind: "share" },
  displacement_length: { label: "Displacement", unit: "mm", kind: "amount" },
  post_mean: { label: "Predicted MRI of the lesion", unit: "scanner units", kind: "image" },
  log_jacobian: { label: "Growth in area", unit: "logarithm of the factor", kind: "signed" },
  log_gain: { label: "Gain of signal", unit: "logarithm of the factor", kind: "signed" },
  residual: { label: "What movement and gain leave", unit: "scanner units", kind: "signed" },
};

const NEXT_TO_0 = 0.05;
const PLANES = { all: "Three planes", axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" };
const KEYS = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0],
  PageUp: [0, 0, 1], PageDown: [0, 0, -1] };

/** One canvas with its MRI, contours and map. */
class Eye {
  constructor(place, label, tag, moved) {
    this.canvas = h("canvas", { tabindex: 0, role: "img",
      "aria-label": `${label}. Arrow keys move the cursor, Page Up and Page Down the slice.` });
    this.element = h("div", { class: "eye" }, this.canvas, tag ? h("p", { class: "tag" }, tag) : null);
    place.append(this.element);
    this.nv = new Niivue({ dragAndDropEnabled: false, backColor: [0, 0, 0, 1], crosshairColor: CROSS, crosshairWidth: 0.4, crosshairGap: 30,
      multiplanarShowRender: 0, isRadiologicalConvention: true, logLevel: "error", show3Dcrosshair: false,
      fontColor: [0.85, 0.9, 0.95, 1], loadingText: "", isNearestInterpolation: false, tileMargin: 2 });
    this.nv.onLocationChange = (place) => moved(place);
    this.canvas.addEventListener("keydown", (event) => {
      if (!KEYS[event.key]) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const [x, y, z] = KEYS[event.key];
      this.nv.moveCrosshairInVox(-x, y, z); // the patient's right is on the left
    }, { capture: true });
    this.map = null;
  }

  async attach() {
    if (!this.attached) await this.nv.attachToCanvas(this.canvas);
    this.attached = true;
    for (const [name, colours] of Object.entries(RAMPS)) this.nv.addColormap(name, colours);
  }

  async load(mri, contours, colours) {
    await this.attach();
    this.map = null;
    this.nv.closeDrawing();
    await this.nv.loadVolumes([{ url: mri, name: "mri.nii", colormap: "gray" }]);
    // A drawing is laid over everything, and its rim alone is seen: an outline in every plane. At 0 it has no rim.
    this.nv.setDrawColormap(colours);
    this.nv.drawOpacity = 0.002;
    await this.nv.loadDrawingFromUrl(contours);
    this.outline(true);
  }

  async lay(url, map) {
    if (this.map) this.nv.removeVolume(this.map);
    this.map = null;
    if (!url) return null;
    await this.nv.addVolumeFromUrl({ url, name: "map.nii.gz", opacity: 0.75 });
    const volume = this.nv.volumes.at(-1);
    this.map = volume;
    const top = robustTop(volume.img);
    volume.colormapType = 0;
    if (map.kind === "signed") {
      volume.colormap = "tfdrift-more";
      volume.colormapNegative = "tfdrift-less";
      // Next to 0 the sign is chance, and a colour for it would frame every crop.
      [volume.cal_min, volume.cal_max] = [NEXT_TO_0 * top, top];
      [volume.cal_minNeg, volume.cal_maxNeg] = [-top, -NEXT_TO_0 * top];
    } else if (map.kind === "image") {
      volume.colormap = "gray";
      const mri = this.nv.volumes[0];
      [volume.cal_min, volume.cal_max] = [Math.max(mri.cal_min, 1e-6), mri.cal_max];
    } else {
      volume.colormap = "tfdrift-amount";
      [volume.cal_min, volume.cal_max] = [0, map.kind === "share" ? 1 : top];
    }
    this.nv.updateGLVolume();
    return map.kind === "share" ? 1 : map.kind === "image" ? volume.cal_max : top;
  }

  opacity(value) {
    if (this.map) this.nv.setOpacity(this.nv.volumes.indexOf(this.map), value);
  }

  level(value) {
    if (!this.map) return;
    this.map.cal_min = value;
    this.nv.updateGLVolume();
  }

  outline(shown) {
    this.nv.drawRimOpacity = shown ? 1 : 0;
    this.nv.drawScene();
  }

  plane(name) {
    const kinds = { all: this.nv.sliceTypeMultiplanar, axial: this.nv.sliceTypeAxial, coronal: this.nv.sliceTypeCoronal,
      sagittal: this.nv.sliceTypeSagittal };
    this.nv.setSliceType(kinds[name]);
  }

  go(mm) {
    // With the third argument an oblique grid is taken as it lies, and not as if its axes were the patient's.
    this.nv.scene.crosshairPos = this.nv.mm2frac(mm, 0, true);
    this.zoom(this.zoomed ?? 1);
    this.nv.createOnLocationChange();
  }

  /** Enlarge around the cursor, which stays where it is on the screen. */
  zoom(value) {
    this.zoomed = value;
    if (!this.nv.volumes.length) return;
    const [x, y, z] = this.nv.frac2mm(this.nv.scene.crosshairPos);
    this.nv.setPan2Dxyzmm([(1 - value) * x, (1 - value) * y, (1 - value) * z, value]);
    this.nv.drawScene();
  }
}

/** What 99.5% of the voxels that are not 0 stay below. */
function robustTop(values) {
  const sizes = [];
  for (const value of values) if (value !== 0 && Number.isFinite(value)) sizes.push(Math.abs(value));
  if (!sizes.length) return 1;
  sizes.sort((a, b) => a - b);
  return sizes[Math.min(sizes.length - 1, Math.floor(sizes.length * 0.995))] || 1;
}

const labels = (...colours) => ({
  R: [0, ...colours.map((c) => c[0])], G: [0, ...colours.map((c) => c[1])], B: [0, ...colours.map((c) => c[2])],
  A: [0, ...colours.map(() => 255)], I: [0, ...colours.map((_, place) => place + 1)],
  labels: ["", ...colours.map(() => "contour")] });
// On grey, orange, blue and violet to yellow alike nothing else is magenta.
const GTV = [255, 95, 225];
const DRAWN = [255, 214, 10], OTHER = [150, 150, 150], LATER = [60, 190, 255];

function slider(text, attributes, oninput) {
  const value = h("span", {});
  const input = h("input", { type: "range", ...attributes, oninput: () => oninput(Number(input.value), value) });
  oninput(Number(attributes.value), value);
  const element = h("div", { class: "control" }, h("label", {}, text, " ", value, input));
  return { element, input, set: (number) => { input.value = number; oninput(number, value); } };
}

const zoomer = (eyes, id) => slider("Zoom", { id, min: 1, max: 8, step: 0.5, value: 1 }, (value, told) => {
  told.textContent = `× ${value}`;
  for (const eye of eyes()) eye.zoom(value);
});

function planes(chosen, change) {
  const buttons = Object.entries(PLANES).map(([name, text]) => h("button", { type: "button", class: "small",
    "aria-pressed": name === chosen ? "true" : "false", onclick: () => {
      buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(Object.keys(PLANES)[place] === name)));
      change(name);
    } }, text));
  return h("div", { class: "control row", role: "group", "aria-label": "Planes" }, buttons);
}

/** A patient's MRI with contours, and one map of a prediction over it. */
export class PatientViewer {
  constructor(place) {
    this.screen = h("div", { class: "screen" });
    this.veil = h("div", { class: "veil" });
    this.readout = h("span", { "aria-live": "off" });
    this.legend = h("span", { class: "legend" });
    this.eye = new Eye(this.screen, "MRI of the patient in three planes", null, (found) => this.moved(found));
    this.screen.append(this.veil);
    this.maps = [];
    this.select = h("select", { id: "map", onchange: () => this.lay(this.select.value) });
    this.opacity = slider("Opacity", { id: "opacity", min: 0, max: 100, value: 75 }, (value, told) => {
      told.textContent = `${value}%`;
      this.eye.opacity(value / 100);
    });
    this.level = slider("Lesion in at least", { id: "level", min: 0, max: 100, step: 5, value: 50 }, (value, told) => {
      told.textContent = value ? `${value}% of the outcomes` : "any outcome";
      this.eye.level(Math.max(value / 100, 0.001));
    });
    this.outlined = h("input", { type: "checkbox", id: "outlined", checked: true,
      onchange: () => this.eye.outline(this.outlined.checked) });
    this.ofMap = h("div", { class: "line-of-tools", hidden: true },
      h("div", { class: "control" }, h("label", { for: "map" }, "Over the MRI"), this.select),
      this.opacity.element, this.level.element);
    this.level.element.hidden = true;
    this.zoom = zoomer(() => [this.eye], "zoom");
    this.tools = h("div", { class: "tools" },
      h("div", { class: "line-of-tools" }, planes("all", (name) => this.eye.plane(name)), this.zoom.element,
        h("label", { class: "check" }, this.outlined, " Contours as drawn")), this.ofMap);
    show(place, this.tools, this.screen, h("div", { class: "foot" }, this.legend, h("span", { class: "spacer" }), this.readout));
    this.wait("No patient yet", "Choose images on the left; the MRI appears here with what is drawn on it.");
  }

  wait(title, text) {
    show(this.veil, h("div", {}, h("h2", {}, title), h("p", {}, text)));
    this.veil.hidden = false;
  }

  async load(mri, contours, count) {
    this.offer([]);
    await this.eye.load(mri, contours, labels(...Array.from({ length: Math.max(count, 1) }, () => GTV)));
    this.veil.hidden = true;
    this.zoom.set(1);
    this.eye.outline(this.outlined.checked);
  }

  go(mm) { this.eye.go(mm); }

  /** Offer maps by name with their addresses; the first is shown. */
  async offer(maps) {
    this.maps = maps;
    this.ofMap.hidden = !maps.length;
    const options = maps.map(({ name }) => h("option", { value: name }, MAPS[name].label));
    show(this.select, options, maps.length ? h("option", { value: "" }, "Nothing") : null);
    if (maps.length) await this.lay(maps[0].name);
    else {
      show(this.legend);
      if (this.eye.map) await this.eye.lay(null);
    }
  }

  async lay(name) {
    const found = this.maps.find((map) => map.name === name);
    this.shown = found ? MAPS[name] : null;
    const top = await this.eye.lay(found?.url, this.shown);
    this.level.element.hidden = this.shown?.kind !== "share";
    if (found) this.eye.opacity(Number(this.opacity.input.value) / 100);
    if (this.shown?.kind === "share") this.level.set(Number(this.level.input.value));
    show(this.legend, ...(found ? drawLegend(this.shown, top) : []));
  }

  moved(found) {
    const values = found.values ?? [];
    const side = where(found.mm);
    const mri = values[0] ? `  ·  MRI ${signal(values[0].value)}` : "";
    const map = this.shown && values[1] ? `  ·  ${this.shown.label.split(":")[0]} ${signal(values[1].value)} ${this.shown.kind === "share" ? "" : this.shown.unit}` : "";
    this.readout.textContent = side + mri + map;
  }
}

/** A place in mm; NIfTI's axes point to the right, the front and the head. */
function where([x, y, z]) {
  const part = (mm, less, more) => `${Math.abs(mm).toFixed(1)} ${mm < 0 ? less : more}`;
  return `${part(x, "L", "R")}, ${part(y, "P", "A")}, ${part(z, "F", "H")} mm`;
}

function drawLegend(map, top) {
  const canvas = h("canvas", { width: 180, height: 1, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const signed = map.kind === "signed";
  for (let x = 0; x < 180; x++) {
    const part = signed ? (x - 90) / 90 : x / 180;
    const name = signed ? (part < 0 ? "tfdrift-less" : "tfdrift-more") : "tfdrift-amount";
    context.fillStyle = map.kind === "image" ? `rgb(${part * 255} ${part * 255} ${part * 255})` : colourAt(RAMPS[name], Math.abs(part) * 255);
    context.fillRect(x, 0, 1, 1);
  }
  const low = signed ? `−${signal(top)}` : "0";
  return [h("span", {}, low), canvas, h("span", {}, `${signed ? "+" : ""}${signal(top)} ${map.unit}`)];
}

function colourAt(colours, at) {
  const place = Math.max(1, colours.I.findIndex((stop) => stop >= at));
  const part = (at - colours.I[place - 1]) / (colours.I[place] - colours.I[place - 1]);
  const mix = (one) => Math.round(one[place - 1] + part * (one[place] - one[place - 1]));
  return `rgb(${mix(colours.R)} ${mix(colours.G)} ${mix(colours.B)})`;
}

/** Both visits of a lesion, with one cursor; side by side, or one over the other with a swipe. */
export class PairViewer {
  constructor(place) {
    this.screen = h("div", { class: "screen two" });
    this.readout = h("span", {});
    this.pre = new Eye(this.screen, "First MRI", "First MRI", (found) => this.moved(found, this.post));
    this.post = new Eye(this.screen, "Second MRI, on the first one's grid", "Second MRI, registered", (found) => this.moved(found, this.pre));
    this.post.element.classList.add("later");
    this.line = h("div", { class: "line", hidden: true });
    this.screen.append(this.line);
    this.swipe = slider("First MRI up to", { id: "swipe", min: 0, max: 100, value: 50 }, (value, told) => {
      told.textContent = `${value}%`;
      this.cut = value;
      this.arrange();
    });
    this.outlined = h("input", { type: "checkbox", checked: true, onchange: () => {
      for (const eye of [this.pre, this.post]) eye.outline(this.outlined.checked);
    } });
    const modes = ["Side by side", "Swipe"].map((text, place) => h("button", { type: "button", class: "small",
      "aria-pressed": String(place === 0), onclick: () => this.mode(modes, place === 1) }, text));
    this.tools = h("div", { class: "tools" }, h("div", { class: "line-of-tools" },
      h("div", { class: "control row", role: "group", "aria-label": "Arrangement" }, modes),
      planes("axial", (name) => { for (const eye of [this.pre, this.post]) eye.plane(name); }),
      zoomer(() => [this.pre, this.post].filter(Boolean), "pair-zoom").element,
      this.swipe.element,
      h("label", { class: "check" }, this.outlined, " Contours")));
    this.swipe.element.hidden = true;
    const keys = h("span", {}, "Yellow: this lesion at the first visit. Grey: others. Blue: contours of the second visit.");
    show(place, this.tools, this.screen, h("div", { class: "foot" }, keys, h("span", { class: "spacer" }), this.readout));
  }

  mode(buttons, swipe) {
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", String((place === 1) === swipe)));
    this.screen.className = `screen ${swipe ? "swipe" : "two"}`;
    this.swipe.element.hidden = !swipe;
    this.swiping = swipe;
    this.arrange();
    for (const eye of [this.pre, this.post]) {
      eye.nv.resizeListener();
      eye.nv.drawScene();
    }
  }

  arrange() {
    if (!this.post) return;
    this.post.element.style.clipPath = this.swiping ? `inset(0 0 0 ${this.cut}%)` : "none";
    this.line.hidden = !this.swiping;
    this.line.style.left = `${this.cut}%`;
  }

  async load(url, centre) {
    await this.pre.load(url("pre.nii"), url("pre_contours.nii.gz"), labels(DRAWN, OTHER));
    await this.post.load(url("post.nii"), url("post_contours.nii.gz"), labels(LATER));
    for (const eye of [this.pre, this.post]) eye.plane("axial");
    for (const eye of [this.pre, this.post]) eye.go(centre);
  }

  /** The cursor of one MRI has moved: the other's follows, on the same voxels. */
  moved(found, other) {
    const at = found.vox && this.post.nv.volumes[0] ? Array.from(found.vox).slice(0, 3).map(Math.round) : null;
    if (!at) return;
    const [first, second] = [this.pre, this.post].map((eye) => signal(eye.nv.volumes[0].getValue(...at)));
    const eye = other === this.post ? this.pre : this.post;
    other.nv.scene.crosshairPos = [...eye.nv.scene.crosshairPos];
    other.nv.drawScene();
    for (const one of [this.pre, this.post]) one.element.dataset.place = Array.from(one.nv.frac2vox(one.nv.scene.crosshairPos)).join(" ");
    this.readout.textContent = `${where(found.mm)}  ·  first ${first}, second ${second}`;
  }
}
