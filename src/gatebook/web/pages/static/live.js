// Keeps a page as the gateway has it: asks for the same page again, and puts its <main> in place when it is another one.
// The answer is parsed without running anything in it; times are counted here.
"use strict";
(() => {
  const BUSY = 1000, HIDDEN = 5000, PATIENCE = 8000, MISSES = 3;
  const offline = document.getElementById("offline");
  let tag = "", ahead = 0, misses = 0, leaving = false, over = false;
  let had = document.getElementById("main").innerHTML;  // as it came, before times are counted

  const two = (number) => String(number).padStart(2, "0");

  function spanned(seconds) {
    const h = Math.floor(seconds / 3600), m = Math.floor(seconds / 60) % 60, s = seconds % 60;
    if (h >= 48) return Math.floor(h / 24) + " days";
    return h ? h + ":" + two(m) + ":" + two(s) : m + ":" + two(s);
  }

  function ago(seconds) {
    if (seconds < 60) return "just now";
    if (seconds < 3600) return Math.floor(seconds / 60) + " min ago";
    if (seconds < 172800) return Math.floor(seconds / 3600) + " h ago";
    return Math.floor(seconds / 86400) + " days ago";
  }

  function count() {
    const now = Date.now() + ahead;
    for (const time of document.querySelectorAll("time[data-at]")) {
      const seconds = Math.floor((Number(time.dataset.at) - now) / 1000);
      let text;
      if (time.dataset.form === "until") {
        text = seconds > 0 ? "expires in " + spanned(seconds) : "expired";
        time.classList.toggle("soon", seconds < 120);
      } else {
        text = time.dataset.form === "since" ? spanned(Math.max(0, -seconds)) : ago(Math.max(0, -seconds));
      }
      if (time.textContent !== text) time.textContent = text;
    }
  }

  function kept(main) {
    const active = document.activeElement;
    return {
      fields: [...main.querySelectorAll("textarea[id], input[id]")].map((one) => [one.id, one.value]),
      open: [...main.querySelectorAll("details[open][id]")].map((one) => one.id),
      focus: main.contains(active) ? active.id || active.getAttribute("href") || active.value || "" : "",
      caret: [active.selectionStart, active.selectionEnd],
    };
  }

  function restored(main, before) {
    for (const [id, value] of before.fields) {
      const field = document.getElementById(id);
      if (field) field.value = value;
    }
    for (const id of before.open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    if (!before.focus) return;
    const again = [...main.querySelectorAll("a, button, input, textarea, [tabindex]")]
      .find((one) => (one.id || one.getAttribute("href") || one.value) === before.focus);
    (again || main).focus({ preventScroll: true });
    if (again && before.caret[0] != null && again.setSelectionRange) again.setSelectionRange(...before.caret);
  }

  function put(fresh) {
    const main = document.getElementById("main"), other = fresh.getElementById("main");
    if (!other || !(other.hasAttribute("data-live") || other.hasAttribute("data-over")) || other.innerHTML === had) return;
    had = other.innerHTML;
    over = other.hasAttribute("data-over");  // it will not change any more
    const before = kept(main);
    const follows = main.hasAttribute("data-follows") && innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
    main.replaceChildren(...[...other.childNodes].map((node) => document.adoptNode(node)));
    document.title = fresh.title;
    restored(main, before);
    count();
    if (follows) scrollTo(0, document.documentElement.scrollHeight);
  }

  function say(text) {
    if (offline.textContent !== text) offline.textContent = text;
    offline.hidden = !text;
  }

  function ask() {
    const call = new XMLHttpRequest();
    call.open("GET", location.pathname + location.search);
    call.responseType = "document";
    call.timeout = PATIENCE;
    if (tag) call.setRequestHeader("If-None-Match", tag);
    call.onloadend = () => {
      if (leaving) return;
      const date = Date.parse(call.getResponseHeader("Date") || "");
      if (date) ahead = date + 500 - Date.now();
      misses = call.status ? 0 : misses + 1;
      if (call.status === 200 && call.response) {
        tag = call.getResponseHeader("ETag") || "";
        put(call.response);
      }
      if (call.status === 401) say("You are signed out. Reload the page to sign in again.");
      else if (call.status >= 500 || misses >= MISSES) say("Gatebook does not answer: what you see may be old.");
      else say("");
      if (!over) setTimeout(ask, document.hidden ? HIDDEN : BUSY);
    };
    call.send();
  }

  addEventListener("pagehide", () => { leaving = true; });
  count();
  setInterval(count, 1000);
  if (document.querySelector("main[data-live]")) ask();
})();
