"""The table of our orders: what the venue says becomes events, each fact once, whatever the order it is told in."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from runtime.venue.fake_account import INSTRUMENT, PREFIX, buy
from ztb.execution.orders import (
    PROTECTIVE_FROM,
    Accepted,
    Cancelled,
    CancelRejected,
    CancelRequested,
    Expired,
    Filled,
    OpenOrder,
    OrderEvent,
    Rejected,
    SubmitUnknown,
)
from ztb.runtime.venue.orders import OrderTable, VenueOrder

LOT = Decimal("0.00001")


def table(*numbers: int) -> OrderTable:
    made = OrderTable(INSTRUMENT, PREFIX)
    for number in numbers:
        made.add(buy(number))
    return made


def row(number: int, status: str = "open", filled: float | None = 0.0, **more: Any) -> dict[str, Any]:
    told = {"clientOrderId": f"{PREFIX}{number}", "id": str(number + 50), "status": status, "filled": filled}
    return told | more


def trade(number: int, fill: int, amount: str = "0.002", price: float | None = 60_000.0) -> dict[str, Any]:
    return {
        "id": str(fill), "order": str(number + 50), "timestamp": 5, "side": "buy", "amount": float(amount),
        "price": price, "takerOrMaker": "taker", "fee": {"cost": 0.0, "currency": "USDT"},
    }  # fmt: skip


def events(made: OrderTable) -> list[OrderEvent]:
    found = list(made.events)
    made.events.clear()
    return found


def kinds(made: OrderTable) -> list[str]:
    return [type(event).__name__ for event in events(made)]


def test_an_order_is_known_by_our_id_and_then_by_the_venues():
    made = table(1)
    assert made.by_client_id(f"{PREFIX}1") is made.orders[1]
    for other in (None, "", f"{PREFIX}2", f"{PREFIX}x", "1", f"other-{1}"):
        assert made.by_client_id(other) is None
    made.told(row(1), 9)
    order = made.orders[1]
    assert events(made) == [Accepted(1, 9)] and order.venue_id == "51" and order.seen_ns == 9
    made.told({"id": "51", "status": "open", "filled": 0.0}, 10)  # told without our id
    assert order.seen_ns == 10 and not made.events
    made.told(row(1, id="99"), 11)
    assert order.venue_id == "51"
    made.told({"id": None, "status": "open"}, 12)
    assert order.seen_ns == 11


def test_fills_are_the_venues_trades_each_once_and_add_up():
    made = table(1)
    made.told(row(1), 9)
    for _ in range(2):
        made.traded(trade(1, 1000))
    made.traded(trade(1, 1001, "0.003"))
    accepted, first, second = events(made)
    assert isinstance(first, Filled) and isinstance(second, Filled) and isinstance(accepted, Accepted)
    assert (first.lots, first.cumulative_lots, second.lots, second.cumulative_lots) == (200, 200, 300, 500)
    order = made.orders[1]
    assert (order.filled, order.filled_lots, order.remaining_lots) == (Decimal("0.005"), 500, 500)
    assert made.known == 2 and made.trades == {first.fill_id, second.fill_id}


def test_trades_that_come_before_their_order_wait_for_it_and_those_without_a_price_for_ever():
    made = table(1, 2)
    made.traded(trade(1, 1001))
    made.traded(trade(1, 1000, price=None))
    made.traded(trade(1, 1000, price=None))
    made.traded(trade(2, 1002))
    assert len(made.foreign) == made.known == 3 and not made.events
    made.told(row(1), 9)
    assert kinds(made) == ["Filled"] and made.orders[1].accepted
    assert len(made.foreign) == 2 and made.known == 3
    made.told(row(2), 9)
    assert kinds(made) == ["Filled"] and list(made.foreign.values()) == [trade(1, 1000, price=None)]


@pytest.mark.parametrize(
    ("status", "made_of"),
    [("canceled", Cancelled), ("cancelled", Cancelled), ("expired", Expired), ("closed", Expired)],
)
def test_an_end_waits_for_the_fills_before_it(status, made_of):
    made = table(1)
    made.told(row(1), 9)
    made.traded(trade(1, 1000))
    events(made)
    made.told(row(1, status, filled=0.005), 10)
    order = made.orders[1]
    assert not made.events and order.over and not order.done and not order.end_is_due
    assert made.owing == {1} and made.open == [order]
    made.traded(trade(1, 1001, "0.003"))
    assert events(made)[1:] == [made_of(1, 5_000_000, 500)]
    assert order.done and not order.end_is_due and made.owing == set() and made.open == []
    made.told(row(1), 11)
    assert not made.events and order.seen_ns == 10


def test_without_the_quantity_filled_nobody_knows_which_fills_to_wait_for():
    made = table(1)
    made.told(row(1, "canceled", filled=None), 9)
    assert kinds(made) == ["Accepted"] and not made.orders[1].over
    made.told(row(1, "canceled", filled=0.0), 10)
    assert events(made) == [Cancelled(1, 10, 1000)]


def test_an_order_that_is_filled_ends_with_its_last_fill_alone():
    made = table(1)
    made.told(row(1, "closed", filled=0.01), 9)
    made.traded(trade(1, 1000, "0.01"))
    assert kinds(made) == ["Accepted", "Filled"] and made.orders[1].done


def test_a_rejection_is_one_only_of_what_was_not_accepted():
    made = table(1, 2)
    made.told(row(1, "rejected"), 9)
    assert events(made) == [Rejected(1, 9, "venue")]
    made.refused(made.orders[1], "again", 10)
    made.told(row(2), 9)
    made.told(row(2, "rejected", filled=0.0), 10)
    assert events(made) == [Accepted(2, 9), Cancelled(2, 10, 1000)]


def test_an_order_without_an_answer_is_unknown_until_it_is_heard_of():
    made = table(1)
    order = made.orders[1]
    made.lost_sight(order, "late", 8)
    made.lost_sight(order, "late", 9)
    assert events(made) == [SubmitUnknown(1, 8, "late")] and order.unknown and not order.accepted
    assert not order.want_cancel() and order.cancel_wanted
    made.told(row(1), 10)
    assert kinds(made) == ["Accepted"] and not order.unknown
    made.lost_sight(order, "late", 11)
    assert not made.events
    assert order.want_cancel() and not order.cancel_wanted
    order.ending = True
    assert not order.want_cancel()


def test_a_cancel_of_what_is_not_there_is_answered_at_once():
    made = table(1)
    made.refused(made.orders[1], "no", 8)
    events(made)
    for number in (1, 7):
        assert made.cancel_asked(number, 9) is None
    assert events(made) == [CancelRejected(number, 9, "already_done") for number in (1, 7)]
    made.add(buy(2))
    made.told(row(2), 9)
    assert made.cancel_asked(2, 10) is made.orders[2]
    made.cancel_refused(made.orders[2], "busy", 11)
    assert events(made) == [Accepted(2, 9), CancelRequested(2, 10), CancelRejected(2, 11, "busy")]
    made.told(row(2, "canceled"), 12)
    made.cancel_refused(made.orders[2], "busy", 13)
    assert kinds(made) == ["Cancelled"] and made.orders[2].over


def test_what_was_left_of_before_is_unknown_as_far_as_it_had_come():
    made = table()
    made.resume(OpenOrder(buy(3), 400), "an-old-id")
    order = made.orders[3]
    assert (order.filled, order.filled_lots, order.remaining_lots) == (600 * LOT, 600, 400)
    assert order.unknown and not order.accepted and order.client_id == "an-old-id"


def test_protective_stops_work_for_nobodys_decision():
    made = table(1, PROTECTIVE_FROM)
    assert [order.order_id for order in made.working] == [1] and len(made.open) == 2


def test_of_orders_that_ended_the_latest_are_remembered():
    made = table()
    for number in range(1, 515):
        made.refused(made.add(buy(number)), "no", 1)
    assert sorted(made.orders) == list(range(3, 515))
    assert isinstance(made.orders[514], VenueOrder)
