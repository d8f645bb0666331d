// What the pages need beyond htmx: times in the viewer's zone, the chart of the rate, the dialog, the state of the live line.
"use strict";
(() => {
  const zone = { minute: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
                 second: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" } };

  function age(seconds) {
    if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  }

  function times() {
    for (const element of document.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime), how = element.dataset.how;
      const seconds = (Date.now() - at) / 1000;
      const text = how === "ago" ? age(Math.abs(seconds)) : at.toLocaleString(undefined, zone[how] || zone.minute);
      if (element.textContent !== text) element.textContent = text;
      if (!element.title) element.title = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
    }
  }

  let chart = null, drawn = "";
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function draw() {
    const place = document.getElementById("chart");
    if (!place || !window.uPlot) return;
    const rows = JSON.parse(place.dataset.rows);
    const data = [rows.map(row => row[0]), rows.map(row => row[1]), rows.map(row => row[2])];
    if (chart) { chart.rows = rows; chart.setData(data); return; }
    const tip = document.createElement("div");
    tip.className = "u-tip"; tip.hidden = true;
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const money = value => "$" + (value / 1e9).toLocaleString(undefined, { maximumSignificantDigits: 3 });
    const compact = new Intl.NumberFormat(undefined, { notation: "compact" });
    const bars = uPlot.paths.bars({ size: [0.8, 24] });
    chart = new uPlot({
      width: place.clientWidth, height: 150, cursor: { y: false, points: { show: false } }, legend: { show: false }, padding: [8, 0, 0, 0],
      scales: { y: { range: (u, low, high) => [0, Math.max(high, 1e7) * 1.1] }, tokens: { range: (u, low, high) => [0, Math.max(high, 1) * 1.1] } },
      axes: [{ ...axis, size: 26, values: (u, ticks) => ticks.map(tick => new Date(tick * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })) }, { ...axis, stroke: colour("--spent"), size: 62, values: (u, ticks) => ticks.map(money) },
             { ...axis, stroke: colour("--held"), scale: "tokens", side: 1, size: 50, grid: { show: false }, values: (u, ticks) => ticks.map(tick => compact.format(tick)) }],
      series: [{}, { label: "spent", paths: bars, fill: colour("--spent"), stroke: colour("--spent"), width: 0, points: { show: false } },
               { label: "tokens", scale: "tokens", stroke: colour("--held"), width: 1.5, points: { show: false } }],
      hooks: { setCursor: [u => {
        const at = u.cursor.idx;
        tip.hidden = at == null || u.cursor.left < 0;
        if (tip.hidden) return;
        const row = chart.rows[at];
        tip.textContent = `${new Date(row[0] * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })}  ${row[3]}  ${row[2].toLocaleString()} tokens`;
        tip.style.left = Math.min(u.cursor.left, u.over.clientWidth - tip.offsetWidth) + "px"; tip.style.top = "2px";
      }] },
    }, data, place);
    chart.rows = rows;
    chart.over.append(tip);
  }
  function anew() { if (chart) { chart.destroy(); chart = null; } draw(); }

  function freshen() {
    times();
    const place = document.getElementById("chart");
    if (place && place.dataset.rows !== drawn) { drawn = place.dataset.rows; draw(); }
    const dialog = document.getElementById("dialog");
    if (dialog && dialog.firstElementChild && !dialog.open) dialog.showModal();
  }
  function close() {
    const dialog = document.getElementById("dialog");
    if (dialog) { dialog.close(); dialog.replaceChildren(); }
  }
  function line(state, text) {
    document.body.dataset.live = state;
    const element = document.getElementById("line");
    if (element) element.textContent = text;
  }

  function open() { const target = location.hash && document.getElementById(location.hash.slice(1)); if (target instanceof HTMLDetailsElement) target.open = true; }
  addEventListener("hashchange", open);

  document.addEventListener("DOMContentLoaded", freshen);
  document.addEventListener("htmx:after:swap", freshen);
  document.addEventListener("htmx:after:settle", freshen);
  document.addEventListener("done", close);
  document.addEventListener("click", event => { if (event.target.closest("[data-close]")) close(); });
  document.addEventListener("cancel", event => { if (event.target.id === "dialog") { event.preventDefault(); close(); } }, true);
  document.addEventListener("htmx:sse:after:connection", () => line("on", "live"));
  document.addEventListener("htmx:sse:after:message", freshen);
  document.addEventListener("htmx:sse:error", event => {
    if (event.detail.status === 401) location.reload();
    line("off", "not connected");
  });
  setInterval(times, 5000);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);
  let width = 0;
  addEventListener("resize", () => { const place = document.getElementById("chart"); if (place && place.clientWidth !== width) { width = place.clientWidth; if (chart) chart.setSize({ width, height: 150 }); } });
})();
