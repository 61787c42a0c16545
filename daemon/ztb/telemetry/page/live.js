(() => {
  "use strict";
  const { chart, usual, element, short, signed, settings, format, moment: at } = ztbCharts;
  const byId = (id) => document.getElementById(id);
  const CURVES = ["marks", "updates"];
  const MOST = { marks: 4000, updates: 4000, fills: 500, generations: 200, alerts: 100 };
  const data = { marks: [], fills: [], updates: [], generations: [], alerts: [] };
  const plots = {};
  let now = null;

  // Words for figures.
  const number = (v, digits = 2) => format(v, digits);
  const percent = (v, digits = 2) => ztbCharts.percent(v, digits);
  const when = (seconds) => (seconds ? at(seconds) : "at the start");
  function span(seconds) {
    if (seconds < 120) return `${Math.round(seconds)} s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
    return seconds < 172800 ? `${number(seconds / 3600, 1)} h` : `${number(seconds / 86400, 1)} d`;
  }

  function list(id, items, empty) {
    byId(id).replaceChildren(...(items.length ? items : [element("li", "none", empty)]));
  }

  // Charts, as in the report: the same lines, colours and marks.
  const column = (rows, i) => rows.map((row) => row[i]);
  const some = (values) => values.some((value) => value !== null);

  // Where nothing was marked for much longer than before and after, nothing is drawn: old marks lie further apart.
  function gaps(x) {
    const step = (i) => (i > 0 && i < x.length ? x[i] - x[i - 1] : 0);
    return x.flatMap((to, i) => (step(i) > Math.max(30, 12 * step(i - 1), 12 * step(i + 1)) ? [[x[i - 1], to]] : []));
  }

  function specs() {
    const [x, mid, equity, hold, frozen, position] = [0, 1, 2, 3, 4, 5].map((i) => column(data.marks, i));
    const time = { x, time: true, gaps: gaps(x) };
    const accounts = [
      { name: "account", color: "ours", values: equity, width: 2 },
      { name: "hold", color: "hold", values: hold, dash: [7, 3] },
      { name: generationZero(), color: "frozen", values: frozen, dash: [2, 3] },
      { name: "flat", color: "flat", values: x.map(() => now.start_equity), width: 1 },
    ];
    const events = data.generations.filter(([, seconds, what]) => what !== "made" && seconds > 0 && seconds >= x[0]).map(([generation, seconds, kind]) => ({ x: seconds, kind, generation }));
    const fills = { x: column(data.fills, 0), price: column(data.fills, 1), side: column(data.fills, 2), quantity: column(data.fills, 3) };
    const candles = { times: x, prices: mid, usual: usual(x) };
    const update = (i, name) => ({ x: column(data.updates, 0), lines: [{ name, color: "ours", values: column(data.updates, i) }], form: "plain", small: true });
    return {
      equity: { ...time, lines: accounts.filter(({ values }) => some(values)), form: "money", base: now.start_equity, events },
      price: { ...time, lines: [], form: "money", candles, fills },
      position: { ...time, lines: [{ name: "position", color: "ours", values: position, stepped: true, filled: true }], form: "plain" },
      entropy: update(1, "entropy"), kl: update(2, "KL"), value_loss: update(3, "value loss"), explained: update(4, "explained variance"),
    };
  }

  const NAMES = { equity: "Equity", price: "Price and our fills", position: "Position", entropy: "Entropy", kl: "KL", value_loss: "Value loss", explained: "Explained variance" };

  function height(host) {
    return host.classList.contains("tall") ? (innerWidth < 640 ? 240 : 280) : 130;
  }

  function draw() {
    for (const [id, spec] of Object.entries(specs())) {
      const names = spec.lines.map(({ name }) => name).join();
      if (plots[id]?.names === names) plots[id].plot.update(spec);
      else make(id, spec, names);
    }
  }

  function make(id, spec, names) {
    const host = byId(id);
    const figure = host.parentElement;
    const said = figure.querySelector(".step");
    plots[id]?.plot.leave();
    const plot = chart(host, spec, { name: NAMES[id], height: () => height(host), place: figure, say: said ? (text) => (said.textContent = text) : undefined });
    plots[id] = { plot, names };
    plot.update(spec);
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
    const clear = found && found.low !== null && (found.low > 0 || found.high < 0);
    return [card(`Against ${name === "frozen" ? generationZero() : name}`, signed(difference, percent), sure, clear ? sign(difference) : "")];
  }

  const generationZero = () => (now.experts.length ? "generation 0, full size" : "generation 0, frozen");

  // The account against itself with nothing learnt; coloured only where luck is left aside.
  function learnt() {
    const found = now.helping.find((item) => item.baseline === "unlearnt");
    if (!found || found.difference === null) return [];
    const none = found.difference === 0;
    const sure = found.low !== null;
    const note = none ? "so far, against nothing learnt" : sure ? `interval ${percent(found.low)} to ${percent(found.high)}` : `against nothing learnt; too early to say: needs ${found.missing}`;
    return [card("Learning", none ? "no difference" : signed(found.difference, percent), note, !sure ? "" : found.low > 0 ? "good" : found.high < 0 ? "bad" : "")];
  }

  function experts() {
    byId("experts").hidden = !now.experts.length;
    const flat = 1 - now.experts.reduce((sum, { weight }) => sum + weight, 0);
    byId("expert-rows").replaceChildren(
      ...now.experts.map(({ name, weight, log_evidence, equity, leads }) => expert(leads ? `${name}, leads` : name, weight, short(Math.exp(Math.min(log_evidence, 700))), number(equity))),
      expert("nobody: flat", flat, "\u2013", "\u2013"),
    );
  }

  function expert(name, weight, ...figures) {
    const bar = element("span", "bar", element("i"));
    bar.firstChild.style.width = `${Math.min(100, 100 * Math.max(weight, 0))}%`;
    const cells = [name, element("span", "", bar, percent(weight)), ...figures].map((content) => element("td", "", content));
    const heads = [...document.querySelectorAll("#experts th")].map((head) => head.textContent);
    cells.forEach((cell, i) => (cell.dataset.name = heads[i]));
    return element("tr", "", ...cells);
  }

  function cards() {
    const [base, quote] = now.symbol.split(/[/:]/);
    const gain = now.equity / now.start_equity - 1;
    const orders = now.open_orders.length;
    const stop = now.protective_stop;
    byId("cards").replaceChildren(
      card(`Equity, ${quote || ""}`, number(now.equity), `${signed(gain, percent)} since the start`, sign(gain)),
      ...against("hold", now.hold_equity),
      ...against("frozen", now.frozen_equity),
      ...learnt(),
      card(`Position, ${base}`, short(now.position), now.mid === null ? "" : `${percent(now.position * now.mid / now.equity, 0)} of equity, ${orders} open order${orders === 1 ? "" : "s"}${stop ? `, stop at ${number(stop.price)}` : ""}`),
      card("Drawdown", percent(now.drawdown), `deepest ${percent(now.max_drawdown)}`),
      card("Price", now.mid === null ? "none yet" : number(now.mid), now.bid === null ? "" : `${number(now.bid)} / ${number(now.ask)}`),
    );
  }

  // What stands between backticks is a command.
  const words = (text) => text.split("`").map((part, i) => (i % 2 ? element("code", "", part) : part));

  function heading() {
    const title = `${now.strategy} on ${now.symbol}`;
    document.title = `${now.state} \u00b7 ${title}`;
    byId("title").textContent = title;
    byId("where").textContent = `${now.instance === "ztb" ? "ztb" : `ztb ${now.instance}`} \u00b7 ${now.mode} on ${now.venue}`;
    const state = byId("state");
    const worst = (severity) => now.conditions.some((one) => one.severity === severity);
    state.textContent = now.state.replace("_", " ");
    state.className = `pill ${worst("critical") || now.state === "halted" ? "bad" : now.state === "trading" && !worst("warning") ? "good" : "warn"}`;
    const age = now.last_tick_ns === null ? "no tick yet" : now.mode === "replay" ? `replaying ${at(now.last_tick_ns / 1e9)}` : `last tick ${span((now.now_ns - now.last_tick_ns) / 1e9)} ago`;
    byId("since").textContent = `Up ${span((now.now_ns - now.started_ns) / 1e9)} \u00b7 ${age} \u00b7 ${now.decisions.toLocaleString("en")} decisions \u00b7 ${now.fills.toLocaleString("en")} fills`;
    const said = now.conditions.filter((one) => one.severity !== "info" || one.state);
    byId("halted").hidden = said.length === 0;
    byId("halted").replaceChildren(...said.map((one) => element("li", one.severity, ...words(one.text))));
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
  const event = (seconds, kind, text) => element("li", "", element("time", "", when(seconds)), element("b", KINDS[kind] || "", kind.replace("_", " ")), element("p", "", text));

  function events() {
    list("alerts", data.alerts.toReversed().map(([seconds, severity, text]) => event(seconds, severity, text)), "No alerts.");
    list("generations", data.generations.toReversed().map(([generation, seconds, what, reason]) => event(seconds, what, `generation ${generation}${reason ? `: ${reason}` : ""}`)), "No new generation since the start.");
  }

  function learning() {
    const { generation, learner } = now;
    byId("serving").textContent = generation === null ? "This strategy does not learn." : `Generation ${generation.serving} serves ${generation.since_ns ? "since " : ""}${when(generation.since_ns / 1e9)}. Made ${generation.made}, promoted ${generation.promoted}, rejected ${generation.rejected}, rolled back ${generation.rolled_back}. ${generation.last_verdict ? `Last verdict: ${generation.last_verdict}.` : ""}`;
    byId("h-learning").parentElement.classList.toggle("empty", learner === null);
    if (learner === null) return;
    const state = learner.state.replace("_", " ");
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
    experts();
    limits();
    learning();
    system();
    if (history || news.alerts || news.generations) events();
    settings.quote = now.symbol.split(/[/:]/)[1] ?? "";
    if (history || news.marks || news.updates || news.fills || news.generations) draw();
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
      link("connected", "good");
      take(JSON.parse(message.data));
    };
    socket.onclose = () => {
      link("no connection, trying again", "bad");
      const next = heard ? 1000 : Math.min(pause * 2, 15000);
      setTimeout(() => connect(next), next);
    };
  }

  document.documentElement.classList.add("js");
  const table = document.querySelector("#experts table");
  new ResizeObserver(() => {
    table.classList.remove("stacked");
    table.classList.toggle("stacked", table.parentElement.scrollWidth > table.parentElement.clientWidth);
  }).observe(table.parentElement);
  connect(500);
})();
