// The matrix of videos and steps: cells change as events say, open beside the table, and arrows move between them.

const table = document.querySelector(".matrix");
const part = document.getElementById("part");
const words = JSON.parse(table.dataset.words);
let openRow = null;
let isFetching = false;

const rows = () => document.getElementById("matrix-rows");

function setCell(row, number, text) {
  const place = row.cells[number + 1];
  let cell = place.firstElementChild;
  if (!text) return cell?.remove();
  if (!cell) {
    const stage = table.tHead.rows[0].cells[number + 1].dataset.stage;
    cell = document.createElement("a");
    cell.href = `?cell=${row.id}.${stage}`;
    cell.tabIndex = -1;
    place.append(cell);
  }
  cell.className = `cell ${text[0]}`;
  cell.textContent = words[text[0]];
  if (text.length > 1) cell.dataset.attempts = text.slice(1);
  else delete cell.dataset.attempts;
}

document.addEventListener("live:cells", ({ detail }) => {
  let isNew = detail.anew.length > 0;
  for (const [id, cells] of Object.entries(detail.rows)) {
    const row = document.getElementById(id);
    if (row) cells.split(",").forEach((text, number) => setCell(row, number, text));
    else isNew = true;
    if (id === openRow) open(part.dataset.from, false);
  }
  if (isNew && rows().dataset.complete === "yes") fetchRows();
});

// Rows that this page does not know: all of them anew, but not more often than one can read.
function fetchRows() {
  if (isFetching) return;
  isFetching = true;
  setTimeout(async () => {
    await htmx.ajax("GET", location.href, { target: "#matrix-rows", select: "#matrix-rows", swap: "outerHTML" });
    isFetching = false;
    makeReachable();
  }, 1000);
}

async function open(address, isNew = true) {
  const url = new URL(address, location.href);
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (!["cell", "row"].includes(name) && !url.searchParams.has(name)) url.searchParams.set(name, value);
  }
  const answer = await fetch(url, { headers: { "HX-Request": "true", "HX-Target": "part" } });
  const html = await answer.text();
  if (!answer.ok || !html) return location.assign(url);
  Idiomorph.morph(part, html, { morphStyle: "innerHTML" });
  part.hidden = false;
  part.dataset.from = address;
  openRow = (url.searchParams.get("cell") ?? url.searchParams.get("row")).split(".")[0];
  htmx.process(part);
  document.dispatchEvent(new CustomEvent("live:fragment", { detail: { element: part } }));
  if (isNew) {
    history.replaceState(null, "", url);
    for (const each of table.querySelectorAll("[aria-current]")) each.removeAttribute("aria-current");
    part.focus({ preventScroll: innerWidth > 1000 });
  }
}

table.addEventListener("click", (event) => {
  const link = event.target.closest("tbody a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open(link.getAttribute("href")).then(() => link.setAttribute("aria-current", "true"));
});

// One stop for the tab key; arrows move from cell to cell, Escape goes back to the table.
function makeReachable() {
  const links = [...rows().querySelectorAll("a")];
  links.forEach((link, number) => (link.tabIndex = number ? -1 : 0));
}

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
table.addEventListener("keydown", (event) => {
  const move = MOVES[event.key];
  const place = event.target.closest("th, td");
  if (!move || !place) return;
  event.preventDefault();
  let [row, column] = [place.parentElement.rowIndex, place.cellIndex];
  let link = null;
  do {
    [row, column] = [row + move[0], column + move[1]];
    const next = row > 0 ? table.rows[row]?.cells[column] : null;
    if (!next) return;
    link = next.querySelector("a");
  } while (!link);
  event.target.tabIndex = -1;
  link.tabIndex = 0;
  link.focus();
});
part.addEventListener("keydown", (event) => {
  if (event.key === "Escape") table.querySelector('[aria-current], a[tabindex="0"]')?.focus();
});
for (const select of document.querySelectorAll("[data-auto]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
makeReachable();
