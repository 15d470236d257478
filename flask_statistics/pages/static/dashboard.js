// Draws the chart from the table beside it, and swaps it for another metric without loading the
// page anew. Without this script everything works by links.
(() => {
  "use strict";

  const number = (text) => (text === "" ? null : Number(text));

  function readTable(section) {
    const rows = [...section.querySelectorAll(".st-numbers tbody tr")];
    const cell = (row, index) => row.querySelectorAll("td data")[index];
    const before = rows.length > 0 && cell(rows[0], 1) !== undefined;
    return {
      names: rows.map((row) => row.cells[0].textContent.trim()),
      short: rows.map((row) => row.cells[0].dataset.short),
      now: rows.map((row) => number(cell(row, 0).value)),
      nowTexts: rows.map((row) => cell(row, 0).parentNode.textContent.trim() || "still to come"),
      running: rows.findIndex((row) => row.dataset.state === "running"),
      before: before ? rows.map((row) => number(cell(row, 1).value)) : null,
      beforeTexts: before ? rows.map((row) => cell(row, 1).textContent) : null,
    };
  }

  function scaled(value, steps) {
    const [factor, unit] = steps.find(([factor]) => Math.abs(value) >= factor) ?? steps.at(-1);
    return `${+(value / factor).toPrecision(3)}${unit}`;
  }

  const FORMATS = {
    count: (value) => scaled(value, [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]]),
    number: (value) => scaled(value, [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]]),
    bytes: (value) => scaled(value, [[1e9, " GB"], [1e6, " MB"], [1e3, " kB"], [1, " B"]]),
    seconds: (value) => (value === 0 ? "0" : scaled(value, [[60, " min"], [1, " s"], [1e-3, " ms"]])),
    share: (value) => `${+(value * 100).toPrecision(3)} %`,
  };

  function colour(element, name) {
    return getComputedStyle(element).getPropertyValue(name).trim();
  }

  // Shows what the pointer is at; text only, never markup.
  function hint(table) {
    const box = document.createElement("div");
    box.className = "st-hint";
    box.hidden = true;
    const line = (tag, text) => {
      const element = document.createElement(tag);
      element.textContent = text;
      box.append(element);
    };
    return {
      hooks: {
        init: (plot) => plot.over.append(box),
        setCursor: (plot) => {
          const index = plot.cursor.idx;
          box.hidden = index == null || plot.cursor.left < 0;
          if (box.hidden) return;
          box.replaceChildren();
          line("span", table.names[index]);
          line("strong", table.nowTexts[index]);
          if (table.before) line("span", `before: ${table.beforeTexts[index]}`);
          const x = plot.valToPos(index, "x");
          const room = plot.over.clientWidth;
          const side = x + box.offsetWidth + 14 > room ? x - box.offsetWidth - 10 : x + 10;
          box.style.left = `${Math.max(0, side)}px`;
        },
      },
    };
  }

  function options(holder, table) {
    const count = table.now.length;
    const soft = colour(holder, "--st-soft");
    const line = colour(holder, "--st-line");
    const accent = colour(holder, "--st-accent");
    const font = `12px ${getComputedStyle(holder).fontFamily}`;
    const format = FORMATS[holder.dataset.unit];
    const wholeOnly = holder.dataset.unit === "count";
    const fill = (plot) => {
      const gradient = plot.ctx.createLinearGradient(0, plot.bbox.top, 0, plot.bbox.top + plot.bbox.height);
      gradient.addColorStop(0, `${accent}38`);
      gradient.addColorStop(1, `${accent}05`);
      return gradient;
    };
    const series = [
      {},
      { stroke: accent, width: 2, fill, points: { show: count <= 45, size: 5, fill: accent } },
    ];
    if (table.running >= 0) {
      // No line leads to it: what is not over yet would look like a plunge.
      series.push({ stroke: accent, width: 0, points: { show: true, size: 8, width: 2, stroke: accent, fill: colour(holder, "--st-card") } });
    }
    if (table.before) {
      series.push({ stroke: colour(holder, "--st-before"), width: 1.5, dash: [5, 4], points: { show: false } });
    }
    return {
      width: holder.clientWidth,
      height: holder.clientHeight,
      padding: [10, 22, 0, 0],
      legend: { show: false },
      plugins: [hint(table)],
      cursor: {
        y: false,
        drag: { x: false, y: false, setScale: false },
        points: { size: 8, fill: accent, stroke: colour(holder, "--st-card"), width: 2 },
      },
      scales: {
        x: { time: false, range: () => (count > 1 ? [0, count - 1] : [-1, 1]) },
        y: { range: (plot, low, high) => [0, high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        {
          stroke: soft, font, grid: { show: false }, ticks: { show: false }, gap: 6, size: 28,
          splits: (plot) => splits(plot, table, holder.dataset.interval),
          values: (plot, found) => found.map((index) => table.short[index] ?? ""),
        },
        {
          stroke: soft, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, gap: 6,
          size: 56, space: 44,
          incrs: wholeOnly ? [1, 2, 5].flatMap((n) => [...Array(16).keys()].map((e) => n * 10 ** e)).sort((a, b) => a - b) : undefined,
          values: (plot, found) => found.map((value) => format(value)),
        },
      ],
      series,
    };
  }

  // Every nth bucket has a label, so that they do not touch; n divides days and weeks.
  const STEPS = { hour: [1, 2, 3, 6, 12, 24, 48, 72, 168], day: [1, 2, 3, 7, 14, 28, 56] };

  function splits(plot, table, interval) {
    const count = table.now.length;
    const room = Math.max(1, Math.floor(plot.width / 78));
    const least = Math.ceil(count / room);
    const step = (STEPS[interval] ?? [1, 2, 3, 4, 6, 12]).find((n) => n >= least) ?? least;
    const found = [];
    for (let index = 0; index < count; index += step) found.push(index);
    return found;
  }

  let drawn = null;

  function draw() {
    const section = document.getElementById("st-chart");
    const holder = section && section.querySelector(".st-plot");
    if (!holder || typeof uPlot === "undefined") return;
    if (drawn) drawn.destroy();
    const table = readTable(section);
    holder.hidden = false;
    const legend = section.querySelector(".st-legend");
    if (legend) legend.hidden = false;
    const { now, running } = table;
    const data = [now.map((_, index) => index), now.map((value, index) => (index === running ? null : value))];
    if (running >= 0) data.push(now.map((value, index) => (index === running ? value : null)));
    if (table.before) data.push(table.before);
    drawn = new uPlot(options(holder, table), data, holder);
  }

  function resize() {
    const holder = document.querySelector("#st-chart .st-plot");
    if (drawn && holder && holder.clientWidth !== drawn.width) {
      drawn.setSize({ width: holder.clientWidth, height: holder.clientHeight });
    }
  }

  // What the other links of the page say about the metric must follow the chart.
  function keepMetric(metric) {
    for (const link of document.querySelectorAll(".statistics a[href^='/']")) {
      if (link.closest("#st-chart")) continue;
      const url = new URL(link.href);
      url.searchParams.set("metric", metric);
      link.href = url.pathname + url.search + url.hash;
    }
    for (const form of document.querySelectorAll(".statistics form.st-days")) {
      let input = form.querySelector("input[name=metric]");
      if (!input) {
        input = Object.assign(document.createElement("input"), { type: "hidden", name: "metric" });
        form.append(input);
      }
      input.value = metric;
    }
  }

  async function swap(link) {
    const section = document.getElementById("st-chart");
    const plot = section.querySelector(".st-plot");
    if (plot) plot.classList.add("st-loading");
    const open = section.querySelector("details.st-numbers")?.open;
    const url = new URL(link.href);
    const answer = await fetch(section.dataset.fragment + url.search, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(answer.statusText);
    const fetched = new DOMParser().parseFromString(await answer.text(), "text/html");
    const replacement = fetched.getElementById("st-chart");
    if (!replacement) throw new Error("no chart");
    if (drawn) drawn.destroy();
    drawn = null;
    section.replaceWith(document.adoptNode(replacement));
    const numbers = replacement.querySelector("details.st-numbers");
    if (numbers && open) numbers.open = true;
    history.pushState(null, "", url);
    draw();
    keepMetric(link.dataset.metric);
    replacement.querySelector(`[data-metric="${link.dataset.metric}"]`)?.focus({ preventScroll: true });
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#st-chart a[data-metric]");
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);
    if (!link || !plain) return;
    event.preventDefault();
    swap(link).catch(() => location.assign(link.href));
  });
  window.addEventListener("popstate", () => location.reload());
  window.addEventListener("resize", resize);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
