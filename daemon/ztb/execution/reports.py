"""Reports of the venue, delivered with latency: a ring of them in the order they happened. Kernels.

Reports travel on one connection, so none overtakes another. A fill reaches our account when its report does:
the account, the open orders and the events never contradict each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.execution.account import book_fill, book_funding
from ztb.execution.latency import ack_delay, is_duplicated
from ztb.execution.order_table import free_if_over
from ztb.execution.paper_state import DONE, FILLED, FUNDED, NEVER
from ztb.utils.kernel import kernel


@kernel
def has_room(exchange: np.void, orders: NDArray[np.void], events: NDArray[np.void]) -> bool:
    """True if a fill may be reported, leaving room for each order's end and a refused cancel."""
    return bool(exchange["written"] - exchange["read"] + 2 * len(orders) < len(events))


@kernel
def _clear(entry: np.void) -> None:
    entry["slot"] = -1
    entry["reason"] = 0
    entry["side"] = 0
    entry["lots"] = 0
    entry["price_ticks"] = 0
    entry["fill_id"] = 0
    entry["maker"] = 0
    entry["cumulative_lots"] = 0
    entry["last"] = 0
    entry["amount"] = 0.0


@kernel
def report(
    exchange: np.void, events: NDArray[np.void], kind: int, order_id: int, nth: int, ts_ns: int, due_ns: int
) -> int:
    """A new report, its detail still to be entered: its index. `due_ns` is moved behind the report before."""
    if exchange["written"] - exchange["read"] >= len(events):
        exchange["overflowed"] += 1
        exchange["written"] -= 1
    index = int(exchange["written"]) % len(events)
    entry = events[index]
    _clear(entry)
    entry["kind"] = kind
    entry["order_id"] = order_id
    entry["ts_ns"] = ts_ns
    entry["due_ns"] = max(due_ns, exchange["last_report_ns"])
    entry["copies"] = 2 if is_duplicated(exchange, order_id, nth) else 1
    exchange["written"] += 1
    exchange["last_report_ns"] = entry["due_ns"]
    exchange["report_ns"] = min(exchange["report_ns"], entry["due_ns"])
    return index


@kernel
def report_order(
    exchange: np.void, orders: NDArray[np.void], events: NDArray[np.void], slot: int, kind: int, ts_ns: int
) -> int:
    """A new report on the order of `slot`, due after the acknowledgement's latency: its index."""
    order = orders[slot]
    nth = order["reports"]
    order["reports"] += 1
    due_ns = ts_ns + ack_delay(exchange, order["order_id"], nth)
    index = report(
        exchange=exchange,
        events=events,
        kind=kind,
        order_id=order["order_id"],
        nth=nth,
        ts_ns=ts_ns,
        due_ns=due_ns,
    )
    entry = events[index]
    entry["slot"] = slot
    entry["side"] = order["side"]
    entry["lots"] = order["remaining"]
    entry["last"] = 1 if order["status"] == DONE else 0
    return index


@kernel
def _learn_fill(exchange: np.void, orders: NDArray[np.void], account: np.void, entry: np.void) -> None:
    price = entry["price_ticks"] * exchange["tick_size"]
    quantity = entry["lots"] * exchange["lot_size"]
    book_fill(
        account=account,
        side=entry["side"],
        price=price,
        quantity=quantity,
        fee=entry["amount"],
        ts_ns=entry["ts_ns"],
    )
    orders[entry["slot"]]["known_remaining"] -= entry["lots"]


@kernel
def _learn(exchange: np.void, orders: NDArray[np.void], account: np.void, entry: np.void) -> None:
    if entry["kind"] == FILLED:
        _learn_fill(exchange, orders, account, entry)
    elif entry["kind"] == FUNDED:
        book_funding(account, entry["amount"])
    if entry["last"]:
        orders[entry["slot"]]["reported"] = 1
        orders[entry["slot"]]["known_remaining"] = 0
        free_if_over(exchange, orders, entry["slot"])


@kernel
def deliver(
    exchange: np.void, orders: NDArray[np.void], events: NDArray[np.void], account: np.void, ts_ns: int
) -> None:
    """Learn every report due by `ts_ns`."""
    while exchange["report_ns"] <= ts_ns:
        index = int(exchange["delivered"]) % len(events)
        _learn(exchange, orders, account, events[index])
        exchange["delivered"] += 1
        exchange["report_ns"] = NEVER
        if exchange["delivered"] < exchange["written"]:
            exchange["report_ns"] = events[exchange["delivered"] % len(events)]["due_ns"]
