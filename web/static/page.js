// What every page does: CSRF for htmx, times in the reader's zone, messages, menus that close.

const token = document.querySelector('meta[name="csrf-token"]').content;

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRFToken"] = token;
});

// A request that never reached the server must not look as if it had.
document.addEventListener("htmx:sendError", () => {
  document.getElementById("connection")?.removeAttribute("hidden");
});

// The page's language as the reader's own country writes dates.
const { lang } = document.documentElement;
const country = navigator.languages.find((each) => each.startsWith(lang)) ?? lang;
const zone = new Intl.DateTimeFormat(country, { dateStyle: "short", timeStyle: "medium" });

function showMoments(root = document) {
  for (const each of root.querySelectorAll("time[data-moment]")) {
    const text = zone.format(new Date(each.dateTime));
    if (each.textContent !== text) {
      each.textContent = text;
      each.title = each.dateTime;
    }
  }
}

document.addEventListener("htmx:afterSettle", (event) => showMoments(event.target));
document.addEventListener("live:fragment", (event) => showMoments(event.detail.element));
showMoments();

// One open menu at a time, until something in it is chosen; Escape closes it and gives the focus back.
const openMenus = () => document.querySelectorAll("details:is(.preferences, .menu, .confirm)[open]");

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) {
    if (!menu.contains(event.target) || event.target.closest("button")) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
