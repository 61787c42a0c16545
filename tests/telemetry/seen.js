// What is wrong with a page as it is laid out now: cut text, overlaps, sideways scrolling, faint text. A list of words.
() => {
  const faults = [];
  const say = (what, element, more = "") => faults.push(`${what}: <${element.tagName.toLowerCase()} class="${element.className?.baseVal ?? element.className}"> "${element.textContent.trim().slice(0, 50)}" ${more}`);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const seen = new Map();

  function channels(color) {
    if (!seen.has(color)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
      seen.set(color, [red, green, blue, alpha / 255]);
    }
    return seen.get(color);
  }

  function luminance(color) {
    const [red, green, blue] = color.slice(0, 3).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  function contrast(one, other) {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }

  const over = ([r, g, b, a], [r2, g2, b2]) => [r * a + r2 * (1 - a), g * a + g2 * (1 - a), b * a + b2 * (1 - a), 1];

  function background(element) {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
  }

  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) faults.push(`the page is ${document.documentElement.scrollWidth} wide, ${width} are seen`);

  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.textContent.trim() || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || element.closest("script, style, .unseen, title, noscript")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const rects = [...range.getClientRects()].filter((rect) => rect.width > 0.5 && rect.height > 0.5);
    for (const rect of rects) {
      boxes.push({ rect, element });
      if (rect.left < -0.5 || rect.right > width + 0.5) say("out of the page", element, `${rect.left}…${rect.right}`);
      for (let at = element; at; at = at.parentElement) {
        const style = getComputedStyle(at);
        if (at instanceof SVGElement || style.overflowX === "visible" || at === document.body) continue;
        const box = at.getBoundingClientRect();
        if (rect.left < box.left - 1 || rect.right > box.right + 1) say("cut", element, `by ${at.className || at.tagName}`);
        if (style.overflowY === "hidden" && (rect.top < box.top - 2 || rect.bottom > box.bottom + 2)) say("cut below", element, `by ${at.className || at.tagName}`);
      }
    }
    const ink = element instanceof SVGElement ? getComputedStyle(element).fill : getComputedStyle(element).color;
    const behind = background(element);
    const ratio = contrast(over(channels(ink), behind), behind);
    if (rects.length && ratio < 4.5 && !element.closest(":disabled")) say("faint", element, ratio.toFixed(2));
  }

  boxes.sort((a, b) => a.rect.top - b.rect.top);
  boxes.forEach((one, i) => {
    for (let k = i + 1; k < boxes.length && boxes[k].rect.top < one.rect.bottom - 3; k++) {
      const other = boxes[k];
      if (other.element === one.element) continue;
      const wide = Math.min(one.rect.right, other.rect.right) - Math.max(one.rect.left, other.rect.left);
      const high = Math.min(one.rect.bottom, other.rect.bottom) - other.rect.top;
      if (wide > 1.5 && high > 4) say("overlap", one.element, `with "${other.element.textContent.trim().slice(0, 30)}" by ${wide.toFixed(1)} x ${high.toFixed(1)}`);
    }
  });

  // Axes are drawn with the page's colours on its panels; marks and lines need 3 (WCAG 1.4.11), words 4.5.
  const css = (name) => channels(getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  const least = { muted: 4.5, ink: 4.5, ours: 3, hold: 3, frozen: 3, flat: 3, "expert-1": 3, "expert-2": 3, "expert-3": 3, "expert-4": 3, "expert-5": 3, bought: 3, sold: 3, "candle-up": 3, "candle-down": 3, bad: 3 };
  for (const [name, ratio] of Object.entries(least)) {
    const found = contrast(css(name), css("panel"));
    if (found < ratio) faults.push(`colour ${name} on a panel: ${found.toFixed(2)}`);
  }
  for (const sheet of document.querySelectorAll(".sheet")) if (sheet.scrollWidth > sheet.clientWidth) say("a table is cut", sheet, `${sheet.scrollWidth} of ${sheet.clientWidth}`);
  return faults;
}
