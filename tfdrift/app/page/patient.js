// A patient: images, a model, a prediction, and saving it.

import { $, h, s, show, error, warning, empty, count, mm3, fixed, interval, key, person } from "./dom.js";
import { call, follow, ask, said, fileUrl, sentence } from "./calls.js";
import { pick, nameOf, join } from "./picker.js";
import { PatientViewer, MAPS } from "./viewer.js";

let viewer, models = [], files = null, predicted = null, reading = 0;
const ORDER = ["drift_mean", "drift_std", "lesion_probability", "displacement_length", "post_mean", "log_jacobian",
  "log_gain", "residual"];

export function start() {
  viewer = new PatientViewer($("patient-viewer"));
  for (const one of document.querySelectorAll("[name=files]")) one.onchange = () => {
    $("from-dicom").hidden = one.value !== "dicom";
    $("from-nifti").hidden = one.value !== "nifti";
  };
  startDicom();
  startNifti();
  $("model").onchange = modelChosen;
  $("predict").onclick = predict;
  $("save").onclick = save;
}

export async function shown() {
  const before = $("model").value;
  const answer = await ask($("model-state"), () => call("models"));
  if (!answer) return;
  models = answer.models;
  $("model-form").hidden = !models.length;
  show($("model-state"), models.length ? null : h("p", { class: "error" }, `There is no model in the folder ${answer.folder}. Train a run, and export it with tfdrift export; or start tfdrift app with --models.`));
  if (JSON.stringify(models.map((one) => one.name)) === $("model").dataset.names) return;
  $("model").dataset.names = JSON.stringify(models.map((one) => one.name));
  show($("model"), models.map((one) => h("option", { value: one.name }, one.name)));
  if (models.some((one) => one.name === before)) $("model").value = before;
  modelChosen();
}

// Images

function startDicom() {
  $("choose-dicom").onclick = async () => {
    const folder = await pick({ title: "Folder with DICOM files", want: "folder" });
    if (folder === null) return;
    $("dicom-chosen").textContent = folder || "The whole folder";
    show($("scan-found"));
    const job = await ask($("scan-state"), () => call("scan", { folder }));
    const ended = job && await follow(job, $("scan-state"), "Reading headers");
    if (ended?.state !== "done") return;
    const found = await ask($("scan-state"), () => call("scanned", { job: ended.id }));
    if (found) offer(found, folder);
  };
}

function offer(found, folder) {
  const fitting = [], others = [];
  for (const patient of found.patients) for (const study of patient.studies) {
    for (const structures of study.structure_sets) {
      const lesions = structures.rois.filter((roi) => roi.lesion);
      const series = study.series.filter((one) => one.modality === "MR" && lesions.some((roi) => roi.fits.includes(one.series_uid)));
      const who = `${person(patient.name || patient.patient_id)}; ${study.date ?? "no date"}`;
      for (const one of series) {
        if (one.folders.length > 1) {
          others.push(`${who}: ${one.modality} ${one.number}: its slices lie in ${one.folders.length} folders; put them into one`);
          continue;
        }
        const names = lesions.filter((roi) => roi.fits.includes(one.series_uid)).map((roi) => roi.name);
        fitting.push({ who, series: one, structures, names });
      }
      if (!series.length) others.push(`${who}: ${structures.modality} ${structures.label}: ${why(structures, lesions)}`);
    }
    for (const one of study.series) if (one.fault) others.push(`${person(patient.name || patient.patient_id)}: ${one.modality} ${one.number}: ${one.fault}`);
  }
  const radios = fitting.map((one, place) => h("label", {}, h("input", { type: "radio", name: "match", value: place,
      onchange: () => read({ series: join(folder, one.series.folders[0]), structures: join(folder, one.structures.file) }) }),
    h("span", {}, one.who, h("small", {}, `${one.series.description || "MR"}, ${count(one.series.slices, "slice")}`),
      h("small", {}, `${one.structures.modality} ${one.structures.label}: ${one.names.join(", ")}`))));
  show($("scan-found"),
    fitting.length ? h("fieldset", { class: "list" }, h("legend", {}, `${count(fitting.length, "MRI")} with lesions drawn`), h("div", {}, radios))
      : h("div", {}, error(found.patients.length
        ? "No MRI here has a structure set with lesions that fits it."
        : `There is no DICOM in this folder: of ${count(found.files, "file")}, none could be used. Choose the folder of a patient's export.`)),
    others.length ? h("details", { open: !fitting.length }, h("summary", {}, `${others.length} not to be used, and why`), h("ul", {}, others.map((text) => h("li", { class: "note" }, text)))) : null);
  if (fitting.length === 1) $("scan-found").querySelector("input").click();
}

export function why(structures, lesions) {
  if (structures.fault) return structures.fault;
  if (structures.remark) return structures.remark;
  if (!lesions.length) return "no structure has the name of a lesion";
  return lesions.map((roi) => roi.fault ?? `${roi.name} fits no series`).join("; ");
}

function startNifti() {
  const chosen = { image: null, masks: null };
  const update = () => { $("read-nifti").disabled = !(chosen.image && chosen.masks); };
  $("choose-image").onclick = async () => {
    const image = await pick({ title: "MRI as NIfTI", want: "file", kind: "nifti" });
    if (image) { chosen.image = image; $("image-chosen").textContent = nameOf(image); update(); }
  };
  $("choose-masks").onclick = async () => {
    const masks = await pick({ title: "Masks of lesions as NIfTI", want: "files", kind: "nifti" });
    if (masks) { chosen.masks = masks; $("masks-chosen").textContent = masks.map(nameOf).join(", "); update(); }
  };
  $("read-nifti").onclick = () => read({ ...chosen, components: $("components").checked });
}

async function read(request) {
  const mine = ++reading;
  files = null;
  ready();
  $("result").hidden = true;
  viewer.wait("Reading the MRI", "Its contours are turned into voxels, as the prediction will see them.");
  const failed = () => viewer.wait("This cannot be shown", "The reason stands on the left. Choose other images.");
  const job = await ask($("patient-state"), () => call("patient", request));
  if (!job) return failed();
  const ended = await follow(job, $("patient-state"), "Reading the MRI", { still: () => mine === reading });
  if (mine !== reading) return;
  if (ended?.state !== "done") return failed();
  const found = await ask($("patient-state"), () => call("read", { job: ended.id }));
  if (!found) return failed();
  await viewer.load(fileUrl(ended.id, "mri.nii"), fileUrl(ended.id, "contours.nii.gz"), found.lesions.length);
  show($("patient-state"), found.warnings.map(warning),
    h("ul", { class: "cards", "aria-label": "Lesions" }, found.lesions.map((lesion) => h("li", {},
      h("button", { type: "button", class: "small", onclick: () => viewer.go(lesion.centre_ras_mm) }, `${lesion.name}, ${mm3(lesion.volume_mm3)} mm³`)))));
  if (found.lesions.length) viewer.go(found.lesions[0].centre_ras_mm);
  files = found.lesions.length ? { ...request, lesions: found.lesions } : null;
  ready();
}

// Model

function model() { return models.find((one) => one.name === $("model").value); }

function modelChosen() {
  const one = model();
  if (!one) return ready();
  const skill = one.skill ? ` Skill over “no change” ${interval(one.skill)} on ${count(one.held_out, "held-out patient")}.` : "";
  const from = one.patients ? `${one.method}, learned from ${one.patients} patients of ${one.data === "the synthetic phantom" ? one.data : "a cohort"}.` : `${one.method}.`;
  show($("model-about"), `${from}${skill} ${one.calibrated ? "Its intervals are calibrated." : "Its intervals are not calibrated: far too narrow."}`);
  $("outcomes").value = Math.max(16, one.members);
  $("outcomes").min = Math.max(2, one.members);
  const fields = one.conditions.map((condition) => {
    const id = `given-${condition.name}`;
    const about = h("p", { class: "note", id: `${id}-about` }, `${sentence(condition.meaning)} ${condition.classes.length
      ? (condition.afterwards ? "Nobody knows it yet, so it is asked as “what if”." : "")
      : `Seen in training: ${fixed(condition.low, 0)} to ${fixed(condition.high, 0)}. Several, such as 20, 40, 80, are asked side by side.`}`);
    const field = condition.classes.length
      ? h("select", { id, "aria-describedby": `${id}-about` }, h("option", { value: "" }, "Not told"),
        condition.classes.map((one) => h("option", { value: one.value }, one.words)),
        h("option", { value: condition.classes.map((one) => one.value).join(",") }, "Each, side by side"))
      : h("input", { id, type: "text", inputmode: "decimal", autocomplete: "off", "aria-describedby": `${id}-about`, placeholder: "not told" });
    field.dataset.given = condition.name;
    return [h("label", { for: id }, words(condition.name)), field, about];
  });
  show($("conditions"), fields.flat());
  $("guidance-field").hidden = !one.conditions.some((condition) => condition.classes.length);
  ready();
}

const words = (name) => ({ interval_days: "Days until the next MRI", response: "Response", dose_scale: "Dose scale" })[name]
  ?? (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");

function ready() {
  const missing = [files ? null : "images", model() ? null : "a model"].filter(Boolean);
  $("predict").disabled = missing.length > 0;
  $("predict-why").textContent = missing.length ? `Choose ${missing.join(" and ")} first.` : `${count(files.lesions.length, "lesion")}, ${$("outcomes").value} outcomes each.`;
}

// Prediction

async function predict() {
  const { lesions, ...images } = files;
  const given = {};
  for (const field of document.querySelectorAll("[data-given]")) if (field.value.trim()) given[field.dataset.given] = field.value.replaceAll(" ", "");
  const mine = reading;
  $("predict").disabled = true;
  $("result").hidden = true;
  await viewer.offer([]);
  const job = await ask($("predict-state"), () => call("predict", { ...images, model: $("model").value, outcomes: $("outcomes").value,
    seed: $("seed").value, guidance: $("guidance-field").hidden ? 1 : Number($("guidance").value), given }));
  const ended = job && await follow(job, $("predict-state"), "Predicting");
  ready();
  if (ended?.state !== "done" || mine !== reading) return;
  const answer = await ask($("predict-state"), () => call("prediction", { job: ended.id }));
  if (!answer) return;
  predicted = { job: ended.id, lesions };
  await viewer.offer(ORDER.filter((name) => answer.maps.includes(name)).map((name) => ({ name, url: fileUrl(ended.id, `${name}.nii.gz`) })));
  showResult(answer.document, ended);
}

function showResult(document_, job) {
  const calibration = document_.calibration;
  show($("calibration"), calibration
    ? `Intervals hold 90% of patients like the ${calibration.patients} they were measured on, on average over patients.`
    : "Intervals are not calibrated: the outcomes spread far less than the truth does.");
  $("calibration").className = calibration ? "note" : "warning";
  $("report").href = fileUrl(job.id, "report.html");
  show($("save-state"));
  showCases(document_);
  const skipped = document_.skipped.map((text) => warning(`Left out: ${text}`));
  const outcome = { at: 0 };
  const draw = () => show($("lesions"), skipped, table(document_, outcome.at));
  const slide = h("input", { type: "range", id: "outcome", min: 0, max: document_.samples, value: 0, oninput: () => {
    outcome.at = Number(slide.value);
    told.textContent = outcome.at ? `${outcome.at} of ${document_.samples}` : "none";
    draw();
  } });
  const told = h("span", {}, "none");
  $("cases").append(h("div", { class: "row" }, h("label", { for: "outcome" }, "Mark one outcome’s volume below (the maps show all outcomes): ", told), h("div", { class: "control" }, slide)));
  draw();
  $("result").hidden = false;
  $("result").querySelector("h2").scrollIntoView({ block: "nearest" });
}

function table(document_, outcome) {
  const rows = document_.lesions.map((lesion) => {
    const predicted_ = lesion.volume_predicted_mm3;
    const place = predicted.lesions.find((one) => one.number === lesion.structure);
    const below = { yes: "yes", no: "no", undecided: "undecided" }[lesion.below_80_percent] ?? "not calibrated";
    return [h("tr", {},
      h("td", {}, place ? h("button", { type: "button", class: "small", onclick: () => viewer.go(place.centre_ras_mm), "aria-label": `Show ${lesion.name}` }, lesion.name) : lesion.name),
      h("td", { class: "number" }, mm3(lesion.volume_now_mm3)),
      h("td", { class: "number" }, `${mm3(predicted_.mean)} [${mm3(predicted_.low)}, ${mm3(predicted_.high)}]`),
      h("td", {}, strip(lesion, outcome)),
      h("td", {}, below)),
    lesion.warnings.length ? h("tr", {}, h("td", { colspan: 5 }, lesion.warnings.map((text) => warning(text)))) : null];
  });
  return h("div", {}, h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Volumes" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", {}, "Lesion"), h("th", { class: "number" }, "Now, mm³"),
      h("th", { class: "number" }, "Predicted, mm³, with 90% interval"), h("th", {}, "From 0 mm³"), h("th", {}, "Below 80% of now?"))),
    h("tbody", {}, rows))),
    h("p", {}, key("now", "now"), key("mean", "predicted"), key("band", "90% interval"), key("raw", "between outcomes")));
}

function strip(lesion, outcome) {
  const volume = lesion.volume_predicted_mm3, width = 250, height = 26, middle = height / 2;
  const top = Math.max(volume.high, lesion.volume_now_mm3, ...volume.samples) * 1.06;
  const x = (value) => 4 + (value / top) * (width - 8);
  const line = (kind, from, to, up = 0) => s("line", { class: kind, x1: x(from), x2: x(to), y1: middle - up, y2: middle + up });
  const chosen = outcome ? volume.samples[outcome - 1] : null;
  return s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
      "aria-label": `${lesion.name}: predicted ${mm3(volume.mean)} mm³, from ${mm3(volume.low)} to ${mm3(volume.high)}` + (chosen === null ? "" : `, outcome ${outcome}: ${mm3(chosen)}`) },
    s("line", { class: "axis", x1: 4, x2: width - 4, y1: middle, y2: middle }),
    line("band", volume.low, volume.high), line("raw", volume.raw_low, volume.raw_high),
    line("now", lesion.volume_now_mm3, lesion.volume_now_mm3, 11), line("mean", volume.mean, volume.mean, 8),
    chosen === null ? null : s("circle", { class: "outcome", cx: x(chosen), cy: middle, r: 4.5 }));
}

function showCases(document_) {
  const cases = document_.lesions[0]?.scenarios ?? [];
  show($("cases"));
  if (!cases.length) return;
  const isCourse = cases.every((one) => "interval_days" in one.given);
  const told = h("span", {});
  const place = h("div", {});
  const slide = h("input", { type: "range", id: "case", min: 0, max: cases.length - 1, value: 0, oninput: () => draw() });
  const draw = () => {
    const at = Number(slide.value);
    told.textContent = isCourse ? `${cases[at].given.interval_days} days after the first MRI` : cases[at].words;
    show(place, h("table", {}, h("tbody", {}, document_.lesions.map((lesion) => {
      const volume = lesion.scenarios[at].volume_mm3;
      return h("tr", {}, h("td", {}, lesion.name), h("td", { class: "number" }, `${mm3(volume.mean)} mm³`),
        h("td", {}, `outcomes from ${mm3(volume.raw_low)} to ${mm3(volume.raw_high)}`),
        h("td", {}, lesion.scenarios[at].warnings.map((text) => warning(text))));
    }))));
  };
  draw();
  $("cases").append(h("h3", {}, "What if"), h("p", { class: "note" }, document_.scenarios_are),
    h("div", { class: "row" }, h("label", { for: "case" }, isCourse ? "Day: " : "Case: ", told), h("div", { class: "control" }, slide)), place);
}

async function save() {
  const out = await pick({ title: "Save the prediction in", want: "new", name: "prediction", ok: "Save here" });
  if (out === null) return;
  show($("save-state"), "Saving…");
  const saved = await ask($("save-state"), () => call("save", { job: predicted.job, out }));
  if (saved) show($("save-state"), h("span", { class: "good" }, `Saved ${count(saved.files, "file")} in ${saved.saved}.`));
}
