"""Made markets whose edge is known: autoregressive returns, r' = ρ r + noise, of one standard deviation throughout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

HOUR_NS = 3_600_000_000_000
START_NS = 955_677_600_000_000_000
"""In 2000: what is made ends before the present, however long it is."""
_FIRST_PRICE = 50_000.0
_VOLUME = 1_000_000_000


def autoregressive_prices(
    regimes: Sequence[tuple[float, int]], seed: int, deviation: float
) -> NDArray[np.float64]:
    """Prices after each return of `regimes`, (ρ, how many) in order, and before the first; quote currency.

    `deviation`: that of a log return.
    """
    rng = np.random.default_rng(seed)
    found, r = [0.0], 0.0
    for rho, n in regimes:
        noise = rng.normal(0.0, deviation * np.sqrt(1.0 - rho * rho), n)
        for shock in noise:
            r = rho * r + shock
            found.append(r)
    prices: NDArray[np.float64] = np.round(_FIRST_PRICE * np.exp(np.cumsum(found)), 3)
    return prices


def write_bars(prices: NDArray[np.float64], path: Path) -> Path:
    """An hourly bar from each price to the next, without a detour, as a table that `ztb replay` reads.

    `path` ends in .csv, or in .csv.zst.
    """
    n = len(prices) - 1
    times = START_NS // 1_000_000 + np.arange(n) * (HOUR_NS // 1_000_000)
    low, high = np.minimum(prices[:-1], prices[1:]), np.maximum(prices[:-1], prices[1:])
    rows = zip(times, prices[:-1], high, low, prices[1:], strict=True)
    lines = [f"{t},{o:.3f},{h:.3f},{lo:.3f},{c:.3f},{_VOLUME}" for t, o, h, lo, c in rows]
    text = ("\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n").encode()
    path.write_bytes(zstandard.compress(text) if path.suffix == ".zst" else text)
    return path
