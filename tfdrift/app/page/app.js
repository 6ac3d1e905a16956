// The page: how it is opened, its three parts, light and dark, and whether tfdrift still answers.

import { $, count } from "./dom.js";
import { call, onClosed, Refused } from "./calls.js";
import * as patient from "./patient.js";
import * as training from "./training.js";
import * as cohort from "./cohort.js";

const PARTS = { cohort, training, patient };
let opened = false;

onClosed((reason) => {
  document.querySelector("#closed .reason").textContent = reason;
  $("closed").hidden = false;
  for (const name of Object.keys(PARTS)) $(name).hidden = true;
});

function turn() {
  if (!opened) return;
  const name = PARTS[location.hash.slice(1)] ? location.hash.slice(1) : "patient";
  for (const one of Object.keys(PARTS)) $(one).hidden = one !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${name.charAt(0).toUpperCase()}${name.slice(1)} · tfdrift`;
  PARTS[name].shown?.();
}

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").textContent = dark ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", dark ? "Use light colours" : "Use dark colours");
}

const system = matchMedia("(prefers-color-scheme: dark)");
let dark = localStorage.getItem("dark") === null ? system.matches : localStorage.getItem("dark") === "yes";
theme(dark);
system.addEventListener("change", () => { if (localStorage.getItem("dark") === null) theme(dark = system.matches); });
$("theme").onclick = () => {
  dark = !dark;
  localStorage.setItem("dark", dark ? "yes" : "no");
  theme(dark);
};

async function watch() {
  try {
    const { jobs } = await call("jobs");
    const running = jobs.filter((job) => job.kind !== "tensorboard" && ["running", "stopping"].includes(job.state));
    $("running").textContent = running.length ? `${count(running.length, "command")} running` : "";
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
  } finally {
    setTimeout(watch, 2000);
  }
}

async function open() {
  const token = location.hash.slice(1);
  if (token && !PARTS[token]) {
    history.replaceState(null, "", location.pathname);
    await call("session", { token }).catch(() => {});
  }
  let facts;
  try {
    facts = await call("start");
  } catch (fault) {
    if (fault instanceof Refused) return;
    throw fault;
  }
  opened = true;
  for (const part of Object.values(PARTS)) part.start(facts);
  turn();
  watch();
}

addEventListener("hashchange", turn);
open();
