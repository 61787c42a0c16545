"""Passive orders: queue position, what fills them, and priorities, in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from execution.exchange_cases import (
    MS,
    T0,
    bars,
    cancel,
    depth,
    exchange,
    fills,
    kinds,
    limit,
    quotes,
    run,
    trades,
)
from ztb.execution.orders import Cancelled, Filled

QUOTED = quotes((0, 100.0, 101.0, 2.0, 2.0))


def after_quote(*rows: tuple[float, float, float, int]) -> np.ndarray:
    return np.concatenate([QUOTED, trades((1, 100.5, 0.25, 0)), trades(*rows)])


def test_trades_at_our_price_first_serve_the_queue_before_us() -> None:
    ticks = after_quote((2, 100.0, 1.5, -1), (3, 100.0, 1.0, -1), (4, 100.0, 9.0, -1))
    venue = exchange()
    events = run(venue, ticks, {0: [limit(1, 1, 8, 200)]})
    assert fills(events) == [(2, 200), (6, 200)]  # 2.0 stood before us: 0.5 of the second trade is ours
    assert [e.ts_ns for e in events if isinstance(e, Filled)] == [T0 + 3 * MS, T0 + 4 * MS]
    notional = 2.0 * 100
    assert venue.account["fees"][0] == pytest.approx(notional * 0.001)  # maker
    assert all(e.liquidity == "maker" for e in events if isinstance(e, Filled))


@pytest.mark.parametrize("taker", [1, 0])
def test_a_trade_at_our_price_that_took_the_other_side_or_none_known_leaves_the_queue(taker: int) -> None:
    ticks = after_quote((2, 100.0, 50.0, taker))
    assert fills(run(exchange(), ticks, {0: [limit(1, 1, 8, 200)]})) == []


@pytest.mark.parametrize("taker", [1, 0, -1])
def test_a_trade_through_our_price_fills_us_up_to_its_size(taker: int) -> None:
    ticks = after_quote((2, 99.5, 1.25, taker), (3, 100.0, 0.5, -1))
    assert fills(run(exchange(), ticks, {0: [limit(1, 1, 8, 200)]})) == [(5, 200), (2, 200)]


def test_an_order_inside_the_spread_is_alone() -> None:
    ticks = after_quote((2, 100.5, 0.25, 1))
    assert fills(run(exchange(), ticks, {0: [limit(1, -1, 4, 201)]})) == [(1, 201)]


def test_deeper_in_the_venues_book_the_queue_is_what_stands_there() -> None:
    book = depth(0, [(100.0, 2.0), (99.0, 4.0)], [(101.0, 1.0)])
    rest = trades((1, 101.0, 0.25, 1), (2, 99.0, 4.75, -1))
    assert fills(run(exchange(), np.concatenate([book, rest]), {2: [limit(1, 1, 8, 198)]})) == [(3, 198)]


def test_our_better_and_our_earlier_order_fill_first_and_share_one_trade() -> None:
    ticks = after_quote((2, 99.0, 2.0, -1))
    orders = [limit(1, 1, 4, 199), limit(2, 1, 3, 200), limit(3, 1, 3, 200)]
    events = run(exchange(), ticks, {0: orders})
    filled = [(e.order_id, e.lots) for e in events if isinstance(e, Filled)]
    assert filled == [(2, 3), (3, 3), (1, 2)]  # 8 lots traded, best price then time


def requeue(model: str) -> list[tuple[int, int]]:
    """Join behind 4.0; 1.0 trades and 2.0 is cancelled, leaving 1.0; then 3.0 trades."""
    ticks = np.concatenate(
        [
            quotes((0, 100.0, 101.0, 4.0, 2.0)),
            trades((1, 100.5, 0.25, 0), (2, 100.0, 1.0, -1)),
            quotes((3, 100.0, 101.0, 1.0, 2.0)),
            trades((4, 100.0, 3.0, -1)),
        ]
    )
    return fills(run(exchange(queue_model=model), ticks, {0: [limit(1, 1, 20, 200)]}))


def test_pessimistic_queues_shrink_by_trades_alone() -> None:
    assert requeue("pessimistic") == []  # 4 - 1 - 3 = 0 before us, and nothing left of the trade


def test_proportional_queues_shrink_by_cancels_in_proportion() -> None:
    assert requeue("proportional") == [
        (8, 200)
    ]  # 3 before us of 3 shown, now 1 of 1: 2.0 of the trade are ours


def test_proportional_queues_ignore_who_joins_behind() -> None:
    """Behind 2.0 of 2.0; 6.0 join; half of the 8.0 cancel: 1.0 of those before us."""
    ticks = np.concatenate(
        [
            QUOTED,
            quotes((1, 100.0, 101.0, 8.0, 2.0), (2, 100.0, 101.0, 4.0, 2.0)),
            trades((3, 100.0, 2.0, -1)),
        ]
    )
    assert fills(run(exchange(queue_model="proportional"), ticks, {0: [limit(1, 1, 20, 200)]})) == [(4, 200)]


def test_quotes_that_cross_us_fill_us_once_at_our_price() -> None:
    ticks = np.concatenate(
        [QUOTED, quotes((1, 100.0, 101.0, 2.0, 2.0), (2, 99.0, 99.5, 2.0, 1.0), (3, 99.0, 99.5, 2.0, 1.0))]
    )
    events = run(exchange(impact_half_life_ms=1e9), ticks, {0: [limit(1, 1, 8, 200)]})
    assert fills(events) == [(4, 200)]  # the same quote is not there twice


@pytest.mark.parametrize(("low", "filled"), [(100.0, []), (99.5, [(2, 200), (2, 200)])])
def test_on_bars_the_path_must_cross_our_price(low: float, filled: list[tuple[int, int]]) -> None:
    """20 % of a volume of 10 in four steps: 0.5 base, two lots, at the low and again at the close."""
    ticks = bars((101.0, 101.0, 101.0, 101.0, 10.0), (101.0, 101.5, low, 99.5 if low < 100 else 101.0, 10.0))
    venue = exchange(bar_participation=0.2)
    events = run(venue, ticks, {0: [limit(1, 1, 8, 200)]})
    assert fills(events) == filled
    third = 20_000 * MS
    assert [e.ts_ns - T0 for e in events if isinstance(e, Filled)] == [2 * third, 3 * third][: len(filled)]


def test_a_cancel_takes_what_remains() -> None:
    ticks = after_quote((2, 100.0, 3.0, -1), (3, 100.0, 9.0, 1), (4, 100.0, 9.0, -1))
    events = run(exchange(), ticks, {0: [limit(1, 1, 8, 200)], 2: [cancel(1)]})
    assert fills(events) == [(4, 200)] and events[-1] == Cancelled(1, T0 + 2 * MS, remaining_lots=4)


def test_equal_times_keep_the_order_of_sending() -> None:
    events = run(exchange(), after_quote(), {0: [limit(1, 1, 4, 200), limit(2, 1, 4, 200), cancel(1)]})
    assert [(kind, e.order_id) for kind, e in zip(kinds(events), events, strict=True)] == [  # type: ignore[union-attr]
        ("Accepted", 1),
        ("Accepted", 2),
        ("Cancelled", 1),
    ]
