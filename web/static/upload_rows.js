// The rows of the uploads: how far each parcel is, what went wrong with it, and what can be done.

import { bytes, bytesPerSecond, seconds } from "./amounts.js";
import { addInput } from "./inputs.js";

const rows = document.getElementById("upload-list");
const said = document.getElementById("uploads-said");
const words = document.getElementById("uploads").dataset;
const shown = new Map();

export const parcels = () => [...shown.keys()];

export function show(parcel) {
  const row = document.getElementById("upload-row").content.firstElementChild.cloneNode(true);
  const bar = row.querySelector("progress");
  row.querySelector(".upload-name").textContent = parcel.name;
  bar.setAttribute("aria-label", parcel.name);
  row.querySelector('[data-do="retry"]').addEventListener("click", () => begin(parcel));
  row.querySelector('[data-do="cancel"]').addEventListener("click", () => cancel(parcel));
  shown.set(parcel, row);
  rows.append(row);
  begin(parcel);
}

export function begin(parcel) {
  if (parcel.items.length) parcel.start();
  else Object.assign(parcel, { state: "failed", problem: new Error(words.empty) });
  update(parcel);
}

async function cancel(parcel) {
  shown.get(parcel).remove();
  shown.delete(parcel);
  document.getElementById("pick-files").focus();
  said.textContent = `${parcel.name}: ${words.stopped}`;
  await parcel.cancel();
}

export function finished(parcel) {
  if (parcel.state === "done") {
    addInput(parcel.path, parcel.name);
    said.textContent = `${parcel.name}: ${words.done}`;
  }
  update(parcel);
}

function update(parcel) {
  const row = shown.get(parcel);
  if (!row) return;
  row.dataset.state = parcel.state;
  row.querySelector("progress").value = parcel.state === "done" ? 1 : parcel.sent / (parcel.total || 1);
  row.querySelector(".upload-told").textContent = told(parcel);
  row.querySelector('[data-do="retry"]').hidden = parcel.state !== "failed" || !parcel.items.length;
  row.querySelector('[data-do="cancel"]').hidden = parcel.state === "done";
  const problem = row.querySelector(".upload-problem");
  problem.hidden = parcel.state !== "failed";
  problem.textContent = parcel.problem ? reason(parcel.problem) : "";
}

function told(parcel) {
  const amount = `${bytes(parcel.sent)} / ${bytes(parcel.total)}`;
  const files = parcel.isFolder ? `${parcel.filesDone} / ${parcel.items.length} ${words.files}` : "";
  const { speed } = parcel;
  const pace = speed ? `${bytesPerSecond(speed)} · ${words.left.replace("{time}", seconds((parcel.total - parcel.sent) / speed))}` : "";
  const states = { waiting: [words.waits], going: [amount, files, pace], lost: [amount, words.lost], failed: [amount, files], done: [bytes(parcel.total), files, words.done] };
  return (states[parcel.state] ?? []).filter(Boolean).join(" · ");
}

// The server says what is wrong and what to do; where it could not be reached it says nothing.
function reason(error) {
  try {
    const { message, remedy, detail } = JSON.parse(error.originalResponse.getBody()).error;
    return [message, remedy, detail && `(${detail})`].filter(Boolean).join(" ");
  } catch {
    return error.originalRequest ? words.failed : error.message;
  }
}

setInterval(() => parcels().filter(({ isActive }) => isActive).forEach(update), 400);
