"""What equity did in months, in drawdowns, in a rolling window, and at which hours and on which weekdays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ztb.ledger.performance import A_RATIO_NS, YEAR_NS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_HOUR_NS = 3_600 * 10**9
_DAY_NS = 24 * _HOUR_NS
_THURSDAY = 3  # 1 January 1970


def monthly(ts_ns: Ints, equity: Floats) -> dict[tuple[int, int], float]:
    """Return of each month (year, month) in UTC that has a mark, from the last mark of the month before."""
    moments = [datetime.fromtimestamp(ts // 10**9, UTC) for ts in ts_ns.tolist()]
    last = {(moment.year, moment.month): k for k, moment in enumerate(moments)}
    found: dict[tuple[int, int], float] = {}
    before = 0
    for month, k in last.items():
        found[month] = float(equity[k] / equity[before] - 1.0) if equity[before] > 0 else float("nan")
        before = k
    return found


@dataclass(frozen=True, slots=True)
class Drawdown:
    """From a peak of equity down to `trough_ns` and back; `recovered_ns` None where it has not come back.

    `depth` is 1 − trough over peak.
    """

    peak_ns: int
    trough_ns: int
    recovered_ns: int | None
    depth: float


def drawdowns(ts_ns: Ints, equity: Floats) -> list[Drawdown]:
    """Every period below an earlier peak, the deepest first."""
    peaks = np.maximum.accumulate(equity)
    under = (equity < peaks).astype(np.int8)
    edges = np.flatnonzero(np.diff(under, prepend=0, append=0))
    found: list[Drawdown] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        trough = start + int(np.argmin(equity[start:end]))
        back = int(ts_ns[end]) if end < len(equity) else None
        depth = float(1.0 - equity[trough] / peaks[trough])
        found.append(Drawdown(int(ts_ns[start - 1]), int(ts_ns[trough]), back, depth))
    return sorted(found, key=lambda one: -one.depth)


def rolling_sharpe(ts_ns: Ints, equity: Floats, window_ns: int = A_RATIO_NS) -> Floats:
    """Annualised Sharpe ratio, risk-free rate 0, of the window that ends at each mark, (n,).

    As `ztb.ledger.performance.sharpe`; nan before the first window is full, and where returns did not vary.
    """
    returns = np.diff(equity) / equity[:-1]
    sums, squares = (np.append(0.0, np.cumsum(values)) for values in (returns, returns**2))
    first = np.searchsorted(ts_ns, ts_ns - window_ns, side="left")
    count = np.arange(len(ts_ns)) - first
    full = (ts_ns - ts_ns[0] >= window_ns) & (count > 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (sums - sums[first]) / count
        variance = (squares - squares[first] - count * mean**2) / (count - 1)
        ratio = mean / np.sqrt(variance) * np.sqrt(count * YEAR_NS / (ts_ns - ts_ns[first]))
    return np.where(full & (variance > 1e-18), ratio, np.nan)


def by_hour(ts_ns: Ints, equity: Floats) -> Floats:
    """Sum of returns that began in each hour of the day (UTC), (24,)."""
    return _summed(equity, (ts_ns // _HOUR_NS) % 24, 24)


def by_weekday(ts_ns: Ints, equity: Floats) -> Floats:
    """Sum of returns that began on each weekday (UTC), Monday first, (7,)."""
    return _summed(equity, (ts_ns // _DAY_NS + _THURSDAY) % 7, 7)


def _summed(equity: Floats, kind: Ints, kinds: int) -> Floats:
    returns = np.diff(equity) / equity[:-1]
    return np.bincount(kind[:-1], weights=returns, minlength=kinds).astype(np.float64)
