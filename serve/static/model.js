// 模型: what the served model is, how far it can be trusted, and its card.
import { json, make, percent } from "./api.js";
import { draw } from "./charts.js";

const PROMISES = [0.01, 0.02, 0.05, 0.1];
const $ = (selector) => document.querySelector(selector);

/** The point of the curve that a promise leads to, as the library finds it; or undefined. */
function kept(curve, promise) {
  return curve.filter(([, , , bound]) => bound <= promise).at(-1);
}

function showFigures(model) {
  const now = kept(model.curve, model.max_error);
  const figures = [
    ["自动分办里最多错", percent(model.max_error)],
    ["可以自动分办", now ? percent(now[1]) : "没有"],
    ["门槛", model.threshold.toFixed(3)],
    ["温度", model.temperature.toFixed(2)],
  ];
  $("#figures").replaceChildren(
    ...figures.map(([name, value]) => make("div", "", {}, make("dt", name), make("dd", value))),
  );
}

function showPromises(model) {
  $("#promises tbody").replaceChildren(...PROMISES.map((promise) => {
    const point = kept(model.curve, promise);
    const cells = point
      ? [point[0].toFixed(3), percent(point[1]), percent(point[2])]
      : ["—", "做不到", "—"];
    return make("tr", "", {}, make("th", percent(promise), { scope: "row", className: "n" }),
      ...cells.map((text) => make("td", text, { className: "n" })));
  }));
}

function showCurve(model) {
  const share = (value) => percent(value, 0);
  const points = (column) => model.curve.map((row) => ({ x: row[1], y: row[column] }));
  // The bound of the first few messages is near 1 and would flatten all the rest.
  const top = Math.max(0.1, ...model.curve.map((row) => row[2])) * 1.2;
  draw($("#curve"), (colour) => ({
    type: "line",
    data: {
      datasets: [
        { label: "错误率", data: points(2), borderColor: colour("--auto"), borderWidth: 2 },
        { label: "上界", data: points(3), borderColor: colour("--review"), borderWidth: 2 },
        {
          label: `承诺 ${percent(model.max_error)}`, borderColor: colour("--quiet"), borderWidth: 1,
          borderDash: [6, 4], data: [0, 1].map((x) => ({ x, y: model.max_error })),
        },
      ],
    },
    options: {
      datasets: { line: { pointRadius: 0, pointHitRadius: 8 } },
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales: {
        x: { type: "linear", min: 0, max: 1, ticks: { callback: share }, title: { display: true, text: "自动分办的份额" } },
        y: { min: 0, max: Math.min(1, top), ticks: { callback: (v) => percent(v) }, title: { display: true, text: "其中错的" } },
      },
      plugins: {
        legend: { position: "top", align: "start", labels: { usePointStyle: true, pointStyle: "line" } },
        tooltip: {
          callbacks: {
            title: ([item]) => `自动分办 ${percent(item.parsed.x)}`,
            label: (item) => `${item.dataset.label}：${percent(item.parsed.y, 2)}`,
          },
        },
      },
    },
  }));
}

function showClasses(taxonomy) {
  $("#classes-title").textContent = taxonomy.name;
  $("#classes tbody").replaceChildren(...taxonomy.classes.map((c) => make("tr", "", {},
    make("th", c.name, { scope: "row" }), make("td", c.scope), make("td", c.office))));
}

/** The card: HTML that the server made and cleaned; its headings go below the page's own. */
function showCard(html) {
  const card = new DOMParser().parseFromString(html, "text/html").body;
  for (const heading of card.querySelectorAll("h1, h2, h3, h4, h5")) {
    heading.replaceWith(make(`h${Number(heading.tagName[1]) + 1}`, "", {}, ...heading.childNodes));
  }
  for (const [n, table] of card.querySelectorAll("table").entries()) {
    const scroll = make("div", "", { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", `表格 ${n + 1}`);
    table.replaceWith(scroll);
    scroll.append(table);
  }
  $("#card").replaceChildren(...card.childNodes);
}

try {
  const [model, taxonomy] = await Promise.all([json("v1/model"), json("v1/taxonomy")]);
  $("#id").textContent = model.id;
  showFigures(model);
  showPromises(model);
  showClasses(taxonomy);
  showCard(model.card_html);
  $("#found").hidden = false;
  showCurve(model);
} catch (problem) {
  $("#error").textContent = problem.message;
  $("#error").hidden = false;
}
