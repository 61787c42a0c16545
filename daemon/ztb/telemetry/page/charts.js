// Charts of report and page: lines, candles and fills over time, on uPlot. `ztbCharts.chart(host, spec)` draws one.
const ztbCharts = (() => {
  "use strict";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = [];
  const settings = { quote: "" };
  let zooming = false;

  const css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  function mix(from, to, share) {
    const parts = [1, 3, 5].map((i) => {
      const [a, b] = [from, to].map((hex) => parseInt(hex.slice(i, i + 2), 16));
      return Math.round(a + (b - a) * share);
    });
    return `rgb(${parts.join(" ")})`;
  }

  // A name of a colour of the page, or an exposure: none is pale, long and short are strong.
  function color(which) {
    if (typeof which === "string") return css(which);
    return mix(css("rung-none"), css(which < 0 ? "rung-short" : "rung-long"), Math.min(Math.abs(which), 1));
  }

  const faded = (value, share) => value.startsWith("#") ? value + Math.round(share * 255).toString(16).padStart(2, "0") : value;

  // Figures in words.
  const minus = (text) => text.replace("-", "\u2212");
  const format = (value, digits) => minus(value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const short = (value) => minus(String(Number(value.toPrecision(4))));
  const signed = (value, words) => (value > 0 ? "+" : "") + words(value);
  const percent = (value, digits = 1) => `${format(value * 100, digits)}\u00a0%`;
  const price = (value) => (Math.abs(value) >= 100 ? format(value, 2) : minus(String(Number(value.toPrecision(6)))));
  const sum = (value) => `${format(value, 2)} ${settings.quote}`.trim();
  const forms = { money: (v) => `${price(v)} ${settings.quote}`.trim(), percent, plain: short };

  // Digits that tell neighbours `step` apart.
  function digits(step) {
    const least = Math.min(8, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
    const size = step * 10 ** least;
    return Math.abs(size - Math.round(size)) > 1e-6 ? least + 1 : least;
  }

  const ticks = {
    money: (v, step) => format(v, digits(step)),
    percent: (v, step) => `${format(v * 100, digits(step * 100))} %`,
    plain: (v) => minus(String(Number(v.toPrecision(6)))),
  };

  // On a logarithmic axis some splits have no label, and each is as exact as its size asks for.
  function labels(form, splits, logarithmic) {
    const step = splits.length > 1 ? splits[1] - splits[0] : 1;
    return splits.map((v) => (v === null ? "" : ticks[form](v, logarithmic ? Math.min(v, 1) : step)));
  }

  const utc = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
  const clock = utc({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const moment = (seconds) => `${clock.format(new Date(seconds * 1000))} UTC`;

  function span(seconds) {
    const units = [[86400, "d"], [3600, "h"], [60, "min"]];
    const [size, name] = units.find(([least]) => seconds >= least) ?? [1, "s"];
    return `${Number((seconds / size).toFixed(size > 60 ? 1 : 0))} ${name}`;
  }

  function element(tag, name, ...content) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.append(...content.filter((part) => part !== undefined));
    return made;
  }

  // Lines. Stacked ones are drawn from the top down, each filled to the axis and covering the one before.
  const order = (spec) => (spec.stacked ? spec.lines.map((_, i) => spec.lines.length - 1 - i) : spec.lines.map((_, i) => i));

  // A gap is a gap: where nothing happened for long, a row without values breaks every line.
  function broken(spec, columns) {
    const [x, ...rest] = columns;
    const gaps = spec.gaps ?? [];
    if (!gaps.length || !x.length) return columns;
    const found = [[], ...rest.map(() => [])];
    let next = 0;
    x.forEach((at, row) => {
      while (next < gaps.length && gaps[next][0] < (x[row - 1] ?? -Infinity)) next++;
      if (row && next < gaps.length && gaps[next][1] <= at) {
        found[0].push((gaps[next][0] + gaps[next][1]) / 2);
        rest.forEach((_, i) => found[i + 1].push(null));
        next++;
      }
      found[0].push(at);
      rest.forEach((values, i) => found[i + 1].push(values[row]));
    });
    return found;
  }

  function columns(spec) {
    if (spec.candles) return [[], [], [], []];
    const lines = spec.lines.map((line) => line.values);
    if (!spec.stacked) return broken(spec, [spec.x, ...lines]);
    const sums = lines.map((_, i) => spec.x.map((_, row) => lines.slice(0, i + 1).reduce((sum, line) => sum + line[row], 0)));
    return [spec.x, ...sums.reverse()];
  }

  function series(spec, place) {
    const line = spec.lines[place];
    const stroke = () => color(line.color);
    return {
      label: line.name,
      stroke: spec.stacked ? () => css("panel") : stroke,
      width: spec.stacked ? 0.5 : line.width ?? 1.5,
      dash: line.dash?.length ? line.dash : undefined,
      fill: spec.stacked ? stroke : line.filled ? () => faded(color(line.color), 0.16) : undefined,
      fillTo: spec.stacked || line.filled ? 0 : undefined,
      paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
      points: { show: spec.x.length < 3, size: 5 },
      spanGaps: false,
    };
  }

  // Candles: of each equal stretch of the time in sight, its first, highest, lowest and last price.
  const PERIODS = [1, 5, 10, 30, 60, 300, 900, 1800, 3600, 4 * 3600, 12 * 3600, 86400, 3 * 86400, 7 * 86400, 28 * 86400];
  const NARROWEST = 4.5; // pixels

  const firstAfter = (times, at) => {
    let [low, high] = [0, times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < at) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  function aggregate(spec, from, to, width) {
    const { times, prices } = spec.candles;
    const period = PERIODS.find((one) => (to - from) / one <= width / NARROWEST) ?? PERIODS.at(-1);
    const step = Math.max(period, PERIODS.find((one) => one >= spec.candles.usual * 0.99) ?? period);
    const made = { step, x: [], open: [], high: [], low: [], close: [] };
    const start = Math.max(0, firstAfter(times, from - step) - 1);
    let bucket = null;
    for (let i = start; i < times.length && times[i] <= to + step; i++) {
      const mine = Math.ceil(times[i] / step - 1e-9) - 1; // a price at its end is of the stretch before
      const last = made.x.length - 1;
      if (mine !== bucket) {
        const joined = i > start && times[i] - times[i - 1] <= Math.max(step, 12 * spec.candles.usual);
        const open = joined ? prices[i - 1] : prices[i];
        bucket = mine;
        made.x.push((mine + 0.5) * step);
        made.open.push(open);
        made.high.push(Math.max(open, prices[i]));
        made.low.push(Math.min(open, prices[i]));
        made.close.push(prices[i]);
      } else {
        made.high[last] = Math.max(made.high[last], prices[i]);
        made.low[last] = Math.min(made.low[last], prices[i]);
        made.close[last] = prices[i];
      }
    }
    return withFills(spec, made);
  }

  // Our own fills are prices too: a candle reaches as far as they did.
  function withFills(spec, made) {
    const fills = spec.fills;
    const place = new Map(made.x.map((x, i) => [Math.floor(x / made.step), i]));
    for (let i = 0; i < (fills?.x.length ?? 0); i++) {
      const at = place.get(Math.ceil(fills.x[i] / made.step - 1e-9) - 1);
      if (at === undefined) continue;
      made.high[at] = Math.max(made.high[at], fills.price[i]);
      made.low[at] = Math.min(made.low[at], fills.price[i]);
    }
    return made;
  }

  function candles(u, spec) {
    if (!spec.shown) return;
    const { ctx } = u;
    const { x, open, high, low, close, step } = spec.shown;
    const wide = Math.max(1, Math.abs(u.valToPos(step, "x", true) - u.valToPos(0, "x", true)) * 0.7);
    const line = Math.max(1, Math.min(devicePixelRatio, wide));
    for (let i = 0; i < x.length; i++) {
      const middle = u.valToPos(x[i], "x", true);
      const [top, bottom, from, to] = [high[i], low[i], open[i], close[i]].map((value) => u.valToPos(value, "y", true));
      ctx.fillStyle = css(close[i] < open[i] ? "candle-down" : "candle-up");
      ctx.fillRect(middle - line / 2, top, line, Math.max(bottom - top, 1));
      ctx.fillRect(middle - wide / 2, Math.min(from, to), wide, Math.max(Math.abs(to - from), devicePixelRatio));
    }
  }

  function candleSeries() {
    const hidden = { stroke: "transparent", width: 0, points: { show: false } };
    return [{ ...hidden, label: "close" }, { ...hidden, label: "high" }, { ...hidden, label: "low" }];
  }

  function sight(plot, from, to) {
    const { u, spec } = plot;
    spec.shown = aggregate(spec, from, to, u.over.clientWidth || 300);
    plot.quiet = true;
    u.setData([spec.shown.x, spec.shown.close, spec.shown.high, spec.shown.low], false);
    u.setScale("x", { min: from, max: to });
    plot.quiet = false;
    plot.say?.(`Candles of ${span(spec.shown.step)}.`);
  }

  const ends = (spec) => spec.candles ? [spec.candles.times[0], spec.candles.times.at(-1)] : [spec.x[0], spec.x.at(-1)];

  // Down to one significant digit: where a logarithmic axis starts, its labels are counted from.
  const leading = (value) => {
    const power = 10 ** Math.floor(Math.log10(value));
    return Math.floor(value / power) * power;
  };

  // The shown values with some air, and what must be in sight: `low`, `high`.
  function range(spec, logarithmic) {
    return (u, low, high) => {
      if (low === null || high === null) return logarithmic ? [1, 10] : [0, 1];
      if (logarithmic) return [leading(low), high * 1.08];
      const air = (high - low || Math.abs(high) || 1) * 0.05;
      const bottom = spec.low === undefined ? low - air : Math.min(spec.low, low);
      const top = spec.high === undefined ? high + air : Math.max(spec.high, high);
      return [bottom, top === bottom ? bottom + 1 : top];
    };
  }

  const dateForms = [
    [300 * 86400, utc({ year: "numeric" })],
    [25 * 86400, utc({ month: "short", year: "numeric" })],
    [86400, utc({ day: "numeric", month: "short" })],
    [3600, utc({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })],
    [60, utc({ hour: "2-digit", minute: "2-digit" })],
    [0, utc({ hour: "2-digit", minute: "2-digit", second: "2-digit" })],
  ];

  function dates(u, splits, axis, space, step) {
    const form = dateForms.find(([least]) => step >= least)[1];
    const room = u.width - u.bbox.left / devicePixelRatio;
    return splits.map((x) => {
      const label = (step < 86400 && x % 86400 === 0 ? dateForms[2][1] : form).format(new Date(x * 1000));
      return u.valToPos(x, "x") + label.length * 3.3 > room ? "" : label; // it would be cut
    });
  }

  function axes(spec, logarithmic) {
    const font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
    const look = { stroke: () => css("muted"), font, ticks: { show: false }, gap: 6 };
    const grid = { stroke: () => css("grid"), width: 1 };
    const width = (u, shown) => Math.max(34, ...(shown ?? []).map((label) => label.length * 6.6 + 16));
    return [
      { ...look, grid: { show: false }, size: 30, space: spec.small ? 40 : 92, ...(spec.time ? { values: dates } : { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000] }) },
      { ...look, grid, space: spec.small ? 28 : 40, size: width, values: (u, splits) => labels(spec.form, splits, logarithmic) },
    ];
  }

  // Drawn on the chart itself: stretches of tainted data, generations, fills.
  const shapes = {
    promoted: [1, "ours"], restored: [1, "ours"], rejected: [0, "muted"], rolled_back: [-1, "bad"], quarantined: [0, "bad"],
  };

  function triangle(context, x, y, size, up) {
    context.beginPath();
    context.moveTo(x, y - up * size);
    context.lineTo(x - size, y + up * size * 0.8);
    context.lineTo(x + size, y + up * size * 0.8);
    context.closePath();
    context.fill();
  }

  function cross(context, x, y, size) {
    context.beginPath();
    for (const way of [1, -1]) {
      context.moveTo(x - size, y - way * size);
      context.lineTo(x + size, y + way * size);
    }
    context.stroke();
  }

  function shades(u, spec) {
    const { ctx, bbox } = u;
    ctx.fillStyle = faded(css("bad"), 0.1);
    for (const [from, to] of spec.shades ?? []) {
      const [left, right] = [from, to].map((x) => u.valToPos(x, "x", true));
      ctx.fillRect(left, bbox.top, Math.max(right - left, devicePixelRatio), bbox.height);
    }
  }

  function events(u, spec) {
    const { ctx, bbox } = u;
    const size = 4.5 * devicePixelRatio;
    const bottom = bbox.top + bbox.height;
    for (const event of spec.events ?? []) {
      const [up, name] = shapes[event.kind] ?? shapes.rejected;
      const x = u.valToPos(event.x, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.fillStyle = ctx.strokeStyle = css(name);
      ctx.lineWidth = devicePixelRatio;
      ctx.globalAlpha = 0.22;
      ctx.fillRect(x - devicePixelRatio / 2, bbox.top, devicePixelRatio, bbox.height);
      ctx.globalAlpha = 1;
      if (up) triangle(ctx, x, bottom - size * 1.4, size, up);
      else cross(ctx, x, bottom - size * 1.4, size * 0.75);
    }
  }

  // Each with its tip at the very price: from below what was bought, from above what was sold.
  function fills(u, spec) {
    const { ctx, bbox } = u;
    const found = spec.fills;
    for (let i = 0; i < (found?.x.length ?? 0); i++) {
      const x = u.valToPos(found.x[i], "x", true);
      if (x < bbox.left - 9 || x > bbox.left + bbox.width + 9) continue;
      const size = (found.x.length > 300 ? 4 : 6) * devicePixelRatio;
      const side = found.side[i];
      ctx.fillStyle = css(side > 0 ? "bought" : "sold");
      ctx.strokeStyle = css("panel");
      ctx.lineWidth = devicePixelRatio;
      triangle(ctx, x, u.valToPos(found.price[i], "y", true) + side * size, size, side);
      ctx.stroke();
    }
  }

  function clipped(draw) {
    return (u, spec) => {
      u.ctx.save();
      u.ctx.beginPath();
      u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
      u.ctx.clip();
      draw(u, spec);
      u.ctx.restore();
    };
  }

  // What is told of the place under pointer or cursor.
  const nearby = (u, list, pixels) => {
    const left = u.cursor.left;
    const near = (list ?? []).map((item) => [Math.abs(u.valToPos(item.x, "x") - left), item]).filter(([far]) => far <= pixels);
    return near.sort((a, b) => a[0] - b[0]).slice(0, 2).map(([, item]) => item);
  };

  function nearFill(u, spec, pixels = 9) {
    let [best, far] = [-1, pixels];
    for (let i = 0; i < (spec.fills?.x.length ?? 0); i++) {
      const away = Math.abs(u.valToPos(spec.fills.x[i], "x") - u.cursor.left);
      if (away <= far) [best, far] = [i, away];
    }
    return best;
  }

  function fillText(spec, i) {
    const { price: prices, side, quantity, profit, who, names } = spec.fills;
    const did = `${side[i] > 0 ? "bought" : "sold"} ${short(quantity[i])} at ${price(prices[i])}`;
    const earned = profit?.[i] === undefined || profit[i] === null ? "" : `, earned ${signed(profit[i], sum)}`;
    return `${did}${earned}${who && who[i] >= 0 ? `, for ${names[who[i]]}` : ""}`;
  }

  function row(name, value, swatch) {
    const mark = element("i");
    mark.style.background = swatch;
    return element("div", "", mark, element("span", "", name), element("b", "", value));
  }

  function lineText(spec, line, value) {
    const said = forms[spec.form](value);
    return spec.base ? `${said} (${signed(value / spec.base - 1, percent)})` : said;
  }

  function told(u, spec, idx) {
    if (spec.candles) {
      const { open, high, low, close } = spec.shown;
      const parts = [["open", open], ["high", high], ["low", low], ["close", close]];
      return parts.map(([name, values]) => row(name, price(values[idx]), css(close[idx] < open[idx] ? "candle-down" : "candle-up")));
    }
    return spec.lines.flatMap((line, i) => {
      const place = order(spec).indexOf(i) + 1;
      const value = spec.stacked ? line.values[idx] : u.data[place][idx];
      return u.series[place].show && value !== null && value !== undefined ? [row(line.name, lineText(spec, line, value), color(line.color))] : [];
    });
  }

  function tooltip(plot) {
    const tip = element("div", "tip");
    tip.hidden = true;
    tip.setAttribute("role", "status");
    const show = (u) => {
      const { spec } = plot;
      const { idx, left, top } = u.cursor;
      tip.hidden = idx === null || idx === undefined || left < 0 || !u.data[0].length;
      if (tip.hidden) return;
      const x = u.data[0][idx];
      tip.replaceChildren(element("span", "at", spec.time ? moment(spec.candles ? x - spec.shown.step / 2 : x) : `update ${x}`), ...told(u, spec, idx));
      for (const event of nearby(u, spec.events, 6)) tip.append(element("p", "", `generation ${event.generation} ${event.kind.replace("_", " ")}`));
      const fill = nearFill(u, spec);
      if (fill >= 0) tip.append(element("p", "", fillText(spec, fill)), ...(spec.why ? [element("p", "at", "click or Enter: why")] : []));
      const room = u.over.clientWidth - tip.offsetWidth;
      const beside = left > u.over.clientWidth / 2 ? left - tip.offsetWidth - 14 : left + 14;
      tip.style.left = `${u.over.offsetLeft + Math.max(Math.min(beside, room), -u.over.offsetLeft)}px`;
      tip.style.top = `${u.over.offsetTop + Math.max(0, Math.min(Math.max(top, 0) + 12, u.over.clientHeight - tip.offsetHeight))}px`;
    };
    return { tip, show };
  }

  function legend(plot) {
    const box = element("div", "legend");
    const paints = [];
    plot.paint = () => paints.forEach((paint) => paint());
    plot.spec.lines.forEach((line, i) => {
      const swatch = element("i", plot.spec.stacked ? "block" : "");
      const button = element("button", "", swatch, element("span", "", line.name));
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      const paint = () => {
        swatch.style.borderTopStyle = line.dash?.length ? (line.dash[0] > 3 ? "dashed" : "dotted") : "solid";
        swatch.style[plot.spec.stacked ? "background" : "borderTopColor"] = color(line.color);
      };
      paints.push(paint);
      if (plot.spec.stacked) button.disabled = true;
      button.addEventListener("click", () => {
        const place = order(plot.spec).indexOf(i) + 1;
        const show = !plot.u.series[place].show;
        plot.u.setSeries(place, { show });
        button.setAttribute("aria-pressed", String(show));
      });
      box.append(button);
    });
    plot.paint();
    return box;
  }

  // Worth having where values differ by more than a few times.
  function canBeLogarithmic(spec) {
    const lines = spec.candles ? [spec.candles.prices] : spec.lines.map((line) => line.values);
    let [low, high] = [Infinity, -Infinity];
    for (const values of spec.logs ? lines : []) for (const v of values) if (v !== null) [low, high] = [Math.min(low, v), Math.max(high, v)];
    return low > 0 && high > 4 * low;
  }

  function scaleButton(change) {
    const button = element("button", "scale", "log scale");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") === "false";
      button.setAttribute("aria-pressed", String(on));
      change(on);
    });
    return button;
  }

  // A zoom of one chart over time is a zoom of all of them.
  function follow(plot, key) {
    const { u, spec } = plot;
    if (key !== "x" || plot.quiet || !u) return;
    const { min, max } = u.scales.x;
    const [first, last] = ends(spec);
    plot.zoomed = min > first || max < last;
    if (spec.candles) queueMicrotask(() => sight(plot, min, max));
    if (zooming || !spec.time) return;
    zooming = true;
    for (const other of plots) if (other.spec.time && other !== plot && other.u) other.u.setScale("x", { min, max });
    zooming = false;
  }

  function options(plot, logarithmic) {
    const { spec, host, height, tip } = plot;
    const draws = [...(spec.candles ? [candles] : []), events, fills].map(clipped);
    return {
      width: host.clientWidth || 320, height: height(), ms: 1e-3, legend: { show: false }, padding: [10, 28, 0, 0],
      tzDate: (x) => uPlot.tzDate(new Date(x * 1000), "Etc/UTC"),
      scales: { x: { time: Boolean(spec.time) }, y: { distr: logarithmic ? 3 : 1, range: range(spec, logarithmic) } },
      axes: axes(spec, logarithmic),
      series: [{}, ...(spec.candles ? candleSeries() : order(spec).map((place) => series(spec, place)))],
      cursor: {
        y: false, drag: { x: true, y: false, setScale: true },
        points: { show: !spec.stacked && !spec.candles, size: 6 },
        sync: { key: spec.time ? "time" : "updates", setSeries: false, scales: ["x", null] },
      },
      hooks: {
        drawClear: [(u) => clipped(shades)(u, plot.spec)],
        draw: [(u) => draws.forEach((draw) => draw(u, plot.spec))],
        setCursor: [(u) => (u.over.matches(":hover") || host === document.activeElement ? tip.show(u) : (tip.tip.hidden = true))],
        setScale: [(u, key) => follow(plot, key)],
      },
    };
  }

  // By keyboard: arrows move the cursor and zoom, Page keys go from fill to fill, Enter asks why, Home shows everything.
  function zoom(plot, share) {
    const { u, spec } = plot;
    const { min, max } = u.scales.x;
    const [first, last] = ends(spec);
    const middle = u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : (min + max) / 2;
    const least = spec.candles ? 12 * spec.candles.usual : spec.time ? 10 : 2;
    const wide = Math.min(Math.max((max - min) * share, least), last - first);
    const from = Math.min(Math.max(first, middle - wide / 2), last - wide);
    u.setScale("x", { min: from, max: from + wide });
  }

  function move(plot, way) {
    const { u } = plot;
    const place = u.cursor.idx ?? Math.floor(u.data[0].length / 2);
    const rows = Math.max(1, Math.round(u.data[0].length / 120)) * way;
    const to = Math.min(u.data[0].length - 1, Math.max(0, place + rows));
    u.setCursor({ left: u.valToPos(u.data[0][to], "x"), top: 10 });
  }

  function jump(plot, way) {
    const { u, spec } = plot;
    const at = u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : -Infinity;
    const tolerance = (u.scales.x.max - u.scales.x.min) / 1e4;
    const found = (spec.fills?.x ?? []).filter((x) => (way > 0 ? x > at + tolerance : x < at - tolerance));
    if (!found.length) return;
    const x = way > 0 ? Math.min(...found) : Math.max(...found);
    if (x < u.scales.x.min || x > u.scales.x.max) {
      const half = (u.scales.x.max - u.scales.x.min) / 2;
      u.setScale("x", { min: x - half, max: x + half });
    }
    setTimeout(() => u.setCursor({ left: u.valToPos(x, "x"), top: 10 }));
  }

  const keys = {
    ArrowLeft: (plot) => move(plot, -1), ArrowRight: (plot) => move(plot, 1),
    ArrowUp: (plot) => zoom(plot, 0.5), ArrowDown: (plot) => zoom(plot, 2),
    "+": (plot) => zoom(plot, 0.5), "-": (plot) => zoom(plot, 2),
    PageUp: (plot) => jump(plot, -1), PageDown: (plot) => jump(plot, 1),
    Home: (plot) => { const [min, max] = ends(plot.spec); plot.u.setScale("x", { min, max }); },
    Escape: (plot) => { plot.tip.tip.hidden = true; },
    Enter: (plot) => ask(plot),
  };

  function ask(plot) {
    const fill = nearFill(plot.u, plot.spec);
    if (fill >= 0) plot.spec.why?.(fill);
  }

  function reachable(plot, name) {
    const { host } = plot;
    host.tabIndex = 0;
    host.setAttribute("role", "group");
    host.setAttribute("aria-roledescription", "chart");
    const lines = plot.spec.candles ? "candles and our fills" : plot.spec.lines.map((line) => line.name).join(", ");
    host.setAttribute("aria-label", `${name}: ${lines}. Arrow keys move and zoom, Home shows everything${plot.spec.fills ? ", Page keys go from fill to fill, Enter says why" : ""}.`);
    host.addEventListener("keydown", (event) => {
      const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
      if (!act || event.target !== host || !plot.u.data[0].length) return;
      event.preventDefault();
      act(plot);
    });
    host.addEventListener("blur", () => (plot.tip.tip.hidden = true));
  }

  // Draws `spec` into `host`: {x, lines, form, time, events, shades, gaps, fills, candles, low, high, base, logs, why}.
  // `place` takes legend and buttons. Returns the plot; `update(spec)` shows other figures at the same zoom, `leave()` ends it.
  function chart(host, spec, { name, height, place = host.parentElement, say }) {
    const plot = { u: null, spec, host, height, say, zoomed: false, quiet: false };
    plot.tip = tooltip(plot);
    const box = spec.lines.length > 1 ? legend(plot) : place.querySelector("figcaption") ?? element("div", "legend");
    if (canBeLogarithmic(spec)) box.prepend(scaleButton(make));
    if (!box.isConnected && box.childNodes.length) place.insertBefore(box, host.parentElement === place ? host : null);
    function make(logarithmic) {
      const shown = plot.u?.series.map((one) => one.show);
      plot.u?.destroy();
      plot.u = null;
      plot.u = new uPlot(options(plot, logarithmic), columns(plot.spec), host);
      shown?.forEach((show, i) => i && !show && plot.u.setSeries(i, { show }));
      host.append(plot.tip.tip);
      if (plot.spec.candles && plot.spec.candles.times.length) sight(plot, ...ends(plot.spec));
      plot.u.over.addEventListener("mouseleave", () => (plot.tip.tip.hidden = true));
      plot.u.over.addEventListener("click", () => ask(plot));
    }
    plot.update = (next) => {
      plot.spec = next;
      host.classList.toggle("none", (next.candles ? next.candles.times : next.x).length < 2);
      const { min, max } = plot.u.scales.x;
      plot.quiet = true;
      if (next.candles) { if (next.candles.times.length) sight(plot, ...(plot.zoomed ? [min, max] : ends(next))); }
      else plot.u.setData(columns(next), !plot.zoomed);
      plot.quiet = false;
    };
    make(false);
    reachable(plot, name);
    plots.push(plot);
    const resized = new ResizeObserver(() => host.clientWidth && plot.u.setSize({ width: host.clientWidth, height: height() }));
    resized.observe(host);
    plot.leave = () => {
      resized.disconnect();
      plots.splice(plots.indexOf(plot), 1);
      plot.u.destroy();
      plot.tip.tip.remove();
      if (box.matches(".legend")) box.remove();
    };
    return plot;
  }

  // Numbers as `packed` of charts.py writes them.
  async function unpacked(text, count) {
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const content = new Uint8Array(await new Response(stream).arrayBuffer());
    const values = new Float64Array(count);
    let [at, sum] = [0, 0];
    for (let i = 0; i < count; i++) {
      let [value, weight] = [0, 1];
      for (; content[at] > 127; weight *= 128) value += (content[at++] - 128) * weight;
      value += content[at++] * weight;
      sum += value % 2 ? -(value + 1) / 2 : value / 2;
      values[i] = sum;
    }
    return values;
  }

  // The usual distance of two times.
  function usual(times) {
    const steps = [];
    for (let i = 1; i < times.length; i += Math.ceil(times.length / 2000)) steps.push(times[i] - times[i - 1]);
    return steps.sort((a, b) => a - b)[steps.length >> 1] || 1;
  }

  // Paper is white, and as wide as it is.
  const PAPER = 660;

  function repaint(paper) {
    root.toggleAttribute("data-paper", paper);
    for (const { u, host, height, paint } of plots) {
      const width = host.clientWidth || PAPER;
      u.setSize({ width: paper && width > PAPER / 2 ? PAPER : width, height: height() });
      u.redraw(true, true);
      paint?.();
    }
  }

  dark.addEventListener("change", () => repaint(false));
  addEventListener("beforeprint", () => repaint(true));
  addEventListener("afterprint", () => repaint(false));
  return { settings, chart, unpacked, usual, element, css, color, format, short, signed, percent, price, sum, moment, span, minus };
})();
