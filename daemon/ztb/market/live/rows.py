"""Messages of venues as TICK rows; `ts_ns` is still the venue's own time, -1 where it gave none.

What cannot be true (a price that is not positive, a quantity below zero, a crossed quote) gives no row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ztb.market.live.client import Bar
from ztb.market.live.messages import BestLevels, Touch, Trade
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, Ticks, empty_ticks

UNTIMED = -1


def time_ns(milliseconds: int) -> int:
    """Nanoseconds since 1970, -1 for a time of 0: there is none."""
    return milliseconds * 1_000_000 if milliseconds else UNTIMED


def trade_rows(trades: Sequence[Trade], unit: float = 1.0) -> Ticks:
    """A row for each trade that can be true; `unit` is base currency in a unit of quantity."""
    sound = [t for t in trades if 0.0 < t.price < math.inf and 0.0 < t.size < math.inf]
    ticks = empty_ticks(len(sound))
    ticks["kind"] = TRADE
    ticks["ts_ns"] = [time_ns(t.ms) for t in sound]
    ticks["side"] = [t.side for t in sound]
    ticks["price"] = [t.price for t in sound]
    ticks["size"] = [t.size * unit for t in sound]
    return ticks


def touch_row(touch: Touch, unit: float = 1.0) -> Ticks | None:
    """A QUOTE row, None if it is no touch or a crossed one."""
    if not 0.0 < touch.bid < touch.ask < math.inf:
        return None
    ticks = empty_ticks(1)
    ticks["kind"] = QUOTE
    ticks["ts_ns"] = time_ns(touch.ms)
    ticks["price"] = 0.5 * (touch.bid + touch.ask)
    ticks["bid"], ticks["ask"] = touch.bid, touch.ask
    ticks["bid_size"], ticks["ask_size"] = touch.bid_size * unit, touch.ask_size * unit
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


def depth_rows(before: BestLevels | None, now: BestLevels, unit: float) -> Ticks:
    """The changes between two books; all of `now` as a snapshot if there was none before."""
    changes: list[tuple[int, float, float]] = []
    for side, is_now, was in (
        (1, now.bids, before.bids if before else {}),
        (-1, now.asks, before.asks if before else {}),
    ):
        changes += [(side, price, 0.0) for price in was if price not in is_now]
        changes += [(side, price, size) for price, size in is_now.items() if was.get(price) != size]
    ticks = empty_ticks(len(changes))
    if not changes:
        return ticks
    ticks["kind"] = DEPTH
    ticks["ts_ns"] = time_ns(now.ms)
    ticks["side"], ticks["price"], ticks["size"] = (list(c) for c in zip(*changes, strict=True))
    ticks["size"] *= unit
    ticks["flags"][-1] = LAST
    if before is None:
        ticks["flags"][0] |= SNAPSHOT
    return ticks


def positive(value: Any) -> bool:
    """True if `value` is a finite number above 0."""
    return isinstance(value, int | float) and 0.0 < value < math.inf
