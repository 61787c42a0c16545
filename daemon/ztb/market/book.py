"""The order book as depth messages tell it: two sorted sides of price levels. Kernels on a record.

Also here: whether a book told by depth messages ever crosses, which says that messages are missing or wrong.
"""

from __future__ import annotations

import numpy as np

from ztb.market.ticks import DEPTH, LAST, SNAPSHOT, Ticks
from ztb.utils.kernel import kernel

BOOK_LEVELS = 256
"""Levels kept a side; what lies deeper is forgotten and comes back with its next update."""

BOOK: np.dtype[np.void] = np.dtype(
    [
        ("bids", "<i8"),
        ("asks", "<i8"),
        ("bid_price", "<f8", (BOOK_LEVELS,)),  # falling
        ("bid_size", "<f8", (BOOK_LEVELS,)),
        ("ask_price", "<f8", (BOOK_LEVELS,)),  # rising
        ("ask_size", "<f8", (BOOK_LEVELS,)),
    ]
)


@kernel
def _set_level(prices: np.ndarray, sizes: np.ndarray, n: int, price: float, size: float, sign: int) -> int:
    """Set one level of a side sorted by `sign * price` rising; size 0 removes it. Returns the new count."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if sign * prices[middle] < sign * price:
            low = middle + 1
        else:
            high = middle
    found = low < n and prices[low] == price
    if found and size > 0.0:
        sizes[low] = size
        return n
    if found:
        for i in range(low, n - 1):
            prices[i] = prices[i + 1]
            sizes[i] = sizes[i + 1]
        return n - 1
    if size <= 0.0 or low >= len(prices):
        return n
    n = min(n + 1, len(prices))
    for i in range(n - 1, low, -1):
        prices[i] = prices[i - 1]
        sizes[i] = sizes[i - 1]
    prices[low] = price
    sizes[low] = size
    return n


@kernel
def apply_level(book: np.void, tick: np.void) -> None:
    """Enter one DEPTH row: its level's quantity replaces what was known; 0 removes the level."""
    if tick["flags"] & SNAPSHOT:
        book["bids"] = 0
        book["asks"] = 0
    if tick["side"] > 0:
        book["bids"] = _set_level(
            prices=book["bid_price"],
            sizes=book["bid_size"],
            n=book["bids"],
            price=tick["price"],
            size=tick["size"],
            sign=-1,
        )
    else:
        book["asks"] = _set_level(
            prices=book["ask_price"],
            sizes=book["ask_size"],
            n=book["asks"],
            price=tick["price"],
            size=tick["size"],
            sign=1,
        )


@kernel
def book_touch(book: np.void) -> tuple[float, float, float, float]:
    """(best bid, its quantity, best ask, its quantity); 0 for an empty side."""
    bid, bid_size, ask, ask_size = 0.0, 0.0, 0.0, 0.0
    if book["bids"] > 0:
        bid, bid_size = book["bid_price"][0], book["bid_size"][0]
    if book["asks"] > 0:
        ask, ask_size = book["ask_price"][0], book["ask_size"][0]
    return bid, bid_size, ask, ask_size


@kernel
def _count_crossed(book: np.ndarray, ticks: np.ndarray) -> int:
    crossed = 0
    for i in range(len(ticks)):
        if ticks[i]["kind"] == DEPTH:
            apply_level(book[0], ticks[i])
            if ticks[i]["flags"] & LAST:
                bid, _, ask, _ = book_touch(book[0])
                if bid > 0.0 and ask > 0.0 and bid >= ask:
                    crossed += 1
    return crossed


class CrossingCheck:
    """Follows a book through blocks of ticks and counts the messages after which it was crossed."""

    def __init__(self) -> None:
        self.crossed = 0
        self._book = np.zeros(1, BOOK)

    def see(self, ticks: Ticks) -> None:
        """Apply a block's depth rows; blocks without any cost nothing."""
        if (ticks["kind"] == DEPTH).any():
            self.crossed += int(_count_crossed(self._book, ticks))
