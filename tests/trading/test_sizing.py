"""Orders bring the position to the target, in whole lots, with the cash there is, and leave small changes be."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ztb.trading.sizing import order_lots, whole_lots

LOT, NOTIONAL, COST, BAND = 0.001, 10.0, 0.005, 0.02


def lots(
    cash: float, position: float, mid: float, exposure: float, borrow: int = 0, least: float = 0.0
) -> int:
    return order_lots(cash, position, mid, exposure, LOT, least, NOTIONAL, COST, BAND, borrow)


@given(
    cash=st.floats(0, 1e6),
    position=st.floats(0, 50),
    mid=st.floats(1, 1e5),
    exposure=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_spot_never_spends_more_than_there_is_nor_sells_what_is_not(cash, position, mid, exposure):
    quantity = lots(cash, position, mid, exposure) * LOT
    assert quantity * mid * (1 + COST) <= cash * (1 + 1e-6) + 1e-6
    assert -quantity <= position * (1 + 1e-6) + 1e-6


@given(
    position=st.floats(-5, 5), mid=st.floats(100, 1000), exposure=st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])
)
def test_with_borrowing_the_position_ends_within_band_and_lot_of_the_target(position, mid, exposure):
    equity = 20_000.0
    cash = equity - position * mid
    after = position + lots(cash, position, mid, exposure, borrow=1) * LOT
    slack = max(BAND * equity, NOTIONAL) / mid + LOT
    assert abs(after - exposure * equity / mid) <= slack * (1 + 1e-9)


def test_small_changes_are_left_but_a_target_of_zero_closes():
    mid, equity = 100.0, 10_000.0
    assert lots(equity * 0.51, 49.0, mid, 0.5) == 0
    assert lots(equity * 0.99, 1.0, mid, 0.0) == -1000
    assert lots(equity, 0.09, mid, 0.0) == 0  # below the minimum notional: dust stays


def test_what_is_less_than_the_venue_takes_is_left_undone_however_much_it_is_worth():
    mid, equity = 1e6, 10_000.0
    assert lots(equity, 0.0, mid, 0.5, least=0.005) == 5  # 0.005 is not less, whatever float64 makes of it
    assert lots(equity, 0.0, mid, 0.5, least=0.006) == 0
    assert lots(0.0, 0.005, mid, 0.0, least=0.006) == 0  # what is held is dust there
    assert lots(0.0, 0.005, mid, 0.0, least=0.005) == -5


def test_nothing_is_done_without_a_market_or_equity():
    assert lots(1000.0, 0.0, 0.0, 1.0) == 0
    assert lots(-2000.0, 10.0, 100.0, 1.0) == 0


def test_whole_lots_forgives_rounding_and_nothing_else():
    assert whole_lots(0.3, 0.1) == 3
    assert whole_lots(0.1 + 0.2, 0.1) == 3
    assert whole_lots(0.2999, 0.1) == 2
    assert math.isclose(whole_lots(123456.789, 1e-8) * 1e-8, 123456.789, rel_tol=1e-12)
