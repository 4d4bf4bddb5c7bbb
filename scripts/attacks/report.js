"use strict";
// Unpacks and draws a chart when it is about to come into view; two buttons change the scales of prices.
// Variants of an attack are shown in the summary on demand.

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(plain).text());
}

async function draw(plot) {
  const figure = await unpack(plot.querySelector("script").textContent);
  plot.textContent = "";
  await Plotly.newPlot(plot, figure.data, figure.layout, { displayModeBar: false, responsive: true });
  if (!figure.layout.meta?.ranges) return;
  const { log, ranges } = figure.layout.meta;
  const chosen = { log, own: false };
  const tools = plot.previousElementSibling;
  const show = () => {
    for (const button of tools.children) button.setAttribute("aria-pressed", chosen[button.dataset.do]);
  };
  tools.addEventListener("click", (event) => {
    const what = event.target.dataset.do;
    if (!what) return;
    chosen[what] = !chosen[what];
    const change = {};
    for (const column of [1, 2, 3]) {
      const axis = column === 1 ? "yaxis" : "yaxis" + column;
      const range = (chosen.own && ranges[column]) || ranges.all;
      const kind = chosen.log && range.log ? "log" : "linear";
      change[axis + ".matches"] = chosen.own || column === 1 ? null : "y";
      change[axis + ".showticklabels"] = chosen.own || column === 1;
      change[axis + ".type"] = kind;
      change[axis + ".tickmode"] = kind === "log" && !chosen.own ? "array" : "auto";
      change[axis + ".range"] = range[kind];
    }
    Plotly.relayout(plot, change);
    show();
  });
  tools.hidden = false;
  show();
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
      near.unobserve(target);
      draw(target);
    }
  },
  { rootMargin: "600px" },
);
for (const button of document.querySelectorAll(".more")) {
  const rows = document.getElementById(button.getAttribute("aria-controls"));
  const toggle = () => {
    rows.hidden = !rows.hidden;
    button.setAttribute("aria-expanded", !rows.hidden);
  };
  button.addEventListener("click", toggle);
  toggle();
}
for (const plot of document.querySelectorAll(".plot")) near.observe(plot);
