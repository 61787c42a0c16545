"""Latencies, and who wins the races between them."""

from __future__ import annotations

import numpy as np
import pytest

from execution.exchange_cases import (
    MS,
    T0,
    cancel,
    exchange,
    fills,
    kinds,
    limit,
    market,
    quotes,
    run,
    trades,
)
from ztb.execution.latency import DRAWS
from ztb.execution.orders import Accepted, CancelRejected, Filled
from ztb.utils.rng import STREAM_LATENCY, uniform

FALLING = quotes(*((float(ms), 100.0 - ms, 101.0 - ms, 9.0, 9.0) for ms in range(60)))


@pytest.mark.parametrize("submit_ms", [0.0, 0.5, 1.0, 7.25])
def test_an_order_meets_the_market_as_of_its_arrival(submit_ms: float) -> None:
    events = run(exchange(submit_latency_ms=submit_ms), FALLING, {3: [market(1, 1, 4)]})
    seen = 3 + int(submit_ms)  # the last row at or before arrival
    assert fills(events) == [(4, 2 * (101 - seen))]
    assert [e.ts_ns for e in events] == [T0 + int((3 + submit_ms) * MS)] * 2


def test_latency_is_the_feeds_plus_the_submits_each_within_its_jitter() -> None:
    settings = {
        "feed_latency_ms": 5.0,
        "feed_jitter_ms": 2.0,
        "submit_latency_ms": 9.0,
        "submit_jitter_ms": 3.0,
    }
    accepted = run(exchange(seed=3, **settings), FALLING, {3: [limit(21, 1, 4, 20)]})[0]
    feed, submit = (uniform(3, STREAM_LATENCY, 21 * DRAWS + draw) for draw in (0, 1))
    expected = int((5 + 2 * (2 * feed - 1)) * MS) + int((9 + 3 * (2 * submit - 1)) * MS)
    assert isinstance(accepted, Accepted)
    assert accepted.ts_ns == pytest.approx(T0 + 3 * MS + expected, abs=2)


def test_we_learn_of_a_fill_when_its_report_arrives() -> None:
    venue = exchange(ack_latency_ms=10.0)
    market(1, 1, 4)(venue, T0)
    row = venue.advance(FALLING, 0, len(FALLING))
    assert row == 11 and fills(venue.events()) == [(4, 202)]
    assert venue.account["position"][0] == 1.0
    venue = exchange(ack_latency_ms=10.0)
    market(1, 1, 4)(venue, T0)
    assert venue.advance(FALLING, 0, 10) == 10 and venue.events() == []
    assert venue.account["position"][0] == 0.0 and venue.open_lots(1) == 4
    assert venue.exchange["position_lots"][0] == 4


SOLD_INTO = np.concatenate(
    [quotes((0, 100.0, 101.0, 1.0, 1.0)), trades((5, 99.5, 9.0, -1), (20, 101.0, 1.0, 1))]
)


@pytest.mark.parametrize(("latency", "outcome"), [(4.0, "Cancelled"), (5.0, "Filled"), (6.0, "Filled")])
def test_a_cancel_that_arrives_after_the_fill_loses(latency: float, outcome: str) -> None:
    events = run(exchange(cancel_latency_ms=latency), SOLD_INTO, {0: [limit(1, 1, 4, 200), cancel(1)]})
    assert kinds(events)[:2] == ["Accepted", outcome]
    refused = [CancelRejected(1, T0 + int(latency * MS), "already_done")]
    assert events[2:] == (refused if outcome == "Filled" else [])


def test_a_cancel_that_overtakes_its_order_is_refused_and_the_order_lives() -> None:
    events = run(exchange(submit_latency_ms=3.0), SOLD_INTO, {0: [limit(1, 1, 4, 200), cancel(1)]})
    assert events[0] == CancelRejected(1, T0, "unknown_order")
    assert kinds(events)[1:] == ["Accepted", "Filled"]


def test_a_cancel_of_what_is_known_to_be_done_is_refused_at_once() -> None:
    events = run(exchange(), FALLING, {0: [market(1, 1, 4)], 9: [cancel(1), cancel(77)]})
    assert events[-2:] == [CancelRejected(n, T0 + 9 * MS, "unknown_order") for n in (1, 77)]


def test_slots_are_free_again_once_a_late_cancel_was_answered() -> None:
    venue = exchange(cancel_latency_ms=15.0)
    run(venue, SOLD_INTO, {0: [limit(1, 1, 4, 200), cancel(1)]})
    assert venue.exchange["used"][0] == 0 and venue.open_orders() == []


def test_reports_never_overtake_each_other() -> None:
    venue = exchange(ack_latency_ms=8.0, ack_jitter_ms=8.0)
    events = run(venue, FALLING, {row: [market(row + 1, 1, 4)] for row in range(30)})
    times = [event.ts_ns for event in events]
    assert len(events) == 60 and times == sorted(times)
    assert (np.diff(venue.reports["due_ns"][:60]) >= 0).all()


def test_other_orders_change_no_draw_of_an_order() -> None:
    settings = {"submit_latency_ms": 9.0, "submit_jitter_ms": 9.0}
    alone = run(exchange(**settings), FALLING, {3: [limit(9, 1, 4, 20)]})
    amid = run(
        exchange(**settings), FALLING, {2: [limit(1, 1, 4, 20)], 3: [limit(2, 1, 4, 20), limit(9, 1, 4, 20)]}
    )
    assert alone == [event for event in amid if event.order_id == 9]  # type: ignore[union-attr]


def test_another_seed_draws_otherwise() -> None:
    settings = {"submit_latency_ms": 9.0, "submit_jitter_ms": 9.0}
    times = {
        run(exchange(seed=s, **settings), FALLING, {3: [limit(9, 1, 4, 20)]})[0].ts_ns for s in range(20)
    }
    assert len(times) == 20 and all(T0 + 3 * MS <= ts <= T0 + 21 * MS for ts in times)


def test_fills_are_numbered() -> None:
    events = run(exchange(), FALLING, {row: [market(row + 1, 1, 4)] for row in range(9)})
    assert [e.fill_id for e in events if isinstance(e, Filled)] == list(range(1, 10))
