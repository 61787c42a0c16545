"""The equity curve as inline SVG, for readers without JavaScript."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.telemetry import texts
from ztb.telemetry.charts import Line
from ztb.telemetry.downsample import Floats, extremes
from ztb.telemetry.markup import Html, join, text

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 960.0, 300.0, 78.0, 8.0, 10.0, 26.0
_BUCKETS = 240
_GRID = 4


def equity_svg(ts_ns: NDArray[np.int64], lines: list[Line], label: str) -> Html:
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
    """The vertical axis from `low` to `high`, top down."""

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high

    def place(self, values: Floats) -> Floats:
        return _TOP + (self.high - values) / (self.high - self.low) * (_HEIGHT - _TOP - _BOTTOM)

    def grid(self) -> Html:
        """Horizontal lines with their values."""
        levels = np.linspace(self.low, self.high, _GRID)
        return join(
            [
                f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
                f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{texts.number(level, 0)}</text>'
                for level, y in zip(levels.tolist(), self.place(levels).tolist(), strict=True)
            ]
        )


def _polyline(x: Floats, y: Floats, line: Line) -> Html:
    known = ~np.isnan(y)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[known].tolist(), y[known].tolist(), strict=True))
    dash = f' stroke-dasharray="{" ".join(map(str, line.dash))}"' if line.dash else ""
    return Html(
        f'<polyline points="{points}" fill="none" style="stroke:var(--{line.color})" '
        f'stroke-width="{line.width}"{dash}><title>{text(line.name)}</title></polyline>'
    )
