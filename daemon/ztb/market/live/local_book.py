"""A local order book: a venue's snapshot, kept up to date by what it says has changed."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Any

from ztb.market.live.messages import BestLevels

_NEAR = 128  # levels kept in order beside the best; those beyond are looked up when these run out


class BookSide:
    """Levels of one side. `sign` is 1 for asks, -1 for bids: `sign` times price rises from the best on."""

    def __init__(self, levels: Iterable[Sequence[float]], sign: int) -> None:
        self._sign = sign
        self._sizes: dict[float, float] = {}
        self._near: list[float] = []  # sign times price, in order: all levels up to `_bound`
        self._bound = math.inf
        self.apply(levels)

    def apply(self, levels: Iterable[Sequence[Any]]) -> None:
        """Set levels, (price, quantity, …) each; a quantity of 0 removes one."""
        sizes, near, sign, bound = self._sizes, self._near, self._sign, self._bound
        for level in levels:
            price, size = level[0], level[1]
            if size:
                if price not in sizes and sign * price <= bound:
                    insort(near, sign * price)
                sizes[price] = size
            elif sizes.pop(price, None) is not None and sign * price <= bound:
                del near[bisect_left(near, sign * price)]
        if len(near) > 2 * _NEAR:
            del near[_NEAR:]
            self._bound = near[-1]

    def keep(self, most: int) -> None:
        """Forget all but the best `most` levels."""
        if len(self._sizes) > most:
            self._sizes = self.best(most)
            self._near, self._bound = self._near[:most], math.inf

    def best(self, most: int) -> dict[float, float]:
        """Price to quantity of the best `most` levels, best first."""
        if len(self._near) < most and self._bound < math.inf:
            self._near = nsmallest(max(_NEAR, most), (self._sign * price for price in self._sizes))
            self._bound = self._near[-1] if len(self._near) < len(self._sizes) else math.inf
        sign, sizes = self._sign, self._sizes
        return {sign * key: sizes[sign * key] for key in self._near[:most]}


class LocalBook:
    """`nonce` is the venue's number of the last change, None where it numbers none; `ms` the time of it, or 0."""

    def __init__(
        self, bids: Iterable[Sequence[float]], asks: Iterable[Sequence[float]], nonce: int | None
    ) -> None:
        self.nonce = nonce
        self.ms = 0
        self._bids = BookSide(bids, -1)
        self._asks = BookSide(asks, 1)

    def apply(self, bids: Iterable[Sequence[Any]], asks: Iterable[Sequence[Any]], keep: int | None) -> None:
        """Take over changes; then only the best `keep` levels a side are kept, where it is not None."""
        self._bids.apply(bids)
        self._asks.apply(asks)
        if keep is not None:
            self._bids.keep(keep)
            self._asks.keep(keep)

    def best(self, most: int) -> BestLevels:
        """The best `most` levels a side."""
        return BestLevels(self._bids.best(most), self._asks.best(most), self.ms)
