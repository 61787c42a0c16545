"""Ticks shown one by one to a strategy that wants every one of them, each with its features.

Features do not depend on what is decided, and so are computed ahead of the lanes, of many rows at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, repeat
from operator import length_hint
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.errors import ZtbError
from ztb.features.featureset import FeatureSet
from ztb.market.ticks import DEPTH, LAST, Ticks, empty_ticks
from ztb.trading.strategy import OnTick, TickView, raised
from ztb.utils.linkage import PythonCallee


class Shown(NamedTuple):
    """Rows that are shown to a strategy, as kernels know them."""

    address: int
    """A `PythonCallee` of (i0, i1): shows rows [i0, i1), and answers as `TickWatch.show`"""
    first: int
    history: NDArray[np.float64]
    """(H, F) the features after each row from `first` on; H = 0: nobody is shown anything"""


UNSHOWN = Shown(0, 0, np.zeros((0, 0)))


class TickWatch:
    """Shows each row of a block once, in order, to `on_tick`."""

    def __init__(self, on_tick: OnTick, features: FeatureSet) -> None:
        self._on_tick = on_tick
        self._features = features
        self._callee = PythonCallee(self.show, (int, int))
        self._ticks, self._next, self._end = empty_ticks(0), 0, 0
        self._views: Iterator[TickView] = iter(())
        self._hidden: NDArray[np.bool_] | None = None
        self._left: Iterator[int] = iter(())  # as many as there are views left
        self.shown = UNSHOWN

    def look_ahead(self, ticks: Ticks, i0: int, i1: int) -> None:
        """Rows [i0, i1) are to be shown next: their features are computed, if they are not yet."""
        if ticks is self._ticks and i0 == self._next and i1 <= self._end:
            return
        self._ticks, self._next, self._end = ticks, i0, i1
        history = self._features.batch(ticks[i0:i1])
        self._views, self._left = _views(ticks[i0:i1], history)
        hidden = (ticks["kind"][i0:i1] == DEPTH) & ((ticks["flags"][i0:i1] & LAST) == 0)
        self._hidden = hidden if hidden.any() else None
        self.shown = Shown(self._callee.address, i0, history)

    def features_at(self, row: int) -> NDArray[np.float64]:
        """(F,) after a row that was looked ahead to."""
        after: NDArray[np.float64] = self.shown.history[row - self.shown.first]
        return after

    def show(self, i0: int, i1: int) -> int:
        """Show rows [i0, i1), which come next, until the strategy asks for a decision: after which row, or i1.

        StrategyError: it raised.
        """
        self._next = i1
        try:
            asked = self._ask(i0, i1) if self._hidden is None else self._ask_of_whole(self._hidden, i0, i1)
        except ZtbError:
            raise
        except Exception as error:
            raise raised(error, "in on_tick") from error
        if asked < i1:
            self._next = asked + 1
        return asked

    def _ask(self, i0: int, i1: int) -> int:
        """As `show`, every row, without a line of Python for each but the strategy's own."""
        if not any(map(self._on_tick, islice(self._views, i1 - i0))):
            return i1
        return self._end - length_hint(self._left) - 1

    def _ask_of_whole(self, hidden: NDArray[np.bool_], i0: int, i1: int) -> int:
        """As `show`, without the levels that do not end their depth message."""
        on_tick, first = self._on_tick, self.shown.first
        for row, view in zip(range(i0, i1), self._views, strict=False):
            if not hidden[row - first] and on_tick(view):
                return row
        return i1

    def complain(self) -> None:
        """StrategyError if the strategy has raised when kernels had it shown a row."""
        self._callee.complain()


def _views(ticks: Ticks, features: NDArray[np.float64]) -> tuple[Iterator[TickView], Iterator[int]]:
    """A view of each row with its features (n, F), and what gives as many numbers as there are views left."""
    times, *columns = (ticks[name].tolist() for name in ("ts_ns", "kind", "side", "price", "size"))
    left = iter(times)
    # As TickView._make does, without a call of Python for each.
    return map(tuple.__new__, repeat(TickView), zip(left, *columns, features, strict=False)), left
