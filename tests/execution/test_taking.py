"""Taking liquidity: what orders find on arrival, in closed form."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from execution.exchange_cases import (
    MS,
    PERP,
    SPOT,
    T0,
    Action,
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
from ztb.execution.orders import Expired, Rejected, TimeInForce
from ztb.market.instrument import Instrument

BOOK = depth(0, [(100.0, 2.0), (99.0, 4.0)], [(101.0, 1.0), (102.0, 0.5), (104.0, 3.0)])
AFTER = quotes((10, 100.0, 101.0, 2.0, 1.0))
TICKS = np.concatenate([BOOK, AFTER])
LAST_ROW = len(BOOK) - 1


def events_of(*actions: Action, instrument: Instrument = PERP, cash: float = 1e6) -> list[object]:
    return list(run(exchange(instrument, cash), TICKS, {LAST_ROW: list(actions)}))


def test_a_market_buy_walks_the_venues_book_level_by_level() -> None:
    venue = exchange()
    events = run(venue, TICKS, {LAST_ROW: [market(1, 1, 8)]})
    assert fills(events) == [(4, 202), (2, 204), (2, 208)]  # lots of 0.25, ticks of 0.5
    notional = 1.0 * 101 + 0.5 * 102 + 0.5 * 104
    assert venue.account["cash"][0] == pytest.approx(1e6 - notional * 1.002, abs=1e-9)
    assert venue.account["position"][0] == 2.0
    assert venue.account["entry_price"][0] == pytest.approx(notional / 2.0)
    assert venue.account["opened_ns"][0] == T0


def test_a_market_sell_walks_bids() -> None:
    assert fills(events_of(market(1, -1, 12))) == [(8, 200), (4, 198)]


def test_what_the_book_cannot_fill_of_a_market_order_expires() -> None:
    events = events_of(market(1, 1, 30))
    assert fills(events) == [(4, 202), (2, 204), (12, 208)]
    assert events[-1] == Expired(1, T0, remaining_lots=12)


def test_a_limit_order_takes_up_to_its_price_and_rests() -> None:
    venue = exchange()
    events = run(venue, TICKS, {LAST_ROW: [limit(1, 1, 20, 206)]})
    assert fills(events) == [(4, 202), (2, 204)]
    assert [(order.order_id, order.remaining_lots) for order in venue.open_orders()] == [(1, 14)]
    assert venue.open_lots(1) == 14 and venue.open_lots(-1) == 0


@pytest.mark.parametrize(
    ("lots", "tif", "expected", "expired"),
    [
        (20, TimeInForce.IOC, [(4, 202), (2, 204)], 14),
        (20, TimeInForce.FOK, [], 20),
        (6, TimeInForce.FOK, [(4, 202), (2, 204)], None),
    ],
)
def test_immediate_orders(
    lots: int, tif: TimeInForce, expected: list[tuple[int, int]], expired: int | None
) -> None:
    events = events_of(limit(1, 1, lots, 206, tif))
    assert fills(events) == expected
    assert [e.remaining_lots for e in events if isinstance(e, Expired)] == (
        [] if expired is None else [expired]
    )


def test_a_modelled_book_has_levels_of_typical_trades_at_even_steps() -> None:
    """Trade at 200 by a buyer: ask 200, spread 1 % = 2, levels 1 apart, each of 2 x 3 = 6 base = 24 lots."""
    ticks = trades((0, 200.0, 3.0, 1), (10, 200.0, 3.0, 1))
    events = run(exchange(), ticks, {0: [market(1, 1, 60)]})
    assert fills(events) == [(24, 400), (24, 402), (12, 404)]


@pytest.mark.parametrize(("side", "ticks_price"), [(1, 203), (-1, 200)])
def test_prices_off_the_grid_are_rounded_against_us(side: int, ticks_price: int) -> None:
    """Trade in the middle at 100.75: modelled touch 100.24625 / 101.25375, on a grid of 0.5."""
    events = run(exchange(), trades((0, 100.75, 3.0, 0), (10, 100.75, 3.0, 0)), {0: [market(1, side, 4)]})
    assert fills(events) == [(4, ticks_price)]


@pytest.mark.parametrize(
    ("delay_ms", "expected"),
    [
        (0, [(8, 208)]),  # the six lots of the front are gone
        (1000, [(1, 202), (2, 204), (5, 208)]),  # three are back
        (500, [(1, 204), (7, 208)]),  # linear between halvings: 4.5 are gone; half a lot is no lot
        (100_000, [(4, 202), (2, 204), (2, 208)]),
    ],
)
def test_what_we_took_is_missing_and_grows_back_by_half_every_half_life(
    delay_ms: int, expected: list[tuple[int, int]]
) -> None:
    levels = [(100.0, 2.0)], [(101.0, 1.0), (102.0, 0.5), (104.0, 9.0)]
    later = quotes((200_000, 100.0, 101.0, 2.0, 1.0))
    ticks = np.concatenate([depth(0, *levels), depth(delay_ms, *levels), later])
    actions = {3: [market(1, 1, 6)], 7: [market(2, 1, 8)]}
    events = run(exchange(impact_half_life_ms=1000.0), ticks, actions)
    assert fills(event for event in events if event.order_id == 2) == expected  # type: ignore[union-attr]


def test_buying_leaves_the_bids_as_they_were() -> None:
    assert fills(events_of(market(1, 1, 6), market(2, -1, 8)))[2:] == [(8, 200)]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (market(1, 1, 0), "quantity"),
        (market(1, 2, 4), "quantity"),
        (limit(1, 1, 4, 0), "price"),
        (limit(1, 1, 4, 19), "min_notional"),  # 1.0 x 9.5 < 10
        (limit(1, 1, 4, 202, post_only=True), "would_cross"),
        (limit(1, -1, 4, 200, post_only=True), "would_cross"),
        (market(1, 1, 4, post_only=True), "post_only_type"),
        (limit(1, 1, 4, 190, TimeInForce.IOC, post_only=True), "post_only_type"),
        (market(1, 1, 4, reduce_only=True), "reduce_only"),
    ],
)
def test_filters_refuse_with_a_reason(order: Action, reason: str) -> None:
    assert events_of(order) == [Rejected(1, T0, reason)]


@pytest.mark.parametrize(("least", "lots"), [("1.25", 5), ("0.1", 1), ("2", 8)])
def test_filters_refuse_less_than_the_smallest_quantity(least: str, lots: int) -> None:
    instrument = replace(PERP, min_quantity=Decimal(least), min_notional=Decimal(0))
    events = events_of(limit(1, 1, lots, 2), limit(2, 1, lots - 1, 2), instrument=instrument)
    assert kinds(events) == ["Accepted", "Rejected"]
    assert [event.reason for event in events if isinstance(event, Rejected)] == ["quantity"]


def test_filters_let_the_boundary_pass() -> None:
    assert kinds(events_of(limit(1, 1, 4, 20), limit(2, 1, 4, 201, post_only=True))) == ["Accepted"] * 2


def test_nothing_trades_before_the_first_price() -> None:
    venue = exchange()
    market(1, 1, 4)(venue, T0 - MS)
    assert run(venue, TICKS) == [Rejected(1, T0 - MS, "no_market")]


def test_a_spot_account_cannot_sell_what_it_has_not() -> None:
    assert events_of(market(1, -1, 4), instrument=SPOT) == [Rejected(1, T0, "insufficient_balance")]
    events = events_of(
        market(1, 1, 4), limit(2, -1, 3, 220), market(3, -1, 2), market(4, -1, 1), instrument=SPOT
    )
    assert [e.order_id for e in events if isinstance(e, Rejected)] == [3]


def test_a_spot_account_cannot_buy_for_more_than_its_cash() -> None:
    cost = 101.0 * 1.002
    assert kinds(events_of(market(1, 1, 4), instrument=SPOT, cash=cost + 1e-6)) == ["Accepted", "Filled"]
    assert kinds(events_of(market(1, 1, 4), instrument=SPOT, cash=cost - 1e-6)) == ["Rejected"]
    resting = 90.0 * 1.001
    both = [limit(1, 1, 4, 180), market(2, 1, 4)]
    assert "Rejected" not in kinds(events_of(*both, instrument=SPOT, cash=cost + resting + 1e-6))
    assert "Rejected" in kinds(events_of(*both, instrument=SPOT, cash=cost + resting - 1e-6))


@pytest.mark.parametrize(("spare", "accepted"), [(1e-6, True), (-1e-6, False)])
def test_what_a_spot_order_may_yet_buy_has_to_be_paid_for_too(spare: float, accepted: bool) -> None:
    """Four lots are taken at 101, and four wait at 101, for a maker's fee."""
    cash = 101.0 * 1.002 + 101.0 * 1.001 + spare
    assert ("Accepted" in kinds(events_of(limit(1, 1, 8, 202), instrument=SPOT, cash=cash))) is accepted
    once = events_of(limit(1, 1, 8, 202, TimeInForce.IOC), instrument=SPOT, cash=101.0 * 1.002 + spare)
    assert ("Accepted" in kinds(once)) is accepted  # what may not rest is paid for by what it takes


def test_reduce_only_never_turns_the_position() -> None:
    venue = exchange()
    events = run(venue, TICKS, {LAST_ROW: [market(1, 1, 4), market(2, -1, 8, reduce_only=True)]})
    assert fills(events) == [(4, 202), (4, 200)]
    assert events[-1] == Expired(2, T0, remaining_lots=4)
    assert venue.account["position"][0] == 0.0 and venue.account["entry_price"][0] == 0.0


def test_a_full_table_refuses() -> None:
    actions = [limit(n, 1, 4, 100) for n in range(65)] + [cancel(0)]
    events = events_of(*actions)
    assert Rejected(64, T0, "too_many_orders") in events
    assert kinds(events).count("Accepted") == 64 and kinds(events)[-1] == "Cancelled"
