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
    market,
    quotes,
    run,
    trades,
)
from ztb.execution.orders import Cancelled, Filled
from ztb.market.ticks import join_ticks

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


def test_what_traded_at_our_price_is_no_cancel_once_the_quotes_have_shown_it() -> None:
    """4.0 stand; 1.0 trades, which the next quote shows; then 0.75 of 3.0 are cancelled, and 0.75 more of 2.25."""
    shown = [quotes((ms, 100.0, 101.0, size, 2.0)) for ms, size in ((3, 3.0), (4, 3.0), (5, 2.25), (6, 1.5))]
    ticks = join_ticks([quotes((0, 100.0, 101.0, 4.0, 2.0)), trades((1, 100.0, 1.0, -1)), *shown])
    venue = exchange(queue_model="proportional")
    ahead = []
    for row in range(len(ticks)):
        run(venue, ticks[row : row + 1], {0: [limit(1, 1, 8, 200)]} if row == 0 else {})
        ahead.append(float(venue.orders["ahead"][0]))
    assert ahead == [0.0, 3.0, 3.0, 3.0, 2.25, 1.5]


def test_a_queue_that_the_quotes_do_not_show_is_left_as_it_was() -> None:
    """Our price lies below the touch; only where there is a book is it seen there."""
    ticks = join_ticks([QUOTED, quotes((1, 100.0, 101.0, 2.0, 2.0)), quotes((2, 100.0, 101.0, 1.0, 2.0))])
    venue = exchange(queue_model="proportional")
    run(venue, ticks, {0: [limit(1, 1, 8, 199)]})
    assert venue.orders["ahead"][0] == venue.orders["level"][0] == 2.0
    book = [
        depth(ms, [(100.0, 2.0), (99.0, size)], [(101.0, 1.0)]) for ms, size in ((0, 4.0), (1, 4.0), (2, 1.0))
    ]
    seen = exchange(queue_model="proportional")
    run(seen, join_ticks(book), {2: [limit(1, 1, 8, 198)]})
    assert seen.orders["ahead"][0] == seen.orders["level"][0] == 1.0


@pytest.mark.parametrize("side", [1, -1])
def test_quotes_that_cross_several_of_ours_fill_the_best_first_and_are_used_up(side: int) -> None:
    """Orders at 100 (bought) or 101 (sold) and one tick worse; three lots cross both, then the same the first."""
    mine, worse = (200, 199) if side > 0 else (202, 203)
    first, second = ((98.0, 99.0), (99.0, 100.0)) if side > 0 else ((102.0, 103.0), (101.0, 102.0))
    rows = [(0.5, 100.0, 101.0, 2.0, 2.0), (1, *first, 0.75, 0.75), (2, *second, 0.75, 0.75)]
    orders = [limit(1, side, 4, worse), limit(2, side, 4, mine)]
    venue = exchange(impact_half_life_ms=1e9)
    events = run(venue, join_ticks([QUOTED, quotes(*rows)]), {0: orders})
    assert [(e.order_id, e.lots) for e in events if isinstance(e, Filled)] == [(2, 3)]
    gone = [0.75, 0.0] if side > 0 else [0.0, 0.75]
    assert venue.exchange["consumed"][0].tolist() == pytest.approx(gone, rel=1e-6)


def test_in_a_book_all_that_crosses_us_is_ours_level_by_level() -> None:
    crossing = depth(1, [(96.0, 2.0)], [(98.0, 0.5), (99.0, 0.25), (100.5, 9.0)])
    ticks = join_ticks([depth(0, [(100.0, 2.0)], [(101.0, 1.0)]), crossing])
    assert fills(run(exchange(), ticks, {1: [limit(1, 1, 8, 200)]})) == [(3, 200)]


@pytest.mark.parametrize(("side", "through"), [(1, 99.5), (-1, 101.5)])
def test_an_order_that_only_reduces_is_filled_no_further_than_the_position(side: int, through: float) -> None:
    ticks = join_ticks(
        [QUOTED, trades((1, 100.5, 0.25, 0), (2, through, 9.0, -side), (3, through, 9.0, -side))]
    )
    held = market(1, -side, 3)
    events = run(
        exchange(), ticks, {0: [held, limit(2, side, 8, 200 if side > 0 else 202, reduce_only=True)]}
    )
    assert [(e.order_id, e.lots) for e in events if isinstance(e, Filled)] == [(1, 3), (2, 3)]


@pytest.mark.parametrize("side", [1, -1])
def test_on_bars_orders_share_what_a_step_brings_best_first(side: int) -> None:
    """2.0 base a bar, a quarter of it a step: two lots, one for the better order and one for the next."""
    end = 98.0 if side > 0 else 102.0
    high, low = max(100.0, end), min(100.0, end)
    ticks = bars((100.0, 100.0, 100.0, 100.0, 8.0), (100.0, high, low, end, 8.0))
    better, worse, never = (199, 198, 196) if side > 0 else (201, 202, 204)
    orders = [limit(1, side, 9, worse), limit(2, side, 1, better), limit(3, side, 9, never)]
    events = run(exchange(bar_participation=0.25), ticks, {0: orders})
    filled = [(e.order_id, e.lots) for e in events if isinstance(e, Filled)]
    assert filled == [(2, 1), (1, 1), (1, 2)]  # at the end of the path, and at its close
