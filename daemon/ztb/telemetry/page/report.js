(() => {
  "use strict";
  const { chart, unpacked, usual, element, settings, short, signed, percent, price, sum, moment } = ztbCharts;
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  settings.quote = data.quote;

  function height(figure) {
    const phone = innerWidth < 640;
    if (figure.classList.contains("small")) return 170;
    return figure.classList.contains("tall") ? (phone ? 280 : 340) : phone ? 170 : 190;
  }

  async function candles(spec) {
    const { count, unit, times, prices } = spec.candles;
    const [at, steps] = await Promise.all([unpacked(times, count), unpacked(prices, count)]);
    spec.candles = { times: at.map((ms) => ms / 1000), prices: steps.map((step) => step * unit) };
    spec.candles.usual = usual(spec.candles.times);
    spec.lines = [];
    spec.x = [];
    spec.why = (fill) => (location.hash = `order-${spec.fills.order[fill]}`);
  }

  async function draw(figure) {
    const spec = data.charts[figure.dataset.chart];
    if (!spec) {
      if (!figure.querySelector("svg, figcaption + p, .columns")) figure.classList.add("absent");
      return;
    }
    if (spec.candles) await candles(spec);
    const host = element("div", "plot");
    figure.append(host);
    const said = figure.querySelector(".step");
    chart(host, spec, {
      name: figure.querySelector("h3")?.textContent ?? "Equity", height: () => height(figure), place: figure,
      say: said ? (text) => (said.textContent = text) : undefined,
    });
  }

  // Why: what was known when an order was sent, and how to have it computed again.
  const dialog = document.getElementById("why");

  function facts(rows) {
    return element("dl", "facts", ...rows.map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "", value))));
  }

  function ownFills(fills, number) {
    const found = fills.order.flatMap((order, i) => (order === number ? [i] : []));
    return found.map((i) => {
      const earned = fills.profit[i] === null ? "" : `, earned ${signed(fills.profit[i], sum)}`;
      const name = `Fill ${fills.fill[i]}, ${fills.side[i] > 0 ? "bought" : "sold"}`;
      return [name, `${short(fills.quantity[i])} at ${price(fills.price[i])}, fee ${sum(fills.fee[i])}${earned}; ${moment(fills.x[i])}`];
    });
  }

  function reasons(fills, number) {
    const known = fills.orders[number];
    if (!known) return [["Decision", "not among the newest fills, or none of ours: the command below knows"]];
    const [decision, seconds, generation, target, exposure, wanted] = known;
    const parts = wanted.map(([name, aim, weight]) => `${name} wanted ${percent(aim, 0)} and had ${percent(weight)}`).join("; ");
    return [
      ["Decision", `${decision.toLocaleString("en")}, ${moment(seconds)}, generation ${generation}`],
      ["Target exposure", `${percent(target, 2)}, from ${percent(exposure, 2)}`],
      ...(parts ? [["Experts", parts]] : []),
    ];
  }

  function tell() {
    const number = Number(/^#order-(\d+)$/.exec(location.hash)?.[1] ?? NaN);
    if (Number.isNaN(number)) return dialog.open && dialog.close();
    const fills = data.charts.price?.fills;
    if (!fills) return undefined;
    dialog.querySelector("h2").textContent = `Why order ${number}`;
    dialog.querySelector(".told").replaceChildren(
      facts([...ownFills(fills, number), ...reasons(fills, number)]),
      element("p", "", "Everything behind it, computed again bit for bit, in the folder of runs:"),
      element("pre", "", element("code", "", `ztb why ${number} --run ${data.run}`)),
    );
    if (!dialog.open) dialog.showModal();
    return undefined;
  }

  dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  addEventListener("hashchange", tell);

  // Tables: long ones begin short, some sort, and those that would be cut show their rows as blocks.
  const FEW = 25;
  const key = (cell) => {
    const known = cell?.querySelector("data")?.value ?? cell?.textContent.trim() ?? "";
    const figure = Number(known.replace(/[,%\u00a0\s]/g, "").replace("\u2212", "-").replace(/^[g+]/, ""));
    return known === "" || Number.isNaN(figure) ? known : figure;
  };
  const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? 1 : -1);
  const allRows = (table) => [...table.tBodies].flatMap((body) => [...body.rows]);

  function sort(table, column, button) {
    const head = button.closest("th");
    const falling = head.getAttribute("aria-sort") === "descending";
    const way = falling ? 1 : -1;
    const rows = allRows(table).map((row) => [key(row.cells[column]), row]);
    rows.sort(([a], [b]) => way * compare(a, b));
    table.querySelectorAll("th").forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", falling ? "ascending" : "descending");
    arrange(table, rows.map(([, row]) => row));
  }

  // The first rows are seen, the others wait in a body of their own.
  function arrange(table, rows) {
    const [shown, later] = table.tBodies;
    shown.append(...rows.slice(0, FEW));
    later?.append(...rows.slice(FEW));
  }

  function fit(table) {
    table.classList.remove("stacked");
    const sheet = table.parentElement;
    if (sheet.scrollWidth > sheet.clientWidth) stack(table);
  }

  function stack(table) {
    if (!table.dataset.named) {
      const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
      for (const row of allRows(table)) [...row.cells].forEach((cell, i) => (cell.dataset.name = heads[i]));
      table.dataset.named = "yes";
    }
    table.classList.add("stacked");
  }

  function sortable(table) {
    [...table.tHead.rows[0].cells].forEach((cell, i) => {
      const button = element("button", "", cell.textContent);
      button.type = "button";
      button.addEventListener("click", () => sort(table, i, button));
      cell.replaceChildren(button);
    });
  }

  function prepare(table) {
    new ResizeObserver(() => fit(table)).observe(table.parentElement);
    const later = table.tBodies[1];
    if (table.classList.contains("sorts") && allRows(table).length > 1) sortable(table);
    if (!later) return;
    const count = allRows(table).length.toLocaleString("en");
    const more = element("button", "more", `Show all ${count}`);
    more.type = "button";
    more.addEventListener("click", () => {
      later.hidden = !later.hidden;
      more.textContent = later.hidden ? `Show all ${count}` : `Show ${FEW}`;
      fit(table);
    });
    table.after(more);
  }

  root.classList.add("js");
  const tables = [...document.querySelectorAll("main table")];
  tables.forEach(prepare);
  // Paper is narrower than the window, and nothing can be measured on it.
  addEventListener("beforeprint", () => tables.filter((table) => table.matches(".wide:not(.heat)")).forEach(stack));
  addEventListener("afterprint", () => tables.forEach(fit));
  const drawn = Promise.all([...document.querySelectorAll("figure[data-chart]")].map(draw));
  drawn.then(() => { root.dataset.drawn = "yes"; tell(); });
})();
