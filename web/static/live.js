// Keeps a page true: one stream of events, closed while nobody looks (a browser gives a server six connections in all).

const address = document.body.dataset.live;
const lost = document.getElementById("connection");
let source = null;

function open() {
  if (source || document.hidden) return;
  const after = document.body.dataset.liveId;
  source = new EventSource(after ? `${address}${address.includes("?") ? "&" : "?"}after=${after}` : address);
  source.addEventListener("open", () => lost?.setAttribute("hidden", ""));
  source.addEventListener("error", failed);
  source.addEventListener("fragment", (event) => put(JSON.parse(event.data)));
  for (const name of (document.body.dataset.liveEvents ?? "").split(" ").filter(Boolean)) {
    source.addEventListener(name, (event) => "data" in event && tell(name, JSON.parse(event.data), event.lastEventId));
  }
}

function close() {
  source?.close();
  source = null;
}

// A browser gives up for good when it is answered with an error (a proxy, a restart): then this page tries again.
function failed(event) {
  if ("data" in event) return; // not the connection: an `error` that the server tells of
  lost?.removeAttribute("hidden");
  if (source?.readyState === EventSource.CLOSED) {
    close();
    setTimeout(open, 1000 + Math.random() * 1000);
  }
}

function put({ id, html }) {
  const element = document.getElementById(id);
  if (!element) return;
  Idiomorph.morph(element, html, { morphStyle: "innerHTML", ignoreActiveValue: true, callbacks: { beforeAttributeUpdated } });
  window.htmx?.process(element);
  tell("fragment", { element });
}

// What a person opened stays open.
function beforeAttributeUpdated(name, node) {
  return !(name === "open" && node.localName === "details");
}

function tell(name, detail, id) {
  document.dispatchEvent(new CustomEvent(`live:${name}`, { detail, bubbles: true }));
  if (id) document.body.dataset.liveId = id;
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);
addEventListener("pageshow", open);
open();
