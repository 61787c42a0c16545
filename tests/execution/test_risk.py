"""Each limit refuses what it must, at its own edge, with its own reason; worst-case fills never break exposure."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztb.execution.risk import (
    DAY_NS,
    FLAT_SHARE,
    FREEZE_SHARE,
    MINUTE_NS,
    MOST_A_MINUTE,
    MS_NS,
    REASONS,
    REDUCE_SHARE,
    RefusalReason,
    RiskLimits,
    Rung,
    unbounded,
)
from ztb.execution.risk_gate import OrderFacts, Proposal, RiskGate, reduces

NOW = 10 * DAY_NS
FACTS = OrderFacts(
    now_ns=NOW, market_ts_ns=NOW, mid=100.0, position=0.0, equity=1000.0, open_buys=0.0, open_sells=0.0
)
BUY = Proposal(side=1, quantity=1.0, price=100.0)
WIDE = RiskLimits()


def gate(**limits: float) -> RiskGate:
    made = RiskGate(dataclasses.replace(WIDE, **limits))  # type: ignore[arg-type]
    made.mark(NOW, 1000.0)
    return made


def test_an_order_within_all_limits_passes():
    assert gate().check(BUY, FACTS) is RefusalReason.PASSED


@pytest.mark.parametrize(
    ("limits", "order", "facts", "reason"),
    [
        ({"max_order_fraction": 0.09}, BUY, FACTS, RefusalReason.ORDER_SIZE),
        ({"max_order_notional_quote": 99.0}, BUY, FACTS, RefusalReason.ORDER_NOTIONAL),
        ({"max_exposure": 0.35}, BUY, FACTS._replace(position=1.0, open_buys=2.0), RefusalReason.EXPOSURE),
        (
            {"max_exposure": 0.35},
            BUY._replace(side=-1),
            FACTS._replace(position=-1.0, open_sells=2.0),
            RefusalReason.EXPOSURE,
        ),
        ({"max_daily_loss_fraction": 0.1}, BUY, FACTS._replace(equity=899.0), RefusalReason.DAILY_LOSS),
        ({"max_drawdown_fraction": 0.1}, BUY, FACTS._replace(equity=899.0), RefusalReason.DRAWDOWN),
        ({"price_band_fraction": 0.01}, BUY._replace(price=101.1), FACTS, RefusalReason.PRICE_BAND),
        ({"max_data_age_ms": 5}, BUY, FACTS._replace(market_ts_ns=NOW - 5_000_001), RefusalReason.STALE_DATA),
        ({"max_orders_per_minute": 0}, BUY, FACTS, RefusalReason.ORDER_RATE),
        ({"max_orders_per_day": 0}, BUY, FACTS, RefusalReason.ORDERS_PER_DAY),
        ({}, BUY, FACTS._replace(mid=0.0), RefusalReason.NO_MARKET),
        ({}, BUY, FACTS._replace(equity=-1.0), RefusalReason.NO_MARKET),
    ],
)
def test_each_limit_refuses_with_its_own_reason(limits, order, facts, reason):
    alone = {"max_daily_loss_fraction": 1.0} if reason is RefusalReason.DRAWDOWN else {}
    assert gate(**alone | limits).check(order, facts) is reason
    lone = gate(**{"max_daily_loss_fraction": 1.0, "max_drawdown_fraction": 1.0} | limits)
    assert lone.check(order, facts) is reason


def test_by_default_limits_are_limits():
    limits = RiskLimits()
    assert limits.max_daily_loss_fraction == 0.05 and limits.max_drawdown_fraction == 0.2
    assert (
        gate().check(BUY._replace(quantity=10.0), FACTS) is RefusalReason.PASSED
    )  # worth exactly the equity
    assert gate().check(BUY._replace(quantity=10.01), FACTS) is RefusalReason.ORDER_SIZE
    assert gate().check(BUY, FACTS._replace(equity=950.0)) is RefusalReason.PASSED
    assert gate().check(BUY, FACTS._replace(equity=949.9)) is RefusalReason.DAILY_LOSS
    fallen = gate()
    fallen.mark(NOW + DAY_NS, 799.9)
    assert (
        fallen.check(BUY, FACTS._replace(now_ns=NOW + DAY_NS, market_ts_ns=NOW + DAY_NS, equity=799.9))
        is RefusalReason.DRAWDOWN
    )


@pytest.mark.parametrize("side", [-1, 1])
def test_where_it_is_allowed_a_full_position_turns_round_in_one_order(side):
    turning = Proposal(side=side, quantity=20.0, price=100.0)
    turned = FACTS._replace(position=-10.0 * side)
    assert gate().check(turning, turned) is RefusalReason.ORDER_SIZE
    assert gate(max_order_fraction=2.2).check(turning, turned) is RefusalReason.PASSED
    assert (
        gate(max_order_fraction=2.2).check(turning._replace(quantity=21.5), turned) is RefusalReason.EXPOSURE
    )


def test_repeated_side_counts_and_the_other_side_clears_it():
    made = gate(max_repeated_side=2)
    for _ in range(2):
        assert made.check(BUY, FACTS) is RefusalReason.PASSED
        made.record(1, NOW)
    assert made.check(BUY, FACTS) is RefusalReason.REPEATED_SIDE
    made.record(-1, NOW)
    assert made.check(BUY, FACTS) is RefusalReason.PASSED


def test_order_rate_forgets_after_a_minute_and_the_day_count_at_midnight():
    made = gate(max_orders_per_minute=1, max_orders_per_day=2)
    made.record(1, NOW)
    assert made.check(BUY, FACTS) is RefusalReason.ORDER_RATE
    made.mark(NOW + 60_000_000_000, 1000.0)
    assert made.check(BUY, FACTS) is RefusalReason.PASSED
    made.record(1, NOW + 60_000_000_000)
    made.mark(NOW + 180_000_000_000, 1000.0)
    assert made.check(BUY, FACTS) is RefusalReason.ORDERS_PER_DAY
    made.mark(NOW + DAY_NS, 1000.0)
    assert made.check(BUY, FACTS) is RefusalReason.PASSED


def test_a_new_day_starts_a_new_daily_loss_but_not_a_new_drawdown():
    made = gate(max_daily_loss_fraction=0.1, max_drawdown_fraction=0.5)
    poorer = FACTS._replace(equity=850.0)
    assert made.check(BUY, poorer) is RefusalReason.DAILY_LOSS
    made.mark(NOW + DAY_NS, 850.0)
    assert made.check(BUY, poorer) is RefusalReason.PASSED
    assert made.check(BUY, FACTS._replace(equity=499.0)) is RefusalReason.DAILY_LOSS
    made.mark(NOW + 2 * DAY_NS, 499.0)
    assert made.check(BUY, FACTS._replace(equity=499.0)) is RefusalReason.DRAWDOWN


def test_halt_refuses_everything_and_reduce_only_lets_reductions_through():
    made = gate()
    long = FACTS._replace(position=2.0)
    sell = BUY._replace(side=-1)
    made.memory.permission.reduce_only = True
    assert made.check(BUY, long) is RefusalReason.REDUCE_ONLY
    assert made.check(sell, long) is RefusalReason.PASSED
    assert made.check(sell._replace(quantity=2.1), long) is RefusalReason.REDUCE_ONLY
    made.memory.permission.halted = True
    assert made.check(sell, long) is RefusalReason.HALTED


def test_reducing_orders_pass_when_new_risk_is_refused():
    made = gate(max_exposure=0.01, max_daily_loss_fraction=0.01, max_repeated_side=0, max_order_fraction=0.01)
    long = FACTS._replace(position=2.0, equity=500.0)
    assert made.check(BUY._replace(side=-1, quantity=2.0), long) is RefusalReason.PASSED
    assert (
        made.check(BUY._replace(side=-1, quantity=2.0), long._replace(open_sells=0.5))
        is not RefusalReason.PASSED
    )


def test_the_ladder_is_climbed_down_in_order_latched_and_up_again_only_by_the_day_or_by_hand():
    made = gate(max_daily_loss_fraction=0.1, max_drawdown_fraction=0.2)
    memory, rungs = made.memory, []
    for equity in (1000.0, 921.0, 919.0, 950.0, 899.0, 950.0, 874.0, 1000.0):
        made.mark(NOW + len(rungs), equity)
        rungs.append(memory.daily_loss.rung)
    assert rungs == [0, 0, 1, 1, 2, 2, 3, 3] and memory.daily_loss.since_ns == NOW + 6
    assert memory.drawdown.rung is Rung.FREE and memory.rung is Rung.FLAT
    assert made.check(BUY, FACTS) is RefusalReason.DAILY_LOSS  # though all was won back
    made.mark(NOW + DAY_NS, 850.0)
    assert memory.daily_loss.rung is Rung.FREE and memory.drawdown.rung is Rung.FREE
    made.mark(NOW + DAY_NS + 1, 799.0)
    assert memory.drawdown.rung is Rung.REDUCE_ONLY
    made.mark(NOW + 3 * DAY_NS, 1000.0)
    assert made.check(BUY, FACTS) is RefusalReason.DRAWDOWN
    made.lift(800.0)
    assert memory.rung is Rung.FREE and made.check(BUY, FACTS) is RefusalReason.PASSED
    made.mark(NOW + 3 * DAY_NS + 1, 671.0)
    assert (
        memory.drawdown.rung is Rung.LEARNING_FROZEN is not memory.daily_loss.rung
        and memory.peak_equity == 800.0
    )


def test_a_limit_of_everything_is_none():
    made = gate(max_daily_loss_fraction=1.0, max_drawdown_fraction=1.0)
    made.mark(NOW, 1000.0)
    made.mark(NOW + 1, 1.0)
    assert made.memory.rung is Rung.FREE


@given(
    position=st.floats(-5, 5),
    orders=st.lists(st.tuples(st.sampled_from([1, -1]), st.floats(0.01, 4)), max_size=12),
)
def test_no_sequence_of_passed_orders_can_break_exposure_however_they_fill(position, orders):
    made = gate(max_exposure=0.5)
    buys = sells = 0.0
    for side, quantity in orders:
        order = Proposal(side, quantity, 100.0)
        facts = FACTS._replace(position=position, open_buys=buys, open_sells=sells)
        if made.check(order, facts) is RefusalReason.PASSED:
            buys, sells = (buys + quantity, sells) if side > 0 else (buys, sells + quantity)
    limit = max(0.5 * 1000.0 / 100.0, abs(position)) + 1e-9
    assert abs(position + buys) <= limit or buys == 0.0
    assert abs(position - sells) <= limit or sells == 0.0


def test_reducing_counts_what_is_already_on_its_way():
    long = FACTS._replace(position=2.0, open_sells=1.5)
    assert reduces(Proposal(-1, 0.5, 100.0), long)
    assert not reduces(Proposal(-1, 0.6, 100.0), long)
    assert reduces(Proposal(1, 0.5, 100.0), FACTS._replace(position=-1.0, open_buys=0.5))


@given(
    st.lists(st.integers(min_value=-999, max_value=999), min_size=1, max_size=40),
    st.sampled_from([1e-8, 1e-3, 0.1]),
)
def test_closing_a_position_that_is_a_sum_of_fills_only_reduces(fills, lot_size):
    position = 0.0
    for lots in fills:
        position += lots * lot_size
    lots = sum(fills)
    if lots == 0:
        return
    facts = FACTS._replace(position=position, equity=1.0)
    closing = Proposal(-1 if lots > 0 else 1, abs(lots) * lot_size, 100.0)
    made = gate()
    made.memory.permission.reduce_only = True
    assert reduces(closing, facts)
    assert made.check(closing, facts) is RefusalReason.PASSED
    assert not reduces(closing._replace(quantity=(abs(lots) + 1) * lot_size), facts)


def test_time_is_counted_in_nanoseconds_and_a_day_is_of_utc():
    assert (DAY_NS, MINUTE_NS, MS_NS, MOST_A_MINUTE) == (86_400 * 10**9, 60 * 10**9, 10**6, 10_000)


def test_every_reason_has_its_words_and_those_of_a_limit_name_it():
    assert set(REASONS) == set(RefusalReason)
    named = {limit for _, limit in REASONS.values() if limit is not None}
    assert named == {each.name for each in dataclasses.fields(RiskLimits)} - {"protective_stop_fraction"}


def test_an_account_that_is_watched_whatever_it_loses_keeps_all_other_limits():
    limits = RiskLimits(max_exposure=0.5, max_orders_per_day=7)
    free = {"max_daily_loss_fraction": 1.0, "max_drawdown_fraction": 1.0, "protective_stop_fraction": 0.0}
    assert unbounded(limits) == dataclasses.replace(limits, **free)


def test_rungs_are_in_the_order_in_which_permission_is_lost():
    assert list(Rung) == [Rung.FREE, Rung.LEARNING_FROZEN, Rung.REDUCE_ONLY, Rung.FLAT] == list(range(4))
    assert (FREEZE_SHARE, REDUCE_SHARE, FLAT_SHARE) == (0.8, 1.0, 1.25)
