// Searching in the whole log: the lines found, the last first, as the server finds them; earlier and later from here.

import { follow } from "./logs_follow.js";
import { mark } from "./logs_marks.js";
import { toLine, topPlace } from "./logs_moves.js";
import { box, place } from "./logs_window.js";

const get = (id) => document.getElementById(id);
const [input, list, more, said] = ["log-q", "hits", "hits-more", "log-said"].map(get);
const running = {};
let wanted = input.value;
let nextStart = null;

// Yield what the server says, a line of JSON at a time. Another search of the kind ends this one: the server notices it.
async function* answers(kind, query) {
  running[kind]?.abort();
  running[kind] = new AbortController();
  const address = new URL(get("log-viewer").dataset.search, location);
  for (const [name, value] of Object.entries({ q: wanted, ...query })) address.searchParams.set(name, value);
  const answer = await fetch(address, { signal: running[kind].signal, headers: { Accept: "application/json" } });
  if (!answer.ok) return yield { said: (await answer.json()).error.message };
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

async function quietly(work) {
  try {
    await work();
  } catch (error) {
    if (error.name !== "AbortError") said.textContent = said.dataset.lost;
  }
}

function put({ b, html }) {
  const entry = document.createElement("li");
  entry.innerHTML = `<a href="#b=${b}">${html}</a>`;
  list.append(entry);
  if (list.childElementCount === 1) go(b);
}

function go(offset) {
  history.replaceState(null, "", `#b=${offset}`);
  follow(false);
  return toLine(offset);
}

async function look(query) {
  for await (const found of answers("list", query)) {
    if ("b" in found) put(found);
    else said.textContent = found.said;
    if ("next" in found) nextStart = found.next;
  }
  more.hidden = nextStart === null;
}

// Go to the line found before or after the one that is shown.
export function step(way) {
  const current = box.querySelector(".current");
  const from = current ? place(current) : topPlace();
  if (wanted) quietly(async () => {
    for await (const found of answers("step", { way, from, most: 1 })) {
      if ("b" in found) return go(found.b);
      if ("next" in found) said.textContent = said.dataset.none;
      else said.textContent = found.said;
    }
  });
}

get("log-search").addEventListener("submit", (event) => {
  event.preventDefault();
  if (input.value === wanted && list.childElementCount) return step("earlier");
  wanted = input.value;
  nextStart = null;
  list.replaceChildren();
  get("log-hits").hidden = false;
  mark(wanted);
  quietly(() => look({}));
});
// Emptied, or Escape: the search is over.
input.addEventListener("search", () => input.value || end());
input.addEventListener("keydown", (event) => event.key === "Escape" && end());

function end() {
  for (const kind of Object.values(running)) kind.abort();
  wanted = input.value = said.textContent = "";
  list.replaceChildren();
  get("log-hits").hidden = true;
  mark("");
  box.focus();
}

more.addEventListener("click", () => quietly(() => look({ from: nextStart })));
get("hit-earlier").addEventListener("click", () => step("earlier"));
get("hit-later").addEventListener("click", () => step("later"));
for (const id of ["hit-earlier", "hit-later"]) get(id).hidden = false;
mark(wanted);
