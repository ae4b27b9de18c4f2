// The console's script. Every page works without it; with it, what is open changes as it happens.
"use strict";

// Ages and waits: <time data-ago>, <time data-until>.
const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
function span(seconds) {
  for (const [size, name] of units) {
    if (seconds >= size) return Math.floor(seconds / size) + " " + name;
  }
  return "0 s";
}
function age(root) {
  for (const t of root.querySelectorAll("time[data-ago], time[data-until]")) {
    const seconds = (Date.now() - Date.parse(t.dateTime)) / 1000;
    const text = seconds >= 0 ? span(seconds) + " ago" : "in " + span(-seconds);
    if (t.textContent !== text) t.textContent = text;
  }
}
age(document);
setInterval(() => age(document), 1000);

// morph makes a node's children those of another, and keeps every element that is already right:
// its focus, its selection, what is typed in it and whether it is open.
function morph(from, to) {
  const keyed = new Map();
  for (const child of from.children) if (child.id) keyed.set(child.id, child);
  let at = from.firstChild;
  for (const want of [...to.childNodes]) {
    const known = want.id && keyed.get(want.id);
    if (known && known !== at) from.insertBefore(known, at);
    const have = known || at;
    if (have && (known || alike(have, want))) {
      at = have.nextSibling;
      become(have, want);
    } else {
      from.insertBefore(document.importNode(want, true), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
}
function become(have, want) {
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.data !== want.data) have.data = want.data;
    return;
  }
  for (const { name } of [...have.attributes]) {
    if (!want.hasAttribute(name) && name !== "open") have.removeAttribute(name);
  }
  for (const { name, value } of [...want.attributes]) {
    if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  }
  // What a person types, ticks or picks is theirs.
  if (have.matches("input, textarea, select")) return;
  morph(have, want);
}

// Live parts: the same address gives a stream of server-sent events.
const live = document.querySelector("main[data-live]");
let stream;
function listen() {
  if (!live || stream || document.hidden) return;
  stream = new EventSource(location.href);
  stream.addEventListener("part", (e) => {
    const { id, html } = JSON.parse(e.data);
    const have = document.getElementById(id);
    if (!have) return;
    const want = document.createElement("template");
    want.innerHTML = html;
    age(want.content);
    morph(have, want.content);
  });
  stream.addEventListener("state", (e) => {
    const { at, stale } = JSON.parse(e.data);
    const asof = document.getElementById("asof");
    asof.classList.toggle("stale", stale !== "");
    document.getElementById("stale").textContent = stale;
    const time = asof.querySelector("time");
    time.dateTime = at;
    time.title = at.slice(0, 19).replace("T", " ") + " UTC";
    age(asof);
  });
  stream.addEventListener("problems", (e) => problems(JSON.parse(e.data)));
  stream.addEventListener("error", () => {
    problems([{ text: "The console does not answer: what stands here is as old as it says.", since: new Date().toISOString() }]);
    if (stream && stream.readyState === EventSource.CLOSED) {
      silence();
      setTimeout(listen, 3000);
    }
  });
}
function silence() {
  if (stream) stream.close();
  stream = undefined;
}
function problems(list) {
  const box = document.getElementById("problems");
  const said = list.map((p) => p.text).join();
  if (box.dataset.said === said) return;
  box.dataset.said = said;
  box.replaceChildren(...list.map(({ text, since }) => {
    const p = document.createElement("p");
    p.className = "problem";
    const t = document.createElement("time");
    t.dateTime = since;
    t.dataset.ago = "";
    p.append(text + " Since ", t, ".");
    return p;
  }));
  age(box);
}
// A browser opens six connections to a host: a page that nobody sees gives its own back.
document.addEventListener("visibilitychange", () => (document.hidden ? silence() : listen()));
addEventListener("pagehide", silence);
addEventListener("pageshow", listen);
listen();

// Keys: "/" goes to the field that finds.
addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input, textarea, select")) return;
  const field = document.getElementById("find");
  if (field) {
    e.preventDefault();
    field.focus();
  }
});

// Forms that ask before they act, filters that apply at once, and boxes that tick all.
addEventListener("submit", (e) => {
  const ask = (e.submitter && e.submitter.dataset.ask) || e.target.dataset.ask;
  if (ask && !confirm(ask)) e.preventDefault();
});
addEventListener("change", (e) => {
  if (e.target.form && e.target.form.hasAttribute("data-apply")) e.target.form.requestSubmit();
  if (e.target.dataset.all) {
    for (const box of document.querySelectorAll(`input[name="${e.target.dataset.all}"]`)) box.checked = e.target.checked;
  }
});

// Forms that are checked while they are filled in: the same check as before a command is published.
for (const form of document.querySelectorAll("form[data-check]")) {
  let timer, asked = 0;
  const touched = new Set();
  const check = async () => {
    const mine = ++asked;
    let answer;
    try {
      const response = await fetch(form.dataset.check, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (!response.ok) return;
      answer = await response.json();
    } catch {
      return; // the console is away: it says so itself
    }
    if (mine === asked) tell(answer);
  };
  const tell = ({ faults, key }) => {
    const places = [...form.querySelectorAll("[data-fault]")];
    for (const p of places) p.textContent = "";
    for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    const others = [];
    for (const { field, problem } of faults) {
      // The place of a fault in a list is that of the list.
      let path = field;
      let place;
      while (!(place = places.find((p) => p.dataset.fault === path)) && path.lastIndexOf("/") > 0) path = path.slice(0, path.lastIndexOf("/"));
      const input = form.elements.namedItem(path);
      if (!place || (input && !touched.has(path))) {
        others.push(field + " " + problem);
        continue;
      }
      place.textContent = problem;
      if (input) input.setAttribute("aria-invalid", "true");
    }
    const box = form.querySelector("[data-faults]");
    box.classList.toggle("good", faults.length === 0);
    box.textContent = faults.length === 0 ? "The command fits the contract." : faults.length + " to be put right" + (others.length ? ": " + others.join("; ") : ".");
    const shown = form.querySelector("[data-key]");
    if (shown) shown.textContent = key || "";
  };
  form.addEventListener("input", (e) => {
    touched.add(e.target.name);
    clearTimeout(timer);
    timer = setTimeout(check, 250);
  });
  check();
}
