"""Ticks as Python objects, for strategies that want every one of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ztb.market.ticks import DEPTH, LAST, Ticks
from ztb.trading.strategy import TickView


def tick_views(ticks: Ticks, features: NDArray[np.float64]) -> Iterator[TickView | None]:
    """A view of each row with its features (n, F); None for a level that does not end its depth message."""
    hidden = (ticks["kind"] == DEPTH) & ((ticks["flags"] & LAST) == 0)
    columns = (ticks[name].tolist() for name in ("ts_ns", "kind", "side", "price", "size"))
    views = map(TickView, *columns, features)
    if not hidden.any():
        yield from views
        return
    for view, partial in zip(views, hidden.tolist(), strict=True):
        yield None if partial else view
