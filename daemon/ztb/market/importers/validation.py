"""Validation of rows: which can be true, each rule a reason and the rows it condemns; and bars told twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ztb.market.importers.chunk import Chunk
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, Ticks, take_ticks

Mask = NDArray[np.bool_]
NO_TRADE, EMPTY_ROW = "bar without a trade", "empty row"
"""Reasons that say nothing against a file: the bar is missing, the row is blank."""


def faults(chunk: Chunk) -> Iterator[tuple[str, Mask]]:
    """(reason, rows) for each rule that condemns any row, the first reason of a row first."""
    ticks = chunk.ticks
    if chunk.halted is not None:
        yield "market halted", chunk.halted
    for kind, rules in ((TRADE, _trade), (QUOTE, _quote), (DEPTH, _depth), (BAR, _bar)):
        of_kind = ticks["kind"] == kind
        if of_kind.any():
            for reason, mask in rules(ticks):
                yield reason, mask & of_kind
    if chunk.crossed is not None:
        yield "crossed book", chunk.crossed


def _not_positive(values: NDArray[np.float64]) -> Mask:
    return ~((values > 0.0) & np.isfinite(values))


def _negative(values: NDArray[np.float64]) -> Mask:
    return ~((values >= 0.0) & np.isfinite(values))


def _trade(ticks: Ticks) -> Iterator[tuple[str, Mask]]:
    yield "price not positive", _not_positive(ticks["price"])
    yield "quantity not positive", _not_positive(ticks["size"])


def _depth(ticks: Ticks) -> Iterator[tuple[str, Mask]]:
    yield "price not positive", _not_positive(ticks["price"])
    yield "quantity negative", _negative(ticks["size"])
    yield "neither bid nor ask", ticks["side"] == 0


def _quote(ticks: Ticks) -> Iterator[tuple[str, Mask]]:
    yield "price not positive", _not_positive(ticks["bid"]) | _not_positive(ticks["ask"])
    yield "quantity negative", _negative(ticks["bid_size"]) | _negative(ticks["ask_size"])
    yield "crossed book", ticks["bid"] >= ticks["ask"]


def _bar(ticks: Ticks) -> Iterator[tuple[str, Mask]]:
    first, high, low, last = ticks["open"], ticks["high"], ticks["low"], ticks["price"]
    prices = (first, high, low, last)
    wrong = np.logical_or.reduce([_not_positive(p) for p in prices])
    if wrong.any():
        idle = np.logical_and.reduce([np.isnan(v) | (v == 0.0) for v in (*prices, ticks["size"])])
        yield NO_TRADE, idle & (ticks["ts_ns"] >= 0)
        yield EMPTY_ROW, np.logical_and.reduce([np.isnan(v) for v in prices]) & (ticks["ts_ns"] < 0)
    yield "price not positive", wrong
    unsound = _negative(ticks["size"])
    if unsound.any():
        yield "volume missing", np.isnan(ticks["size"])
    yield "volume negative", unsound
    inside = (low <= first) & (low <= last) & (first <= high) & (last <= high)
    yield "high and low do not hold open and close", ~inside
    yield "bar without a time", ticks["ts_ns"] < 0


def without(chunk: Chunk, bad: Mask) -> Chunk:
    """`chunk` less its bad rows; a depth message that loses its first or last row keeps their flags."""
    kept = ~bad
    flags = chunk.ticks["flags"]
    for at in np.flatnonzero(bad & ((flags & LAST) != 0)):
        before = np.flatnonzero(kept[:at])
        if len(before):
            flags[before[-1]] |= LAST
    for at in np.flatnonzero(bad & ((flags & SNAPSHOT) != 0)):
        after = np.flatnonzero(kept[at:])
        if len(after):
            flags[at + after[0]] |= SNAPSHOT
    return chunk.take(kept)


DUPLICATE, UNFINISHED, CONTRADICTION = "duplicate", "unfinished bar", "contradicts a row of the same time"
ID_WINDOW = 65_536
"""An id that comes again after this many others is another one."""
_CLOSE = 1e-9


def choose(bars: Ticks, firsts: NDArray[np.int64]) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """For each pair of rows (i, i + 1) of one time, i in `firsts`: (why one goes, which).

    Of a bar that grew the fuller row stays; of two that contradict each other the later one.
    """
    a, b = take_ticks(bars, firsts), take_ticks(bars, firsts + 1)
    same_open = _close(a["open"], b["open"])
    equal = same_open & _all_close(a, b)
    b_fuller = same_open & (b["high"] >= a["high"]) & (b["low"] <= a["low"]) & (b["size"] >= a["size"])
    a_fuller = same_open & (a["high"] >= b["high"]) & (a["low"] <= b["low"]) & (a["size"] >= b["size"])
    grew = (a_fuller | b_fuller) & ~equal
    reasons = np.where(equal, DUPLICATE, np.where(grew, UNFINISHED, CONTRADICTION))
    second_goes = equal | (a_fuller & ~b_fuller)
    return reasons, firsts + second_goes


def _close(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.abs(a - b) <= _CLOSE * np.abs(b)


def _all_close(a: Ticks, b: Ticks) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = np.logical_and.reduce(
        [_close(a[name], b[name]) for name in ("high", "low", "price", "size")]
    )
    return same


def repeats(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True where an id occurred among the ID_WINDOW ids before it."""
    result = np.zeros(len(ids), np.bool_)
    if len(ids) < 2 or bool(np.all(ids[1:] > ids[:-1])):
        return result
    order = np.argsort(ids, kind="stable")
    same = (ids[order][1:] == ids[order][:-1]) & (np.diff(order) <= ID_WINDOW)
    result[order[1:][same]] = True
    return result
