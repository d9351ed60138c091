// Following: what is written to the log is put at the end and shown, for as long as the person looks at the end.

import { bytes } from "./amounts.js";
import { look, showEnd } from "./logs_moves.js";
import { append, box, isAtBottom, replaceAnew, state, toBottom } from "./logs_window.js";

const button = document.getElementById("log-follow");
const newest = document.getElementById("log-newest");
const size = document.getElementById("log-size");
let following = false;
let movedAt = -Infinity;

export const isFollowing = () => following;

export function follow(on) {
  following = on;
  button.setAttribute("aria-pressed", on);
  if (on) newest.hidden = true;
}

export async function followEnd() {
  follow(await showEnd());
}

document.addEventListener("live:lines", ({ detail: page }) => {
  size.textContent = bytes(page.size);
  if (page.anew || page.identity !== state.identity) {
    replaceAnew(page);
    follow(true);
  } else if (following) {
    append(page);
  } else if (page.end > state.end || page.size > state.size) {
    Object.assign(state, { size: page.size, isLast: false });
    newest.hidden = false;
  }
  if (following) toBottom();
  look();
});

// Only what a person does by hand stops following, or begins it again at the bottom; lines that come in do not.
function stop() {
  movedAt = performance.now();
  if (box.scrollHeight > box.clientHeight) follow(false);
}

box.addEventListener("wheel", (event) => (event.deltaY < 0 ? stop() : (movedAt = performance.now())), { passive: true });
box.addEventListener("touchmove", stop, { passive: true });
box.addEventListener("keydown", (event) => {
  if (["ArrowUp", "PageUp"].includes(event.key)) stop();
  if (["ArrowDown", "PageDown", " "].includes(event.key)) movedAt = performance.now();
});
box.addEventListener("scroll", () => {
  if (!following && performance.now() - movedAt < 1000 && state.isLast && isAtBottom()) follow(true);
});
new ResizeObserver(() => following && toBottom()).observe(box);
