"""Figures of a run from its journal, against closed forms."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from ztb.ledger.performance import YEAR_NS
from ztb.telemetry.costs import costs
from ztb.telemetry.figures import key_figures
from ztb.telemetry.lives import lives
from ztb.telemetry.plots import action_mix, tainted_spans, time_charts
from ztb.telemetry.run_data import load_run


@pytest.fixture
def run(make_run):
    return load_run(make_run(tainted=range(5, 8)))


def test_an_unfinished_run_has_the_figures_that_its_marks_give(run):
    figures, equity = key_figures(run), run.marks.equity
    assert (figures.status, figures.finished) == ("unfinished", False)
    assert figures.total_return == equity[-1] / equity[0] - 1
    assert figures.hold_return == (1000.0 + 39) / 1000.0 - 1
    worst = max(1 - equity[j] / equity[: j + 1].max() for j in range(len(equity)))
    assert math.isclose(figures.max_drawdown, worst, rel_tol=1e-12)
    assert figures.sharpe is None, "of hours, a ratio a year says nothing"
    assert (figures.orders, figures.fills, figures.refusals, figures.decisions) == (10, 10, 10, 40)
    assert figures.generations == {"made": 3, "promoted": 1, "rejected": 1, "rolled_back": 0}


def test_a_ratio_a_year_is_that_of_the_marks_where_they_are_long_enough(run):
    marks = run.marks
    days = dataclasses.replace(run, marks=dataclasses.replace(marks, ts_ns=marks.ts_ns * 24))
    changes = marks.equity[1:] / marks.equity[:-1] - 1
    a_year = 39 * YEAR_NS / (39 * 24 * 3.6e12)
    expected = changes.mean() / changes.std(ddof=1) * math.sqrt(a_year)
    assert math.isclose(key_figures(days).sharpe, expected, rel_tol=1e-9)


def test_a_finished_run_is_believed(make_run):
    said = {"status": "complete", "strategy": "x", "start_equity": 1.0, "end_equity": 2.0, "return": 1.0,
            "hold_return": None, "frozen_return": 0.5, "sharpe": 3.0, "max_drawdown": 0.25, "fees": 7.0,
            "turnover": 4.0, "ticks": 99, "generations": {"made": 8}}  # fmt: skip
    figures = key_figures(load_run(make_run(summary=said)))
    assert figures.finished and figures.status == "complete"
    assert (figures.total_return, figures.sharpe, figures.fees, figures.ticks) == (1.0, 3.0, 7.0, 99)


def test_what_generations_earned_compounds_to_what_the_run_earned(run):
    first, second, third = lives(run)
    equity = run.marks.equity
    assert math.isclose((1 + first.earned) * (1 + second.earned), equity[-1] / equity[0], rel_tol=1e-12)
    assert math.isclose(first.earned, equity[20] / equity[0] - 1, rel_tol=1e-12)
    assert math.isclose(first.fees + second.fees, run.marks.fees[-1], rel_tol=1e-12)
    assert (first.decisions, second.decisions, third.decisions) == (20, 20, 0)
    assert (second.outcome, second.parent, third.outcome, third.reason) == ("promoted", 0, "rejected", "kl")
    assert third.earned is None


def test_what_fills_were_worse_than_the_mid_is_spread_and_latency(run):
    spent = costs(run, key_figures(run))
    # Every fill is 0.5 at one above its mid: a purchase loses 0.5, a sale gains it; five of each.
    assert math.isclose(spent.shortfall.total, 0.0, abs_tol=1e-9)
    mids = np.array([float(fill.price) - 1.0 for fill in run.fills])
    # Purchases take and sales make, at a spread of 2 basis points; each order is one fill, so none walks the book.
    spread = 0.5 * 1e-4 * (mids[::2].sum() - mids[1::2].sum())
    assert math.isclose(spent.shortfall.spread, spread, rel_tol=1e-9) and spent.shortfall.slippage == 0.0
    assert math.isclose(spent.shortfall.latency, -spread, rel_tol=1e-9)
    result = run.marks.equity[-1] - run.marks.equity[0]
    assert math.isclose(spent.before_costs, result + run.marks.fees[-1], rel_tol=1e-9)
    prices = np.array([float(fill.price) for fill in run.fills])
    assert math.isclose(spent.taker_notional, 0.5 * prices[::2].sum(), rel_tol=1e-12)
    assert math.isclose(spent.traded, 0.5 * prices.sum(), rel_tol=1e-12)


def test_tainted_decisions_are_shown_as_spans(run):
    ts_ns = run.decisions.ts_ns
    assert tainted_spans(run) == [(int(ts_ns[5]), int(ts_ns[7]), 3)]
    charts = time_charts(run, key_figures(run))
    assert charts["equity"]["shades"] == [[ts_ns[5] / 1e9, ts_ns[7] / 1e9]]


def test_charts_show_generations_fills_and_every_yardstick(run):
    charts = time_charts(run, key_figures(run))
    names = [line["name"] for line in charts["equity"]["lines"]]
    assert names == ["ppo_online", "hold", "generation 0, frozen", "flat"]
    assert [(e["kind"], e["generation"]) for e in charts["equity"]["events"]] == [
        ("promoted", 1),
        ("rejected", 2),
    ]
    assert charts["equity"]["lines"][0]["values"] == pytest.approx(run.marks.equity.tolist(), rel=1e-6)
    fills = charts["price"]["fills"]
    assert fills["side"] == [1, -1] * 5 and fills["quantity"] == [0.5] * 10
    assert fills["price"] == [float(fill.price) for fill in run.fills]
    assert fills["x"] == [fill.ts_ns / 1e9 for fill in run.fills]


def test_shares_of_actions_add_up_in_every_stretch(run):
    lines = action_mix(run)["lines"]
    totals = np.sum([line["values"] for line in lines], axis=0)
    assert np.allclose(totals, 1.0, atol=1e-6)
    assert [line["color"] for line in lines] == [0.0, 0.5, 1.0]


def test_a_strategy_that_does_not_learn_has_no_frozen_yardstick(make_run):
    run = load_run(make_run(learns=False, strategy="hold"))
    assert key_figures(run).frozen_return is None and lives(run) == []
    assert "generation 0, frozen" not in [
        line["name"] for line in time_charts(run, key_figures(run))["equity"]["lines"]
    ]
