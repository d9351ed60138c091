// Uploads: what is dropped or picked goes up and is one of the form's inputs when it is whole.

import { parcelsOfDrop, parcelsOfFiles } from "./dropped.js";
import { Parcel } from "./parcel.js";
import { giveUp, interrupted } from "./resuming.js";
import { begin, finished, parcels, show } from "./upload_rows.js";

const section = document.getElementById("uploads");
const zone = document.getElementById("drop-zone");
const notice = document.getElementById("uploads-interrupted");
const token = document.querySelector('meta[name="csrf-token"]').content;

// One drop is one folder on the server, named by its time; a folder that was interrupted keeps the one it has.
const newBatch = () => `${new Date().toISOString().slice(0, 19).replace("T", "_").replaceAll(":", "-")}_${Math.random().toString(16).slice(2, 6)}`;
const outermost = ({ metadata }) => metadata.folder?.split("/")[0];

async function take(dropped) {
  const fresh = newBatch();
  const left = await interrupted();
  for (const each of dropped) {
    const begun = each.isFolder && left.find((upload) => outermost(upload) === each.name);
    const batch = begun ? begun.metadata.batch : fresh;
    const parcel = new Parcel(each, { url: section.dataset.url, token, batch, finished });
    if (!parcels().some((other) => other.isActive && other.isLike(parcel))) show(parcel);
  }
  notice.hidden = true;
}

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");

for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // a browser would leave the page and show the file
    zone.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => event.relatedTarget ?? zone.classList.remove("over"));
document.addEventListener("drop", (event) => {
  zone.classList.remove("over");
  if (!hasFiles(event)) return;
  event.preventDefault();
  parcelsOfDrop(event.dataTransfer).then(take);
});
for (const [button, field] of [["pick-files", "upload-files"], ["pick-folder", "upload-folder"]]) {
  const input = document.getElementById(field);
  document.getElementById(button).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take(parcelsOfFiles([...input.files]));
    input.value = "";
  });
}
addEventListener("beforeunload", (event) => parcels().some(({ isActive }) => isActive) && event.preventDefault());
addEventListener("online", () => parcels().filter(({ state }) => state === "failed").forEach(begin));

document.getElementById("give-up").addEventListener("click", () => {
  notice.hidden = true;
  document.getElementById("pick-files").focus();
  giveUp({ "X-CSRFToken": token });
});

const left = new Set((await interrupted()).map((upload) => outermost(upload) || upload.metadata.filename));
notice.hidden = !left.size;
notice.querySelector("strong").textContent = [...left].join(", ");
section.hidden = !tus.isSupported;
