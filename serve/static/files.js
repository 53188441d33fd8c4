// 批量打标: one file up, its progress, the result, and away again.
import { Problem, api, count, json, key, make, percent } from "./api.js";
import { draw } from "./charts.js";

const GONE = { detail: "这张表已经从服务器删除了。", status: 404 };
const POLL = 1000; // ms between questions where events do not come through
const $ = (selector) => document.querySelector(selector);

let job = ""; // id; also in the address, so that a reload finds it again
let follow = null; // the event source or timer that is running
let erase = null; // takes the chart away

function fail(problem) {
  $("#error").textContent = problem.message;
  $("#error").hidden = false;
}

function stop() {
  if (follow instanceof EventSource) follow.close();
  else clearTimeout(follow);
  follow = null;
}

/** Back to the empty page. */
function reset() {
  stop();
  job = "";
  history.replaceState(null, "", location.pathname);
  if (erase) erase();
  erase = null;
  $("#job").hidden = $("#result").hidden = true;
  $("#upload button").disabled = false;
}

function progress({ state, done, total }) {
  const bar = $("#progress");
  bar.hidden = state === "done" || state === "failed";
  if (total && state !== "queued") {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
  // In tenths, so that a screen reader is not told of every chunk.
  const tenth = total ? Math.floor((10 * done) / total) * 10 : 0;
  const text = {
    queued: "排队中，前面还有别的表",
    running: total ? `正在打标，共 ${count(total)} 行，已完成 ${tenth}%` : "正在读表",
  }[state];
  if (text && $("#state").textContent !== text) $("#state").textContent = text;
}

function start(found) {
  job = found.id;
  history.replaceState(null, "", `#${job}`);
  $("#upload button").disabled = true;
  $("#job").hidden = false;
  $("#job-name").textContent = found.name;
  $("#table").hidden = true;
  update(found);
  if (follow === null && job && (found.state === "queued" || found.state === "running")) watch();
}

function update(found) {
  progress(found);
  if (found.state !== "done" && found.state !== "failed") return;
  stop();
  $("#upload button").disabled = false;
  if (found.state === "done") finish(found);
  else failed(found.error || {});
}

function failed(problem) {
  const focused = $("#job").contains(document.activeElement);
  reset();
  fail(new Problem(problem, problem.status || 500));
  if (focused) $("#file").focus(); // what had the focus is hidden
}

/** Events where they work; an EventSource cannot send a key. */
function watch() {
  if (key()) {
    poll();
    return;
  }
  const mine = job;
  const source = new EventSource(`v1/files/${mine}/events`);
  follow = source;
  const on = (name, what) => source.addEventListener(name, (e) => mine === job && what(JSON.parse(e.data)));
  on("progress", progress);
  on("done", (data) => update({ ...data, state: "done" }));
  on("failed", (data) => {
    stop();
    failed(data);
  });
  source.addEventListener("error", () => {
    if (follow !== source) return;
    stop();
    poll();
  });
}

async function poll() {
  const mine = job;
  try {
    const found = await json(`v1/files/${mine}`);
    if (mine !== job) return;
    update(found);
    if (found.state === "queued" || found.state === "running") follow = setTimeout(poll, POLL);
  } catch (problem) {
    if (mine !== job) return;
    if (problem.status === 404) failed(GONE);
    else follow = setTimeout(poll, 5 * POLL); // restarting or busy; the job may still be there
  }
}

function finish(found) {
  const rows = found.rows ?? found.total ?? found.done;
  const read = (found.columns || []).length ? `，正文是“${found.columns.join("、")}”` : "";
  const note = found.note ? `${found.note}。` : "";
  $("#state").textContent = `做完了：${count(rows)} 行${read}。${note}`;
  $("#table").href = `v1/files/${job}/table`;
  $("#table").hidden = false;
  const { auto = 0, review = 0 } = found.lanes;
  $("#lanes").textContent = auto + review
    ? `自动分办 ${count(auto)} 条（${percent(auto / (auto + review))}），要人看 ${count(review)} 条。`
    : "没有可以打标的行。";
  const classes = Object.entries(found.classes)
    .map(([name, lanes]) => ({ name, auto: lanes.auto || 0, review: lanes.review || 0 }))
    .sort((a, b) => b.auto + b.review - a.auto - a.review);
  $("#classes tbody").replaceChildren(...classes.map((c) => make("tr", "", {},
    make("th", c.name, { scope: "row" }),
    make("td", count(c.auto), { className: "n" }), make("td", count(c.review), { className: "n" }))));
  showProblems(found.problems || []);
  showReview(found.review || [], review);
  $("#result").hidden = false;
  showChart(classes);
}

function showProblems(problems) {
  $("#problems").hidden = !problems.length;
  $("#problems ul").replaceChildren(...problems.map((p) => {
    const rows = (p.rows || []).join("、");
    const more = p.count > (p.rows || []).length ? "等" : "";
    return make("li", `${p.what}：${count(p.count)} 行${rows && `（第 ${rows} 行${more}）`}`);
  }));
}

function showReview(rows, all) {
  $("#review").hidden = !rows.length;
  $("#review .quiet").textContent = all > rows.length
    ? `只列前 ${count(rows.length)} 行，下载的表里都标成了黄色。`
    : "下载的表里都标成了黄色。";
  $("#review tbody").replaceChildren(...rows.map((r) => make("tr", "", {},
    make("td", count(r.row), { className: "n" }),
    make("td", "", {}, make("span", r.text || "（空）", { className: "clamp", title: r.text || "" })),
    make("td", r.primary, {}, make("span", ` ${percent(r.probability, 0)}`, { className: "quiet" })),
    make("td", r.reason))));
}

function showChart(classes) {
  if (erase) erase();
  $(".chart").style.height = `${70 + 30 * classes.length}px`;
  const bar = (label, lane, colour) =>
    ({ label, data: classes.map((c) => c[lane]), backgroundColor: colour, maxBarThickness: 18 });
  erase = draw($("#chart"), (colour) => ({
    type: "bar",
    data: {
      labels: classes.map((c) => c.name),
      datasets: [bar("自动", "auto", colour("--auto")), bar("人工", "review", colour("--review"))],
    },
    options: {
      indexAxis: "y",
      scales: {
        x: { stacked: true, ticks: { precision: 0 } },
        y: { stacked: true, grid: { display: false }, ticks: { autoSkip: false } },
      },
      plugins: { legend: { position: "top", align: "start", labels: { boxWidth: 14, boxHeight: 14 } } },
    },
  }));
}

$("#upload").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  const body = new FormData(form);
  for (const name of ["text", "max_error"]) if (!body.get(name).trim()) body.delete(name);
  $("#error").hidden = true;
  button.disabled = $("#delete").disabled = true;
  button.textContent = "正在上传…";
  try {
    const found = await json("v1/files", { method: "POST", body });
    reset(); // not before: a file that is refused must not cost the last result
    start(found);
    $("#job").focus();
  } catch (problem) {
    button.disabled = false;
    if (document.activeElement === document.body) $("#file").focus(); // the button lost it
    // A server that refuses a large file may hang up before the browser reads why.
    fail(problem.status ? problem : new Error("没有传上去：连不上服务，或者文件太大。"));
  } finally {
    button.textContent = "开始打标";
    $("#delete").disabled = false;
  }
});

// A plain link cannot send a key, and shows the answer for a table that is gone as it is.
$("#table").addEventListener("click", async (event) => {
  event.preventDefault();
  $("#error").hidden = true;
  const address = event.target.href;
  try {
    await api(`v1/files/${job}`);
    if (!key()) {
      make("a", "", { href: address, download: "" }).click();
      return;
    }
    const response = await api(address);
    const named = /filename\*=UTF-8''([^;]+)/i.exec(response.headers.get("Content-Disposition"));
    const link = make("a", "", { href: URL.createObjectURL(await response.blob()) });
    link.download = named ? decodeURIComponent(named[1]) : "打标.xlsx";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (problem) {
    fail(problem.status === 404 ? new Problem(GONE) : problem);
  }
});

$("#delete").addEventListener("click", async () => {
  const mine = job;
  const open = follow !== null;
  stop();
  try {
    await api(`v1/files/${mine}`, { method: "DELETE" });
  } catch (problem) {
    if (problem.status !== 404) {
      fail(problem);
      if (open) poll();
      return;
    }
  }
  reset();
  $("#upload").reset();
  $("#file").focus();
});

const drop = $("#drop");
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  drop.addEventListener(name, () => drop.classList.remove("over"));
}
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  const { files } = event.dataTransfer;
  if (files.length > 1) fail(new Error("一次只能打一张表，请一张一张地放。"));
  else if (files.length) $("#file").files = files;
});

if (location.hash.length > 1) {
  const id = location.hash.slice(1);
  json(`v1/files/${encodeURIComponent(id)}`).then(start, (problem) => {
    if (problem.status === 404) reset();
    else fail(problem); // the address still leads to the table
  });
}
