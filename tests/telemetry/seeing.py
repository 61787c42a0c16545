"""How report and page are looked at in a browser: what is laid out wrongly, and what a keyboard reaches."""

from __future__ import annotations

from pathlib import Path

FAULTS = (Path(__file__).parent / "seen.js").read_text()
"""JavaScript: cut or overlapping text, sideways scrolling and faint text on the page, in words."""

PAPER = {"width": 718, "height": 1000}
"""A4 less the usual margins, at 96 dots an inch."""

REACHABLE = """() => {
  const all = document.querySelectorAll("a[href], button:not(:disabled), [tabindex='0'], input, summary");
  const shown = [...all].filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest("dialog:not([open])"));
  shown.forEach((one, i) => (one.dataset.order = i));
  return shown.length;
}"""
"""JavaScript: numbers everything that a pointer can use, in order; how many there are."""

FOCUSED = """() => {
  const one = document.activeElement;
  return [Number(one.dataset.order ?? -1), getComputedStyle(one).outlineStyle !== "none"];
}"""
"""JavaScript: the number of what has the focus, and whether that is seen."""
