"""Charts as data: what the page's script draws, as JSON-able dicts. Times are seconds since 1970 (UTC)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.telemetry.downsample import Floats, extremes

BUCKETS = 900
_DIGITS = 7


@dataclass(frozen=True, slots=True)
class Line:
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
            "name": self.name, "color": self.color, "values": numbers(self.values[rows]),
            "dash": list(self.dash), "width": self.width, "filled": self.filled, "stepped": self.stepped,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of lines over `x` (n,). `fields` are further members for the script; see `page/report.js`."""

    x: Floats
    lines: list[Line]
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


def _shortest(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def seconds(ts_ns: NDArray[np.int64]) -> Floats:
    """Seconds since 1970, to the millisecond."""
    return np.round(ts_ns / 1e9, 3)
