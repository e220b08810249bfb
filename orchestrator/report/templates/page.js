// Adds sorting, a filter, dialogs, copying and the theme. Without it, everything is still readable as plain HTML.
"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

  // What is folded is the text of noscript elements, so that a page with many results opens quickly.
  function fill(part) {
    for (const waiting of all(":scope > noscript", part)) {
      const holder = document.createElement("template");
      holder.innerHTML = waiting.textContent; // escaped on the host
      waiting.replaceWith(holder.content);
    }
  }

  addEventListener("toggle", ({ target }) => target.open && target.matches("details") && fill(target), true);

  // Tables: sort by a heading, filter by name and status.
  const key = (row, column, isNumber) => {
    const text = row.cells[column].dataset.key;
    return text === "" ? null : isNumber ? Number(text) : text;
  };

  function sort(heading) {
    const table = heading.closest("table");
    const column = heading.cellIndex;
    const isNumber = heading.classList.contains("number");
    const direction = heading.ariaSort === "ascending" ? -1 : 1;
    for (const other of all("thead th", table)) other.ariaSort = "none";
    heading.ariaSort = direction === 1 ? "ascending" : "descending";
    const order = (a, b) => {
      const [x, y] = [key(a, column, isNumber), key(b, column, isNumber)];
      if (x === null || y === null) return (x === null) - (y === null); // empty cells always come last
      return direction * (isNumber ? x - y : x.localeCompare(y));
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
  }

  for (const heading of all(".results thead th")) heading.querySelector("button").onclick = () => sort(heading);

  const [filter, status, shown] = ["filter", "status", "shown"].map(byId);

  function choose() {
    const text = filter.value.trim().toLowerCase();
    const rows = all(".results tbody tr");
    for (const row of rows) {
      row.hidden = !row.dataset.search.includes(text) || (status.value !== "" && row.dataset.status !== status.value);
    }
    const left = rows.filter((row) => !row.hidden).length;
    shown.textContent = left === rows.length ? "" : left ? `${left} of ${rows.length} rows` : "No row matches.";
    document.body.classList.toggle("filtered", left < rows.length);
    for (const section of all(".workload")) {
      section.querySelector(".none").hidden = section.querySelector(".results tbody tr:not([hidden])") !== null;
      chooseInCharts(section);
    }
  }

  // Hide the bars, lines and names in the key that belong to filtered rows, and the lines that the key switched off.
  function chooseInCharts(section) {
    const numbers = (selector) => new Set(all(selector, section).map((each) => each.closest("[data-row]").dataset.row));
    const out = numbers(".results tbody tr[hidden]");
    const off = numbers(".key button[aria-pressed='false']");
    for (const each of all(".bar-list li, .key li, .series", section)) {
      const isOff = each.matches(".series") && off.has(each.dataset.row);
      each.toggleAttribute("hidden", out.has(each.dataset.row) || isOff);
    }
    for (const figure of all("figure", section)) {
      figure.hidden = all("[data-row]", figure).every((each) => out.has(each.dataset.row));
    }
  }

  if (filter) filter.oninput = status.oninput = choose;
  for (const button of all(".key button")) {
    button.onclick = () => {
      button.ariaPressed = String(button.ariaPressed !== "true");
      chooseInCharts(button.closest("section"));
    };
  }

  // Details: a row opens its dialog, which shows the code that it refers to.
  function open(dialog) {
    fill(dialog);
    for (const place of all("[data-source]:not([data-filled])", dialog)) {
      const copy = byId(place.dataset.source).cloneNode(true);
      copy.removeAttribute("id");
      place.replaceChildren(copy);
      place.dataset.filled = "";
    }
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  function follow() {
    const target = byId(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDialogElement) open(target);
    if (target instanceof HTMLDetailsElement) target.open = true;
  }

  // Of a file the clipboard may be out of reach; then the text is selected and copied as by hand.
  async function copy(button) {
    const text = button.parentElement.querySelector("pre");
    try {
      await navigator.clipboard.writeText(text.textContent.trim());
    } catch {
      getSelection().selectAllChildren(text);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  }

  document.onclick = (event) => {
    const { target } = event;
    const row = target.closest(".results tbody tr");
    const isPlain = !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (row && isPlain && getSelection().isCollapsed) {
      event.preventDefault();
      row.querySelector("a").focus({ preventScroll: true }); // where the focus returns to
      open(byId(row.dataset.details));
    }
    if (target.matches(".copy")) copy(target);
    if (target.matches(".close, dialog")) target.closest("dialog").close(); // the dialog itself: a click outside of it
  };
  addEventListener("hashchange", follow);
  follow();

  // Print: everything but the code is opened, then folded again.
  let folded = [];
  addEventListener("beforeprint", () => {
    all("dialog").forEach(fill);
    folded = all("details:not([open], .code)");
    for (const each of folded) {
      fill(each);
      each.open = true;
    }
  });
  addEventListener("afterprint", () => folded.forEach((each) => (each.open = false)));

  // Theme: the system's, until the button is used.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const label = () => (byId("theme").textContent = isDark() ? "Light" : "Dark");

  byId("theme").onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
  };
  dark.onchange = label;
  label();
})();
