"""Round trips of a run: who entered them, what fills earned, the figures traders judge by, and what costs are made of."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from ztb.ledger.records import OrderRow
from ztb.ledger.round_trips import PositionChange, RoundTrip
from ztb.telemetry.costs import costs
from ztb.telemetry.figures import key_figures
from ztb.telemetry.plots import price_chart
from ztb.telemetry.run_data import RunData, load_run
from ztb.telemetry.trades import ReportedTrade, entered_by, profits_of_fills, trade_statistics, trades

D = Decimal


def trade(net: float, held: int | None = 10, expert: str = "trend") -> ReportedTrade:
    exit_ns = None if held is None else 100 + held
    trip = RoundTrip(1, D(1), 100, D(10), 1, 0, D(0), exit_ns=exit_ns, exit_price=D(11))
    return ReportedTrade(trip, expert, net)


@pytest.fixture
def run(make_run) -> RunData:
    return load_run(make_run())


def test_win_rate_profit_factor_expectancy_and_holding_time_are_of_what_is_closed(run):
    found = trade_statistics(
        run, [trade(6.0, 10), trade(-2.0, 30), trade(0.0, 20), trade(2.0, 40), trade(50.0, None)]
    )
    assert (found.closed, found.open, found.won) == (4, 1, 2)
    assert (found.win_rate, found.profit_factor, found.expectancy) == (0.5, 4.0, 1.5)
    assert (found.best, found.worst, found.holding_ns) == (6.0, -2.0, 25)
    # One base currency is held at every decision.
    assert found.in_market == 1.0
    assert math.isclose(found.exposure, float((run.marks.mid / run.marks.equity).mean()))


def test_without_a_round_trip_or_a_loss_there_is_no_such_figure(run):
    nothing = trade_statistics(run, [])
    assert nothing.win_rate is None and nothing.expectancy is None and nothing.holding_ns is None
    assert trade_statistics(run, [trade(1.0)]).profit_factor is None


def test_round_trips_come_from_the_journal_and_add_up(run):
    found = trades(run)
    # Ten orders of 0.5, bought and sold in turn, each at a fee of 0.1.
    assert [one.closed for one in found] == [True] * 5
    prices = [float(fill.price) for fill in run.fills]
    nets = [0.5 * (sold - bought) - 0.2 for bought, sold in zip(prices[::2], prices[1::2], strict=True)]
    assert [one.net for one in found] == pytest.approx(nets)
    assert {one.holding_ns for one in found} == {4 * 3_600 * 10**9}
    assert [one.trip.generation for one in found] == [0, 0, 0, 1, 1]
    assert {one.expert for one in found} == {"ppo_online"}


def test_each_fill_says_what_it_earned_by_closing(run):
    found = profits_of_fills(run.movements)
    assert found[::2] == [None] * 5
    assert found[1::2] == pytest.approx([one.net for one in trades(run)])
    parts = [
        PositionChange(0, D(2), D(100), D(1), 1), PositionChange(1, D(-1), D(110), D(0), 2), PositionChange(2, D(-1), D(120), D(0), 2),
        PositionChange(3, D(1), D(90)),
    ]  # fmt: skip
    assert profits_of_fills(parts) == [None, 9.5, 19.5], "two fills of one order that is one round trip"


def test_the_expert_with_the_largest_part_in_the_orders_direction_entered_it(make_run):
    run = load_run(make_run(experts=True))
    told = entered_by(run)
    names = [one.name for one in run.experts]
    for order in run.orders:
        parts = [
            order.side * float(np.nan_to_num(one.weight * one.aim)[order.decision]) for one in run.experts
        ]
        expected = names[int(np.argmax(parts))] if max(parts) > 0 else "none: closing"
        assert told[order.order_id] == expected
    assert {"none: closing"} < set(told.values())


def test_an_order_of_no_decision_is_the_daemons(make_run):
    run = load_run(make_run(experts=True))
    stray = OrderRow(99, "x", 10**6, 0, 0, 1, 1, "market", 0, "IOC", False, True)
    assert entered_by(replace(run, orders=[stray])) == {99: "the daemon"}


def test_walking_the_book_is_slippage_and_the_parts_add_up(run):
    first, second = run.executions[:2]
    deeper = replace(
        second, row=_as(second.row, first.row.order_id, side=1, price=str(float(first.row.price) + 2))
    )
    own = replace(run, executions=[first, deeper])
    spent = costs(own, key_figures(own)).shortfall
    assert math.isclose(spent.slippage, 2 * 0.5)
    mid = float(run.marks.mid[0])
    shortfall = sum(0.5 * (float(fill.price) - mid) for fill in own.fills)
    assert math.isclose(spent.total, shortfall, rel_tol=1e-9)


def _as(row, order, side, price):
    import msgspec

    return msgspec.structs.replace(row, order_id=order, side=side, price=price)


def test_fills_say_why_with_what_every_expert_wanted(make_run):
    run = load_run(make_run(experts=True))
    fills = price_chart(run, {})["fills"]
    assert len(fills["orders"]) == 10
    decision, seconds, generation, target, exposure, wanted = fills["orders"]["6"]
    k = run.decisions.number.tolist().index(decision)
    assert (seconds, generation) == (run.decisions.ts_ns[k] // 10**9, 1)
    assert math.isclose(target, run.decisions.target[k], abs_tol=1e-5)
    assert math.isclose(exposure, run.marks.exposure[k], abs_tol=1e-5)
    assert {name for name, _, _ in wanted} == {"trend", "generation 0", "generation 1"}
    assert [fills["names"][who] for who in fills["who"]] == list(entered_by(run).values())
    json.dumps(fills, allow_nan=False)
