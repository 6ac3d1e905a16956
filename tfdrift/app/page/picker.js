// A dialog to choose folders and files among those that the server may see.

import { $, h, show, count } from "./dom.js";
import { call, sentence, Refused } from "./calls.js";

let here = "";

/**
 * Ask for a folder or files, and return what was chosen, or null.
 * `want` is "folder", "file", "files" or "new", which also asks for a name in the folder.
 */
export async function pick({ title, want, kind = null, name = "", ok = "Choose this folder" }) {
  const dialog = $("picker");
  const chosen = new Set();
  let listing = null;
  $("picker-title").textContent = title;
  $("picker-ok").textContent = want === "files" ? "Choose these" : ok;
  $("picker-ok").hidden = want === "file";
  $("picker-name-field").hidden = want !== "new";
  $("picker-name").value = name;
  $("picker-error").textContent = "";

  return new Promise((resolve) => {
    const end = (value) => { dialog.close(); resolve(value); };

    async function open(path) {
      try {
        listing = await call("folder", { path });
      } catch (fault) {
        if (!(fault instanceof Refused)) throw fault;
        $("picker-error").textContent = sentence(fault.message);
        if (path !== "" && listing === null) await open("");
        return;
      }
      here = listing.path;
      $("picker-error").textContent = "";
      $("picker-trail").textContent = listing.trail.join(" › ");
      $("picker-up").disabled = listing.parent === null;
      const files = want === "file" || want === "files" ? listing.files.filter((file) => file.kind === kind) : [];
      const hidden = listing.others + listing.files.length - files.length;
      const items = [
        ...listing.folders.map((folder) => h("li", {}, h("button", { type: "button", onclick: () => open(folder.path) }, `▸ ${folder.name}`))),
        ...files.map((file) => want === "file"
          ? h("li", {}, h("button", { type: "button", onclick: () => end(file.path) }, file.name))
          : h("li", {}, h("label", {}, h("input", { type: "checkbox", checked: chosen.has(file.path),
              onchange: (event) => chosen[event.target.checked ? "add" : "delete"](file.path) }), file.name))),
      ];
      const rest = [];
      if (hidden) rest.push(`${count(hidden, "other file")}, which ${hidden === 1 ? "is" : "are"} not shown`);
      if (listing.more) rest.push(`${count(listing.more, "more entry", "more entries")}; choose a folder further down`);
      if (!items.length && !rest.length) rest.push("This folder is empty.");
      show($("picker-list"), h("ul", {}, items), rest.map((text) => h("p", {}, text)));
      $("picker-list").scrollTop = 0;
      ($("picker-list").querySelector("button, input") ?? $("picker-ok")).focus();
    }

    $("picker-up").onclick = () => open(listing.parent);
    $("picker-cancel").onclick = () => end(null);
    dialog.oncancel = (event) => { event.preventDefault(); end(null); };
    $("picker-ok").onclick = () => {
      if (want === "files") {
        if (chosen.size) end([...chosen]);
        else $("picker-error").textContent = "Tick at least one file.";
      } else if (want === "new") {
        const given = $("picker-name").value.trim();
        if (!given || /[/\\:*?"<>|]/.test(given) || given.startsWith(".")) {
          $("picker-error").textContent = "Give a name without / \\ : * ? \" < > | that does not begin with a dot.";
        } else end(join(here, given));
      } else end(here);
    };
    $("picker-name").onkeydown = (event) => {
      if (event.key === "Enter") { event.preventDefault(); $("picker-ok").click(); }
    };
    dialog.showModal();
    open(here);
  });
}

export const join = (folder, name) => (folder ? `${folder}/${name}` : name);
export const parentOf = (path) => path.split("/").slice(0, -1).join("/");
export const nameOf = (path) => path.split("/").at(-1);
