"""What our own fills cost beyond what an account on paper is charged is charged there too: in bounds, and never less."""

from __future__ import annotations

import json

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


def test_a_surplus_is_the_mean_with_eight_that_cost_nothing_and_then_of_the_latest_sixty_four():
    costs = OwnCosts(CHARGED, FEE)
    bought(costs, 0.0009)
    assert costs.surplus == pytest.approx(0.0001)
    bought(costs, 0.001, first=2)
    assert costs.surplus == pytest.approx(0.0001 + 0.0009 / 10) and costs.fills == 2
    costs.fills, costs.surplus = 200, 0.0
    bought(costs, 0.0064, first=3)
    assert costs.surplus == pytest.approx(0.0001)


@pytest.mark.parametrize(("side", "price"), [(1, 101.0), (-1, 99.0)])
def test_what_a_fill_cost_beyond_touch_and_fee_is_a_fraction_of_the_mid_at_the_decision(side, price):
    costs = OwnCosts(CHARGED, FEE)
    costs.see(100.0, 0.5)
    costs.sent(OrderRequest(1, side, 10, OrderType.MARKET))
    costs.see(500.0, 50.0)  # a later decision is none of its business
    costs.filled(Filled(1, 1, 1, 10, 9_900, "taker", 10), price, 0.003)
    assert costs.surplus == pytest.approx((0.01 + 0.003 - 0.005 - FEE) / 9)


def test_an_order_of_before_there_was_a_price_and_one_that_is_over_are_not_measured():
    costs = OwnCosts(CHARGED, FEE)
    costs.sent(OrderRequest(1, 1, 10, OrderType.MARKET))
    costs.see(0.5, 0.01)
    costs.sent(OrderRequest(2, 1, 10, OrderType.MARKET))
    costs.sent(OrderRequest(4, 1, 10, OrderType.MARKET))
    costs.over(2)
    costs.over(3)
    for number in (1, 2):
        costs.filled(Filled(number, 1, number, 10, 10_000, "taker", 10), 200.0, FEE)
    assert (costs.fills, costs.surplus) == (0, 0.0)
    costs.filled(Filled(4, 1, 4, 10, 10_000, "taker", 10), 0.51, FEE)
    assert costs.fills == 1 and costs.surplus == pytest.approx(0.0, abs=1e-12)


def test_a_correction_changes_by_a_tenth_of_what_is_charged_or_not_at_all():
    costs = OwnCosts(0.001, FEE)
    costs.surplus = 0.000099
    assert not costs.corrects() and costs.correction == 0.0
    costs.surplus = 0.000101
    assert costs.corrects() and costs.correction == 0.000101
    costs.surplus = 0.00005
    assert not costs.corrects() and costs.correction == 0.000101
    costs.surplus = -1.0
    assert costs.corrects() and costs.correction == 0.0
    told = {"correction": 0.0, "charged": 0.001, "surplus": -1.0, "fills": 0}
    assert json.loads(costs.detail()) == told and list(json.loads(costs.detail())) == sorted(told)
