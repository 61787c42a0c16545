"""The log of lanes, as facts: orders that were sent, refusals of the gate, reports of the venue; and who is told.

A row is one of LOGGED, as a tuple of its fields in order.
"""

from __future__ import annotations

from typing import Any, Protocol

from ztb.execution.orders import OrderEvent, OrderRequest, OrderType, TimeInForce
from ztb.execution.paper import order_event
from ztb.execution.risk import RefusalReason
from ztb.execution.risk_gate import BY_NUMBER, Proposal

Row = tuple[Any, ...]


class LaneListener(Protocol):
    """A listener that is told what a lane does, in order. `side`: of the order that an event is about, 0 if none of
    ours works.
    """

    def intent(self, order: OrderRequest, decision: int, ts_ns: int) -> None: ...

    def refusal(
        self, order: Proposal, lots: int, reason: RefusalReason, decision: int, ts_ns: int
    ) -> None: ...

    def event(self, event: OrderEvent, side: int) -> None: ...


def order_sent(row: Row) -> OrderRequest:
    """The order that went to the venue."""
    _, _, order_id, _, side, lots, order_type, price_ticks, reduce_only, *_ = row
    return OrderRequest(
        order_id=order_id,
        side=side,
        lots=lots,
        order_type=OrderType(order_type),
        price_ticks=price_ticks,
        time_in_force=TimeInForce.GTC,
        post_only=order_type == OrderType.LIMIT,
        reduce_only=bool(reduce_only),
    )


def refused(row: Row, lot_size: float) -> tuple[Proposal, int, RefusalReason]:
    """The gate's view of an order, its lots, and why it was refused."""
    _, _, _, _, side, lots, _, _, _, reason, _, _, _, price, _ = row
    return Proposal(side, lots * lot_size, price), lots, BY_NUMBER[reason]


def reported(row: Row) -> tuple[OrderEvent, int]:
    """A report of the venue, and the side of the order that it is about, 0 if none of ours works."""
    _, kind, order_id, ts_ns, side, lots, _, price, _, reason, fill_id, maker, cumulative_lots, _, amount = (
        row
    )
    event = order_event(
        kind=kind,
        order_id=order_id,
        ts_ns=ts_ns,
        reason=reason,
        lots=lots,
        price_ticks=price,
        fill_id=fill_id,
        maker=maker,
        cumulative_lots=cumulative_lots,
        amount=amount,
    )
    return event, side
