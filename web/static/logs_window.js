// The lines that are in the page: a window on the file. A line's place is the byte at which it begins; its id says it.

const MOST = 3000;
const data = document.getElementById("log-viewer").dataset;
const said = document.getElementById("log-said");
export const box = document.getElementById("lines");
export const place = (line) => Number(line.id.slice(2));

// From where to where the window goes, how long the file is, which file it is, whether the window reaches its end.
export const state = {
  start: Number(data.start), end: Number(data.end), size: Number(data.size), identity: data.identity, isLast: data.last === "1",
};

export const isAtBottom = () => box.scrollTop + box.clientHeight >= box.scrollHeight - 4;

export function toBottom() {
  box.scrollTop = box.scrollHeight;
}

function remember(page, start, end, isLast) {
  Object.assign(state, { start, end, isLast, size: page.size, identity: page.identity });
}

export function replace(page) {
  box.innerHTML = page.html;
  remember(page, page.start, page.end, page.is_last);
}

// The file at this name is another one, or was emptied: what is shown of the old one goes.
export function replaceAnew(page) {
  replace(page);
  said.textContent = said.dataset.anew;
}

// Put a page at the end: its lines take the place of those from its start on, such as one that was half written.
export function append(page) {
  if (page.end < state.end) return; // it was on its way while newer lines came
  if (page.start > state.end || page.start < state.start) return replace(page);
  while (box.lastElementChild && place(box.lastElementChild) >= page.start) box.lastElementChild.remove();
  box.insertAdjacentHTML("beforeend", page.html);
  remember(page, state.start, page.end, page.is_last);
  const extra = [...box.children].slice(0, Math.max(0, box.childElementCount - MOST));
  if (!extra.length) return;
  for (const line of extra) line.remove();
  state.start = place(box.firstElementChild);
}

export function prepend(page) {
  if (page.end !== state.start) return;
  box.insertAdjacentHTML("afterbegin", page.html);
  remember(page, page.start, state.end, state.isLast);
  const extra = [...box.children].slice(MOST);
  if (!extra.length) return;
  for (const line of extra) line.remove();
  Object.assign(state, { end: place(extra[0]), isLast: false });
}

export function firstVisible() {
  const lines = box.children;
  let [low, high] = [0, lines.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lines[middle].offsetTop + lines[middle].offsetHeight > box.scrollTop) high = middle;
    else low = middle + 1;
  }
  return lines[low];
}
