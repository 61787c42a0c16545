"""Rules from the literature do what their sources say, on closes that can be followed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ztb.errors import ConfigError
from ztb.strategies.loader import load_strategy
from ztb.trading.daily import DAILY, DAY_NS, closes_of, see_day, volatility
from ztb.trading.strategy import Moment, Strategy, StrategyContext

LADDER = (0.0, 0.25, 0.5, 0.75, 1.0)


def made(name: str, **options: object) -> Strategy:
    return load_strategy(name).make(StrategyContext("BTC/USD", LADDER, 0, options))


def exposures(strategy: Strategy, closes: list[float]) -> list[float]:
    """What it holds during the day after each close: asked at noon of each day and a second before its end."""
    held = []
    for day, close in enumerate([*closes, closes[-1]]):
        for offset, mid in ((DAY_NS // 2, closes[max(day - 1, 0)]), (DAY_NS - 10**9, close)):
            moment = Moment(
                day * DAY_NS + offset,
                2 * day,
                np.zeros(1),
                {},
                np.zeros(1, np.float32),
                LADDER,
                0.0,
                mid,
                np.zeros(2),
            )
            held.append(LADDER[strategy.decide(moment).size])
    return held[2::2]


def test_closes_are_the_last_mids_of_days_and_a_day_without_any_is_none():
    daily = np.zeros(DAILY + 3)
    seen = [
        see_day(daily, ts, mid)
        for ts, mid in ((0, 1.0), (5, 2.0), (DAY_NS, 3.0), (3 * DAY_NS + 1, 4.0), (0, 0.0))
    ]
    assert seen == [False, False, True, True, False]
    assert closes_of(daily).tolist() == [2.0, 3.0]
    for day in (4, 5, 6):
        see_day(daily, day * DAY_NS, float(day))
    assert closes_of(daily).tolist() == [4.0, 4.0, 5.0]


def test_volatility_is_the_deviation_of_daily_log_returns_a_year():
    closes = 100.0 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.03, 40)))
    expected = np.std(np.diff(np.log(closes[-31:])), ddof=1) * math.sqrt(365)
    assert volatility(closes, 30) == pytest.approx(expected, rel=1e-12)
    assert volatility(closes, 40) == 0.0


def test_a_channel_is_in_at_a_new_high_and_out_below_the_highest_middle_since():
    options = {"spans_days": [3], "target_volatility": 100.0, "volatility_days": 2}
    closes = [10.0, 11.0, 10.0, 12.0, 14.0, 13.5, 13.0, 12.9, 9.0, 8.0]
    # In at 12 (middle of 11, 10, 12: 11); the stop rises to 12 (10, 12, 14), 13 (12, 14, 13.5), 13.5: out at 13.
    assert exposures(made("trend", **options), closes) == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0]


def test_its_exposure_is_the_share_of_spans_times_target_over_volatility():
    rise = [100.0 * 1.01**day * (1.0 + 0.004 * (day % 2)) for day in range(40)]
    held = exposures(made("trend", spans_days=[5, 100], volatility_days=20, target_volatility=0.05), rise)
    returns = np.diff(np.log(rise[-21:]))
    wanted = 0.5 * 0.05 / (np.std(returns, ddof=1) * math.sqrt(365))
    assert held[-1] == min(LADDER, key=lambda rung: abs(rung - wanted)) == 0.25


def test_reversion_buys_a_sharp_fall_within_a_rise_and_sells_above_the_short_average():
    closes = [100.0 + day for day in range(30)] + [126.0, 123.0, 121.0, 124.0, 127.0, 130.0]
    held = exposures(made("reversion", trend_days=20, exit_days=3, entry_rsi=10.0), closes)
    assert held[:31] == [0.0] * 31 and 1.0 in held[31:33]
    assert held[-1] == 0.0
    falling = [200.0 - 2.0 * day for day in range(40)]
    assert set(exposures(made("reversion", trend_days=20, exit_days=3), falling)) == {0.0}


@pytest.mark.parametrize(
    ("name", "options"),
    [("trend", {"spans_days": []}), ("trend", {"target_volatility": 0}), ("reversion", {"exit_days": 300})],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ConfigError, match=f"strategy.options: {name} needs"):
        made(name, **options)
