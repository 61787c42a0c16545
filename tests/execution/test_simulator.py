"""Submitting, cancelling and funding at the paper venue: what each leaves behind, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from execution.exchange_cases import (
    MS,
    PERP,
    SPOT,
    T0,
    cancel,
    depth,
    exchange,
    fills,
    kinds,
    limit,
    market,
    quotes,
    run,
    trades,
)
from ztb.execution.orders import Cancelled, CancelRejected, Expired, Funded, TimeInForce
from ztb.execution.paper_state import FREE
from ztb.market.ticks import join_ticks

STILL = quotes(*((float(ms), 100.0, 101.0, 9.0, 9.0) for ms in range(60)))
HOUR_MS = 3_600_000.0
SLOW = {"submit_latency_ms": 3.0, "submit_jitter_ms": 3.0, "ack_latency_ms": 2.0, "ack_jitter_ms": 2.0}


@pytest.mark.parametrize(
    "before",
    [
        limit(1, -1, 7, 300, post_only=True, reduce_only=False),
        limit(1, 1, 7, 202, TimeInForce.IOC),
        market(1, -1, 3, reduce_only=True),
        limit(1, 1, 7, 202, TimeInForce.FOK),
    ],
)
def test_a_slot_leaves_nothing_of_one_order_to_the_next(before) -> None:
    later = {30: [limit(9, 1, 20, 200), market(8, -1, 3)], 45: [cancel(9)]}
    settings = SLOW | {"duplicate_probability": 0.5, "impact_half_life_ms": 1e-3}
    alone, after = exchange(**settings), exchange(**settings)
    expected = run(alone, STILL, later)
    found = [
        event for event in run(after, STILL, {0: [before], 10: [cancel(1)]} | later) if event.order_id != 1
    ]  # type: ignore[union-attr]
    assert kinds(found) == kinds(expected) and "Cancelled" in kinds(found)
    assert [event.ts_ns for event in found] == [event.ts_ns for event in expected]
    for name in ("status", "reported", "remaining", "arrival_ns", "cancel_ns", "reports"):
        assert after.orders[name][:2].tolist() == alone.orders[name][:2].tolist(), name


def test_a_second_request_to_cancel_changes_nothing() -> None:
    venue = exchange(cancel_latency_ms=10.0)
    events = run(venue, STILL, {0: [limit(1, 1, 4, 200), cancel(1)], 5: [cancel(1)]})
    assert events[1:] == [Cancelled(1, T0 + 10 * MS, 4)]
    assert venue.exchange["sent"][0] == 2


def test_after_a_cancel_came_too_early_another_may_be_asked_for() -> None:
    venue = exchange(submit_latency_ms=5.0)
    events = run(venue, STILL, {0: [limit(1, 1, 4, 200), cancel(1)], 20: [cancel(1)]})
    assert events[0] == CancelRejected(1, T0, "unknown_order")
    assert events[2:] == [Cancelled(1, T0 + 20 * MS, 4)]


def test_what_happens_at_one_time_happens_in_the_order_of_sending_whatever_slots_are_free() -> None:
    """The third order takes the first slot, which is free again; the second one's cancel was sent last."""
    settings = {"submit_latency_ms": 5.0, "cancel_latency_ms": 5.0}
    actions = {
        0: [market(1, 1, 1), limit(2, 1, 4, 190)],
        10: [limit(3, 1, 4, 190), cancel(2), market(4, 1, 1)],
    }
    events = run(exchange(**settings), STILL, actions)
    told = [(kind, event.order_id) for kind, event in zip(kinds(events), events, strict=True)]  # type: ignore[union-attr]
    assert told[3:] == [("Accepted", 3), ("Cancelled", 2), ("Accepted", 4), ("Filled", 4)]


@pytest.mark.parametrize(("side", "sign"), [(1, -1.0), (-1, 1.0)])
def test_longs_pay_funding_and_shorts_receive_it(side: int, sign: float) -> None:
    ticks = quotes(*((hour * HOUR_MS, 100.0, 101.0, 9.0, 9.0) for hour in range(10)))
    venue = exchange(funding_rate_per_8h=0.001)
    (funded,) = [event for event in run(venue, ticks, {0: [market(1, side, 8)]}) if isinstance(event, Funded)]
    assert funded.amount == pytest.approx(sign * 2.0 * 100.5 * 0.001)
    assert (
        venue.account["funding"][0] == funded.amount and venue.exchange["cash"][0] == venue.account["cash"][0]
    )


def test_who_holds_nothing_pays_nothing_and_neither_does_anybody_without_a_rate() -> None:
    ticks = quotes(*((hour * HOUR_MS, 100.0, 101.0, 9.0, 9.0) for hour in range(30)))
    assert kinds(run(exchange(funding_rate_per_8h=0.001), ticks, {0: [limit(1, 1, 4, 100)]})) == ["Accepted"]
    assert kinds(run(exchange(), ticks, {0: [market(1, 1, 4)]})) == ["Accepted", "Filled"]


def test_a_report_in_the_place_of_an_older_one_has_nothing_of_it() -> None:
    """After as many as there is room for, one about nobody's order comes where the end of another's stood."""
    venue = exchange()
    for row in range(600):
        run(venue, STILL[:1], {0: [market(row + 1, 1 - 2 * (row % 2), 1)]})
    run(venue, STILL[1:3], {0: [limit(1001, 1, 4, 100), limit(1002, 1, 4, 100)]})
    for row in range(3, 11):
        assert kinds(run(venue, STILL[row : row + 2], {0: [cancel(5000 + row)]})) == ["CancelRejected"]
    assert [order.order_id for order in venue.open_orders()] == [1001, 1002]
    assert (venue.reports["slot"][venue.reports["order_id"] >= 5000] == -1).all()


def test_an_account_that_is_gone_on_with_pays_no_funding_of_before() -> None:
    ticks = quotes(*((hour * HOUR_MS, 100.0, 101.0, 9.0, 9.0) for hour in range(10)))
    venue = exchange(funding_rate_per_8h=0.001)
    venue.resume(lots=8, fills=0, stops=0)
    (funded,) = [
        event for event in run(venue, ticks, {0: [limit(1, 1, 4, 100)]}) if isinstance(event, Funded)
    ]
    assert T0 < funded.ts_ns and funded.ts_ns % (8 * 3600 * 10**9) == 0


def test_a_message_of_depth_counts_when_it_is_whole() -> None:
    """In between, the queue before us seems to have all but gone."""
    book = [(100.0, 4.0), (99.0, 9.0)], [(101.0, 4.0)]
    between = depth(1, [(100.0, 0.25), (100.0, 4.0)], [(101.0, 4.0)])
    between["flags"][0] = 0
    rest = trades((2, 100.0, 4.25, -1))
    ticks = join_ticks([depth(0, *book), between, rest])
    venue = exchange(queue_model="proportional")
    assert fills(run(venue, ticks, {2: [limit(1, 1, 8, 200)]})) == [(1, 200)]


def test_what_rests_is_counted_and_the_best_of_it_known() -> None:
    venue = exchange()
    actions = {0: [limit(1, 1, 4, 190), limit(2, 1, 4, 195), limit(3, -1, 4, 220), limit(4, -1, 4, 210)]}
    run(venue, STILL[:2], actions)
    names = ("resting", "buy_ticks", "sell_ticks", "used")
    assert [int(venue.exchange[name][0]) for name in names] == [4, 195, 210, 4]
    run(venue, STILL[2:5], {0: [cancel(2), cancel(4)]})
    assert [int(venue.exchange[name][0]) for name in names] == [2, 190, 220, 3]
    run(venue, STILL[5:9], {0: [cancel(1), cancel(3)]})
    assert [int(venue.exchange[name][0]) for name in names] == [0, 0, 2**62, 0]
    assert (venue.orders["status"] == FREE).all()


def test_a_slot_in_between_that_is_free_is_taken_before_a_new_one() -> None:
    venue = exchange()
    run(venue, STILL[:3], {0: [limit(n, 1, 4, 190) for n in (1, 2, 3)], 1: [cancel(2)]})
    assert venue.exchange["used"][0] == 3
    run(venue, STILL[3:5], {0: [limit(4, 1, 4, 190), limit(5, 1, 4, 190)]})
    assert venue.orders["order_id"][:4].tolist() == [1, 4, 3, 5]


def test_an_id_is_free_again_once_its_order_is_known_to_be_over() -> None:
    venue = exchange(ack_latency_ms=1.0)
    events = run(venue, STILL, {0: [market(1, 1, 4)], 5: [market(1, 1, 2)]})
    assert fills(events) == [(4, 202), (2, 202)]


def test_open_orders_are_told_as_they_were_sent_oldest_first_until_their_end_is_known() -> None:
    venue = exchange(ack_latency_ms=3.0)
    run(venue, STILL[:2], {0: [market(1, 1, 1), limit(2, -1, 5, 300, post_only=True), limit(3, 1, 5, 150)]})
    assert [order.order_id for order in venue.open_orders()] == [1, 2, 3] and venue.open_lots(1) == 6
    run(venue, STILL[2:10], {6: [limit(4, -1, 2, 300)]})
    assert [order.order_id for order in venue.open_orders()] == [2, 3, 4]  # the fourth lies in the first slot
    asked = venue.open_orders()[0].request
    assert (asked.side, asked.lots, asked.price_ticks, asked.post_only, asked.reduce_only) == (
        -1,
        5,
        300,
        True,
        False,
    )
    assert (asked.order_type.name, asked.time_in_force.name) == ("LIMIT", "GTC")
    assert (venue.open_lots(-1), venue.open_lots(1)) == (7, 5)


def test_an_answer_about_nobodys_order_ends_none() -> None:
    venue = exchange()
    orders = [limit(n, 1, 4, 100) for n in range(1, 65)]
    events = run(venue, STILL[:3], {0: orders, 1: [cancel(99), limit(65, 1, 4, 100)]})
    assert kinds(events)[64:] == ["CancelRejected", "Rejected"] and len(venue.open_orders()) == 64
    assert (venue.orders["reported"] == 0).all()


def test_an_account_that_is_gone_on_with_is_the_venues_own() -> None:
    venue = exchange(SPOT, cash=50.0)
    venue.account["cash"] = 1e4
    venue.resume(lots=6, fills=40, stops=2)
    events = run(venue, STILL, {0: [market(1, -1, 6), market(2, 1, 3)]})
    assert fills(events) == [(6, 200), (3, 202)]
    assert [event.fill_id for event in events if hasattr(event, "fill_id")] == [41, 42]
    assert venue.exchange["stops"][0] == 2


@pytest.mark.parametrize("instrument", [PERP, SPOT])
def test_a_state_is_a_copy_and_another_exchange_goes_on_from_it(instrument) -> None:
    first, second = exchange(instrument), exchange(instrument, seed=8)
    early = {0: [limit(1, 1, 4, 200), market(2, 1, 3)]}
    run(first, STILL[:3], early)
    state = first.state()
    rest = run(first, STILL[3:9], {0: [cancel(1)]})
    second.load_state(state)
    assert run(second, STILL[3:9], {0: [cancel(1)]}) == rest != []
    assert second.account.tobytes() == first.account.tobytes()


def test_what_moves_into_other_arrays_goes_on_there() -> None:
    stay, moves = exchange(), exchange()
    for venue in (stay, moves):
        run(venue, STILL[:3], {0: [limit(1, 1, 4, 200), market(2, 1, 3)]})
    arrays = [
        np.zeros_like(array)
        for array in (moves.exchange, moves.orders, moves.reports, moves.view, moves.account)
    ]
    moves.move(*arrays)
    assert run(moves, STILL[3:9], {0: [cancel(1)]}) == run(stay, STILL[3:9], {0: [cancel(1)]}) != []
    assert moves.account is arrays[4] and arrays[4].tobytes() == stay.account.tobytes()
    assert moves.exchange is arrays[0] and arrays[0].tobytes() == stay.exchange.tobytes()


def test_where_reports_are_not_collected_fills_end_before_there_is_no_room_for_the_ends_of_orders() -> None:
    """Each of 64 orders may yet end, and have a cancel refused; every order before has two reports."""
    venue = exchange()
    ticks = quotes(*((float(ms), 100.0, 101.0, 9.0, 9.0) for ms in range(460)))
    for row in range(450):
        market(row + 1, 1 - 2 * (row % 2), 1)(venue, int(ticks["ts_ns"][row]))
        assert venue.advance(ticks, row, row + 1) == row + 1
    resting = limit(451, 1, 4, 190)
    resting(venue, int(ticks["ts_ns"][450]))
    venue.advance(trades((451, 90.0, 9.0, -1)), 0, 1)
    events = venue.events()
    assert len(fills(events)) == 448 and [
        event.order_id for event in events if isinstance(event, Expired)
    ] == [449, 450]  # type: ignore[union-attr]
    assert fills(run(venue, trades((452, 90.0, 9.0, -1)))) == [(4, 190)]  # collected: there is room again
