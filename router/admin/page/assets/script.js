// What the page does beyond plain HTML: local times, copied ids, keys, and views that renew themselves.
"use strict";

const main = document.querySelector("main");
const told = document.getElementById("told");

function localTimes(root) {
  for (const one of root.querySelectorAll("time[datetime]")) {
    const at = new Date(one.dateTime);
    if (!Number.isNaN(at.getTime())) {
      one.title = one.textContent;
      const year = at.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
      one.textContent = at.toLocaleString(undefined, {
        year, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
      });
    }
  }
}

function say(text) { if (told) told.textContent = text; }

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // without https a browser has no clipboard for scripts
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function copyButtons(root) {
  for (const one of root.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Copy";
    button.addEventListener("click", () => {
      copy(one.textContent).then(() => { button.textContent = "Copied"; say("Copied"); });
    });
    one.after(" ", button);
  }
}

function copyId() {
  const row = document.activeElement?.closest("tr, li, section");
  const id = row?.querySelector(".id") ?? document.querySelector("h1 .id");
  if (id) copy(id.textContent.trim()).then(() => say(`Copied ${id.textContent.trim()}`));
}

// --- Views that renew themselves

// A choice that somebody is making must not change below the hand.
function isBusy() {
  const active = document.activeElement;
  return main.contains(active) && active.matches("input, select, textarea")
    || main.querySelector("input[name=id]:checked, :active") !== null || String(window.getSelection()) !== "";
}

// Where an element is: the positions of it and its parents among their siblings.
function placeOf(element) {
  const place = [];
  for (let one = element; one !== main; one = one.parentElement) place.unshift([...one.parentElement.children].indexOf(one));
  return place;
}

function atPlace(place) { return place.reduce((one, number) => one?.children[number], main); }

function focusKey(element) {
  return element.id ? `#${CSS.escape(element.id)}`
    : element.getAttribute("href") ? `${element.tagName}[href="${CSS.escape(element.getAttribute("href"))}"]` : null;
}

// Parts that were opened or closed by hand stand in the address, behind the #: a reload and a sent link show them so.

const partsOf = (root) => [...root.querySelectorAll("details")];

function noteParts(root) { for (const one of partsOf(root)) one.dataset.first = String(one.open); }

function openParts() {
  const changed = /^#parts=([\d,]+)$/.exec(location.hash)?.[1].split(",").map(Number) ?? [];
  for (const number of changed) { const one = partsOf(main)[number]; if (one) one.open = one.dataset.first === "false"; }
}

function keepParts() {
  const changed = [...partsOf(main).entries()].filter(([, one]) => String(one.open) !== one.dataset.first);
  if (!changed.length && !location.hash.startsWith("#parts=")) return;
  const hash = changed.length ? `#parts=${changed.map(([number]) => number).join(",")}` : "";
  history.replaceState(null, "", location.pathname + location.search + hash);
}

function replaceMain(fresh) {
  const active = main.contains(document.activeElement) && document.activeElement !== main ? document.activeElement : null;
  const key = active && focusKey(active);
  const place = active && placeOf(active);
  const opened = [...main.querySelectorAll("details")].map((one) => [placeOf(one), one.open]);
  const scrolled = [...main.querySelectorAll(".wide, pre")].map((one) => [placeOf(one), one.scrollLeft, one.scrollTop]);
  localTimes(fresh);
  copyButtons(fresh);
  noteParts(fresh);
  main.replaceChildren(...fresh.childNodes);
  for (const [at, open] of opened) { const one = atPlace(at); if (one?.tagName === "DETAILS") one.open = open; }
  for (const [at, left, top] of scrolled) { const one = atPlace(at); if (one) one.scrollTo(left, top); }
  if (active) {
    const same = (key && main.querySelector(key)) ?? atPlace(place);
    (same ?? main).focus({ preventScroll: true });
  }
}

let renewed = new Date();

function tellStale(why) {
  const note = main.querySelector("#stale") ?? document.createElement("p");
  note.id = "stale";
  note.className = "problem";
  note.setAttribute("role", "status");
  note.textContent = `${why} This is what it showed at ${renewed.toLocaleTimeString()}.`;
  if (!note.isConnected) main.prepend(note);
  shown = null;
}

let shown = null; // the last text of the view, so that nothing is touched while nothing changes

async function renew() {
  if (document.hidden || isBusy()) return;
  const asked = { headers: { Accept: "text/html" }, redirect: "error", signal: AbortSignal.timeout(10000) };
  const answer = await fetch(location.href, asked).catch(() => null);
  if (answer?.status === 401) return location.reload(); // the session has ended
  if (!answer) return tellStale("The daemon does not answer.");
  if (answer.status >= 500) return tellStale("The daemon can't read its store at the moment, or is busy.");
  const text = await answer.text();
  renewed = new Date();
  if (!answer.ok || text === shown || isBusy() || document.hidden) return;
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  if (!fresh) return;
  shown = text;
  replaceMain(fresh);
}

function live(seconds) {
  let timer = null;
  const next = () => { timer = setTimeout(run, seconds * 1000); };
  const run = () => { clearTimeout(timer); renew().catch(() => {}).finally(next); };
  document.addEventListener("visibilitychange", () => { // nothing is asked for while nobody looks
    clearTimeout(timer);
    if (!document.hidden) run();
  });
  if (!document.hidden) next();
}

// --- The place of a problem in the text area: lines end as YAML's parser counts them, columns count characters

function toPlace(link) {
  const area = document.getElementById("text");
  const ends = /\r\n|[\n\r\x85\u2028\u2029]/g;
  let begin = 0;
  for (let line = 1; line < Number(link.dataset.line); line++) {
    if (!ends.exec(area.value)) break;
    begin = ends.lastIndex;
  }
  const before = [...area.value.slice(begin, begin + 2 * Number(link.dataset.column))];
  const at = begin + before.slice(0, Number(link.dataset.column) - 1).join("").length;
  area.focus();
  area.setSelectionRange(at, at + (/^[\w.$@/+-]+|./u.exec(area.value.slice(at, at + 200))?.[0].length ?? 0));
  area.scrollTop = (Number(link.dataset.line) - 5) * area.scrollHeight / Math.max(1, area.value.split("\n").length);
}

// --- The edited rules stay with the tab until the daemon has answered: a session may have ended while somebody wrote

function keepText() {
  const area = document.getElementById("text"), file = area?.form?.elements.file?.value;
  if (file === undefined) return;
  const kept = JSON.parse(sessionStorage.getItem("text") ?? "null");
  if (document.getElementById("result")) sessionStorage.removeItem("text");
  else if (kept && kept.file === file) {
    area.value = kept.text;
    sessionStorage.removeItem("text");
    const note = document.createElement("p");
    note.className = "note";
    note.setAttribute("role", "status");
    note.textContent = "This is the text that you sent before; it was not checked.";
    area.form.prepend(note);
  } else if (kept && !location.search) return location.replace(`/rules/try?file=${encodeURIComponent(kept.file)}`);
  area.form.addEventListener("submit", (event) => {
    if (event.submitter?.hasAttribute("formaction")) return; // a download leaves the page as it is
    sessionStorage.setItem("text", JSON.stringify({ file, text: area.value }));
  });
}

// --- Keys

const VIEWS = { o: "/", e: "/events", d: "/deliveries", t: "/targets", r: "/rules", p: "/try" };
const GOING_MS = 2000; // a letter that comes later is not meant to follow g
let going = -GOING_MS; // when g was pressed

function step(by) {
  const firsts = [...main.querySelectorAll("tbody tr")].map((row) => row.querySelector("a[href]"));
  const links = firsts.filter((one) => one?.checkVisibility()); // a part of the view may be closed
  const now = links.findIndex((one) => one.closest("tr") === document.activeElement?.closest("tr"));
  links[now < 0 ? 0 : Math.min(links.length - 1, Math.max(0, now + by))]?.focus();
}

function help() {
  const box = document.getElementById("keys");
  if (!box) return;
  if (box.open) box.close(); else box.showModal();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
  const key = event.key;
  if (document.getElementById("keys")?.open) { if (key === "?") help(); return; }
  const to = performance.now() - going < GOING_MS && VIEWS[key];
  going = key === "g" ? performance.now() : -GOING_MS;
  if (to) location.assign(to);
  else if (key === "/") { event.preventDefault(); document.getElementById("find")?.focus(); }
  else if (key === "?") help();
  else if (key === "c") copyId();
  else if (key === "j") step(1);
  else if (key === "k") step(-1);
}

localTimes(document);
copyButtons(document);
noteParts(main);
openParts();
main.addEventListener("toggle", keepParts, true);
keepText();
document.addEventListener("keydown", keys);
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-line]");
  if (link) { event.preventDefault(); toPlace(link); }
  if (event.target.closest("[data-keys]")) help();
  const bar = event.target.closest(".chart rect");
  if (bar) main.querySelector(`[data-x="${bar.getAttribute("x")}"]`)?.click();
});
for (const one of document.querySelectorAll("[data-keys]")) one.hidden = false;
if (main.dataset.live) live(Number(main.dataset.live));
