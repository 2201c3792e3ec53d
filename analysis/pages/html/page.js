"use strict";
// Tables: a click on a column's name sorts by it, once more the other way round. Numbers are sorted as numbers.
const sizeOf = (text) => {
  const found = text.replace(/,(?=\d{3})/g, "").replace(/\u2212/g, "-").match(/[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
  return found ? Number(found[0]) : NaN;
};
const compareCells = (a, b) => {
  const [x, y] = [sizeOf(a), sizeOf(b)];
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  return Number.isNaN(x) || x === y ? a.localeCompare(b, "en", { numeric: true }) : x - y;
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) =>
      (up ? 1 : -1) * compareCells(a.cells[column].textContent, b.cells[column].textContent));
    body.append(...rows);
  }));
}

// Charts: each as wide as its figure; those in a folded part are drawn when it is opened.
const draw = (chart) => {
  if (chart.dataset.state || typeof vegaEmbed === "undefined") return Promise.resolve();
  chart.dataset.state = "drawing";
  const spec = JSON.parse(chart.nextElementSibling.textContent);
  const actions = { export: true, source: false, compiled: false, editor: false };
  return vegaEmbed(chart, spec, { mode: "vega-lite", renderer: "svg", actions, tooltip: { theme: "light" } })
    .then(() => { chart.dataset.state = "drawn"; })
    .catch((error) => { chart.dataset.state = "failed"; chart.textContent = `not drawn: ${error.message}`; });
};
const drawVisible = (within) => {
  for (const chart of within.querySelectorAll(".chart")) if (chart.checkVisibility()) draw(chart);
};
drawVisible(document);
for (const part of document.querySelectorAll("details")) {
  part.addEventListener("toggle", () => { if (part.open) drawVisible(part); });
}

// A link to what is behind a line opens it.
const openAsked = () => {
  const asked = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (asked && asked.tagName === "DETAILS") { asked.open = true; asked.scrollIntoView(); }
};
addEventListener("hashchange", openAsked);
for (const link of document.querySelectorAll("td a")) link.addEventListener("click", () => setTimeout(openAsked));
openAsked();
