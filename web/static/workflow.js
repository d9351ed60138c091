// The launch form: only the steps that a workflow has, and a preview that says when it is no more of the form as it is.

const form = document.getElementById("launch-form");
const workflow = document.getElementById("workflow");
const preview = document.getElementById("preview");
const stale = document.getElementById("preview-stale");
const refused = document.querySelectorAll(".refused");

function showWorkflow() {
  const { steps, about } = workflow.selectedOptions[0].dataset;
  const has = new Set(steps.split(" "));
  document.getElementById("about").textContent = about;
  for (const step of form.elements.namedItem("steps")) step.disabled = !has.has(step.value);
}

// What is typed into one of the two ways of saying it chooses that way.
function chooseWay(target) {
  const way = target.closest(".way")?.querySelector('input[name="by"]');
  if (way && target !== way) way.checked = true;
}

workflow.addEventListener("change", showWorkflow);
addEventListener("pageshow", showWorkflow); // a browser that comes back has its own idea of what was chosen
for (const name of ["input", "change"]) {
  form.addEventListener(name, (event) => {
    chooseWay(event.target);
    stale.hidden = !preview.childElementCount;
  });
}
new MutationObserver(() => (stale.hidden = !preview.childElementCount)).observe(document.getElementById("chosen-inputs"), { childList: true });

// What is refused is said beside what was pressed: there the person looks.
form.addEventListener("htmx:beforeRequest", () => refused.forEach((place) => place.replaceChildren()));
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.isError) detail.target = document.getElementById(detail.requestConfig.elt.dataset.refused) ?? detail.target;
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target === preview) stale.hidden = true;
  if (event.target.matches(".refused")) event.target.scrollIntoView({ block: "nearest" });
});
showWorkflow();
