// Runs: their curves as they grow, their scores beside "no change", starting and stopping.

import { $, h, show, error, empty, count, fixed, interval, curve, duration } from "./dom.js";
import { call, ask, said, sentence, Refused } from "./calls.js";
import { pick, nameOf } from "./picker.js";

let methods = [], cohort = null, chosen = null, timer = null, last = "";

export function start(facts) {
  methods = facts.methods;
  show($("train-method"), methods.map((one) => h("option", { value: one.name }, one.name)));
  $("train-method").onchange = methodChosen;
  methodChosen();
  for (const one of document.querySelectorAll("[name=data]")) one.onchange = () => { $("train-cohort").hidden = one.value !== "cohort"; };
  $("choose-train-cohort").onclick = async () => {
    const folder = await pick({ title: "Cohort to learn from", want: "folder" });
    if (folder === null) return;
    const answer = await ask($("train-state"), () => call("kind", { folder }));
    if (answer?.kind === "cohort") {
      cohort = folder;
      if (answer.image_size) $("train-image-size").value = answer.image_size;
      show($("train-state"));
      $("train-cohort-chosen").textContent = folder;
    } else if (answer) show($("train-state"), error("This folder is no cohort: it has no import.json. Import one on the page Cohort."));
  };
  $("train-form").onsubmit = (event) => { event.preventDefault(); begin(); };
  $("tensorboard").onclick = tensorboard;
}

export function shown() {
  if (timer === null) tick();
}

/** A cohort from the page Cohort to learn from. */
export function learnFrom(folder, size) {
  cohort = folder;
  if (size) $("train-image-size").value = size;
  document.querySelector("[name=data][value=cohort]").click();
  $("train-cohort-chosen").textContent = folder;
  location.hash = "training";
}

const ABOUT = {
  method1: "The second MRI in one step, by diffusion.", method2: "The second MRI by DDIM, step by step.",
  direct: "The same network without noise: the baseline.", distribution: "What may happen, from latent noise.",
  palette: "The second MRI by DDIM from noise, given the first." };

function methodChosen() {
  const method = methods.find((one) => one.name === $("train-method").value);
  $("train-about").textContent = ABOUT[method.name] ?? "";
  for (const [id, name] of [["steps", "steps"], ["image-size", "image_size"], ["base-filters", "base_filters"], ["seed", "seed"]]) {
    $(`train-${id}`).value = method[name];
  }
  if (!$("train-name").dataset.typed) $("train-name").value = method.name;
  $("train-name").oninput = () => { $("train-name").dataset.typed = "yes"; };
}

async function begin() {
  const fromCohort = document.querySelector("[name=data]:checked").value === "cohort";
  if (fromCohort && !cohort) return show($("train-state"), error("Choose the cohort to learn from."));
  const number = (id) => $(`train-${id}`).value;
  const job = await ask($("train-state"), () => call("train", { method: $("train-method").value, name: $("train-name").value,
    cohort: fromCohort ? cohort : null, steps: number("steps"), image_size: number("image-size"),
    base_filters: number("base-filters"), fold: number("fold"), seed: number("seed") }));
  if (!job) return;
  show($("train-state"));
  chosen = job.told.run;
  await look();
}

async function tick() {
  timer = null;
  if ($("training").hidden) return;
  try {
    await look();
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    show($("runs-state"), error(sentence(fault.message)));
  }
  timer = setTimeout(tick, 1500);
}

async function look() {
  const answer = await call("runs");
  show($("runs-state"));
  const runs = answer.runs;
  if (!runs.length) {
    show($("run-shown"));
    show($("runs"), empty("No run yet", "Start one on the left. Its curves appear here while it learns.", `Runs are kept in the folder ${answer.folder}.`));
    return;
  }
  if (!runs.some((run) => run.name === chosen)) chosen = runs[0].name;
  const run = runs.find((one) => one.name === chosen);
  const found = run.step === undefined ? { curves: {} } : await call("curves", { run: chosen });
  const now = JSON.stringify([runs.map(({ job, exported, ...rest }) => [rest, job?.state, job?.progress, exported?.state]), found, chosen]);
  if (now === last) return;
  last = now;
  const at = document.activeElement?.dataset?.run;
  show($("run-shown"), card(run, found.curves));
  show($("runs"), list(runs));
  if (at) document.querySelector(`[data-run="${CSS.escape(at)}"]`)?.focus();
}

const isRunning = (run) => ["running", "stopping"].includes(run.job?.state);

function stateOf(run) {
  if (isRunning(run)) {
    if (run.job.state === "stopping") return "stopping at the next checkpoint";
    const progress = run.job.progress;
    return progress ? `step ${progress.done.toLocaleString("en")} of ${progress.total.toLocaleString("en")}` : `starting, ${duration(run.job.seconds)}`;
  }
  if (run.job?.state === "failed") return "failed";
  if (run.finished) return "finished";
  return `stopped at step ${(run.step ?? 0).toLocaleString("en")}`;
}

function card(run, curves) {
  const running = isRunning(run);
  const progress = run.job?.progress;
  const of = (name) => curves[name] ?? [];
  const stop = running ? h("button", { type: "button", "data-run": "stop", disabled: run.job.state === "stopping", onclick: () => {
    call("stop", { job: run.job.id }).catch(() => {});
    last = "";
  } }, run.job.state === "stopping" ? "Stopping…" : "Stop") : null;
  const resume = !running && !run.finished && run.step !== undefined ? h("button", { type: "button", class: "main", "data-run": "resume",
    onclick: async () => { await ask($("runs-state"), () => call("resume", { run: run.name })); last = ""; } }, "Go on") : null;
  const exported = run.exported;
  const busy = exported && ["running", "stopping"].includes(exported.state);
  const keep = !running && run.finished ? h("button", { type: "button", class: "main", "data-run": "export", disabled: busy,
    onclick: async () => { await ask($("runs-state"), () => call("export", { run: run.name })); last = ""; } },
    busy ? "Making a model…" : "Make it a model") : null;
  return h("div", { class: "box" },
    h("div", { class: "row" }, h("h2", {}, run.name), h("span", { class: "note" }, stateOf(run)), h("span", { class: "spacer" }), keep, resume, stop),
    exported?.state === "done" ? h("p", { class: "good" }, `The model ${run.name} can be asked on the page Patient.`) : null,
    exported?.state === "failed" ? h("div", {}, error(sentence(exported.error)), said(exported)) : null,
    running && progress ? h("div", { class: "state" }, h("progress", { max: progress.total, value: progress.done, "aria-label": "Training" }), h("p", {}, progress.words)) : null,
    run.job?.state === "failed" ? h("div", {}, error(sentence(run.job.error)), said(run.job)) : null,
    h("div", { class: "charts" },
      curve({ title: "Loss (log lines every few steps)", lines: [{ name: "training", points: of("train loss") }, { name: "held-out patients", points: of("validation loss") }] }),
      curve({ title: "Skill on held-out patients", zero: 0, lines: [{ name: "second MRI", points: of("validation skill") }, { name: "drift", points: of("validation drift_skill") }] })),
    scores(run));
}

function scores(run) {
  if (!run.scores) return h("p", { class: "note" }, "Scores with intervals over patients come when the run is finished.");
  const one = run.scores;
  return h("div", { class: "scroll" }, h("table", {},
    h("caption", { class: "note" }, `On ${count(one.patients, "held-out patient")} with ${count(one.lesions, "lesion")}; 95% intervals over patients. Skill 0 is as good as no change, 1 is perfect.`),
    h("thead", {}, h("tr", {}, h("th", {}, "Prediction"), h("th", {}, "Skill"), h("th", {}, "SSIM"))),
    h("tbody", {},
      h("tr", {}, h("td", {}, h("strong", {}, run.name)), h("td", {}, interval(one.skill)), h("td", {}, fixed(one.ssim))),
      h("tr", {}, h("td", {}, "no change"), h("td", {}, "0.00"), h("td", {}, fixed(one.ssim_copy))),
      h("tr", {}, h("td", {}, "mean drift of the training lesions"), h("td", {}, interval(one.mean_drift)), h("td", {}, "–")))));
}

function list(runs) {
  return h("div", { class: "box" }, h("h2", {}, "All runs"), h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Run", "Method", "Learns from", "State", "Skill over no change"].map((text) => h("th", {}, text)))),
    h("tbody", {}, runs.map((run) => h("tr", {},
      h("td", {}, h("button", { type: "button", class: "small", "data-run": run.name, "aria-pressed": String(run.name === chosen),
        onclick: () => { chosen = run.name; last = ""; look(); } }, run.name)),
      h("td", {}, run.method ?? run.job?.told.method ?? ""), h("td", {}, run.data ?? ""), h("td", {}, stateOf(run)),
      h("td", {}, run.scores ? interval(run.scores.skill) : run.best === null || run.best === undefined ? "–" : `${fixed(run.best)} so far`)))))));
}

async function tensorboard() {
  const place = $("tensorboard-state");
  let job = await ask(place, () => call("tensorboard"));
  if (!job) return;
  show(place, h("p", { class: "state", role: "status" }, "Starting…"));
  for (let tries = 0; tries < 120 && job.state === "running"; tries++) {
    const address = job.lines.join("\n").match(/http:\/\/(?:127\.0\.0\.1|localhost):\d+\//);
    if (address) {
      $("tensorboard").disabled = true;
      show(place, h("p", { class: "state" }, h("a", { href: address[0], target: "_blank", rel: "noopener noreferrer" }, "Open TensorBoard"),
        h("span", { class: "note" }, " It asks for no password: whoever works on this machine can open it.")));
      return;
    }
    await new Promise((then) => setTimeout(then, 500));
    job = await call("job", { job: job.id });
  }
  show(place, error(`TensorBoard did not start. ${sentence(job.error || "It took too long")}`), said(job));
}
