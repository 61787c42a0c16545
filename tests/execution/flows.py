"""Random markets and order flows for properties of the paper exchange."""

from __future__ import annotations

import numpy as np

from execution.exchange_cases import MS, T0, Actions, cancel, limit, market
from ztb.execution.orders import TimeInForce
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, TRADE, Ticks, empty_ticks


def mixed_ticks(
    rng: np.random.Generator, n: int, kinds: tuple[int, ...] = (TRADE, QUOTE, DEPTH, BAR)
) -> Ticks:
    """`n` rows of the given kinds around a wandering price, some at equal times."""
    ticks = empty_ticks(n)
    ticks["ts_ns"] = T0 + np.cumsum(rng.integers(0, 4, n)) * MS
    ticks["kind"] = rng.choice(kinds, n)
    ticks["side"] = rng.choice([-1, 1], n)
    mid = 100.0 + 0.5 * np.cumsum(rng.integers(-1, 2, n))
    ticks["price"], ticks["size"] = mid + 0.5 * rng.integers(-2, 3, n), rng.integers(1, 40, n) * 0.25
    for tick, centre in zip(ticks, mid, strict=True):
        if tick["kind"] == QUOTE:
            tick["bid"], tick["ask"] = centre - 0.5, centre + 0.5
            tick["bid_size"], tick["ask_size"] = rng.integers(1, 40, 2) * 0.25
        elif tick["kind"] == BAR:
            tick["span_ns"] = 2 * MS
            tick["open"], tick["high"], tick["low"] = centre, centre + 1.5, centre - 1.5
            tick["price"] = centre
        elif tick["kind"] == DEPTH:
            tick["flags"] = LAST
            tick["price"] = centre - tick["side"] * 0.5 * rng.integers(1, 8)
    return ticks


def random_flow(rng: np.random.Generator, n_rows: int, n_orders: int) -> Actions:
    """Orders of every kind, and cancels of some, after random rows."""
    actions: dict[int, list[object]] = {}
    for order_id in range(1, n_orders + 1):
        side, lots, row = int(rng.choice([-1, 1])), int(rng.integers(1, 60)), int(rng.integers(0, n_rows))
        if rng.random() < 0.3:
            order = market(order_id, side, lots, reduce_only=bool(rng.random() < 0.3))
        else:
            tif = TimeInForce(int(rng.integers(0, 3)))
            price = 200 + int(rng.integers(-12, 13))
            order = limit(order_id, side, lots, price, tif, post_only=bool(rng.random() < 0.2))
        actions.setdefault(row, []).append(order)
        if rng.random() < 0.4:
            late = min(n_rows - 1, row + int(rng.integers(0, 20)))
            actions.setdefault(late, []).append(cancel(order_id))
    return actions  # type: ignore[return-value]
