// A bar of the picture leads to its task; the table below has the same links for keyboards and screen readers.

document.getElementById("picture").addEventListener("click", (event) => {
  const id = event.target.closest("[data-part]")?.dataset.part;
  if (id) location.assign(new URL(`../${id}`, location.href));
});
