"""Orders that rest: their place in the queue, and what the market brings them. Kernels.

Two queue models. Pessimistic: only trades at our price shorten the queue before us. Proportional: what others
cancel at our price shortens it too, by the share of the queue that stands before us.
"""

from __future__ import annotations

import numpy as np

from ztb.execution.fills import fill
from ztb.execution.liquidity import (
    consume,
    consumed,
    level,
    nearest_ticks,
    resting_size,
    taker_ticks,
    whole_lots,
)
from ztb.execution.order_table import next_resting
from ztb.execution.paper_state import RESTING
from ztb.execution.reports import has_room
from ztb.execution.taking import reducible
from ztb.utils.kernel import kernel


@kernel
def _give(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, slot: int, quantity: float, now_ns: int
) -> float:
    """Fill the order of `slot` from `quantity` (base currency) that meets it; returns what it got."""
    lots = min(reducible(exchange, orders[slot]), whole_lots(exchange, max(0.0, quantity)))
    if lots > 0 and has_room(exchange, orders, events):
        fill(
            exchange=exchange,
            orders=orders,
            events=events,
            slot=slot,
            lots=lots,
            price_ticks=orders[slot]["price_ticks"],
            maker=1,
            now_ns=now_ns,
        )
        given: float = lots * exchange["lot_size"]
        return given
    return 0.0


@kernel
def _queue_trade(order: np.void, ticks: int, size: float) -> float:
    """A trade at or through the order's price: what of `size` is left behind the queue before it."""
    if ticks != order["price_ticks"]:
        order["ahead"] = 0.0
        return size
    left: float = size - order["ahead"]
    order["ahead"] = max(0.0, -left)
    order["level_traded"] += size
    return left


@kernel
def meet_trade(
    exchange: np.void,
    orders: np.ndarray,
    events: np.ndarray,
    side: int,
    ticks: int,
    size: float,
    taker: int,
    now_ns: int,
) -> None:
    """A trade of `size` at `ticks` meets our resting orders of `side`, best first.

    At our very price it concerns us only if its taker is known to have taken our side of the book.
    """
    taken = 0.0
    slot = next_resting(exchange, orders, side, -1)
    while slot >= 0:
        order = orders[slot]
        beyond = side * (order["price_ticks"] - ticks)
        if beyond < 0:
            break
        following = next_resting(exchange, orders, side, slot)
        if beyond > 0 or taker == -side:
            left = _queue_trade(order, ticks, size)
            taken += _give(
                exchange=exchange,
                orders=orders,
                events=events,
                slot=slot,
                quantity=left - taken,
                now_ns=now_ns,
            )
        slot = following


@kernel
def meet_step(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, side: int, ticks: int, size: float, now_ns: int
) -> None:
    """A bar's path reaches `ticks`: our orders of `side` that it crosses, not just touches, share `size`."""
    slot = next_resting(exchange, orders, side, -1)
    while slot >= 0 and side * (orders[slot]["price_ticks"] - ticks) > 0:
        following = next_resting(exchange, orders, side, slot)
        size -= _give(
            exchange=exchange, orders=orders, events=events, slot=slot, quantity=size, now_ns=now_ns
        )
        slot = following


@kernel
def _within(exchange: np.void, view: np.void, side: int, ticks: int) -> float:
    """Base currency quoted on the other side at `ticks` or better for us."""
    quantity = 0.0
    for depth in range(exchange["walk_levels"] if view["book"]["bids"] > 0 else 1):
        price, size = level(exchange, view, side, depth)
        if size <= 0.0 or side * taker_ticks(exchange, side, price) > side * ticks:
            break
        quantity += size
    return quantity


@kernel
def _meet_crossed(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, side: int, now_ns: int
) -> None:
    """Quotes that cross our resting orders of `side` would have traded with them, less what we took."""
    slot = next_resting(exchange, orders, side, -1)
    while slot >= 0:
        following = next_resting(exchange, orders, side, slot)
        quoted = _within(exchange, view, side, orders[slot]["price_ticks"])
        if quoted == 0.0:
            break
        got = _give(
            exchange=exchange,
            orders=orders,
            events=events,
            slot=slot,
            quantity=quoted - consumed(exchange, side, now_ns),
            now_ns=now_ns,
        )
        consume(exchange, side, got, now_ns)
        slot = following


@kernel
def _requeue(exchange: np.void, view: np.void, order: np.void) -> None:
    """Proportional queue: a level that shrank by more than its trades lost orders before us and behind us."""
    side, ticks = order["side"], order["price_ticks"]
    touch = view["bid"] if side > 0 else view["ask"]
    visible = view["book"]["bids"] > 0 or side * ticks >= side * taker_ticks(exchange, -side, touch)
    if not visible:
        return
    size = resting_size(exchange, view, side, ticks)
    before = order["level"] - order["level_traded"]
    if size < before:
        order["ahead"] = order["ahead"] * size / before
    order["level"] = size
    order["level_traded"] = 0.0


@kernel
def meet_quotes(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, now_ns: int
) -> None:
    """The venue's quotes changed: queues move, and crossed orders fill at their own price."""
    if exchange["proportional_queue"] == 1:
        for slot in range(exchange["used"]):
            if orders[slot]["status"] == RESTING:
                _requeue(exchange, view, orders[slot])
    if exchange["buy_ticks"] >= taker_ticks(exchange, 1, view["ask"]):
        _meet_crossed(exchange=exchange, orders=orders, events=events, view=view, side=1, now_ns=now_ns)
    if exchange["sell_ticks"] <= taker_ticks(exchange, -1, view["bid"]):
        _meet_crossed(exchange=exchange, orders=orders, events=events, view=view, side=-1, now_ns=now_ns)


@kernel
def meet_row_trade(
    exchange: np.void,
    orders: np.ndarray,
    events: np.ndarray,
    price: float,
    size: float,
    taker: int,
    now_ns: int,
) -> None:
    """A TRADE row: it can concern our buys at or above its price and our sells at or below."""
    ticks = nearest_ticks(exchange, price)
    if ticks <= exchange["buy_ticks"]:
        meet_trade(
            exchange=exchange,
            orders=orders,
            events=events,
            side=1,
            ticks=ticks,
            size=size,
            taker=taker,
            now_ns=now_ns,
        )
    if ticks >= exchange["sell_ticks"]:
        meet_trade(
            exchange=exchange,
            orders=orders,
            events=events,
            side=-1,
            ticks=ticks,
            size=size,
            taker=taker,
            now_ns=now_ns,
        )


@kernel
def meet_row_step(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, price: float, size: float, now_ns: int
) -> None:
    """A step of a bar's path: it fills our buys above its price and our sells below."""
    ticks = nearest_ticks(exchange, price)
    if ticks < exchange["buy_ticks"]:
        meet_step(
            exchange=exchange, orders=orders, events=events, side=1, ticks=ticks, size=size, now_ns=now_ns
        )
    if ticks > exchange["sell_ticks"]:
        meet_step(
            exchange=exchange, orders=orders, events=events, side=-1, ticks=ticks, size=size, now_ns=now_ns
        )
