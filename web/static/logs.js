// The log viewer: its buttons and keys, the bar beside the lines, and the place that an address names (`#b=1234`).

import { follow, followEnd, isFollowing } from "./logs_follow.js";
import { look, onMove, show, toLine, topPlace } from "./logs_moves.js";
import { step } from "./logs_search.js";
import { box, firstVisible, isAtBottom, place, state, toBottom } from "./logs_window.js";

const get = (id) => document.getElementById(id);
const bar = get("log-place");
const said = get("log-said");
const address = /^#b=(\d+)$/;

for (const id of ["log-top", "log-end", "log-link", "log-wrap", "log-follow", "log-place", "log-copy"]) get(id).hidden = false;
get("log-viewer").classList.add("live");

function wrap(on) {
  const line = firstVisible();
  box.classList.toggle("wrap", on);
  get("log-wrap").setAttribute("aria-pressed", on);
  localStorage.setItem("logs-wrap", on ? "yes" : "no");
  if (isFollowing()) toBottom();
  else if (line) box.scrollTop = line.offsetTop;
}

async function toBeginning() {
  follow(false);
  if (state.start > 0 && !(await show(0))) return;
  box.scrollTop = 0;
  look();
}

async function toPlace(offset) {
  if (offset >= state.size) return followEnd();
  follow(false);
  if (!(await show(offset))) return;
  const line = [...box.children].find((each) => place(each) >= offset);
  if (line) box.scrollTop = line.offsetTop;
  look();
}

function toHash() {
  const offset = address.exec(location.hash)?.[1];
  if (offset === undefined) return;
  follow(false);
  toLine(Number(offset));
}

// The bar shows the place in bytes: of a file of any size it knows how far one is.
onMove(() => {
  bar.max = state.size;
  bar.value = state.isLast && isAtBottom() ? state.size : topPlace();
  bar.setAttribute("aria-valuetext", `${Math.floor((100 * bar.value) / Math.max(1, state.size))} %`);
  get("log-empty").hidden = box.childElementCount > 0;
});
bar.addEventListener("input", () => toPlace(Math.round(Number(bar.value))));

get("log-top").addEventListener("click", toBeginning);
get("log-end").addEventListener("click", followEnd);
get("log-newest").addEventListener("click", followEnd);
get("log-wrap").addEventListener("click", () => wrap(!box.classList.contains("wrap")));
get("log-follow").addEventListener("click", () => (isFollowing() ? follow(false) : followEnd()));
get("log-link").addEventListener("click", () => linkTo(box.querySelector(".current") ?? firstVisible()));
box.addEventListener("click", (event) => {
  const line = event.target.closest(".line");
  if (line && event.clientX - line.getBoundingClientRect().left < 24) linkTo(line); // beside the text
});
get("log-path").addEventListener("focus", (event) => event.target.select());
get("log-copy").addEventListener("click", () => {
  get("log-path").select();
  copy(get("log-path").value, said.dataset.copied);
});

// A browser gives the clipboard only to https and to this machine: else what is to be copied is there to be seen.
async function copy(text, done) {
  await navigator.clipboard?.writeText(text);
  if (navigator.clipboard) said.textContent = done;
}

function linkTo(line) {
  if (!line) return;
  history.replaceState(null, "", `#${line.id}`);
  toHash();
  copy(location.href, said.dataset.linked);
}

const keys = {
  Home: toBeginning, End: followEnd, w: () => get("log-wrap").click(), f: () => get("log-follow").click(),
  l: () => get("log-link").click(), "/": () => get("log-q").focus(), n: () => step("later"), N: () => step("earlier"),
};
get("log-viewer").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input") || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

addEventListener("hashchange", toHash);
wrap(localStorage.getItem("logs-wrap") !== "no");
if (address.test(location.hash)) {
  toHash();
} else if (state.isLast) {
  follow(true);
  toBottom();
}
look();
if (document.activeElement === document.body) box.focus({ preventScroll: true });
