// Talking to the server: every call is a POST, so that nothing of a patient stands in an address.

import { $, h, show, error, duration } from "./dom.js";

export class Refused extends Error {}

let closed = () => {};
export const onClosed = (then) => { closed = then; };

export async function call(name, request = {}) {
  let response, answer;
  try {
    response = await fetch(`/api/${name}`, { method: "POST", body: JSON.stringify(request),
      headers: { "Content-Type": "application/json" } });
    answer = await response.json();
  } catch {
    $("dead").hidden = false;
    throw new Refused("tfdrift does not answer.");
  }
  $("dead").hidden = true;
  if (response.ok) return answer;
  if (response.status === 401) closed(answer.error);
  throw new Refused(answer.error);
}

export const fileUrl = (job, name) => `/api/files/${job}/${name}`;

const pause = (ms) => new Promise((then) => setTimeout(then, ms));

/**
 * Show how far a command is until it ends, with a button that stops it, and return how it ended.
 * `words` says what it does; `place` is emptied when it has ended well.
 */
export async function follow(job, place, words, { still = () => true } = {}) {
  const bar = h("progress", { "aria-label": words });
  const line = h("p", { role: "status" });
  const stop = h("button", { type: "button", class: "small", onclick: async () => {
    stop.disabled = true;
    stop.textContent = "Stopping…";
    await call("stop", { job: job.id }).catch(() => {});
  } }, "Stop");
  show(place, h("div", { class: "state" }, line, bar, stop));
  let lost = 0;
  for (;;) {
    const progress = job.progress;
    if (progress) {
      bar.max = progress.total;
      bar.value = progress.done;
    }
    const far = progress ? `${progress.unit} ${progress.done} of ${progress.total}, ` : "";
    line.textContent = `${words}: ${far}${duration(job.seconds)}`;
    if (!["running", "stopping"].includes(job.state)) break;
    await pause(400);
    if (!still()) return null;
    try {
      job = await call("job", { job: job.id });
      lost = 0;
    } catch (fault) {
      if (fault.message.includes("not there any more") || ++lost > 4) {
        show(place, error(fault.message));
        return null;
      }
      await pause(1200);
    }
  }
  if (job.state === "done") show(place);
  else if (job.state === "stopped") show(place, h("p", { class: "state", role: "status" }, `${words}: stopped. Nothing was left half written.`));
  else show(place, error(sentence(job.error)), said(job));
  return job;
}

export function said(job) {
  return job.lines.length ? h("details", {}, h("summary", {}, "What it said"), h("pre", { tabindex: 0 }, job.lines.join("\n"))) : null;
}

export function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

export const ask = async (place, work) => {
  try {
    return await work();
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    show(place, error(sentence(fault.message)));
    return null;
  }
};
