"""Made-up markets for the tests of features."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, DEPTH, GAP, LAST, QUOTE, TRADE, Ticks, empty_ticks

SECOND = 1_000_000_000
PERIOD = 10 * SECOND
START = 1_700_000_000 * SECOND

INSTRUMENT = Instrument(
    "BTC/USDT", "BTC", "USDT", "test", Decimal("0.01"), Decimal("0.00001"), Decimal(10),
    Decimal("0.001"), Decimal("0.001"), 2.0,
)  # fmt: skip


def walk(rng: np.random.Generator, n: int, step: float = 1e-3) -> NDArray[np.float64]:
    """Prices of a random walk, two decimals."""
    prices: NDArray[np.float64] = np.round(30_000.0 * np.exp(np.cumsum(rng.normal(0.0, step, n))), 2)
    return prices


def bars(n: int, seed: int = 0) -> Ticks:
    """Bars of one period each, with taker buys."""
    rng = np.random.default_rng(seed)
    ticks = empty_ticks(n)
    closes = walk(rng, n + 1)
    ticks["kind"] = BAR
    ticks["ts_ns"] = START + PERIOD * np.arange(1, n + 1)
    ticks["span_ns"] = PERIOD
    ticks["open"], ticks["price"] = closes[:-1], closes[1:]
    ticks["high"] = np.maximum(ticks["open"], ticks["price"]) + np.round(rng.exponential(10.0, n), 2)
    ticks["low"] = np.minimum(ticks["open"], ticks["price"]) - np.round(rng.exponential(10.0, n), 2)
    ticks["size"] = rng.exponential(5.0, n)
    ticks["buy_volume"] = ticks["size"] * rng.uniform(0.0, 1.0, n)
    return ticks


def moments(rng: np.random.Generator, n: int, mean_ms: int) -> NDArray[np.int64]:
    """Event times in whole milliseconds, some of them equal."""
    times: NDArray[np.int64] = START + np.cumsum(rng.integers(0, 2 * mean_ms, n)) * 1_000_000
    return times


def trades(n: int, seed: int = 0, mean_ms: int = 700) -> Ticks:
    """Trades of both sides, some of neither."""
    rng = np.random.default_rng(seed)
    ticks = empty_ticks(n)
    ticks["kind"] = TRADE
    ticks["ts_ns"] = moments(rng, n, mean_ms)
    ticks["price"] = walk(rng, n, 1e-4)
    ticks["size"] = np.round(rng.exponential(0.3, n), 5) + 1e-5
    ticks["side"] = rng.choice([-1, 0, 1], n)
    return ticks


def quotes(n: int, seed: int = 0, mean_ms: int = 700) -> Ticks:
    """Tops of book; the bid, the ask or a quantity changes."""
    rng = np.random.default_rng(seed)
    ticks = empty_ticks(n)
    ticks["kind"] = QUOTE
    ticks["ts_ns"] = moments(rng, n, mean_ms)
    middle = np.round(walk(rng, n, 3e-5), 0)
    ticks["bid"] = middle - 0.5 * rng.integers(1, 4, n)
    ticks["ask"] = middle + 0.5 * rng.integers(1, 4, n)
    ticks["bid_size"], ticks["ask_size"] = rng.integers(1, 50, n) * 0.1, rng.integers(1, 50, n) * 0.1
    ticks["price"] = 0.5 * (ticks["bid"] + ticks["ask"])
    return ticks


def depth(messages: int, seed: int = 0, mean_ms: int = 700) -> Ticks:
    """Depth messages of one to four levels around a price that moves little; never crossed."""
    rng = np.random.default_rng(seed)
    rows = []
    for time in moments(rng, messages, mean_ms):
        count = int(rng.integers(1, 5))
        for k in range(count):
            side = int(rng.choice([-1, 1]))
            price = 30_000.0 - side * float(rng.integers(1, 12)) * 0.5
            size = float(rng.integers(0, 5)) * 0.5
            rows.append((time, side, LAST if k == count - 1 else 0, price, size))
    ticks = empty_ticks(len(rows))
    ticks["kind"] = DEPTH
    for name, column in zip(
        ("ts_ns", "side", "flags", "price", "size"), zip(*rows, strict=True), strict=True
    ):
        ticks[name] = column
    return ticks


def mixed(n: int, seed: int = 0) -> Ticks:
    """Trades, quotes and depth messages together, in order of time, with a few gaps."""
    parts = [trades(n, seed), quotes(n, seed + 1), depth(n, seed + 2)]
    ticks = empty_ticks(sum(map(len, parts)))
    ticks[:] = np.concatenate(parts)
    ticks = ticks[np.argsort(ticks["ts_ns"], kind="stable")]
    ticks["flags"][:: max(1, len(ticks) // 4)] |= GAP
    return ticks
