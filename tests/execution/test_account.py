"""Cash, position and profit, in closed form and conserved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztb.execution.account import book_fill, book_funding, equity, mark, new_account


def test_a_round_trip_earns_the_difference_less_fees() -> None:
    account = new_account(1000.0)
    book_fill(account[0], 1, 10.0, 4.0, 0.1, 5)
    book_fill(account[0], 1, 13.0, 2.0, 0.1, 6)
    assert account["entry_price"][0] == 11.0 and account["opened_ns"][0] == 5
    book_fill(account[0], -1, 12.0, 6.0, 0.1, 7)
    assert account["realised"][0] == 6.0 and account["fees"][0] == pytest.approx(0.3)
    assert account["cash"][0] == pytest.approx(1005.7)
    assert account["position"][0] == account["entry_price"][0] == account["opened_ns"][0] == 0.0
    assert account["n_fills"][0] == 3 and account["traded_notional"][0] == 138.0


def test_turning_realises_the_old_side_and_opens_the_new_at_the_price() -> None:
    account = new_account(1000.0)
    book_fill(account[0], 1, 10.0, 2.0, 0.0, 5)
    book_fill(account[0], -1, 9.0, 5.0, 0.0, 8)
    assert account["position"][0] == -3.0 and account["entry_price"][0] == 9.0
    assert account["realised"][0] == -2.0 and account["opened_ns"][0] == 8
    book_fill(account[0], 1, 7.0, 1.0, 0.0, 9)
    assert account["realised"][0] == 0.0 and account["opened_ns"][0] == 8


def test_marks_remember_the_peak() -> None:
    account = new_account(100.0)
    book_fill(account[0], 1, 10.0, 5.0, 0.0)
    assert [mark(account[0], mid, 1) for mid in (10.0, 12.0, 9.0)] == [100.0, 110.0, 95.0]
    assert account["peak_equity"][0] == 110.0 and account["equity"][0] == 95.0
    assert account["start_equity"][0] == 100.0 and account["opened_ns"][0] == 0  # no time was told


def test_funding_moves_cash() -> None:
    account = new_account(100.0)
    book_funding(account[0], -3.0)
    assert account["cash"][0] == 97.0 and account["funding"][0] == -3.0


FILL = st.tuples(st.sampled_from([-1, 1]), st.integers(1, 4000), st.integers(1, 1000), st.integers(0, 100))


@given(st.lists(FILL, max_size=40), st.integers(1, 4000))
def test_equity_is_start_plus_profit_less_fees(fills: list[tuple[int, int, int, int]], mid: int) -> None:
    """Whatever the fills: cash + position x mid = start + realised + unrealised - fees."""
    account = new_account(1e6)
    for side, price, lots, fee in fills:
        book_fill(account[0], side, price * 0.5, lots * 0.25, fee * 0.01)
    unrealised = account["position"][0] * (mid * 0.5 - account["entry_price"][0])
    expected = 1e6 + account["realised"][0] + unrealised - account["fees"][0]
    assert equity(account[0], mid * 0.5) == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert account["position"][0] == 0.25 * sum(side * lots for side, _, lots, _ in fills)
