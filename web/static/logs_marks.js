// Marks the words searched for in the lines that are shown, without touching them (CSS custom highlights).

import { box } from "./logs_window.js";

const highlight = window.CSS?.highlights && new Highlight();
let words = "";
let isAwaited = false;

export function mark(text) {
  words = text.toLowerCase();
  draw();
}

function draw() {
  isAwaited = false;
  highlight?.clear();
  if (!highlight || !words) return;
  const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data.toLowerCase();
    for (let at = text.indexOf(words); at >= 0; at = text.indexOf(words, at + words.length)) {
      const range = new StaticRange({
        startContainer: texts.currentNode, startOffset: at, endContainer: texts.currentNode, endOffset: at + words.length,
      });
      highlight.add(range);
    }
  }
}

if (highlight) {
  CSS.highlights.set("found", highlight);
  new MutationObserver(() => {
    if (!words || isAwaited) return;
    isAwaited = true;
    requestAnimationFrame(draw);
  }).observe(box, { childList: true });
}
