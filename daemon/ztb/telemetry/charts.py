"""Charts as data: what the page's script draws, as JSON-able dicts; and as SVG, for readers without JavaScript.

Times are seconds since 1970 (UTC). Fewer points are drawn than there are, without losing an extreme.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.telemetry import texts
from ztb.telemetry.markup import Html, join, text

Floats = NDArray[np.float64]


def extremes(lines: list[Floats], buckets: int) -> NDArray[np.int64]:
    """Rows to draw, rising: of each of `buckets` equal runs of rows, the lowest and the highest of every line.

    `lines` have shape (n,) each; the first and the last row are always there, nan is never an extreme. All n
    rows where that would not save any.
    """
    n = len(lines[0])
    if n <= 2 * buckets:
        return np.arange(n)
    starts = np.linspace(0, n, buckets + 1).astype(np.int64)[:-1]
    rows = [np.array([0, n - 1])]
    for line in lines:
        rows += [_lowest(line, starts), _lowest(-line, starts)]
    return np.unique(np.concatenate(rows))


def _lowest(line: Floats, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first row of the lowest value in each run that begins at `starts`; none where there is nothing but nan."""
    lowest = np.minimum.reduceat(np.where(np.isnan(line), np.inf, line), starts)
    run = np.zeros(len(line), np.int64)
    run[starts[1:]] = 1
    run = np.cumsum(run)
    rows = np.flatnonzero(line == lowest[run])
    return rows[np.diff(run[rows], prepend=-1) > 0]


BUCKETS = 900
_DIGITS = 7


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One line. `color` names a colour of the page, or is a rung of the ladder in [-1, 1]; `values` (n,)."""

    name: str
    color: str | float
    values: Floats
    dash: tuple[int, ...] = ()
    width: float = 1.5
    filled: bool = False
    stepped: bool = False

    def sample(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """The line at `rows`, JSON-able."""
        return {
            "name": self.name,
            "color": self.color,
            "values": numbers(self.values[rows]),
            "dash": list(self.dash),
            "width": self.width,
            "filled": self.filled,
            "stepped": self.stepped,
        }


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of lines over `x` (n,). `fields` are further members for the script; see `page/charts.js`."""

    x: Floats
    lines: list[ChartLine]
    form: str
    fields: dict[str, Any] = field(default_factory=dict[str, Any])

    def encode(self) -> dict[str, Any]:
        """JSON-able, with no more points than a screen can show."""
        rows = extremes([line.values for line in self.lines], BUCKETS)
        lines = [line.sample(rows) for line in self.lines]
        return {"x": numbers(self.x[rows], 13), "lines": lines, "form": self.form, **self.fields}


def numbers(values: Floats, digits: int = _DIGITS) -> list[float | int | None]:
    """JSON-able, rounded to significant digits; None for nan and infinity."""
    return [
        _shortest(float(f"{value:.{digits}g}")) if np.isfinite(value) else None for value in values.tolist()
    ]


def packed(values: NDArray[np.int64]) -> str:
    """Whole numbers (n,) as text for the page's script: differences, zigzag, seven bits a byte, deflate, base64."""
    steps = np.diff(values, prepend=0)
    left = ((steps << 1) ^ (steps >> 63)).astype(np.uint64)
    places: list[NDArray[np.uint8]] = []
    going: list[NDArray[np.bool_]] = []
    present = np.ones(len(left), np.bool_)
    while present.any():
        rest = left >> np.uint64(7)
        places.append(
            ((left & np.uint64(127)) | (rest > 0).astype(np.uint64) << np.uint64(7)).astype(np.uint8)
        )
        going.append(present)
        left, present = rest, present & (rest > 0)
    if not places:
        return ""
    content = np.stack(places, axis=1)[np.stack(going, axis=1)].tobytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(packer.compress(content) + packer.flush()).decode()


def _shortest(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def seconds(ts_ns: NDArray[np.int64]) -> Floats:
    """Seconds since 1970, to the millisecond."""
    return np.round(ts_ns / 1e9, 3)


_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 960.0, 300.0, 78.0, 8.0, 10.0, 26.0
_BUCKETS = 240
_GRID = 4


def equity_svg(ts_ns: NDArray[np.int64], lines: list[ChartLine], label: str) -> Html:
    """Lines over time (n,) with a frame of four figures; `label` is what a screen reader says."""
    rows = extremes([line.values for line in lines], _BUCKETS)
    values = np.concatenate([line.values[rows] for line in lines])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    scale = Scale(low, high if high > low else low + 1.0)
    moments = ts_ns[rows].astype(np.float64)
    x = _LEFT + (moments - moments[0]) / max(moments[-1] - moments[0], 1.0) * (_WIDTH - _LEFT - _RIGHT)
    first, last = texts.ends(int(ts_ns[0]), int(ts_ns[-1]))
    drawn = [_polyline(x, scale.place(line.values[rows]), line) for line in reversed(lines)]
    return Html(
        f'<svg class="static" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{text(label)}">'
        f"{scale.grid()}{join(drawn)}"
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{first}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{last}</text></svg>'
    )


class Scale:
    """The vertical axis from `low` to `high`, top down; its figures have so many `digits`."""

    def __init__(self, low: float, high: float, digits: int = 0) -> None:
        self.low = low
        self.high = high
        self.digits = digits

    def place(self, values: Floats) -> Floats:
        return _TOP + (self.high - values) / (self.high - self.low) * (_HEIGHT - _TOP - _BOTTOM)

    def grid(self) -> Html:
        """Horizontal lines with their values."""
        levels = np.linspace(self.low, self.high, _GRID)
        return join(
            [
                f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
                f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{texts.number(level, self.digits)}</text>'
                for level, y in zip(levels.tolist(), self.place(levels).tolist(), strict=True)
            ]
        )


def _polyline(x: Floats, y: Floats, line: ChartLine) -> Html:
    known = ~np.isnan(y)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[known].tolist(), y[known].tolist(), strict=True))
    dash = f' stroke-dasharray="{" ".join(map(str, line.dash))}"' if line.dash else ""
    return Html(
        f'<polyline points="{points}" fill="none" style="stroke:var(--{line.color})" '
        f'stroke-width="{line.width}"{dash}><title>{text(line.name)}</title></polyline>'
    )


def scatter_svg(points: Sequence[tuple[float, float]], across: str, up: str) -> Html:
    """Dots (x, y) with a frame of figures; `across` and `up` say what they are."""
    x, y = (np.array(values, np.float64) for values in zip(*points, strict=True))
    low, high = float(y.min()), float(y.max())
    scale = Scale(low, high if high > low else low + 1.0, digits=0 if high - low > 10 else 3)
    span = max(float(x.max() - x.min()), 1e-12)
    places = _LEFT + 10.0 + (x - x.min()) / span * (_WIDTH - _LEFT - _RIGHT - 20.0)
    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="5" style="fill:var(--ours);fill-opacity:.55"/>'
        for a, b in zip(places.tolist(), scale.place(y).tolist(), strict=True)
    )
    ends = texts.significant(float(x.min())), texts.significant(float(x.max()))
    return Html(
        f'<svg class="static" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" '
        f'aria-label="{text(f"{up} against {across}")}">{scale.grid()}{dots}'
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{ends[0]}</text>'
        f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{text(across)}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{ends[1]}</text></svg>'
    )
