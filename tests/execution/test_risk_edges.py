"""The risk gate at its edges, to the last unit, and its memory against a list of what happened."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from execution.test_risk import BUY, FACTS, NOW, gate
from ztb.execution.permission import Permission
from ztb.execution.risk import DAY_NS, MINUTE_NS, MS_NS, RefusalReason, RiskLimits, Rung
from ztb.execution.risk_gate import GATE, OrderFacts, Proposal, RiskGate, must_close, reduces, reducible

PASSED = RefusalReason.PASSED
SELL = BUY._replace(side=-1)


@pytest.mark.parametrize(
    ("limits", "order", "within", "beyond", "reason"),
    [
        ({"max_order_notional_quote": 100.0}, BUY, {}, {"price": 100.01}, RefusalReason.ORDER_NOTIONAL),
        ({"price_band_fraction": 0.25}, BUY, {"price": 125.0}, {"price": 125.1}, RefusalReason.PRICE_BAND),
        ({"price_band_fraction": 0.25}, SELL, {"price": 75.0}, {"price": 74.9}, RefusalReason.PRICE_BAND),
        ({"max_exposure": 0.5}, BUY, {"quantity": 5.0}, {"quantity": 5.01}, RefusalReason.EXPOSURE),
        ({"max_exposure": 0.5}, SELL, {"quantity": 5.0}, {"quantity": 5.01}, RefusalReason.EXPOSURE),
        ({"max_order_fraction": 0.5}, BUY, {"quantity": 5.0}, {"quantity": 5.01}, RefusalReason.ORDER_SIZE),
        ({}, BUY, {"quantity": 0.001, "price": 100.0}, {"price": 200.0}, RefusalReason.PRICE_BAND),
    ],
)
def test_an_order_may_be_at_its_limit_and_no_further(limits, order, within, beyond, reason):
    made = gate(**limits)
    assert made.check(order._replace(**within), FACTS) is PASSED
    assert made.check(order._replace(**beyond), FACTS) is reason


@pytest.mark.parametrize(
    ("limits", "within", "beyond", "reason"),
    [
        ({"max_data_age_ms": 5}, {"market_ts_ns": NOW - 5 * MS_NS}, {"market_ts_ns": NOW - 5 * MS_NS - 1},
         RefusalReason.STALE_DATA),
        ({"max_daily_loss_fraction": 0.25, "max_drawdown_fraction": 1.0}, {"equity": 750.0}, {"equity": 749.9},
         RefusalReason.DAILY_LOSS),
        ({"max_daily_loss_fraction": 1.0, "max_drawdown_fraction": 0.25}, {"equity": 750.0}, {"equity": 749.9},
         RefusalReason.DRAWDOWN),
        ({}, {"mid": 98.0}, {"mid": 0.0}, RefusalReason.NO_MARKET),
        ({}, {"equity": 960.0}, {"equity": 0.0}, RefusalReason.NO_MARKET),
        ({}, {"crossed": False}, {"crossed": True}, RefusalReason.CROSSED_MARKET),
        ({"max_exposure": 0.5}, {"position": 4.0}, {"position": 4.01}, RefusalReason.EXPOSURE),
        ({"max_exposure": 0.5}, {"open_buys": 4.0}, {"open_buys": 4.01}, RefusalReason.EXPOSURE),
        ({"max_exposure": 0.5}, {"position": 2.0, "open_buys": 2.0}, {"position": 2.0, "open_buys": 2.1},
         RefusalReason.EXPOSURE),
        ({"max_exposure": 0.5}, {"position": -1.0, "open_sells": 9.0}, {"position": -1.0, "open_buys": 6.0},
         RefusalReason.EXPOSURE),
    ],
)  # fmt: skip
def test_a_market_and_an_account_may_be_at_a_limit_and_no_further(limits, within, beyond, reason):
    made = gate(**limits)
    assert made.check(BUY, FACTS._replace(**within)) is PASSED
    assert made.check(BUY, FACTS._replace(**beyond)) is reason


def test_what_sells_adds_up_on_the_other_side():
    made = gate(max_exposure=0.5)
    short = FACTS._replace(position=-2.0, open_sells=2.0, open_buys=50.0)
    assert made.check(SELL, short) is PASSED
    assert made.check(SELL, short._replace(open_sells=2.1)) is RefusalReason.EXPOSURE


def test_of_what_is_counted_no_limit_is_larger_than_its_milliseconds_fit_into_nanoseconds():
    made = gate(max_data_age_ms=2**60)
    assert made.row["max_data_age_ms"][0] == 2**43
    assert gate(max_orders_per_day=2**44).row["max_orders_per_day"][0] == 2**43
    assert gate(max_order_notional_quote=1e15).row["max_order_notional_quote"][0] == 1e15


def test_what_is_reducible_is_what_is_held_less_what_is_on_its_way_and_never_below_nothing():
    held = FACTS._replace(position=2.0, open_sells=0.5, open_buys=7.0)
    assert (reducible(-1, held), reducible(1, held)) == (1.5, 0.0)
    short = FACTS._replace(position=-2.0, open_buys=0.5, open_sells=7.0)
    assert (reducible(1, short), reducible(-1, short)) == (1.5, 0.0)
    assert reduces(SELL._replace(quantity=1.5), held) and not reduces(SELL._replace(quantity=1.6), held)


def test_held_is_for_as_many_reasons_as_there_are():
    made = gate()
    for reasons in (1, 2):
        made.row["held"] = reasons
        assert made.check(BUY, FACTS) is RefusalReason.HELD
        assert made.check(SELL, FACTS._replace(position=1.0)) is PASSED


def test_a_minute_of_orders_and_a_day_are_counted_as_a_list_would():
    rng = np.random.default_rng(0)
    made = RiskGate(RiskLimits(max_orders_per_minute=3, max_orders_per_day=400, max_repeated_side=2))
    made.move(np.zeros(1, GATE), np.zeros(4, np.int64))
    now, times, today, sides = NOW, [], 0, [0]
    made.mark(now, 1000.0)
    for _ in range(600):
        later = now + int(rng.choice([1, 5_000_000_000, 20_000_000_000, MINUTE_NS, DAY_NS // 3]))
        today *= later // DAY_NS == now // DAY_NS
        now = later
        made.mark(now, 1000.0)
        times = [each for each in times if each > now - MINUTE_NS]
        for _ in range(int(rng.integers(0, 4))):
            order = BUY._replace(side=int(rng.choice([-1, 1])))
            facts = FACTS._replace(now_ns=now, market_ts_ns=now)
            repeated = next((i for i, side in enumerate(reversed(sides)) if side != order.side), len(sides))
            expected = (
                RefusalReason.ORDER_RATE if len(times) >= 3
                else RefusalReason.REPEATED_SIDE if repeated >= 2
                else PASSED
            )  # fmt: skip
            assert made.check(order, facts) is expected
            made.record(order.side, now)  # refused or not: adopted orders were sent as well
            times = [*times, now][-4:]
            today += 1
            sides.append(order.side)
        memory = made.memory
        same = next((i for i, side in enumerate(reversed(sides)) if side != sides[-1]), len(sides))
        assert (memory.orders_this_minute, memory.orders_today) == (len(times), today)
        assert (memory.last_side, memory.repeated) == (sides[-1], same if len(sides) > 1 else 0)
        assert memory.day == now // DAY_NS


def test_before_the_first_decision_there_is_no_day_and_no_order():
    memory = RiskGate(RiskLimits()).memory
    assert (memory.day, memory.orders_today, memory.last_side, memory.repeated) == (-1, 0, 0, 0)
    assert (memory.day_start_equity, memory.peak_equity, memory.rung) == (0.0, 0.0, Rung.FREE)


def test_an_account_worth_less_than_one_may_trade():
    made = RiskGate(RiskLimits())
    made.mark(NOW, 0.5)
    small = FACTS._replace(equity=0.5, mid=0.25)
    assert made.check(Proposal(1, 1.0, 0.25), small) is PASSED


def test_the_time_of_a_rung_is_when_it_was_reached_first():
    made = gate(max_daily_loss_fraction=0.1, max_drawdown_fraction=0.1)
    for number in range(3):
        made.mark(NOW + number, 900.0 - number)
    made.mark(NOW + 3, 899.0)
    assert made.memory.daily_loss.since_ns == made.memory.drawdown.since_ns == NOW + 1


def test_since_when_a_rung_is_reached_and_what_closes_the_position():
    made = gate(max_daily_loss_fraction=0.1, max_drawdown_fraction=0.2)
    closes = []
    for number, equity in enumerate((919.0, 899.0, 874.0, 799.0, 749.0)):
        made.mark(NOW + number, equity)
        closes.append(bool(must_close(made.row[0])))
    assert closes == [False, False, True, True, True]
    assert made.memory.daily_loss == (Rung.FLAT, NOW + 2) and made.memory.drawdown == (Rung.FLAT, NOW + 4)
    made.mark(NOW + DAY_NS, 1000.0)
    assert made.memory.daily_loss.rung is Rung.FREE and must_close(made.row[0])
    made.lift(900.0)
    assert not must_close(made.row[0])
    assert (made.memory.day_start_equity, made.memory.peak_equity) == (900.0, 900.0)
    made.row["flattening"] = 1
    assert must_close(made.row[0])


def test_at_the_share_of_a_limit_the_rung_is_not_reached_yet():
    """Fractions that floats hold: 0.8, 1 and 1.25 of a quarter are 0.2, 0.25 and 0.3125."""
    for equity, rung in ((800.0, 0), (799.9, 1), (750.0, 1), (749.9, 2), (687.5, 2), (687.4, 3)):
        made = gate(max_daily_loss_fraction=0.25, max_drawdown_fraction=1.0)
        made.mark(NOW, equity)
        assert (made.memory.daily_loss.rung, made.memory.drawdown.rung) == (rung, Rung.FREE)


def test_an_account_that_begins_with_nothing_has_lost_nothing():
    made = RiskGate(RiskLimits())
    for equity in (0.0, -1.0, 0.0):
        made.mark(NOW, equity)
    assert made.memory.rung is Rung.FREE


def test_capital_that_came_is_no_profit_and_what_went_is_no_loss():
    made = gate(max_daily_loss_fraction=0.1)
    made.memory.adopted(-500.0)
    made.mark(NOW + 1, 500.0)
    assert made.memory.rung is Rung.FREE
    assert (made.memory.day_start_equity, made.memory.peak_equity) == (500.0, 500.0)


def test_what_moves_into_other_arrays_is_all_there():
    made = gate(max_orders_per_minute=2)
    made.record(BUY.side, NOW)
    row, recent = np.zeros(1, GATE), np.full(made.recent_ns.shape, -1)
    made.move(row, recent)
    assert made.row is made.memory.row is row and made.recent_ns is recent
    assert recent[0] == NOW and made.memory.orders_this_minute == 1 and made.memory.peak_equity == 1000.0
    made.record(SELL.side, NOW)
    assert made.check(BUY, FACTS) is RefusalReason.ORDER_RATE and row["recent"][0] == 2


def test_a_gate_obeys_the_permission_it_was_given_last():
    made, first, second = gate(), Permission(), Permission()
    made.memory.permission = first
    made.memory.permission = second
    assert made.memory.permission is second
    first.halted = True
    assert made.check(BUY, FACTS) is PASSED
    second.halted = True
    assert made.check(BUY, FACTS) is RefusalReason.HALTED


@pytest.mark.parametrize(
    ("limits", "fraction"),
    [({}, 0.1), ({"max_daily_loss_fraction": 0.75}, 1.0), ({"protective_stop_fraction": 0.0}, 0.0),
     ({"protective_stop_fraction": 0.25}, 0.25)],
)  # fmt: skip
def test_the_stops_fraction_is_twice_the_days_unless_it_is_said(limits, fraction):
    made = RiskLimits(**limits)
    assert made.stop_fraction == fraction == RiskGate(made).row["stop_fraction"][0]


def test_by_default_a_limit_is_what_the_documentation_says():
    assert dataclasses.astuple(RiskLimits()) == (
        1.0,
        1e12,
        1.1,
        0.05,
        0.2,
        None,
        0.05,
        60_000,
        60,
        5_000,
        200,
    )
    assert OrderFacts(0, 0, 1.0, 0.0, 1.0, 0.0, 0.0).crossed is False
    assert Proposal(1, 1.0, 1.0) == (1, 1.0, 1.0)
