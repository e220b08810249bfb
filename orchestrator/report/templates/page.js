// Adds sorting, filters, dialogs and charts. Without it, tables, provenance and code are still readable as plain HTML.
"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

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
  const rows = all(".results tbody tr");

  function choose() {
    const text = filter.value.trim().toLowerCase();
    for (const row of rows) {
      row.hidden = !row.dataset.search.includes(text) || (status.value !== "" && row.dataset.status !== status.value);
    }
    const left = rows.filter((row) => !row.hidden).length;
    shown.textContent = left === rows.length ? "" : `${left} of ${rows.length} rows`;
    document.body.classList.toggle("filtered", left < rows.length);
    for (const section of all(".workload")) chooseInCharts(section);
  }

  // The rows of a section that the filter leaves out, by number.
  const filtered = (section) => new Set(all(".results tbody tr[hidden]", section).map((row) => Number(row.dataset.row)));

  // Hide the names in the key and the lines of numbers that belong to filtered rows. drawSection() hides their traces.
  function chooseInCharts(section) {
    const out = filtered(section);
    const names = new Set();
    for (const button of all(".key button", section)) {
      const isOut = out.has(Number(button.dataset.row));
      button.parentElement.hidden = isOut;
      if (isOut) names.add(button.querySelector("bdi").textContent);
    }
    for (const line of all(".chart tbody tr", section)) line.hidden = names.has(line.cells[0].textContent);
  }

  // Provenance: a link opens its dialog and fills in the code that the dialog refers to.
  function open(dialog) {
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

  for (const link of all("a[href^='#']")) {
    const target = byId(link.hash.slice(1));
    if (!(target instanceof HTMLDialogElement)) continue;
    link.setAttribute("aria-haspopup", "dialog");
    link.onclick = (event) => {
      event.preventDefault();
      open(target);
    };
  }
  for (const dialog of all("dialog")) {
    dialog.querySelector(".close").onclick = () => dialog.close();
    dialog.onclick = (event) => {
      if (event.target === dialog) dialog.close(); // a click outside of it
    };
  }
  addEventListener("hashchange", follow);

  // Charts: a trace's meta has its series or phase; painted() adds the colours of the theme.
  const figures = JSON.parse(byId("figures").textContent);
  const probe = document.body.appendChild(document.createElement("span"));
  probe.hidden = true;
  const SYMBOLS = ["circle", "diamond-open", "square-open"];
  const FILLS = ["100%", "35%", "10%"];
  const DASHES = ["solid", "dash", "dot"];

  function colour(name) {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  }

  function painted(trace) {
    const { hue, form, styles, phase, then } = trace.meta;
    if (phase !== undefined) return { ...trace, marker: { color: colour(`phase-${phase}`), line: { width: 0 } } };
    if (then) return { ...trace, marker: { color: "rgba(0,0,0,0)", line: { color: colour("faint"), width: 1.2 } } };
    if (styles) {
      const error = trace.error_x && { ...trace.error_x, color: colour("ink") };
      const inks = styles.map((each) => colour(`hue-${each.hue}`));
      const fills = styles.map((each, row) => inks[row].replace(")", ` / ${FILLS[each.form]})`).replaceAll(",", ""));
      return { ...trace, error_x: error, marker: { color: fills, line: { color: inks, width: 1.5 } } };
    }
    const ink = colour(`hue-${hue}`);
    const marker = { size: 8, ...trace.marker, color: ink, opacity: 1, symbol: SYMBOLS[form], line: { color: ink, width: 2 } };
    return { ...trace, marker, line: { color: ink, width: 1.8, dash: DASHES[form] } };
  }

  function framed(layout) {
    const axis = { gridcolor: colour("rule"), zerolinecolor: colour("faint"), linecolor: colour("faint"), tickcolor: colour("faint") };
    return {
      ...layout,
      shapes: layout.shapes?.map((shape) => ({ ...shape, fillcolor: colour("raised"), line: { color: colour("rule"), width: 1 } })),
      xaxis: { ...axis, ...layout.xaxis },
      yaxis: { ...axis, ...layout.yaxis },
      font: { color: colour("ink"), family: getComputedStyle(byId("theme")).fontFamily, size: 12 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("rule"), font: { color: colour("ink") } },
      margin: { l: 8, r: 8, t: 8, b: 44 },
      showlegend: layout.showlegend ?? false,
      dragmode: false,
    };
  }

  // A figure of lines without those of some rows.
  const linesWithout = ({ data, layout }, out) => ({ data: data.filter((trace) => !out.has(trace.meta.row)), layout });

  // A figure of bars without those of some rows: the others close the gaps.
  function barsWithout({ data, layout }, out) {
    const kept = [...layout.meta.rows.keys()].filter((place) => !out.has(layout.meta.rows[place]));
    const pick = (values) => values && kept.map((place) => values[place]);
    const bars = data.map((trace) => ({
      ...trace,
      x: pick(trace.x),
      y: [...kept.keys()],
      text: pick(trace.text),
      error_x: trace.error_x && { ...trace.error_x, array: pick(trace.error_x.array), arrayminus: pick(trace.error_x.arrayminus) },
      meta: { ...trace.meta, styles: pick(trace.meta.styles) },
    }));
    const annotations = pick(layout.annotations).map((each, place) => ({ ...each, y: place }));
    const xaxis = { ...layout.xaxis, range: [0, layout.meta.room * Math.max(...annotations.map((each) => each.x)) || 1] };
    const yaxis = { ...layout.yaxis, tickvals: [...kept.keys()], ticktext: pick(layout.yaxis.ticktext), range: [kept.length - 0.4, -0.6] };
    const height = layout.height - layout.meta.height * (layout.meta.rows.length - kept.length);
    return { data: bars, layout: { ...layout, annotations, xaxis, yaxis, height } };
  }

  function show(plot, { data, layout }) {
    Plotly.react(plot, data.map(painted), framed(layout), { displayModeBar: false, responsive: true });
  }

  function drawSection(section) {
    const out = filtered(section);
    const off = all(".key button[aria-pressed='false']", section).map((button) => Number(button.dataset.row));
    const withoutBoth = new Set([...out, ...off]);
    for (const plot of all(".plot", section)) {
      const figure = figures[plot.id];
      const isOfBars = figure.layout.meta !== undefined;
      const left = isOfBars ? barsWithout(figure, out) : linesWithout(figure, withoutBoth);
      plot.closest("figure").hidden = isOfBars ? left.data[0].x.length === 0 : figure.data.every(({ meta }) => out.has(meta.row));
      show(plot, left);
    }
  }

  // What a job used: drawn when its details are opened, because a page may have many of these charts.
  function drawUsage(details) {
    for (const plot of all(".plot", details)) show(plot, figures[plot.id]);
  }

  for (const details of all(".usage")) details.ontoggle = () => details.open && drawUsage(details);

  function draw() {
    all(".workload").forEach(drawSection);
    all(".usage[open]").forEach(drawUsage);
  }

  if (filter) {
    filter.oninput = status.oninput = () => {
      choose();
      draw();
    };
    choose();
  }
  draw();
  follow();

  for (const button of all(".key button")) {
    button.onclick = () => {
      button.ariaPressed = String(button.ariaPressed !== "true");
      drawSection(button.closest("section"));
    };
  }

  // Theme: the system's, until the button is used.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const label = () => (byId("theme").textContent = isDark() ? "Light" : "Dark");

  byId("theme").onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
    draw();
  };
  dark.onchange = () => {
    label();
    draw();
  };
  label();
})();
