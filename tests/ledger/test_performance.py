"""Figures of a run in closed form, and None wherever one does not exist."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ztb.ledger.performance import A_RATIO_NS, YEAR_NS, finite, sharpe, simple_return

DAY_NS = 86_400 * 10**9


def test_a_year_has_a_leap_day_every_fourth_and_a_ratio_needs_thirty_days():
    assert YEAR_NS == 365.25 * DAY_NS and A_RATIO_NS == 30 * DAY_NS


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_none(value):
    assert finite(value) is None


def test_a_return_is_what_became_of_one():
    assert finite(-1.5) == -1.5 and finite(0.0) == 0.0
    assert simple_return(200.0, 250.0) == 0.25 and simple_return(0.5, 0.25) == -0.5
    for start, end in ((0.0, 1.0), (-1.0, 1.0), (1.0, None), (1e-300, 1e300)):
        assert simple_return(start, end) is None


def of(returns: list[float], span_ns: int) -> float | None:
    values = np.array(returns)
    return sharpe(float(values.sum()), float((values**2).sum()), len(returns), span_ns)


def test_a_sharpe_ratio_is_the_mean_over_the_deviation_a_year():
    returns = [0.01, -0.02, 0.03, 0.005]
    periods = 4 * 365.25 / 60
    expected = np.mean(returns) / np.std(returns, ddof=1) * math.sqrt(periods)
    assert of(returns, 60 * DAY_NS) == pytest.approx(expected, rel=1e-12)
    assert of([-value for value in returns], 60 * DAY_NS) == pytest.approx(-expected, rel=1e-12)
    assert of([0.01, 0.02], A_RATIO_NS) == pytest.approx(0.015 / math.sqrt(5e-5) * math.sqrt(2 * 365.25 / 30))


def test_there_is_no_ratio_of_one_return_of_a_short_span_or_without_any_risk():
    assert of([0.01], 60 * DAY_NS) is None and of([], 60 * DAY_NS) is None
    assert of([0.01, 0.02], A_RATIO_NS - 1) is None
    assert of([0.01] * 5, 60 * DAY_NS) is None
    assert sharpe(0.0, 1e-18, 2, 60 * DAY_NS) is None and sharpe(0.0, 1.1e-18, 2, 60 * DAY_NS) == 0.0
