"""Months, drawdowns, the rolling Sharpe ratio, hours and weekdays, against closed forms."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ztb.ledger.performance import sharpe
from ztb.telemetry.periods import by_hour, by_weekday, drawdowns, monthly, rolling_sharpe

HOUR = 3_600 * 10**9
DAY = 24 * HOUR
EQUITY = st.lists(st.floats(10.0, 1_000.0), min_size=2, max_size=60).map(np.array)


def at(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 10**9


def test_a_month_is_counted_from_the_last_mark_of_the_month_before():
    ts_ns = np.array([at(2019, 11, 30), at(2019, 12, 1), at(2019, 12, 31), at(2020, 2, 1)])
    found = monthly(ts_ns, np.array([100.0, 110.0, 121.0, 60.5]))
    assert list(found) == [(2019, 11), (2019, 12), (2020, 2)]
    assert np.allclose(list(found.values()), [0.0, 0.21, -0.5])


@given(equity=EQUITY, step=st.integers(1, 200))
def test_months_compound_to_the_whole(equity, step):
    ts_ns = at(2019, 1, 5) + np.arange(len(equity)) * step * 6 * HOUR
    whole = math.prod(1.0 + value for value in monthly(ts_ns, equity).values())
    assert math.isclose(whole, equity[-1] / equity[0], rel_tol=1e-9)


def test_drawdowns_go_from_the_peak_to_the_recovery_the_deepest_first():
    ts_ns = np.arange(8) * HOUR
    found = drawdowns(ts_ns, np.array([100.0, 95.0, 100.0, 120.0, 60.0, 90.0, 119.0, 119.0]))
    assert [(one.peak_ns, one.trough_ns, one.recovered_ns) for one in found] == [
        (3 * HOUR, 4 * HOUR, None), (0, HOUR, 2 * HOUR),
    ]  # fmt: skip
    assert np.allclose([one.depth for one in found], [0.5, 0.05])


@given(equity=EQUITY)
def test_the_deepest_drawdown_is_the_maximum_drawdown(equity):
    ts_ns = np.arange(len(equity)) * HOUR
    deepest = max((one.depth for one in drawdowns(ts_ns, equity)), default=0.0)
    assert math.isclose(deepest, float((1 - equity / np.maximum.accumulate(equity)).max()), abs_tol=1e-12)


def test_the_rolling_ratio_is_the_ratio_of_each_window_and_nothing_before_the_first():
    rng = np.random.default_rng(1)
    equity = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 50)))
    ts_ns = at(2019, 1, 1) + np.arange(50) * 3 * DAY
    found = rolling_sharpe(ts_ns, equity)
    assert np.isnan(found[:10]).all()
    for k in range(10, 50):
        returns = np.diff(equity[k - 10 : k + 1]) / equity[k - 10 : k]
        expected = sharpe(float(returns.sum()), float((returns**2).sum()), 10, 30 * DAY)
        assert math.isclose(found[k], expected, rel_tol=1e-6)


def test_a_ratio_a_year_is_said_from_thirty_days_on():
    assert sharpe(1.0, 0.2, 10, 30 * DAY) is not None and sharpe(1.0, 0.2, 10, 30 * DAY - 1) is None


def test_where_equity_stands_still_there_is_no_ratio():
    assert np.isnan(rolling_sharpe(np.arange(50) * DAY, np.full(50, 7.0))).all()


def test_a_return_belongs_to_the_hour_and_the_day_in_which_it_began():
    ts_ns = np.array([at(2019, 1, 7, 23, 59), at(2019, 1, 8, 0, 1), at(2019, 1, 9, 5), at(2019, 1, 9, 6)])
    hours = by_hour(ts_ns, np.array([100.0, 110.0, 99.0, 99.0]))
    assert np.allclose([hours[23], hours[0], hours.sum()], [0.1, -0.1, 0.0])
    days = by_weekday(ts_ns, np.array([100.0, 110.0, 99.0, 99.0]))
    assert np.allclose(days, [0.1, -0.1, 0, 0, 0, 0, 0]), "7 January 2019 was a Monday"
