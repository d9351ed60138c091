// Moving the window over the file: to a place, to the end, and on by itself when an edge comes near.

import { append, box, firstVisible, place, prepend, replace, replaceAnew, state, toBottom } from "./logs_window.js";

const data = document.getElementById("log-viewer").dataset;
const said = document.getElementById("log-said");
const listeners = [];
let asked = new AbortController();
let isBusy = false;
let wasLooking = false;

export const onMove = (listener) => listeners.push(listener);

// The place of the first line in sight.
export function topPlace() {
  const line = firstVisible();
  return line && (state.start > 0 || box.scrollTop > 0) ? place(line) : 0;
}

// Ask for a stretch; a later question takes the place of an earlier one, which then has no answer.
async function ask(query) {
  asked.abort();
  const { signal } = (asked = new AbortController());
  const address = new URL(data.lines, location);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  isBusy = true;
  try {
    const answer = await fetch(address, { signal, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.statusText);
    return await answer.json();
  } catch {
    if (!signal.aborted) said.textContent = said.dataset.lost;
    return null;
  } finally {
    if (!signal.aborted) isBusy = false;
  }
}

export async function show(offset) {
  const page = await ask({ at: offset });
  if (page) replace(page);
  return Boolean(page);
}

export async function showEnd() {
  const page = await ask({});
  if (!page) return false;
  replace(page);
  toBottom();
  look();
  return true;
}

// Go to the line that begins at, or holds, a place.
export async function toLine(offset) {
  if (!document.getElementById(`b=${offset}`) && !(await show(offset))) return;
  const line = document.getElementById(`b=${offset}`) ?? [...box.children].findLast((each) => place(each) <= offset);
  box.querySelector(".current")?.classList.remove("current");
  line?.classList.add("current");
  const isInSight = line && line.offsetTop > box.scrollTop + 20 && line.offsetTop < box.scrollTop + box.clientHeight - 40;
  if (line && !isInSight) box.scrollTop = line.offsetTop - box.clientHeight / 3;
  look();
}

// What a person looks at stays where it is, whatever is put before it or taken away.
async function grow(query, put) {
  const page = await ask(query);
  if (!page) return;
  const line = firstVisible();
  const before = line && line.offsetTop - box.scrollTop;
  if (page.identity === state.identity) put(page);
  else replaceAnew(page);
  if (line?.isConnected) box.scrollTop = line.offsetTop - before;
  tellHowFar(page, query);
  look();
}

// With a filter a stretch may hold nothing to show: then say where it is being looked.
function tellHowFar(page, query) {
  const at = "before" in query ? page.start : page.end;
  const isLooking = !page.html && at > 0 && !page.is_last;
  if (isLooking) said.textContent = said.dataset.looking.replace("{part}", `${Math.floor((100 * at) / page.size)} %`);
  else if (wasLooking) said.textContent = "";
  wasLooking = isLooking;
}

// Look where the person is, and fetch more when an edge is near. A filter may find nothing for a while: it goes on.
export function look() {
  for (const listener of listeners) listener();
  if (isBusy) return;
  const near = 2 * box.clientHeight;
  if (box.scrollTop < near && state.start > 0) grow({ before: state.start }, prepend);
  else if (box.scrollHeight - box.scrollTop - box.clientHeight < near && !state.isLast) grow({ after: state.end }, append);
}

let isAwaited = false;
box.addEventListener("scroll", () => {
  if (isAwaited) return;
  isAwaited = true;
  requestAnimationFrame(() => {
    isAwaited = false;
    look();
  });
});
