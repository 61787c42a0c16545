"""Orders as facts: what an open one says, which are protective, and the numbers by which kernels know all kinds."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum

import pytest

from ztb.execution.orders import (
    PROTECTIVE_FROM,
    PROTECTIVE_SIDE,
    Filled,
    OpenOrder,
    OrderRequest,
    OrderType,
    TimeInForce,
    is_protective,
)
from ztb.execution.paper_state import EXCHANGE, NEVER, PaperOrderStatus, RejectReason, ReportKind


@pytest.mark.parametrize("kinds", [OrderType, TimeInForce, PaperOrderStatus, ReportKind, RejectReason])
def test_kinds_are_numbered_from_nought_as_they_stand(kinds: type[IntEnum]) -> None:
    """Saved states hold the numbers."""
    assert [int(kind) for kind in kinds.__members__.values()] == list(range(len(kinds.__members__)))


def test_by_default_an_order_rests_may_take_and_may_open() -> None:
    order = OrderRequest(7, -1, 5, OrderType.LIMIT)
    assert order == OrderRequest(7, -1, 5, OrderType.LIMIT, 0, TimeInForce.GTC, False, False)
    fill = Filled(7, 1, 2, 5, 100, "maker", 5)
    assert (fill.fee, fill.base_fee, fill.other_fee) == (None, Decimal(0), "")


def test_an_open_order_says_what_was_asked_for() -> None:
    left = OpenOrder(OrderRequest(7, -1, 5, OrderType.LIMIT, 99), 3)
    assert (left.order_id, left.side, left.price_ticks, left.remaining_lots) == (7, -1, 99, 3)


def test_protective_stops_are_numbered_beyond_any_order_of_a_lane_and_sell() -> None:
    assert not is_protective(PROTECTIVE_FROM - 1) and is_protective(PROTECTIVE_FROM)
    assert PROTECTIVE_FROM == 10**12 and PROTECTIVE_SIDE == -1


def test_what_has_two_sides_has_room_for_both() -> None:
    """Latencies have a mean and a jitter, and what we took is counted on either side of the book."""
    pairs = {name for name in EXCHANGE.names or () if EXCHANGE[name].shape == (2,)}
    assert pairs == {"feed_ns", "submit_ns", "ack_ns", "cancel_ns", "consumed", "consumed_ns"}


def test_what_never_happens_is_later_than_any_time() -> None:
    assert NEVER > 2**61  # the year 2043 in nanoseconds, and room to add to it
    assert NEVER + NEVER < 2**63 + 1
