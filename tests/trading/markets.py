"""Made-up markets for the environments' tests."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, Ticks, empty_ticks

HOUR_NS = 3_600_000_000_000
START_NS = 1_500_000_000_000_000_000 // HOUR_NS * HOUR_NS
SPOT = Instrument(
    "BTC/USDT", "BTC", "USDT", "test", Decimal("0.01"), Decimal("0.00001"), Decimal("10"),
    Decimal("0.001"), Decimal("0.001"), 2.0,
)  # fmt: skip
PERPETUAL = Instrument(
    "BTC/USDT:USDT", "BTC", "USDT", "test", Decimal("0.1"), Decimal("0.001"), Decimal("5"),
    Decimal("0.0002"), Decimal("0.0005"), 1.0, short=True,
)  # fmt: skip


def bars(n: int, seed: int = 0, drift: float = 0.0, volatility: float = 0.01) -> Ticks:
    """Hourly bars of a random walk."""
    rng = np.random.default_rng(seed)
    close = np.round(5000.0 * np.exp(np.cumsum(rng.normal(drift, volatility, n + 1))), 2)
    ticks = empty_ticks(n)
    ticks["kind"] = BAR
    ticks["ts_ns"] = START_NS + (1 + np.arange(n)) * HOUR_NS
    ticks["span_ns"] = HOUR_NS
    ticks["open"], ticks["price"] = close[:-1], close[1:]
    ticks["high"] = np.maximum(close[:-1], close[1:]) + np.round(rng.uniform(0.01, 20.0, n), 2)
    ticks["low"] = np.minimum(close[:-1], close[1:]) - np.round(rng.uniform(0.01, 20.0, n), 2)
    ticks["size"] = np.round(rng.uniform(10.0, 200.0, n), 4)
    ticks["buy_volume"] = np.nan
    return ticks


def trades(n: int, seed: int = 0) -> Ticks:
    """Trades some tens of milliseconds apart, in bursts, at prices that move by ticks."""
    rng = np.random.default_rng(seed)
    ticks = empty_ticks(n)
    ticks["kind"] = TRADE
    ticks["ts_ns"] = START_NS + np.cumsum(rng.integers(0, 60_000_000, n))
    ticks["price"] = np.round(5000.0 + np.cumsum(rng.integers(-3, 4, n)) * 0.01, 2)
    ticks["side"] = rng.choice([-1, 1], n)
    ticks["size"] = np.round(rng.exponential(0.5, n) + 0.001, 3)
    return ticks


def quoted(n: int, seed: int = 0) -> Ticks:
    """Trades among quotes."""
    rng = np.random.default_rng(seed)
    ticks = trades(n, seed)
    quotes = rng.random(n) < 0.5
    price = ticks["price"].copy()
    ticks["kind"][quotes] = QUOTE
    ticks["side"][quotes] = 0
    for name, offset in (("bid", -0.02), ("ask", 0.03)):
        ticks[name][quotes] = np.round(price[quotes] + offset, 2)
        ticks[f"{name}_size"][quotes] = np.round(rng.exponential(1.0, quotes.sum()) + 0.01, 3)
    ticks["price"][quotes] = 0.5 * (ticks["bid"][quotes] + ticks["ask"][quotes])
    ticks["size"][quotes] = 0.0
    return ticks


def depth(n: int, seed: int = 0) -> Ticks:
    """Messages of two levels each around a fixed price, levels coming and going, a trade now and then."""
    rng = np.random.default_rng(seed)
    ticks = trades(2 * n, seed)
    ticks["ts_ns"][1::2] = ticks["ts_ns"][::2]
    messages = np.repeat(rng.random(n) < 0.8, 2)
    side = rng.choice([-1, 1], 2 * n)
    away = rng.integers(1, 12, 2 * n)
    ticks["kind"][messages] = DEPTH
    ticks["side"][messages] = side[messages]
    ticks["price"] = np.round(5000.0 - side * away * 0.01, 2)
    ticks["size"][messages] = np.round(rng.exponential(1.0, 2 * n) * (rng.random(2 * n) < 0.7), 3)[messages]
    ticks["flags"][1::2][messages[1::2]] = LAST
    ticks["flags"][0] |= SNAPSHOT
    return ticks
