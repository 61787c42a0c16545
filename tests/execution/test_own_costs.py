"""What our own fills cost beyond what an account on paper is charged is charged there too: in bounds, and never less."""

from __future__ import annotations

import pytest

from ztb.execution.orders import Filled, OrderRequest, OrderType, TimeInForce
from ztb.execution.own_costs import OwnCosts

MID, HALF = 100.0, 0.01
FEE = 0.001
CHARGED = FEE + HALF / MID


def bought(costs, beyond, times=1, liquidity="taker", first=1):
    """`times` purchases that cost the fraction `beyond` more than the touch and the fee."""
    for number in range(first, first + times):
        costs.see(MID, HALF)
        costs.sent(OrderRequest(number, 1, 10, OrderType.MARKET, 0, TimeInForce.IOC, False, False))
        fill = Filled(number, 1, number, 10, 10_000, liquidity, 10)
        costs.filled(fill, MID + HALF + beyond * MID, FEE)
        costs.over(number)


def test_what_costs_as_expected_or_less_corrects_nothing():
    costs = OwnCosts(CHARGED, FEE)
    bought(costs, 0.0, 100)
    assert not costs.corrects() and costs.surplus == pytest.approx(0.0, abs=1e-12)
    bought(costs, -0.001, 100)
    assert not costs.corrects() and costs.correction == 0.0 > costs.surplus


def test_a_surplus_is_charged_in_steps_as_it_is_believed():
    costs, seen = OwnCosts(CHARGED, FEE), []
    for number in range(1, 200):
        bought(costs, 0.0008, first=number)
        if costs.corrects():
            seen.append(costs.correction)
    assert len(seen) > 2 and seen == sorted(seen)
    assert seen[0] < 0.0004 and seen[-1] == pytest.approx(0.0008, rel=0.2)


def test_a_correction_is_bounded_by_twice_what_is_charged():
    costs = OwnCosts(CHARGED, FEE)
    bought(costs, 0.5, 100)
    assert costs.corrects() and costs.correction == pytest.approx(2.0 * CHARGED)


def test_sales_are_measured_the_other_way_and_what_provides_or_protects_not_at_all():
    costs = OwnCosts(CHARGED, FEE)
    costs.see(MID, HALF)
    costs.sent(OrderRequest(1, -1, 10, OrderType.MARKET, 0, TimeInForce.IOC, False, False))
    costs.filled(Filled(1, 1, 1, 10, 9_900, "taker", 10), 99.0, FEE)
    assert costs.surplus > 0.0
    fills = costs.fills
    bought(costs, 0.5, 3, liquidity="maker", first=2)
    costs.sent(OrderRequest(10**12, -1, 10, OrderType.STOP, 0, TimeInForce.GTC, False, True))
    costs.filled(Filled(10**12, 1, 9, 10, 9_000, "taker", 10), 90.0, FEE)
    assert costs.fills == fills


def test_it_goes_on_from_what_was_journaled():
    costs, again = OwnCosts(CHARGED, FEE), OwnCosts(CHARGED, FEE)
    bought(costs, 0.001, 50)
    assert costs.corrects()
    again.recall(costs.detail())
    assert again.correction == costs.correction and not again.corrects()
    bought(costs, 0.003, 20, first=60)
    bought(again, 0.003, 20, first=60)
    assert again.surplus == costs.surplus
