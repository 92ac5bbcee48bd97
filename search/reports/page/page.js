"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const plots = new Map();
  for (const chart of data.charts) {
    for (const trace of chart.figure.data) {
      if (trace.text) trace.text = trace.text.map((place) => data.texts[place]);
    }
  }

  // -- the charts ------------------------------------------------------------

  // Plotly's program is in the page as gzip; the page's policy knows its hash and lets it run.
  async function unpack() {
    const packed = atob(document.getElementById("plotly").textContent.trim());
    const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const program = document.createElement("script");
    program.textContent = await new Response(stream).text();
    document.head.append(program);
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // Colours of text and grid, which follow the page's.
  function theme() {
    const [ink, line, page] = [colour("--ink"), colour("--line"), colour("--page")];
    return {
      "paper_bgcolor": page, "plot_bgcolor": page, "font.color": ink,
      "font.family": getComputedStyle(document.body).fontFamily, "font.size": 13,
      "xaxis.gridcolor": line, "yaxis.gridcolor": line, "xaxis.linecolor": line, "yaxis.linecolor": line,
      "hoverlabel.bgcolor": colour("--raised"), "hoverlabel.bordercolor": line, "hoverlabel.font.color": ink,
      "hoverlabel.align": "left",
    };
  }

  function repaint() {
    for (const plot of plots.values()) Plotly.relayout(plot, theme());
  }

  function budgetLine(budget) {
    if (budget === null) return [];
    const line = { color: "#D55E00", dash: "dash", width: 2 };
    return [{ type: "line", xref: "x", yref: "paper", x0: budget, x1: budget, y0: 0, y1: 1, line }];
  }

  function chooseAxis(chart, place) {
    const axis = chart.axes[place];
    const plot = plots.get(chart.name);
    const modes = chart.figure.data.map((trace) => {
      const mode = trace.mode || "markers";
      return axis.lines ? mode : mode.replace("lines+", "");
    });
    const layout = {
      "xaxis.title.text": plain(axis.title), "shapes": budgetLine(axis.budget),
      ...shown("xaxis", axis.range), ...shown("yaxis", axis.lines ? chart.figure.layout.yaxis.range : null),
    };
    return Plotly.update(plot, { x: axis.x, mode: modes }, layout);
  }

  // What is shown of an axis: a range, or all.
  function shown(axis, range) {
    return range ? { [axis + ".range"]: range } : { [axis + ".autorange"]: true };
  }

  function plain(text) {
    return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  }

  async function draw(chart) {
    const element = document.getElementById("chart-" + chart.name);
    const layout = structuredClone(chart.figure.layout);
    const narrow = element.clientWidth < 600;
    if (!layout.height) layout.height = 460 + (narrow ? 22 * chart.figure.data.length : 0);
    if (narrow) layout.margin.l = 44;
    element.style.height = layout.height + "px";  // what Plotly fits the chart into when the window changes
    if (chart.axes.length) layout.shapes = budgetLine(chart.axes[0].budget);
    element.replaceChildren();
    const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "autoScale2d", "resetScale2d"]] };
    await Plotly.newPlot(element, structuredClone(chart.figure.data), layout, config);
    await Plotly.relayout(element, theme());
    plots.set(chart.name, element);
    walkable(chart, element);
    const choice = document.getElementById("axis-" + chart.name);
    if (choice) choice.addEventListener("change", () => chooseAxis(chart, Number(choice.value)));
  }

  // Left and right walk over the points of a trace, up and down over the traces.
  function walkable(chart, element) {
    const told = document.getElementById("point-" + chart.name);
    const texts = chart.figure.data.map((trace) => trace.text || []);
    const withPoints = texts.map((_, i) => i).filter((i) => texts[i].length && chart.figure.data[i].hoverinfo !== "skip");
    let [trace, point] = [0, -1];
    const show = () => {
      const curve = withPoints[trace];
      Plotly.Fx.hover(element, [{ curveNumber: curve, pointNumber: point }]);
      told.textContent = inWords(chart.figure.data[curve].name + ": " + texts[curve][point]);
    };
    element.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      if (event.key === "Escape") { Plotly.Fx.unhover(element); told.textContent = ""; point = -1; }
      if (!steps || !withPoints.length) return;
      event.preventDefault();
      trace = (trace + steps[0] + withPoints.length) % withPoints.length;
      const count = texts[withPoints[trace]].length;
      point = steps[0] ? 0 : (point + steps[1] + count) % count;
      show();
    });
  }

  function inWords(markup) {
    const text = markup.replaceAll("<br>", "; ").replace(/<\/?b>/g, "");
    return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
  }

  // -- tables ----------------------------------------------------------------

  function sortable(table) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => {
        const direction = heading.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", direction);
        sortRows(table.tBodies[0], column, direction === "ascending" ? 1 : -1);
      });
    });
  }

  // Numbers by their value, others by their text; what is empty comes last in both directions.
  function sortRows(body, column, sign) {
    const key = (row) => row.cells[column].dataset.sort ?? "";
    const rows = [...body.rows];
    const numeric = rows.some((row) => key(row) !== "");
    const text = (row) => row.cells[column].textContent;
    rows.sort((a, b) => {
      if (!numeric) return sign * text(a).localeCompare(text(b), "en", { numeric: true });
      if ((key(a) === "") !== (key(b) === "")) return key(a) === "" ? 1 : -1;
      return sign * (Number(key(a)) - Number(key(b)));
    });
    body.append(...rows);
  }

  // -- a search that goes on ---------------------------------------------------

  async function follow() {
    const live = document.getElementById("live");
    try {
      const found = await (await fetch("version", { cache: "no-store" })).text();
      if (found !== data.polled) return location.reload();
      live.textContent = "Follows the search: the page loads itself anew when there is news.";
    } catch {
      live.textContent = "Nobody serves this page any more; it shows what was known last.";
    }
    setTimeout(follow, 3000);
  }

  // -- begin -------------------------------------------------------------------

  document.querySelectorAll("table.sortable").forEach(sortable);
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    if (window.Plotly) repaint();
  });
  window.addEventListener("afterprint", () => window.Plotly && repaint());
  if (data.polled !== null) setTimeout(follow, 3000);
  (data.charts.length ? unpack() : Promise.resolve())
    .then(() => Promise.all(data.charts.map(draw)))
    .then(() => {
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
      document.documentElement.dataset.drawn = "yes";
    })
    .catch((error) => {
      document.querySelectorAll(".plot").forEach((plot) => {
        if (!plots.size) plot.textContent = "This browser cannot draw the charts (" + error + "); the tables have the same figures.";
      });
      document.documentElement.dataset.drawn = "failed";
    });
})();
