"""ccxt's unified structures as TICK rows; `ts_ns` is still the venue's own time, -1 where it gave none.

What cannot be true (a price that is not positive, a quantity below zero, a crossed quote) gives no row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ztb.market.live.client import Bar, Row
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, Ticks, empty_ticks

UNTIMED = -1
_SIDES = {"buy": 1, "sell": -1}


def time_ns(milliseconds: Any) -> int:
    """ccxt's time in nanoseconds, -1 if there is none."""
    return UNTIMED if not milliseconds else int(milliseconds) * 1_000_000


def trade_rows(trades: Sequence[Row], unit: float = 1.0) -> Ticks:
    """A row for each trade that can be true; `unit` is base currency in a unit of quantity."""
    sound = [t for t in trades if positive(t.get("price")) and positive(t.get("amount"))]
    ticks = empty_ticks(len(sound))
    ticks["kind"] = TRADE
    ticks["ts_ns"] = [time_ns(t.get("timestamp")) for t in sound]
    ticks["side"] = [_SIDES.get(str(t.get("side")), 0) for t in sound]
    ticks["price"] = [t["price"] for t in sound]
    ticks["size"] = [t["amount"] * unit for t in sound]
    return ticks


def quote_row(ticker: Row, unit: float = 1.0) -> Ticks | None:
    """The touch of a ticker as one row, None if it has none or is crossed."""
    return touch_row(
        ticker.get("bid"), ticker.get("bidVolume"), ticker.get("ask"), ticker.get("askVolume"),
        ticker.get("timestamp"), unit,
    )  # fmt: skip


def touch_row(bid: Any, bid_size: Any, ask: Any, ask_size: Any, ms: Any, unit: float) -> Ticks | None:
    """A QUOTE row; quantities that the venue does not tell are 0."""
    if not positive(bid) or not positive(ask) or bid >= ask:
        return None
    ticks = empty_ticks(1)
    ticks["kind"] = QUOTE
    ticks["ts_ns"] = time_ns(ms)
    ticks["price"] = 0.5 * (bid + ask)
    ticks["bid"], ticks["ask"] = bid, ask
    ticks["bid_size"], ticks["ask_size"] = (bid_size or 0.0) * unit, (ask_size or 0.0) * unit
    return ticks


def bar_rows(bars: Sequence[Bar], span_ns: int, unit: float = 1.0) -> Ticks:
    """A row for each bar that can be true, at its close."""
    sound = [b for b in bars if all(positive(x) for x in b[1:5]) and b[3] <= min(b[1], b[4]) <= b[2]]
    table = np.array([b[:6] for b in sound], np.float64).reshape(len(sound), 6)
    ticks = empty_ticks(len(sound))
    ticks["kind"] = BAR
    ticks["span_ns"] = span_ns
    ticks["ts_ns"] = [int(b[0]) * 1_000_000 + span_ns for b in sound]
    for name, column in (("open", 1), ("high", 2), ("low", 3), ("price", 4)):
        ticks[name] = table[:, column]
    ticks["size"] = np.nan_to_num(table[:, 5]) * unit
    ticks["buy_volume"] = math.nan
    return ticks


Levels = Mapping[float, float]


def book_side(levels: Sequence[Sequence[float]], most: int) -> dict[float, float]:
    """Price to quantity of the best `most` levels."""
    return {level[0]: level[1] for level in levels[:most] if level[1]}


def depth_rows(
    before: tuple[Levels, Levels] | None, now: tuple[Levels, Levels], ms: Any, unit: float
) -> Ticks:
    """What changed between two books, (bids, asks) each; all of `now` as a snapshot if there was none before."""
    changes: list[tuple[int, float, float]] = []
    for i, side in enumerate((1, -1)):
        old = before[i] if before is not None else {}
        gone = [(side, price, 0.0) for price in old if price not in now[i]]
        changes += gone + [(side, p, s) for p, s in now[i].items() if old.get(p) != s]
    ticks = empty_ticks(len(changes))
    if not changes:
        return ticks
    ticks["kind"] = DEPTH
    ticks["ts_ns"] = time_ns(ms)
    ticks["side"], ticks["price"], ticks["size"] = (list(c) for c in zip(*changes, strict=True))
    ticks["size"] *= unit
    ticks["flags"][-1] = LAST
    if before is None:
        ticks["flags"][0] |= SNAPSHOT
    return ticks


def positive(value: Any) -> bool:
    """Whether `value` is a finite number above 0."""
    return isinstance(value, int | float) and 0.0 < value < math.inf
