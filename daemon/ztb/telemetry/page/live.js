(() => {
  "use strict";
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const CURVES = ["marks", "updates"];
  const MOST = { marks: 4000, updates: 4000, fills: 500, generations: 200, alerts: 100 };
  const data = { marks: [], fills: [], updates: [], generations: [], alerts: [] };
  let now = null;

  // Words for figures.
  const minus = (text) => text.replace("-", "\u2212");
  const number = (v, digits = 2) => minus(v.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const short = (v) => minus(String(Number(v.toPrecision(4))));
  const signed = (v, words) => (v > 0 ? "+" : "") + words(v);
  const percent = (v, digits = 2) => `${number(v * 100, digits)} %`;
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const at = (seconds) => (seconds ? clock.format(new Date(seconds * 1000)) : "at the start");
  function span(seconds) {
    if (seconds < 120) return `${Math.round(seconds)} s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
    return seconds < 172800 ? `${number(seconds / 3600, 1)} h` : `${number(seconds / 86400, 1)} d`;
  }

  function element(tag, name, ...content) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.append(...content);
    return made;
  }

  function list(id, items, empty) {
    byId(id).replaceChildren(...(items.length ? items : [element("li", "none", empty)]));
  }

  // Charts.
  const plots = [];

  const hour = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit" });
  const second = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });
  const times = (_plot, splits, _axis, _space, step) => splits.map((seconds) => {
    const moment = new Date(seconds * 1000);
    return step >= 86400 || seconds % 86400 === 0 ? day.format(moment) : step < 60 ? second.format(moment) : hour.format(moment);
  });

  function axis(size, values) {
    return { stroke: () => css("muted"), grid: { stroke: () => css("grid"), width: 1 }, ticks: { show: false }, size, values, font: "12px system-ui, sans-serif" };
  }

  function line(label, color, extra) {
    return { label, stroke: () => css(color), width: 1.75, spanGaps: true, points: { show: false }, ...extra };
  }

  function triangles(plot) {
    const { ctx, bbox } = plot;
    const size = 5 * devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const [x, price, side] of data.fills) {
      const left = plot.valToPos(x, "x", true);
      const top = plot.valToPos(price, "y", true) + side * size;
      ctx.fillStyle = css(side > 0 ? "good" : "bad");
      ctx.strokeStyle = css("panel");
      ctx.beginPath();
      ctx.moveTo(left, top - side * size * 1.4);
      ctx.lineTo(left - size, top + side * size * 0.5);
      ctx.lineTo(left + size, top + side * size * 0.5);
      ctx.closePath();
      ctx.fill();
      ctx.stroke();
    }
    ctx.restore();
  }

  function chart(id, height, time, series, columns, draw) {
    const place = byId(id);
    const options = {
      width: place.clientWidth || 320,
      height,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { x: { time } },
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      axes: [axis(30, time ? times : undefined), axis(64, (_, splits) => splits.map((v) => (Math.abs(v) >= 1000 ? number(v, 0) : short(v))))],
      series: [{}, ...series],
      hooks: { draw: draw ? [draw] : [], setCursor: [(plot) => point(plot, time)] },
    };
    const plot = new uPlot(options, columns(), place);
    plot.tip = element("div", "tip");
    plot.tip.hidden = true;
    plot.over.append(plot.tip);
    plots.push({ plot, place, height, columns });
  }

  // What was there, where the pointer is.
  function point(plot, time) {
    const { idx, left } = plot.cursor;
    if (!plot.tip) return;
    plot.tip.hidden = idx === null || idx === undefined || left < 0;
    if (plot.tip.hidden) return;
    const x = plot.data[0][idx];
    const rows = plot.series.slice(1).map((series, i) => {
      const value = plot.data[i + 1][idx];
      const mark = element("i");
      mark.style.background = series.stroke(plot);
      return value === null ? "" : element("div", "", mark, element("span", "", series.label), element("b", "", Math.abs(value) >= 100 ? number(value) : short(value)));
    });
    plot.tip.replaceChildren(element("time", "", time ? `${at(x)} UTC` : `update ${x}`), ...rows);
    const width = plot.tip.offsetWidth;
    plot.tip.style.left = `${Math.max(0, Math.min(left + 12, plot.over.clientWidth - width))}px`;
    plot.tip.style.top = "6px";
  }

  const column = (rows, i) => rows.map((row) => row[i]);
  const marks = (...places) => () => [column(data.marks, 0), ...places.map((i) => column(data.marks, i))];
  const updates = (i) => () => [column(data.updates, 0), column(data.updates, i)];

  function flat() {
    const [x, ours, hold, frozen] = marks(2, 3, 4)();
    return [x, hold, frozen, x.map(() => (now ? now.start_equity : null)), ours];
  }

  function makeCharts() {
    const dashed = { dash: [5, 4], width: 1.25 };
    chart("equity", 270, true, [line("hold", "hold"), line("generation 0", "frozen"), line("flat", "flat", dashed), line("ours", "ours", { width: 2.25 })], flat);
    chart("price", 250, true, [line("mid", "ours")], marks(1), triangles);
    chart("position", 120, true, [line("position", "ours", { paths: uPlot.paths.stepped({ align: 1 }), fill: () => `${css("ours")}29` })], marks(5));
    chart("entropy", 120, false, [line("entropy", "ours")], updates(1));
    chart("kl", 120, false, [line("KL", "ours")], updates(2));
    chart("value_loss", 120, false, [line("value loss", "ours")], updates(3));
    chart("explained", 120, false, [line("explained variance", "ours")], updates(4));
  }

  function draw() {
    for (const { plot, place, columns } of plots) {
      const points = columns();
      place.classList.toggle("none", points[0].length < 2);
      plot.setData(points);
    }
  }

  function resize() {
    for (const { plot, place, height } of plots) plot.setSize({ width: place.clientWidth, height });
  }

  // Panels.
  function card(name, value, note, kind) {
    const body = element("dd", "", value);
    if (note) body.append(element("span", "note", note));
    return element("div", `card ${kind || ""}`, element("dt", "", name), body);
  }

  const sign = (v) => (v > 0 ? "good" : v < 0 ? "bad" : "");

  function against(name, other) {
    if (other === null) return [];
    const difference = (now.equity - other) / now.start_equity;
    const found = now.helping.find((item) => item.baseline === name);
    const sure = found && found.low !== null ? `interval ${percent(found.low)} to ${percent(found.high)}` : "of the start, same ticks and costs";
    return [card(`Against ${name === "frozen" ? generationZero() : name}`, signed(difference, percent), sure, sign(difference))];
  }

  const generationZero = () => (now.experts.length ? "generation 0, full size" : "generation 0, frozen");

  // The account against itself with nothing learnt; coloured only where luck is left aside.
  function learnt() {
    const found = now.helping.find((item) => item.baseline === "unlearnt");
    if (!found || found.difference === null) return [];
    const none = found.difference === 0;
    const sure = found.low !== null;
    const note = none ? "so far, against nothing learnt" : sure ? `interval ${percent(found.low)} to ${percent(found.high)}` : "against nothing learnt; too early to say";
    return [card("Learning", none ? "no difference" : signed(found.difference, percent), note, !sure ? "" : found.low > 0 ? "good" : found.high < 0 ? "bad" : "")];
  }

  function experts() {
    byId("experts").hidden = !now.experts.length;
    byId("expert-rows").replaceChildren(...now.experts.map(({ name, weight, log_evidence, equity, leads }) => element("tr", "",
      element("td", "", leads ? `${name}, leads` : name),
      ...[percent(weight), short(Math.exp(Math.min(log_evidence, 700))), number(equity)].map((figure) => element("td", "", figure)))));
  }

  function cards() {
    const [base, quote] = now.symbol.split(/[/:]/);
    const gain = now.equity / now.start_equity - 1;
    const orders = now.open_orders.length;
    byId("cards").replaceChildren(
      card(`Equity, ${quote || ""}`, number(now.equity), `${signed(gain, percent)} since the start`, sign(gain)),
      ...against("hold", now.hold_equity),
      ...against("frozen", now.frozen_equity),
      ...learnt(),
      card(`Position, ${base}`, short(now.position), now.mid === null ? "" : `${percent(now.position * now.mid / now.equity, 0)} of equity, ${orders} open order${orders === 1 ? "" : "s"}`),
      card("Drawdown", percent(now.drawdown), `deepest ${percent(now.max_drawdown)}`),
      card("Price", now.mid === null ? "none yet" : number(now.mid), now.bid === null ? "" : `${number(now.bid)} / ${number(now.ask)}`),
    );
  }

  function heading() {
    const title = `${now.strategy} on ${now.symbol}`;
    document.title = `${now.state} \u00b7 ${title}`;
    byId("title").textContent = title;
    byId("where").textContent = `${now.instance === "ztb" ? "ztb" : `ztb ${now.instance}`} \u00b7 ${now.mode} on ${now.venue}`;
    const state = byId("state");
    state.textContent = now.state.replace("_", " ");
    state.className = `pill ${now.state === "trading" ? "good" : now.state === "halted" ? "bad" : "warn"}`;
    const age = now.last_tick_ns === null ? "no tick yet" : now.mode === "replay" ? `replaying ${at(now.last_tick_ns / 1e9)}` : `last tick ${span((now.now_ns - now.last_tick_ns) / 1e9)} ago`;
    byId("since").textContent = `Up ${span((now.now_ns - now.started_ns) / 1e9)} \u00b7 ${age} \u00b7 ${now.decisions.toLocaleString("en")} decisions \u00b7 ${now.fills.toLocaleString("en")} fills`;
    byId("halted").hidden = !now.halted_because;
    byId("halted").textContent = now.halted_because;
  }

  function key(id, entries) {
    byId(id).replaceChildren(...entries.map(([kind, dot, name, value]) => element("span", kind, element("i", dot), element("b", "", value === undefined ? name : `${name} ${value}`))));
  }

  function keys() {
    const lines = [["ours", "", "ours", number(now.equity)]];
    if (now.hold_equity !== null) lines.push(["hold", "", "hold", number(now.hold_equity)]);
    if (now.frozen_equity !== null) lines.push(["frozen", "", generationZero(), number(now.frozen_equity)]);
    lines.push(["flat", "", "flat", number(now.start_equity)]);
    key("k-equity", lines);
    key("k-price", [["ours", "", "mid"], ["good", "dot", "bought"], ["bad", "dot", "sold"]]);
  }

  function meter(name, share, amount) {
    const bar = element("progress", share >= 1 ? "over" : share >= 0.8 ? "near" : "");
    bar.max = 1;
    bar.value = Math.max(0, Math.min(share, 1));
    bar.setAttribute("aria-label", name);
    return element("li", "", element("span", "", name), bar, element("span", "amount", amount));
  }

  function limits() {
    const items = now.limits.map(({ name, used, limit }) => {
      const words = name.endsWith("fraction") || name === "exposure" ? (v) => `${short(Number((v * 100).toFixed(2)))} %` : short;
      return meter(name.replace("_fraction", "").replaceAll("_", " "), limit ? used / limit : 0, `${words(used)} of ${words(limit)}`);
    });
    if (now.memory_limit_mb) items.push(meter("memory", now.memory_mb / now.memory_limit_mb, `${number(now.memory_mb, 0)} of ${number(now.memory_limit_mb, 0)} MB`));
    list("limits", items, "No limits are known yet.");
  }

  const KINDS = { critical: "bad", warning: "hold", promoted: "ours", rolled_back: "bad", rejected: "flat" };
  const event = (seconds, kind, text) => element("li", "", element("time", "", at(seconds)), element("b", KINDS[kind] || "", kind.replace("_", " ")), element("p", "", text));

  function events() {
    list("alerts", data.alerts.toReversed().map(([seconds, severity, text]) => event(seconds, severity, text)), "No alerts.");
    list("generations", data.generations.toReversed().map(([generation, seconds, what, reason]) => event(seconds, what, `generation ${generation}${reason ? `: ${reason}` : ""}`)), "No new generation since the start.");
  }

  function learning() {
    const { generation, learner } = now;
    byId("serving").textContent = generation === null ? "This strategy does not learn." : `Generation ${generation.serving} serves ${generation.since_ns ? "since " : ""}${at(generation.since_ns / 1e9)}. Made ${generation.made}, promoted ${generation.promoted}, rejected ${generation.rejected}, rolled back ${generation.rolled_back}. ${generation.last_verdict ? `Last verdict: ${generation.last_verdict}.` : ""}`;
    byId("h-learning").parentElement.classList.toggle("empty", learner === null);
    if (learner === null) return;
    const state = learner.frozen ? "frozen" : learner.alive ? learner.doing || "running" : "not running";
    byId("learner").textContent = `The learner (${learner.mode}) is ${state}: ${learner.updates} updates, ${learner.waiting} transitions waiting, ${learner.dropped} dropped, ${learner.tainted} left out for gaps${learner.empty ? `, ${learner.empty} updates without anything to learn from` : ""}${learner.non_finite ? `, ${learner.non_finite} updates dropped for numbers that are not finite` : ""}.`;
  }

  function system() {
    list("streams", now.streams.map((stream) => {
      const amount = stream.age_ms === null ? "silent" : `${span(stream.age_ms / 1000)} ago`;
      const state = element("span", stream.stale ? "bad" : "good", stream.stale ? "stale" : "alive");
      return element("li", "", element("span", "", stream.name), state, element("span", "amount", `${amount}, ${stream.reconnects} reconnects, ${stream.gaps} gaps`));
    }), "No live streams.");
    const facts = [
      ["Lag", now.lag_ms === null ? "unknown" : `${number(now.lag_ms, 1)} ms`],
      ["Ticks", now.ticks.toLocaleString("en")],
      ["Orders", `${now.orders} sent, ${now.rejects} rejected, ${now.refusals} refused by the risk gate`],
      ["Fees", number(now.fees)],
      ["Checkpoints", `${now.checkpoints}${now.last_save_ms === null ? "" : `, the last took ${number(now.last_save_ms, 1)} ms`}`],
      ["Recording", now.recording ? "yes" : "no"],
      ["Run", now.run_id],
    ];
    byId("facts").replaceChildren(...facts.map(([name, text]) => element("div", "", element("dt", "", name), element("dd", "", text))));
  }

  // The feed.
  function thinned(rows, most) {
    const least = 2 * (rows.at(-1)[0] - rows[0][0]) / most;
    let last = -Infinity;
    return rows.filter((row, i) => {
      const kept = row[0] - last >= least || i === rows.length - 1;
      if (kept) last = row[0];
      return kept;
    });
  }

  function take(message) {
    const { history, news, snapshot } = message;
    for (const kind of Object.keys(data)) {
      if (history) data[kind] = history[kind];
      else if (news[kind]) data[kind] = data[kind].concat(news[kind]);
      if (data[kind].length > MOST[kind]) data[kind] = CURVES.includes(kind) ? thinned(data[kind], MOST[kind]) : data[kind].slice(-MOST[kind]);
    }
    now = snapshot;
    heading();
    cards();
    keys();
    experts();
    limits();
    learning();
    system();
    if (history || news.alerts || news.generations) events();
    if (history || news.marks || news.updates || news.fills) draw();
  }

  function link(text, kind) {
    byId("link").textContent = text;
    byId("link").className = `pill ${kind}`;
  }

  function connect(pause) {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
    let heard = false;
    socket.onmessage = (message) => {
      heard = true;
      link("live", "good");
      take(JSON.parse(message.data));
    };
    socket.onclose = () => {
      link("no connection, trying again", "bad");
      const next = heard ? 1000 : Math.min(pause * 2, 15000);
      setTimeout(() => connect(next), next);
    };
  }

  makeCharts();
  addEventListener("resize", resize);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach(({ plot }) => plot.redraw()));
  connect(500);
})();
