// The dialog in which inputs are chosen: the server renders each folder, this shows it and takes what is chosen.

import { addInput, hasInput, removeInput } from "./inputs.js";

const dialog = document.getElementById("browse-dialog");
const folder = document.getElementById("browse-folder");
const lost = document.getElementById("browse-lost");
const opener = document.getElementById("browse-open");
let asked = 0;

async function open(path) {
  const mine = ++asked;
  folder.setAttribute("aria-busy", "true");
  try {
    const address = path ? `${opener.dataset.url}?${new URLSearchParams({ path })}` : opener.dataset.url;
    const answer = await fetch(address, { headers: { "HX-Request": "true" } });
    if (answer.headers.has("HX-Redirect")) return location.assign(answer.headers.get("HX-Redirect"));
    const page = await answer.text();
    if (mine !== asked) return; // somebody went on meanwhile
    folder.innerHTML = page;
    lost.hidden = true;
    showChosen();
    (folder.querySelector(".entries button") ?? folder.querySelector("button"))?.focus();
  } catch {
    lost.hidden = false;
  } finally {
    folder.removeAttribute("aria-busy");
  }
}

function showChosen() {
  for (const button of folder.querySelectorAll("[data-choose]")) {
    button.setAttribute("aria-pressed", String(hasInput(button.dataset.choose)));
  }
}

folder.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.open !== undefined) open(button.dataset.open);
  if (button?.dataset.choose) {
    const { choose, name } = button.dataset;
    if (hasInput(choose)) removeInput(choose);
    else addInput(choose, name);
    showChosen();
  }
});

// Up and down go from row to row, as in a file manager.
folder.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const row = event.target.closest(".entry");
  if (!step || !row) return;
  const rows = [...folder.querySelectorAll(".entry:has(button)")];
  rows[rows.indexOf(row) + step]?.querySelector("button").focus();
  event.preventDefault();
});

dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
opener.addEventListener("click", () => {
  dialog.showModal();
  if (folder.childElementCount) showChosen();
  else open("");
});
opener.hidden = false;
