// A cohort: what is in a folder, the import, and every pair looked at.

import { $, h, show, error, warning, empty, count, mm3, fixed, person } from "./dom.js";
import { call, follow, ask, fileUrl, Refused } from "./calls.js";
import { pick, join, parentOf, nameOf } from "./picker.js";
import { PairViewer } from "./viewer.js";
import { why } from "./patient.js";
import { learnFrom } from "./training.js";

const state = { folder: null, cohort: null, job: null, without: null, cards: null };
let viewer = null;

export function start() {
  $("choose-export").onclick = async () => {
    const folder = await pick({ title: "Folder with the patients' images", want: "folder" });
    if (folder !== null) await look(folder);
  };
  $("choose-cohort").onclick = async () => {
    const folder = await pick({ title: "Cohort to open", want: "folder" });
    if (folder === null) return;
    const answer = await ask($("open-state"), () => call("kind", { folder }));
    if (answer?.kind === "cohort") await open(folder, $("open-state"));
    else if (answer) show($("open-state"), error("This folder is no cohort: it has no import.json. Choose one that was imported."));
  };
  $("import-form").onsubmit = (event) => { event.preventDefault(); importIt(); };
  waiting();
}

function waiting() {
  show($("cards"), empty("No cohort yet", "Choose the folder with the patients' images on the left: DICOM in any layout, or a BIDS folder.",
    "Or open a cohort that was imported before."));
}

// The folder

async function look(folder) {
  state.folder = folder;
  state.without = null;
  $("export-chosen").textContent = folder || "The whole folder";
  $("import-form").hidden = true;
  show($("export-found"));
  show($("import-without"));
  closePair();
  show($("cards"));
  const answer = await ask($("export-state"), () => call("kind", { folder }));
  if (!answer) return;
  if (answer.kind === "cohort") {
    show($("export-state"), error("This folder is a cohort already. Open it below, or choose the folder of images."));
    return;
  }
  if (answer.kind !== "other") {
    show($("export-state"), h("p", { class: "note" }, answer.kind === "bids" ? "A BIDS folder: its NIfTI files are read by the import." : "A table of NIfTI files, which the import reads."));
    $("import-form").hidden = false;
    return;
  }
  const job = await ask($("export-state"), () => call("scan", { folder }));
  const ended = job && await follow(job, $("export-state"), "Reading headers");
  if (ended?.state !== "done") return;
  const found = await ask($("export-state"), () => call("scanned", { job: ended.id }));
  if (!found || state.folder !== folder) return;
  if (!found.patients.length) {
    show($("export-state"), error(`There is no DICOM in this folder: of ${count(found.files, "file")}, none could be used. Choose the folder that holds the patients.`));
    return waiting();
  }
  const pairs = found.patients.filter((patient) => usable(patient).length > 1).length;
  show($("export-state"), h("p", { class: pairs ? "good" : "error", role: "status" }, pairs
    ? `${count(pairs, "patient")} of ${found.patients.length} with two visits or more that may be used.`
    : "No patient has two visits with an MRI and lesions drawn on it. The reasons stand on the right."));
  show($("export-found"), h("div", { class: "box" }, h("h2", {}, "What is in the folder"), found.patients.map((patient) => patientBox(patient, found.patients.length < 3)), unread(found)));
  $("import-form").hidden = !pairs;
  $("import-folds").value = Math.max(2, Math.min(5, pairs));
}

const usable = (patient) => patient.studies.filter((study) => study.structure_sets.some((structures) =>
  structures.rois.some((roi) => roi.lesion && roi.fits.some((uid) => study.series.some((one) => one.series_uid === uid && one.modality === "MR")))));

function patientBox(patient, few) {
  const visits = usable(patient).length;
  const rows = patient.studies.flatMap((study) => {
    const by = Object.fromEntries(patient.studies.flatMap((one) => one.series).map((one) => [one.series_uid, `${one.modality} ${one.number}`]));
    const series = study.series.map((one) => h("div", {}, `${one.modality} ${one.number}, ${count(one.slices, "slice")} `, h("span", { class: "note" }, one.fault ?? one.description)));
    const sets = study.structure_sets.map((structures) => {
      const lesions = structures.rois.filter((roi) => roi.lesion);
      const fits = lesions.filter((roi) => roi.fits.length);
      return h("div", {}, `${structures.modality} ${structures.label}: `, fits.map((roi) => `${roi.name} on ${roi.fits.map((uid) => by[uid]).join(", ")}`).join("; "),
        fits.length < lesions.length || !lesions.length || structures.fault || structures.remark ? h("span", { class: "error" }, ` ${why(structures, lesions.filter((roi) => !roi.fits.length))}`) : null,
        h("span", { class: "note" }, structures.rois.length > lesions.length ? ` and ${count(structures.rois.length - lesions.length, "structure")} without a lesion's name` : ""));
    });
    return h("tr", {}, h("td", {}, study.date ?? "no date"), h("td", {}, series), h("td", {}, sets.length ? sets : h("span", { class: "note" }, "no structure set: passed over")));
  });
  return h("details", { open: visits < 2 || few }, h("summary", {}, `${person(patient.name || patient.patient_id)}: ${count(visits, "visit")} that may be used of ${patient.studies.length}`),
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["Date", "Series", "Structures"].map((text) => h("th", {}, text)))), h("tbody", {}, rows))));
}

function unread(found) {
  const reasons = {};
  for (const one of found.refused) reasons[one.reason] = (reasons[one.reason] ?? 0) + 1;
  const texts = Object.entries(reasons).map(([reason, number]) => h("li", {}, `${count(number, "file")}: ${reason}`));
  return texts.length ? h("details", {}, h("summary", {}, `${count(found.refused.length, "file")} not read, and why`), h("ul", { class: "note" }, texts)) : null;
}

// The import

async function importIt() {
  const name = $("import-name").value.trim();
  const out = join(parentOf(state.folder), name);
  const job = await ask($("import-state"), () => call("import", { folder: state.folder, out, folds: $("import-folds").value,
    image_size: $("import-size").value, roi: $("import-roi").value, ...state.without }));
  const ended = job && await follow(job, $("import-state"), "Importing");
  if (ended?.state !== "done") return;
  show($("import-state"), h("pre", { tabindex: 0 }, ended.lines.filter((line) => !/^(patient \d|next )/.test(line)).map((line) => line.replace(/\S*\/(?=\S)/g, "")).join("\n")));
  await open(out, $("open-state"));
}

function again(found) {
  state.without = { exclude: found.wrong_file, key: found.key };
  $("import-form").hidden = false;
  $("import-name").value = nextName(found.name);
  show($("import-without"), `Leaves out ${count(Object.keys(found.wrong).length, "pair")} called wrong in ${nameOf(found.wrong_file)}. The same key keeps the pseudonyms.`);
  $("import-name").focus();
}

const nextName = (name) => {
  const [, stem, number] = name.match(/^(.*?)(?:-(\d+))?$/);
  return `${stem}-${Number(number ?? 1) + 1}`;
};

// The pairs

async function open(cohort, place) {
  closePair();
  const job = await ask(place, () => call("open", { cohort }));
  const ended = job && await follow(job, place, "Reading the cohort");
  if (ended?.state !== "done") return;
  const found = await ask(place, () => call("cohort", { job: ended.id }));
  if (!found) return;
  const pixels = new Uint8Array(await (await fetch(fileUrl(ended.id, "cards.bin"))).arrayBuffer());
  state.cohort = found;
  state.pixels = pixels;
  drawCards();
}

function drawCards() {
  const found = state.cohort;
  const look = found.lesions.filter((row) => row.warnings).length;
  let at = 0;
  const places = {};
  for (const card of found.cards) {
    places[card.lesion] = { at, size: card.size };
    at += 4 * card.size * card.size;
  }
  const wrong = Object.keys(found.wrong).length;
  show($("cards"),
    h("div", { class: "box" }, h("div", { class: "row" }, h("h2", {}, `${found.name}: ${count(found.lesions.length, "lesion")}`),
      h("span", { class: "spacer" }),
      wrong && state.folder !== null ? h("button", { type: "button", onclick: () => again(found) }, "Import again without the wrong pairs") : null,
      h("button", { type: "button", class: "main", onclick: () => learnFrom(found.cohort, found.cards[0]?.size) }, "Train on it")),
      h("p", {}, look ? `${count(look, "pair")} to look at, with a bar on the left.` : "No figure stands out. Look at every pair all the same.",
        wrong ? ` ${count(wrong, "pair")} called wrong, in ${nameOf(found.wrong_file)}.` : ""),
      h("p", { class: "note" }, "First MRI, second MRI, and drift: orange is brighter, blue darker at the second MRI. Outlines: yellow first, light blue second."),
      state.folder === null ? h("p", { class: "note" }, "To see whole heads, choose the folder of images that it was imported from:") : null,
      state.folder === null ? h("button", { type: "button", class: "small", onclick: async () => {
        const folder = await pick({ title: "Folder that the cohort was imported from", want: "folder" });
        if (folder !== null) { state.folder = folder; $("export-chosen").textContent = folder; drawCards(); }
      } }, "Choose the folder…") : null,
      left(found)),
    h("ul", { class: "cards" }, found.lesions.map((row) => card(row, places[row.lesion], found.wrong[row.lesion]))));
}

function left(found) {
  const reasons = {};
  for (const row of found.exclusions) reasons[row.reason] = (reasons[row.reason] ?? 0) + 1;
  return h("details", {}, h("summary", {}, `${found.exclusions.length} left out, and why`),
    h("ul", { class: "note" }, Object.entries(reasons).map(([reason, number]) => h("li", {}, `${number} × ${reason}`))));
}

function card(row, place, wrong) {
  const change = (Number(row.post_mm3) / Number(row.pre_mm3) - 1) * 100;
  const mark = h("button", { type: "button", class: "small", "aria-pressed": String(Boolean(wrong)), onclick: async () => {
    let reason = null;
    if (!wrong) reason = "looked at: wrong pair";
    const answer = await ask($("open-state"), () => call("wrong", { cohort: state.cohort.cohort, lesion: row.lesion, reason }));
    if (!answer) return;
    Object.assign(state.cohort, answer);
    drawCards();
    document.querySelector(`[data-lesion="${row.lesion}"] .mark-wrong`)?.focus();
  } }, wrong ? "Called wrong: take back" : "This pair is wrong");
  mark.classList.add("mark-wrong");
  return h("li", { class: `card${row.warnings ? " look" : ""}${wrong ? " wrong" : ""}`, "data-lesion": row.lesion },
    h("h3", {}, row.lesion), place ? h("div", { class: "trio" }, ...trio(place)) : null,
    h("p", {}, `${mm3(Number(row.pre_mm3))} → ${mm3(Number(row.post_mm3))} mm³ (${change >= 0 ? "+" : "−"}${Math.abs(change).toFixed(0)}%) after ${row.interval_days} days`),
    h("p", { class: "note" }, `patient ${row.patient.slice(0, 7)}…, fold ${row.fold}; ${row.registration}, residual ${fixed(Number(row.residual), 1)}%`),
    row.warnings ? row.warnings.split("; ").map(warning) : null,
    h("div", { class: "row" }, state.folder === null ? null : h("button", { type: "button", class: "small", onclick: () => showPair(row) }, "Compare the heads"), mark));
}

function trio({ at, size }) {
  const area = size * size;
  const layer = (number) => state.pixels.subarray(at + number * area, at + (number + 1) * area);
  const [pre, post, preMask, postMask] = [0, 1, 2, 3].map(layer);
  const grey = (image) => (place) => [image[place], image[place], image[place]];
  const drift = (place) => {
    const change = Math.max(-1, Math.min(1, (post[place] - pre[place]) / 160));
    const mix = (to) => to.map((end, channel) => [244, 244, 244][channel] + (end - 244) * Math.abs(change));
    return mix(change > 0 ? [190, 80, 0] : [0, 84, 170]);
  };
  return [["First MRI", grey(pre)], ["Second MRI", grey(post)], ["Drift", drift]].map(([text, colour]) => {
    const scale = Math.max(1, Math.round(128 / size));
    const canvas = h("canvas", { width: size * scale, height: size * scale, role: "img", "aria-label": text });
    const context = canvas.getContext("2d");
    for (let place = 0; place < area; place++) {
      context.fillStyle = `rgb(${colour(place).map(Math.round).join(" ")})`;
      context.fillRect((place % size) * scale, Math.floor(place / size) * scale, scale, scale);
    }
    const dark = text === "Drift";
    outline(context, preMask, size, scale, dark ? "#8a6500" : "#ffd60a");
    outline(context, postMask, size, scale, dark ? "#0b7fc4" : "#3cbeff");
    return canvas;
  });
}

function outline(context, mask, size, scale, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.beginPath();
  const inside = (x, y) => x >= 0 && y >= 0 && x < size && y < size && mask[y * size + x];
  for (let y = 0; y <= size; y++) for (let x = 0; x <= size; x++) {
    if (Boolean(inside(x, y)) !== Boolean(inside(x, y - 1))) { context.moveTo(x * scale, y * scale); context.lineTo((x + 1) * scale, y * scale); }
    if (Boolean(inside(x, y)) !== Boolean(inside(x - 1, y))) { context.moveTo(x * scale, y * scale); context.lineTo(x * scale, (y + 1) * scale); }
  }
  context.stroke();
}

function closePair() { $("pair").hidden = true; }

async function showPair(row) {
  const place = $("pair");
  place.hidden = false;
  const status = h("div", {});
  const body = h("div", { class: "viewer" });
  show(place, h("div", { class: "row" }, h("h2", {}, `Lesion ${row.lesion}`), h("span", { class: "spacer" }), h("button", { type: "button", onclick: closePair }, "Close")), status, body);
  place.scrollIntoView({ block: "start" });
  const job = await ask(status, () => call("pair", { folder: state.folder, cohort: state.cohort.cohort, lesion: row.lesion }));
  const ended = job && await follow(job, status, "Reading and registering both MRIs");
  if (ended?.state !== "done") return;
  const found = await ask(status, () => call("read", { job: ended.id }));
  if (!found) return;
  viewer = new PairViewer(body);
  await viewer.load((name) => fileUrl(ended.id, name), found.centre_ras_mm);
}
