(() => {
  "use strict";
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = [];
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
  const minus = (text) => text.replace("-", "\u2212");
  const format = (value, digits) => minus(value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));

  const forms = {
    money: (v) => `${format(v, 2)} ${data.quote}`,
    percent: (v) => `${format(v * 100, 1)} %`,
    plain: (v) => minus(String(Number(v.toPrecision(4)))),
  };

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
  const moment = utc({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });

  const at = (spec, x) => (spec.time ? `${moment.format(new Date(x * 1000))} UTC` : `update ${x}`);

  function element(tag, name, text) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // Stacked lines are drawn from the top down, each filled to the axis and covering the one before.
  function columns(spec) {
    const lines = spec.lines.map((line) => line.values);
    if (!spec.stacked) return [spec.x, ...lines];
    const sums = lines.map((_, i) => spec.x.map((_, row) => lines.slice(0, i + 1).reduce((sum, line) => sum + line[row], 0)));
    return [spec.x, ...sums.reverse()];
  }

  const order = (spec) => (spec.stacked ? spec.lines.map((_, i) => spec.lines.length - 1 - i) : spec.lines.map((_, i) => i));

  function series(spec, place) {
    const line = spec.lines[place];
    const stroke = () => color(line.color);
    return {
      label: line.name,
      stroke: spec.stacked ? () => css("panel") : stroke,
      width: spec.stacked ? 0.5 : line.width,
      dash: line.dash.length ? line.dash : undefined,
      fill: spec.stacked ? stroke : line.filled ? () => faded(color(line.color), 0.16) : undefined,
      fillTo: spec.stacked || line.filled ? 0 : undefined,
      paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
      points: { show: spec.x.length < 3, size: 5 },
      spanGaps: false,
    };
  }

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

  function axes(spec, logarithmic) {
    const font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
    const look = { stroke: () => css("muted"), font, ticks: { show: false }, gap: 6 };
    const grid = { stroke: () => css("grid"), width: 1 };
    const width = (u, shown) => Math.max(34, ...(shown ?? []).map((label) => label.length * 6.6 + 16));
    return [
      { ...look, grid: { show: false }, size: 30, space: spec.small ? 40 : 84, ...(spec.time ? { values: dates } : { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000] }) },
      { ...look, grid, space: spec.small ? 28 : 40, size: width, values: (u, splits) => labels(spec.form, splits, logarithmic) },
    ];
  }

  const dateForms = [
    [300 * 86400, utc({ year: "numeric" })],
    [25 * 86400, utc({ month: "short", year: "numeric" })],
    [86400, utc({ day: "numeric", month: "short" })],
    [60, utc({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })],
    [0, utc({ hour: "2-digit", minute: "2-digit", second: "2-digit" })],
  ];

  function dates(u, splits, axis, space, step) {
    const form = dateForms.find(([least]) => step >= least)[1];
    return splits.map((x) => form.format(new Date(x * 1000)));
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

  function fills(u, spec) {
    const { ctx } = u;
    const size = (spec.points?.length > 300 ? 3.2 : 4.5) * devicePixelRatio;
    ctx.globalAlpha = spec.points?.length > 300 ? 0.75 : 0.95;
    for (const point of spec.points ?? []) {
      ctx.fillStyle = css(point.side > 0 ? "ours" : "hold");
      triangle(ctx, u.valToPos(point.x, "x", true), u.valToPos(point.y, "y", true), size, point.side);
    }
    ctx.globalAlpha = 1;
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

  const nearby = (u, list, pixels) => {
    const left = u.cursor.left;
    const near = (list ?? []).map((item) => [Math.abs(u.valToPos(item.x, "x") - left), item]).filter(([far]) => far <= pixels);
    return near.sort((a, b) => a[0] - b[0]).slice(0, 2).map(([, item]) => item);
  };

  function row(name, value, swatch) {
    const line = element("div");
    const mark = element("i");
    mark.style.background = swatch;
    line.append(mark, element("span", "", name), element("b", "", value));
    return line;
  }

  function lineText(spec, line, value) {
    const said = forms[spec.form](value);
    return spec.base ? `${said} (${value >= spec.base ? "+" : ""}${forms.percent(value / spec.base - 1)})` : said;
  }

  function tooltip(spec) {
    const tip = element("div", "tip");
    tip.hidden = true;
    const show = (u) => {
      const { idx, left, top } = u.cursor;
      tip.hidden = idx === null || idx === undefined || left < 0;
      if (tip.hidden) return;
      tip.replaceChildren(element("span", "at", at(spec, spec.x[idx])));
      spec.lines.forEach((line, i) => {
        const value = line.values[idx];
        const shown = u.series[order(spec).indexOf(i) + 1].show;
        if (shown && value !== null) tip.append(row(line.name, lineText(spec, line, value), color(line.color)));
      });
      for (const event of nearby(u, spec.events, 6)) tip.append(element("p", "", `generation ${event.generation} ${event.kind.replace("_", " ")}`));
      for (const point of nearby(u, spec.points, 5)) tip.append(element("p", "", point.text));
      const room = u.over.clientWidth - tip.offsetWidth;
      const beside = left > u.over.clientWidth / 2 ? left - tip.offsetWidth - 14 : left + 14;
      tip.style.left = `${u.over.offsetLeft + Math.max(Math.min(beside, room), -u.over.offsetLeft)}px`;
      tip.style.top = `${u.over.offsetTop + Math.max(0, Math.min(top + 12, u.over.clientHeight - tip.offsetHeight))}px`;
    };
    return { tip, show };
  }

  function legend(spec, plot) {
    const box = element("div", "legend");
    spec.lines.forEach((line, i) => {
      const button = element("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      const swatch = element("i", spec.stacked ? "block" : "");
      button.append(swatch, element("span", "", line.name));
      const paint = () => {
        swatch.style.borderTopStyle = line.dash.length ? (line.dash[0] > 3 ? "dashed" : "dotted") : "solid";
        swatch.style[spec.stacked ? "background" : "borderTopColor"] = color(line.color);
      };
      paint();
      dark.addEventListener("change", paint);
      if (spec.stacked) button.disabled = true;
      button.addEventListener("click", () => {
        const place = order(spec).indexOf(i) + 1;
        const show = !plot().series[place].show;
        plot().setSeries(place, { show });
        button.setAttribute("aria-pressed", String(show));
      });
      box.append(button);
    });
    return box;
  }

  // Worth having where values differ by more than a few times.
  function canBeLogarithmic(spec) {
    const values = spec.logs ? spec.lines.flatMap((line) => line.values.filter((v) => v !== null)) : [];
    const [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
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
  function follow(u, key, spec) {
    if (key !== "x" || zooming || !spec.time) return;
    zooming = true;
    const { min, max } = u.scales.x;
    for (const other of plots) if (other.spec.time && other.u !== u) other.u.setScale("x", { min, max });
    zooming = false;
  }

  function height(figure) {
    const phone = innerWidth < 640;
    if (figure.classList.contains("small")) return 170;
    return figure.classList.contains("tall") ? (phone ? 260 : 360) : phone ? 170 : 200;
  }

  function options(spec, figure, host, tip, logarithmic) {
    return {
      width: host.clientWidth, height: height(figure), ms: 1e-3, legend: { show: false }, padding: [10, 28, 0, 0],
      tzDate: (x) => uPlot.tzDate(new Date(x * 1000), "Etc/UTC"),
      scales: { x: { time: Boolean(spec.time) }, y: { distr: logarithmic ? 3 : 1, range: range(spec, logarithmic) } },
      axes: axes(spec, logarithmic),
      series: [{}, ...order(spec).map((place) => series(spec, place))],
      cursor: {
        y: false, drag: { x: true, y: false, setScale: true },
        points: { show: !spec.stacked, size: 6 },
        sync: { key: spec.time ? "time" : "updates", setSeries: false, scales: ["x", null] },
      },
      hooks: {
        drawClear: [(u) => clipped(shades)(u, spec)],
        draw: [(u) => clipped(events)(u, spec), (u) => clipped(fills)(u, spec)],
        setCursor: [(u) => (u.over.matches(":hover") ? tip.show(u) : (tip.tip.hidden = true))],
        setScale: [(u, key) => follow(u, key, spec)],
      },
    };
  }

  function draw(figure) {
    const spec = data.charts[figure.dataset.chart];
    if (!spec) {
      if (!figure.querySelector("svg, figcaption + p")) figure.classList.add("absent");
      return;
    }
    const host = element("div", "plot");
    const tip = tooltip(spec);
    const plot = { u: null, spec };
    const box = spec.lines.length > 1 ? legend(spec, () => plot.u) : figure.querySelector("figcaption");
    if (canBeLogarithmic(spec)) box.prepend(scaleButton(make));
    figure.append(...(spec.lines.length > 1 ? [box, host] : [host]));
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", `${figure.querySelector("h3")?.textContent ?? "Equity"}: ${spec.lines.map((line) => line.name).join(", ")}`);
    function make(logarithmic) {
      const shown = plot.u?.series.map((one) => one.show);
      plot.u?.destroy();
      plot.u = new uPlot(options(spec, figure, host, tip, logarithmic), columns(spec), host);
      shown?.forEach((show, i) => i && !show && plot.u.setSeries(i, { show }));
      host.append(tip.tip);
      plot.u.over.addEventListener("mouseleave", () => (tip.tip.hidden = true));
    }
    make(false);
    plots.push(plot);
    new ResizeObserver(() => plot.u.setSize({ width: host.clientWidth, height: height(figure) })).observe(host);
  }

  root.classList.add("js");
  document.querySelectorAll("figure[data-chart]").forEach(draw);
  dark.addEventListener("change", () => plots.forEach(({ u }) => u.redraw(false)));
})();
