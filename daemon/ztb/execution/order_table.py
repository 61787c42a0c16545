"""The table of open orders: slots taken and freed, priorities, the earliest thing due. Kernels."""

from __future__ import annotations

import numpy as np

from ztb.execution.paper_state import DONE, FREE, NEVER, RESTING
from ztb.utils.kernel import kernel


@kernel
def free_slot(exchange: np.void, orders: np.ndarray) -> int:
    """The first free slot, counted as used; -1 when the table is full."""
    for slot in range(len(orders)):
        if orders[slot]["status"] == FREE:
            exchange["used"] = max(exchange["used"], slot + 1)
            return slot
    return -1


@kernel
def slot_of(exchange: np.void, orders: np.ndarray, order_id: int) -> int:
    """The slot of an order that we do not know to be done; -1 if there is none."""
    for slot in range(exchange["used"]):
        order = orders[slot]
        if order["order_id"] == order_id and order["status"] != FREE and order["reported"] == 0:
            return slot
    return -1


@kernel
def free_if_over(exchange: np.void, orders: np.ndarray, slot: int) -> None:
    """The slot is free once we know its order is done and no cancel is under way."""
    order = orders[slot]
    if order["reported"] == 1 and order["cancel_ns"] == NEVER:
        order["status"] = FREE
    while exchange["used"] > 0 and orders[exchange["used"] - 1]["status"] == FREE:
        exchange["used"] -= 1


@kernel
def plan_action(exchange: np.void, orders: np.ndarray) -> None:
    """Find when the next order or cancel arrives, or funding is due."""
    earliest = exchange["funding_ns"]
    for slot in range(exchange["used"]):
        earliest = min(earliest, min(orders[slot]["arrival_ns"], orders[slot]["cancel_ns"]))
    exchange["action_ns"] = earliest


@kernel
def slot_due(exchange: np.void, orders: np.ndarray, now_ns: int) -> int:
    """The slot, first sent first, whose order or cancel arrives at `now_ns`; -1 if none does."""
    found, first = -1, NEVER
    for slot in range(exchange["used"]):
        order = orders[slot]
        if order["arrival_ns"] == now_ns and order["sequence"] < first:
            found, first = slot, order["sequence"]
        elif order["cancel_ns"] == now_ns and order["cancel_sequence"] < first:
            found, first = slot, order["cancel_sequence"]
    return found


@kernel
def plan_prices(exchange: np.void, orders: np.ndarray) -> None:
    """Find our best resting prices: what a trade must reach to concern us."""
    exchange["buy_ticks"] = 0
    exchange["sell_ticks"] = NEVER
    exchange["resting"] = 0
    for slot in range(exchange["used"]):
        order = orders[slot]
        if order["status"] == RESTING:
            exchange["resting"] += 1
            if order["side"] > 0:
                exchange["buy_ticks"] = max(exchange["buy_ticks"], order["price_ticks"])
            else:
                exchange["sell_ticks"] = min(exchange["sell_ticks"], order["price_ticks"])


@kernel
def finish(exchange: np.void, orders: np.ndarray, slot: int) -> None:
    """The venue is done with the order of `slot`; the slot stays until we know."""
    rested = orders[slot]["status"] == RESTING
    orders[slot]["status"] = DONE
    orders[slot]["arrival_ns"] = NEVER
    if rested:
        plan_prices(exchange, orders)


@kernel
def _before(order: np.void, other: np.void) -> bool:
    """Price priority, then time priority, of two orders of one side."""
    if order["price_ticks"] != other["price_ticks"]:
        return bool(order["side"] * order["price_ticks"] > order["side"] * other["price_ticks"])
    return bool(order["sequence"] < other["sequence"])


@kernel
def next_resting(exchange: np.void, orders: np.ndarray, side: int, after: int) -> int:
    """The resting order of `side` with the best priority behind the one of slot `after` (-1: the first)."""
    found = -1
    for slot in range(exchange["used"]):
        order = orders[slot]
        if order["side"] != side or order["status"] != RESTING or slot == after:
            continue
        if (after < 0 or _before(orders[after], order)) and (found < 0 or _before(order, orders[found])):
            found = slot
    return found
