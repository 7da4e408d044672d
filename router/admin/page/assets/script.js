// What the page does beyond plain HTML: local times, copied ids, keys, and views that renew themselves.
"use strict";

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

function copied(root) {
  for (const one of root.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Copy";
    button.addEventListener("click", () => {
      navigator.clipboard.writeText(one.textContent).then(() => { button.textContent = "Copied"; });
    });
    one.after(" ", button);
  }
}

function isBusy(main) {
  const active = document.activeElement;
  const inForm = active && main.contains(active) && active.matches("input, select, textarea, button");
  return document.hidden || inForm || main.querySelector("input[name=id]:checked") !== null
    || String(window.getSelection()) !== "";
}

async function renew(main) {
  if (isBusy(main)) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
  if (!answer.ok) return;
  const made = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = made.querySelector("main");
  if (!fresh || isBusy(main)) return;
  const focused = main.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  localTimes(fresh);
  copied(fresh);
  main.replaceChildren(...fresh.childNodes);
  if (focused) main.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

// The place of a problem in the text area: lines end as YAML's parser counts them, columns count characters.
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

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select, textarea")) return;
  if (event.key === "/") {
    const find = document.getElementById("find");
    if (find) { event.preventDefault(); find.focus(); }
  }
  if (event.key === "c") {
    const id = document.querySelector("[data-copy]");
    if (id) navigator.clipboard.writeText(id.textContent);
  }
}

const main = document.querySelector("main");
localTimes(document);
copied(document);
document.addEventListener("keydown", keys);
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-line]");
  if (link) { event.preventDefault(); toPlace(link); }
});
if (main.dataset.live) {
  const next = () => setTimeout(() => renew(main).catch(() => {}).finally(next), Number(main.dataset.live) * 1000);
  next();
}
