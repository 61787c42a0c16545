"""What a taker meets where the venue's book is not known, and how what we took comes back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from execution.exchange_cases import (
    MS,
    PERP,
    T0,
    bars,
    depth,
    exchange,
    fills,
    limit,
    market,
    quotes,
    run,
    trades,
)
from ztb.execution.orders import Filled


def test_before_the_first_trade_a_level_behind_the_touch_holds_the_mean_of_both_touches() -> None:
    ticks = quotes((0, 100.0, 101.0, 6.0, 2.0), (10, 100.0, 101.0, 6.0, 2.0))
    assert fills(run(exchange(), ticks, {0: [market(1, 1, 30)]})) == [(8, 202), (16, 203), (6, 204)]
    assert fills(run(exchange(), ticks, {0: [market(1, -1, 30)]})) == [(24, 200), (6, 199)]


def test_on_bars_a_level_is_a_share_of_a_quarter_of_a_typical_bar_until_there_is_a_trade() -> None:
    bar = bars((100.0, 100.0, 100.0, 100.0, 40.0))
    later = bars((100.0, 100.0, 100.0, 100.0, 40.0), (100.0, 100.0, 100.0, 100.0, 40.0))
    venue = exchange(bar_participation=0.1)
    assert fills(run(venue, later, {0: [market(1, 1, 10)]})) == [(4, 201), (4, 202), (2, 203)]
    ticks = np.concatenate([bar, trades((1, 100.0, 40.0, 1), (2, 100.0, 40.0, 1))])
    assert fills(run(exchange(bar_participation=0.1), ticks, {1: [market(1, 1, 400)]}))[0] == (320, 200)


def test_levels_are_a_share_of_the_spread_apart_and_a_tick_at_least() -> None:
    ticks = quotes((0, 100.0, 104.0, 1.0, 1.0), (10, 100.0, 104.0, 1.0, 1.0))
    buy = {0: [market(1, 1, 9)]}
    assert [price for _, price in fills(run(exchange(level_spacing_spreads=0.25), ticks, buy))] == [
        208,
        210,
        212,
    ]
    assert [price for _, price in fills(run(exchange(level_spacing_spreads=0.0), ticks, buy))] == [
        208,
        209,
        210,
    ]


def test_an_order_sees_so_many_levels_and_no_more() -> None:
    ticks = quotes((0, 100.0, 101.0, 1.0, 1.0), (10, 100.0, 101.0, 1.0, 1.0))
    assert len(fills(run(exchange(walk_levels=3), ticks, {0: [market(1, 1, 99)]}))) == 3


def test_no_level_lies_at_a_price_of_nothing() -> None:
    ticks = trades((0, 1.0, 4.0, -1), (10, 1.0, 4.0, -1))
    sold = fills(run(exchange(), ticks, {0: [market(1, -1, 4000)]}))
    assert [price for _, price in sold] == [2, 1]


@pytest.mark.parametrize(("halvings", "left"), [(1, 0.75), (61, 1.5 * 2.0**-61), (62, 0.0), (100, 0.0)])
def test_what_we_took_is_halved_until_it_is_nothing(halvings: int, left: float) -> None:
    """The order that looks takes nothing itself."""
    book = [(100.0, 9.0)], [(101.0, 9.0)]
    ticks = np.concatenate([depth(0, *book), depth(10 * halvings, *book), depth(1e6, *book)])
    actions = {1: [market(1, 1, 6)], 3: [limit(2, 1, 400, 2)]}
    venue = exchange(impact_half_life_ms=10.0)
    run(venue, ticks, actions)
    assert venue.exchange["consumed"][0].tolist() == [left, 0.0]
    assert venue.exchange["consumed_ns"][0].tolist() == [T0 + 10 * halvings * MS, 0]


def test_what_is_taken_of_either_side_is_counted_by_itself() -> None:
    book = depth(0, [(100.0, 9.0)], [(101.0, 9.0)])
    ticks = np.concatenate([book, quotes((1, 100.0, 101.0, 9.0, 9.0))])
    venue = exchange(impact_half_life_ms=1e9)
    run(venue, ticks, {1: [market(1, 1, 6), market(2, -1, 4), market(3, 1, 2)]})
    assert venue.exchange["consumed"][0].tolist() == [2.0, 1.0]


def test_a_queue_is_what_others_show_at_our_price() -> None:
    """At the quoted touch what is quoted, beyond it a level of the model, inside the spread nothing."""
    ticks = np.concatenate(
        [trades((0, 100.0, 3.0, 1)), quotes((1, 100.0, 102.0, 2.0, 5.0)), trades((2, 101.0, 3.0, 0))]
    )
    orders = [
        limit(1, 1, 8, 200),
        limit(2, 1, 8, 199),
        limit(3, 1, 8, 201),
        limit(4, -1, 8, 204),
        limit(5, -1, 8, 203),
    ]
    venue = exchange()
    run(venue, ticks, {1: orders})
    assert (
        venue.orders["ahead"][:5].tolist() == venue.orders["level"][:5].tolist() == [2.0, 6.0, 0.0, 5.0, 0.0]
    )


def test_where_the_touch_is_modelled_so_is_the_queue_at_it() -> None:
    ticks = trades((0, 100.0, 3.0, -1), (1, 100.0, 3.0, 0))
    venue = exchange()
    run(venue, ticks, {0: [limit(1, 1, 8, 200)]})
    assert venue.orders["ahead"][0] == 6.0


def test_in_the_venues_book_the_queue_is_that_of_the_very_price() -> None:
    book = depth(0, [(100.0, 2.0), (99.0, 4.0)], [(101.0, 1.0), (102.0, 3.0)])
    ticks = np.concatenate([book, depth(1, [(100.0, 2.0)], [(101.0, 1.0)])])
    orders = [limit(1, 1, 8, 198), limit(2, 1, 8, 199), limit(3, -1, 8, 204), limit(4, -1, 8, 206)]
    venue = exchange()
    run(venue, ticks, {3: orders})
    assert venue.orders["ahead"][:4].tolist() == [4.0, 0.0, 3.0, 0.0]


def test_the_venues_own_books_are_what_its_fills_come_to() -> None:
    """And once all is told, they are what ours are."""
    book = depth(0, [(100.0, 2.0), (99.0, 4.0)], [(101.0, 1.0), (102.0, 3.0)])
    ticks = np.concatenate([book, trades((1, 99.5, 1.0, -1), (2, 99.5, 9.0, 1))])
    venue = exchange()
    events = run(venue, ticks, {3: [market(1, 1, 6), market(2, -1, 2), limit(3, 1, 4, 200)]})
    assert [event.liquidity for event in events if isinstance(event, Filled)] == ["taker"] * 3 + ["maker"]
    cash = 1e6 - 101.0 - 0.5 * 102.0 + 0.5 * 100.0 - 100.0
    cash -= 0.002 * (101.0 + 51.0 + 50.0) + 0.001 * 100.0
    own, account = venue.exchange[0], venue.account[0]
    assert own["cash"] == pytest.approx(cash, abs=1e-9) and own["cash"] == account["cash"]
    assert (own["position_lots"], account["position"], own["fills"]) == (8, 2.0, 4)


def test_a_price_on_the_grid_is_that_price_whatever_a_division_makes_of_it() -> None:
    """Ticks of a hundredth, of which no float is a whole number's worth."""
    fine = replace(PERP, tick_size=Decimal("0.01"))
    wanted = np.random.default_rng(0).integers(100_000, 20_000_000, 150).tolist()
    ticks = quotes(
        *((float(i), price * 0.01, (price + 3) * 0.01, 9.0, 9.0) for i, price in enumerate(wanted))
    )
    flow = {row: [market(2 * row + 1, 1, 1), market(2 * row + 2, -1, 1)] for row in range(len(wanted) - 1)}
    told = fills(run(exchange(fine, impact_half_life_ms=1e-3), ticks, flow))
    assert [price for _, price in told] == [price + away for price in wanted[:-1] for away in (3, 0)]
