// A run's pages: commands that can be copied, the part that was asked for.

const part = document.getElementById("part");
if (part && !part.hidden && location.hash === "#part") part.focus({ preventScroll: true });

function showCopying(root = document) {
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // Without https a browser gives no clipboard: then the text is selected, for the keys to copy it.
    getSelection().selectAllChildren(code);
    return;
  }
  button.classList.add("good");
  button.firstElementChild.nextElementSibling.textContent = "✓";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});
document.addEventListener("htmx:afterSettle", (event) => showCopying(event.target));
document.addEventListener("live:fragment", (event) => showCopying(event.detail.element));
showCopying();
