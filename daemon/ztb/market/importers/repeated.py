"""Rows told twice: ids that came before; bars the same again, not yet complete, or contradicting each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.market.ticks import Ticks, take_ticks

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
