"""Ticks shown one by one to a strategy that wants every one of them, each with its features.

Features do not depend on what is decided, and so are computed ahead of the lanes, of many rows at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
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
        self._views: Iterator[TickView | None] = iter(())
        self.shown = UNSHOWN

    def look_ahead(self, ticks: Ticks, i0: int, i1: int) -> None:
        """Rows [i0, i1) are to be shown next: their features are computed, if they are not yet."""
        if ticks is self._ticks and i0 == self._next and i1 <= self._end:
            return
        self._ticks, self._next, self._end = ticks, i0, i1
        history = self._features.batch(ticks[i0:i1])
        self._views = _views(ticks[i0:i1], history)
        self.shown = Shown(self._callee.address, i0, history)

    def features_at(self, row: int) -> NDArray[np.float64]:
        """(F,) after a row that was looked ahead to."""
        after: NDArray[np.float64] = self.shown.history[row - self.shown.first]
        return after

    def show(self, i0: int, i1: int) -> int:
        """Show rows [i0, i1), which come next, until the strategy asks for a decision: after which row, or i1.

        StrategyError: it raised.
        """
        on_tick, self._next = self._on_tick, i1
        try:
            for row, view in zip(range(i0, i1), self._views, strict=False):
                if view is not None and on_tick(view):
                    self._next = row + 1
                    return row
        except ZtbError:
            raise
        except Exception as error:
            raise raised(error, "in on_tick") from error
        return i1

    def complain(self) -> None:
        """StrategyError if the strategy has raised when kernels had it shown a row."""
        self._callee.complain()


def _views(ticks: Ticks, features: NDArray[np.float64]) -> Iterator[TickView | None]:
    """A view of each row with its features (n, F); None for a level that does not end its depth message."""
    columns = (ticks[name].tolist() for name in ("ts_ns", "kind", "side", "price", "size"))
    # As TickView._make does, without a call of Python for each.
    views = map(tuple.__new__, repeat(TickView), zip(*columns, features, strict=True))
    hidden = (ticks["kind"] == DEPTH) & ((ticks["flags"] & LAST) == 0)
    if not hidden.any():
        return views
    return (None if partial else view for view, partial in zip(views, hidden.tolist(), strict=True))
