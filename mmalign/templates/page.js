"use strict";
(() => {
  const root = document.documentElement, tip = document.getElementById("tip");
  const all = (what, within = document) => [...within.querySelectorAll(what)];
  root.classList.add("js");

  // Light or dark: as the system has it, until somebody chooses.
  const theme = document.getElementById("theme");
  const wanted = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (wanted.matches ? "dark" : "light")) === "dark";
  const showTheme = () => theme.setAttribute("aria-pressed", String(isDark()));
  try { root.dataset.theme = localStorage.getItem("mmalign-theme") || ""; } catch { /* kept nowhere */ }
  if (!root.dataset.theme) delete root.dataset.theme;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("mmalign-theme", root.dataset.theme); } catch { /* kept nowhere */ }
    showTheme();
  });
  wanted.addEventListener("change", showTheme);
  showTheme();

  // Tables: a heading sorts by its column, the other way at the second press.
  const worth = (cell) => {
    const said = cell.textContent.trim(), number = parseFloat(said.replace(/,/g, ""));
    return { said, number: Number.isNaN(number) ? -Infinity : number };
  };
  const sort = (table, column, head) => {
    const down = head.classList.contains("num") ? head.ariaSort !== "descending" : head.ariaSort === "ascending";
    const rows = all("tbody tr", table).map((row) => ({ row, ...worth(row.cells[column]) }));
    const way = down ? -1 : 1, numeric = head.classList.contains("num");
    rows.sort((a, b) => way * (numeric ? (a.number < b.number ? -1 : +(a.number > b.number)) : a.said.localeCompare(b.said, "en", { numeric: true })));
    all("thead th", table).forEach((th) => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.tBodies[0].append(...rows.map((each) => each.row));
  };
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, column, head));
    });
  }

  // Rows that hold what is typed, of the side that is chosen.
  const filter = (id) => {
    const typed = (document.querySelector(`[data-filter="${id}"]`)?.value || "").toLowerCase();
    const side = document.querySelector(`select[data-side="${id}"]`)?.value || "";
    let shown = 0, rows = all(`#${id} tbody tr`);
    for (const row of rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(typed) || (side !== "" && row.dataset.side !== side);
      shown += row.hidden ? 0 : 1;
    }
    const said = document.querySelector(`[data-count="${id}"]`);
    if (said) said.textContent = `${shown} of ${rows.length} shown`;
  };
  for (const field of all("[data-filter], select[data-side]")) {
    field.addEventListener("input", () => filter(field.dataset.filter || field.dataset.side));
  }

  // What a mark stands for: its title, shown at once, for the eye and for who hears the page.
  for (const title of all("figure svg :not(svg) > title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  const show = (mark, x, y) => {
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const room = root.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(room, x + 14)) + scrollX}px`;
    tip.style.top = `${Math.max(4, y - tip.offsetHeight - 12) + scrollY}px`;
  };
  const over = (mark) => {
    const box = mark.getBoundingClientRect();
    show(mark, box.left + box.width / 2, box.top);
  };
  const explore = document.getElementById("map-explore"), heard = document.getElementById("map-said");
  const light = (classes) => {
    if (!explore) return;
    const on = new Set(classes);
    explore.classList.toggle("looking", on.size > 0);
    for (const each of all("[data-c]", explore)) each.classList.toggle("on", on.has(each.dataset.c));
  };
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest?.("[data-tip]");
    if (mark) show(mark, event.clientX, event.clientY);
    else if (document.activeElement !== explore) tip.hidden = true;
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

  if (explore) {
    let at = null;
    const find = document.getElementById("map-find");
    const marks = () => all(".pt", explore).filter((mark) => getComputedStyle(mark).display !== "none");
    const found = () => {
      const typed = find.value.trim().toLowerCase();
      return typed ? marks().filter((mark) => mark.dataset.tip.split(": ")[0].toLowerCase().includes(typed)) : [];
    };
    const go = (mark) => {
      at = mark;
      light([mark.dataset.c]);
      over(mark);
      heard.textContent = mark.dataset.tip;
    };
    const rest = () => light(found().map((mark) => mark.dataset.c));
    // By name, then by modality: a class's marks follow each other.
    const order = () => marks().sort((a, b) => a.dataset.tip.localeCompare(b.dataset.tip, "en", { numeric: true }));
    explore.addEventListener("focus", () => { const list = order(); if (list.length) go(list.includes(at) ? at : list[0]); });
    explore.addEventListener("blur", () => { tip.hidden = true; heard.textContent = "\u00a0"; rest(); });
    explore.addEventListener("keydown", (event) => {
      if (event.target !== explore) return;
      const list = order(), place = list.indexOf(at), last = list.length - 1;
      const to = { ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0, End: last }[event.key];
      if (to === undefined || last < 0) return;
      event.preventDefault();
      go(list[Math.max(0, Math.min(last, to))]);
    });
    explore.addEventListener("pointerover", (event) => {
      const mark = event.target.closest(".pt");
      if (mark) { light([mark.dataset.c]); heard.textContent = mark.dataset.tip; } else rest();
    });
    explore.addEventListener("pointerleave", rest);
    find.addEventListener("input", () => {
      rest();
      const classes = new Set(found().map((mark) => mark.dataset.c)).size;
      heard.textContent = find.value.trim() ? `${classes} ${classes === 1 ? "class" : "classes"} found` : "\u00a0";
    });
  }

  // A figure as a file that stands alone: what its styles come to is written into it, in light.
  const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linejoin", "opacity", "paint-order", "font-family", "font-size", "font-weight", "font-style", "display"];
  const standalone = (svg) => {
    const copy = svg.cloneNode(true), before = root.dataset.theme;
    root.dataset.theme = "light";
    const from = [svg, ...all("*", svg)], to = [copy, ...all("*", copy)];
    from.forEach((each, i) => {
      const style = getComputedStyle(each);
      for (const name of STYLES) {
        if (each.localName === "title" || each.localName === "desc") continue;
        if (name.startsWith("font") && each.localName !== "text") continue;
        const value = style.getPropertyValue(name);
        if (value && !(name === "display" && value !== "none")) to[i].setAttribute(name, value);
      }
      if (each.dataset.tip) {
        const title = document.createElementNS(svg.namespaceURI, "title");
        title.textContent = each.dataset.tip;
        to[i].prepend(title);
      }
      to[i].removeAttribute("class");
      to[i].removeAttribute("data-tip");
    });
    const paper = document.createElementNS(svg.namespaceURI, "rect"), [, , width, height] = svg.getAttribute("viewBox").split(" ");
    const white = { width, height, fill: "#ffffff" };
    for (const name in white) paper.setAttribute(name, white[name]);
    copy.querySelector("desc").after(paper);
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    if (before === undefined) delete root.dataset.theme; else root.dataset.theme = before;
    return `<?xml version="1.0" encoding="utf-8"?>\n${new XMLSerializer().serializeToString(copy)}\n`;
  };
  for (const button of all("[data-save]")) {
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([standalone(document.getElementById(button.dataset.save))], { type: "image/svg+xml" }));
      link.download = `${button.dataset.name.replace(/[^A-Za-z0-9.-]+/g, "-")}.svg`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  }

  for (const button of all("[data-copy]")) {
    button.addEventListener("click", async () => {
      const said = button.textContent, text = document.getElementById(button.dataset.copy);
      try { await navigator.clipboard.writeText(text.textContent); button.textContent = "Copied"; } catch {
        getSelection().selectAllChildren(text);
        button.textContent = "Selected; copy it with the keyboard";
      }
      setTimeout(() => { button.textContent = said; }, 2500);
    });
  }

  let closed = [];
  addEventListener("beforeprint", () => { closed = all("details:not([open])"); closed.forEach((each) => { each.open = true; }); });
  addEventListener("afterprint", () => { closed.forEach((each) => { each.open = false; }); });
})();
