"""Exact accounting: integers, conserved through every fill and fee, and what the float64 account says to 1e-9."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ztb.execution.account import book_fill, new_account
from ztb.ledger.accounts import Account
from ztb.market.instrument import Instrument
from ztb.utils.kernel import kernel

D = Decimal


def instrument(
    tick: str = "0.01", lot: str = "0.0001", maker: str = "0.0015", taker: str = "0.0025"
) -> Instrument:
    return Instrument("BTC/USD", "BTC", "USD", "test", D(tick), D(lot), D("1"), D(maker), D(taker), 1.0)


FILLS = st.lists(
    st.tuples(
        st.sampled_from([1, -1]),
        st.integers(1, 10**6),
        st.integers(1, 10**7),
        st.sampled_from(["maker", "taker"]),
    ),
    max_size=40,
)


@given(
    fills=FILLS, tick=st.sampled_from(["0.01", "1", "0.00000001"]), lot=st.sampled_from(["1", "0.00000001"])
)
def test_money_is_conserved_to_the_last_unit(fills, tick, lot):
    traded = instrument(tick, lot)
    account = Account(traded, D(10_000))
    start = account.cash_units
    notional_units = 0
    for side, lots, price, liquidity in fills:
        account.fill(side, lots, price, liquidity)
        notional_units += side * lots * price
    scale = int(traded.tick_size * traded.lot_size / account.unit)
    assert account.unit * scale == traded.tick_size * traded.lot_size and account.unit <= D("1e-10")
    assert account.cash_units == start - notional_units * scale - account.fees_units
    assert account.lots == sum(side * lots for side, lots, _, _ in fills)


@given(
    price=st.integers(1, 10**7),
    lots=st.integers(1, 10**6),
    rate=st.sampled_from(["0.5", "0.0015", "0", "0.3"]),
)
def test_a_fee_is_rounded_half_to_even(price, lots, rate):
    account = Account(instrument("0.00001", "0.00001", rate), D(1))
    account.fill(1, lots, price, "maker")
    units = int(account.instrument.tick_size * account.instrument.lot_size / account.unit)
    assert account.fees_units == round(price * lots * units * Fraction(rate))


@given(fills=FILLS)
def test_fees_are_the_rate_times_the_notional_to_half_a_unit(fills):
    account = Account(instrument(), D(10_000))
    exact = D(0)
    for side, lots, price, liquidity in fills:
        account.fill(side, lots, price, liquidity)
        rate = D("0.0015") if liquidity == "maker" else D("0.0025")
        exact += rate * lots * price * D("0.000001")
    assert abs(account.fees_units * account.unit - exact) <= len(fills) * account.unit / 2


@kernel
def _book(account: np.ndarray, side: int, price: float, quantity: float, fee: float) -> None:
    book_fill(account[0], side, price, quantity, fee, 0)


@given(fills=FILLS)
def test_the_float64_account_agrees_to_1e9(fills):
    exact, floating = Account(instrument(), D(10_000_000)), new_account(10_000_000.0)
    for side, lots, price, liquidity in fills:
        exact.fill(side, lots, price, liquidity)
        quantity, value = lots * 0.0001, price * 0.01
        rate = 0.0015 if liquidity == "maker" else 0.0025
        _book(floating, side, value, quantity, rate * quantity * value)
    scale = max(1e7, abs(exact.cash))
    assert abs(exact.cash - float(floating["cash"][0])) <= 1e-9 * scale
    assert abs(exact.position - float(floating["position"][0])) <= 1e-9 * max(1.0, abs(exact.position))


def test_a_venues_own_fee_is_booked_as_it_is():
    account = Account(instrument(), D(100))
    account.fill(1, 10_000, 100, "taker", D("0.1234"))
    assert account.fees_units * account.unit == D("0.1234")
    assert account.cash_units * account.unit == D(100) - D(1) - D("0.1234")


def test_without_costs_a_position_earns_its_quantity_times_the_change_of_price():
    account = Account(instrument(maker="0", taker="0"), D("1000.07"))
    account.fill(1, 123_457, 777, "taker")
    assert account.equity(7.77) == 1000.07
    assert math.isclose(account.equity(8.05), float(D("1000.07") + D("12.3457") * D("0.28")), rel_tol=1e-15)


def test_funding_moves_cash_alone():
    account = Account(instrument(), D(100))
    account.fund(D("-0.25"))
    assert (account.cash, account.lots, account.fees) == (99.75, 0, 0.0)


def test_what_is_held_is_whole_lots_and_dust_and_what_is_adopted_comes_on_top():
    account = Account(instrument(), D(10))
    account.hold(D("0.00037"))
    assert (account.lots, account.dust) == (3, D("0.00007")) and account.exact_cash == 10
    account.adopt(D(-4), D("0.00005"))
    assert (account.lots, account.dust, account.exact_cash) == (4, D("0.00002"), 6)
