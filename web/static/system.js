// The output of a job stays at its end unless somebody scrolled up to read; a new token can be copied.

document.querySelector(".tabs [aria-current]").scrollIntoView({ block: "nearest", inline: "center" });

const held = new WeakSet();

function isAtEnd(output) {
  return output.scrollHeight - output.scrollTop - output.clientHeight < 24;
}

function showEnds(root) {
  for (const output of root.querySelectorAll("pre.output")) {
    if (!held.has(output)) output.scrollTop = output.scrollHeight;
  }
}

document.addEventListener(
  "scroll",
  ({ target }) => {
    if (target.matches?.("pre.output")) (isAtEnd(target) ? held.delete(target) : held.add(target));
  },
  { capture: true },
);
document.addEventListener("live:fragment", (event) => showEnds(event.detail.element));
document.addEventListener("htmx:afterSettle", (event) => showEnds(event.target));
showEnds(document);

const copy = document.querySelector("[data-copy]");
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent);
    document.getElementById("copied").hidden = false;
  });
}
