"""Fills of others enter an account as kernels book our own, and so does what a position was held with."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ztb.execution.account import book_fill, equity, mark, new_account, reset_account
from ztb.execution.fills import book, hold, show_price
from ztb.execution.orders import Filled
from ztb.market.instrument import Instrument
from ztb.market.view import new_view

D = Decimal
INSTRUMENT = Instrument("BTC/USD", "BTC", "USD", "test", D("0.5"), D("0.25"), D(1), D(0), D(0), 100.0)


def fill(fee: str | None = None, base_fee: str = "0") -> Filled:
    return Filled(1, 7, 1, 8, 20, "taker", 8, None if fee is None else D(fee), D(base_fee))


@pytest.mark.parametrize(("side", "cash"), [(1, 80.0), (-1, 120.0)])
def test_a_fill_is_booked_in_market_units(side, cash):
    account = new_account(100.0)
    book(account, INSTRUMENT, side, fill())
    assert (account["cash"][0], account["position"][0]) == (cash, side * 2.0)
    assert account["opened_ns"][0] == 7 and account["fees"][0] == 0.0 and account["n_fills"][0] == 1


def test_fees_are_paid_in_either_currency_and_counted_in_the_quote():
    account = new_account(100.0)
    book(account, INSTRUMENT, 1, fill("0.5", "0.125"))
    assert (account["cash"][0], account["position"][0]) == (79.5, 1.875)
    assert account["fees"][0] == 0.5 + 0.125 * 10.0


@pytest.mark.parametrize(("position", "entry", "opened"), [(2.0, 10.0, 7), (0.0, 0.0, 0)])
def test_what_is_held_is_part_of_what_the_account_began_with(position, entry, opened):
    account = new_account(100.0)
    hold(account, position, 10.0, 7)
    assert account["position"][0] == position and account["cash"][0] == 100.0
    assert account["entry_price"][0] == entry and account["opened_ns"][0] == opened
    assert account["start_equity"][0] == account["peak_equity"][0] == 100.0 + position * 10.0


def test_a_price_is_shown_as_if_it_had_traded_in_the_middle():
    view = new_view(INSTRUMENT)
    show_price(view, 9, 200.0)
    assert (view["ts_ns"][0], view["mid"][0], view["last"][0]) == (9, 200.0, 200.0)
    assert (view["bid"][0], view["ask"][0]) == (199.0, 201.0)


def test_an_account_that_is_begun_anew_is_a_new_one():
    account = new_account(50.0)
    book_fill(account[0], 1, 10.0, 2.0, 0.1, 5)
    mark(account[0], 12.0, 6)
    assert account["marked_ns"][0] == 6 and equity(account[0], 10.0) == 49.9
    for name in account.dtype.names or ():
        account[name] = 9
    reset_account(account[0], 70.0)
    assert account.tobytes() == new_account(70.0).tobytes()
    told = {name: account[name].item() for name in account.dtype.names or () if account[name].item()}
    assert told == dict.fromkeys(("cash", "start_equity", "peak_equity", "equity"), 70.0)


def test_what_is_left_of_a_position_by_rounding_is_nothing():
    account = new_account(50.0)
    book_fill(account[0], 1, 10.0, 0.1, 0.0, 5)
    book_fill(account[0], 1, 20.0, 0.2, 0.0, 6)
    assert account["opened_ns"][0] == 5 and account["entry_price"][0] == pytest.approx(50 / 3)
    book_fill(account[0], -1, 10.0, 0.3, 0.0, 7)
    assert account["position"][0] == account["opened_ns"][0] == account["entry_price"][0] == 0.0
    book_fill(account[0], -1, 10.0, 0.1, 0.0, 8)
    assert account["opened_ns"][0] == 8
    book_fill(account[0], -1, 10.0, 1e-12, 0.0, 9)
    assert account["position"][0] == -0.1 - 1e-12  # little, but what was sold
