// The rules of WCAG 2.2 AA that a browser can work out, and what is wrong by them on this page: a
// list of texts, empty where nothing is.
(() => {
  const wrong = [];
  const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + ' "' + (e.textContent || e.value || "").trim().slice(0, 40) + '"';
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true }) && e.getClientRects().length > 0;
  const hiddenText = (e) => e.closest(".hidden, [aria-hidden=true]");

  // 3.1.1 language, 2.4.2 title, 1.3.1 landmarks, 2.4.6 headings, 2.4.1 bypass
  if (!document.documentElement.lang) wrong.push("the page has no language");
  if (!document.title.trim()) wrong.push("the page has no title");
  for (const landmark of ["main", "header", "nav"]) {
    if (document.body.matches(".door") && landmark !== "main") continue;
    if (!document.querySelector(landmark)) wrong.push("there is no " + landmark);
  }
  if (document.querySelectorAll("main").length !== 1) wrong.push("there is not one main");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("there is not one h1");
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const n = Number(h.tagName[1]);
    if (n > level + 1) wrong.push("the heading skips a level: " + name(h));
    level = n;
  }
  if (!document.body.matches(".door") && !document.querySelector("a.skip[href='#content']")) wrong.push("nothing skips to the content");

  // 4.1.1: each id once
  const ids = new Set();
  for (const e of document.querySelectorAll("[id]")) {
    if (ids.has(e.id)) wrong.push("the id stands twice: " + e.id);
    ids.add(e.id);
  }
  for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby]")) {
    for (const id of ((e.getAttribute("aria-labelledby") || "") + " " + (e.getAttribute("aria-describedby") || "")).trim().split(/\s+/)) {
      if (!document.getElementById(id)) wrong.push("no element has the id " + id + ", of " + name(e));
    }
  }

  // 4.1.2 and 3.3.2: every control has a name
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea, progress, meter")) {
    const labelled = e.labels && [...e.labels].some((l) => l.textContent.trim());
    if (!labelled && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")) wrong.push("the field has no label: " + name(e) + " " + e.name);
  }
  for (const e of document.querySelectorAll("a[href], button, summary")) {
    if (!e.textContent.trim() && !e.getAttribute("aria-label")) wrong.push("the control has no name: " + e.outerHTML.slice(0, 80));
  }
  for (const e of document.querySelectorAll("[aria-current='']")) wrong.push("aria-current is empty: " + name(e));

  // 1.1.1: pictures
  for (const e of document.querySelectorAll("svg")) {
    const role = e.getAttribute("role"); // a group has links with names of their own
    if (e.getAttribute("aria-hidden") !== "true" && !(role === "img" && (e.querySelector("title") || e.getAttribute("aria-label"))) && !(role === "group" && e.getAttribute("aria-label"))) wrong.push("the picture has no text: " + e.outerHTML.slice(0, 80));
  }
  for (const e of document.querySelectorAll("img:not([alt])")) wrong.push("the picture has no alt: " + e.src);

  // 1.3.1: tables
  for (const t of document.querySelectorAll("table")) {
    if (!t.caption || !t.caption.textContent.trim()) wrong.push("the table has no caption: " + name(t));
    for (const th of t.querySelectorAll("th")) {
      if (!th.scope) wrong.push("the header has no scope: " + name(th));
      if (!th.textContent.trim() && !th.querySelector("[aria-label]")) wrong.push("the header is empty in " + name(t));
    }
  }
  for (const s of document.querySelectorAll("section")) {
    if (!s.getAttribute("aria-label") && !s.getAttribute("aria-labelledby") && !s.querySelector("h2, h3")) wrong.push("the section has no name: " + name(s));
  }
  const navs = [...document.querySelectorAll("nav")].map((n) => n.getAttribute("aria-label"));
  if (navs.some((n) => !n) || new Set(navs).size !== navs.length) wrong.push("the navigations are not told apart: " + navs.join(", "));

  // 1.4.3: contrast of text, by the colours that the browser has worked out
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const paint = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) {
      const c = rgba(getComputedStyle(at).backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (a, b) => {
    const [x, y] = [light(a), light(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const told = new Set();
  while (walker.nextNode()) {
    const text = walker.currentNode, e = text.parentElement;
    if (!text.data.trim() || !shown(e) || hiddenText(e) || e.closest("script, style, title, desc, option, datalist")) continue;
    const style = getComputedStyle(e), svg = e.closest("svg");
    const below = ground(svg ? svg.parentElement : e);
    const c = contrast(over(rgba(svg ? style.fill : style.color), below), below);
    const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
    const key = e.className + style.color + below;
    if (c < (large ? 3 : 4.5) && !told.has(key)) {
      told.add(key);
      wrong.push("the contrast is " + c.toFixed(2) + ": " + name(e));
    }
  }
  // 1.4.11: the edge of a field
  for (const e of document.querySelectorAll("input:not([type=hidden], [type=checkbox], [type=radio]), select, textarea, button")) {
    if (!shown(e)) continue;
    const below = ground(e.parentElement), style = getComputedStyle(e);
    const c = Math.max(contrast(over(rgba(style.borderTopColor), below), below), contrast(ground(e), below));
    if (c < 3) wrong.push("the edge has a contrast of " + c.toFixed(2) + ": " + name(e));
  }

  // 2.5.8: targets of 24 by 24 pixels, but for links in a line of text, and those with room around
  const targets = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")].filter((e) => shown(e) && !e.closest(".skip"));
  const boxes = targets.map((e) => e.getBoundingClientRect());
  targets.forEach((e, i) => {
    const b = boxes[i];
    if (b.width >= 24 && b.height >= 24 || getComputedStyle(e).display === "inline" && e.closest("p, li, dd, td, th, figcaption")) return;
    const x = b.x + b.width / 2, y = b.y + b.height / 2;
    const near = boxes.some((o, j) => j !== i && o.x < x + 12 && o.right > x - 12 && o.y < y + 12 && o.bottom > y - 12);
    if (near) wrong.push("the target has " + b.width.toFixed(0) + " by " + b.height.toFixed(0) + " pixels: " + name(e));
  });

  // 2.4.7: focus shows
  for (const e of targets.slice(0, 80)) {
    if (e.disabled) continue;
    e.focus({ focusVisible: true, preventScroll: true });
    if (document.activeElement !== e) { wrong.push("cannot be focused: " + name(e)); continue; }
    const style = getComputedStyle(e), shape = e.querySelector("rect");
    if (e.closest("svg") && shape && parseFloat(getComputedStyle(shape).strokeWidth) >= 3) continue; // the edge of a shape shows it
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) wrong.push("the focus does not show: " + name(e));
  }
  if (document.activeElement) document.activeElement.blur();

  // 1.4.10: nothing is wider than the window
  if (document.documentElement.scrollWidth > innerWidth + 1) {
    const wide = [...document.querySelectorAll("main *")].find((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, pre, .nav, .tabs"));
    wrong.push("the page is wider than the window: " + document.documentElement.scrollWidth + (wide ? ", by " + name(wide) : ""));
  }
  // 4.1.3: what changes is announced, or is in a live part that is not (a table that moves all the time)
  if (!document.body.matches(".door") && !document.querySelector("#notice[role=status]")) wrong.push("no status region");
  return wrong;
})()
