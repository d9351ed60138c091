// The inputs that were chosen: one entry each in the form's `#chosen-inputs`, with a hidden field that is sent.

const list = () => document.getElementById("chosen-inputs");
const fields = () => [...list().querySelectorAll('input[name="inputs"]')];

export function hasInput(path) {
  return fields().some((field) => field.value === path);
}

export function addInput(path, label = path) {
  if (!path || hasInput(path)) return;
  const chip = document.getElementById("input-chip").content.firstElementChild.cloneNode(true);
  for (const name of chip.querySelectorAll(".chip-label, .chip-name")) name.textContent = label;
  chip.querySelector(".chip-label").title = path;
  chip.querySelector("input").value = path;
  list().append(chip);
  tell();
}

export function removeInput(path) {
  for (const field of fields()) {
    if (field.value === path) field.closest(".chip").remove();
  }
  tell();
}

function tell() {
  list().dispatchEvent(new Event("change", { bubbles: true }));
}

document.addEventListener("click", (event) => {
  const chip = event.target.closest("[data-remove-input]")?.closest(".chip");
  if (!chip) return;
  const next = (chip.nextElementSibling ?? chip.previousElementSibling)?.querySelector("[data-remove-input]");
  chip.remove();
  (next ?? document.getElementById("browse-open"))?.focus();
  tell();
});
