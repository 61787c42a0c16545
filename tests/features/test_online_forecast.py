"""The forecast that a policy is told: it finds what is there, finds nothing where nothing is, and follows a turn."""

from __future__ import annotations

import numpy as np
import pytest

from ztb.features import Normaliser, OnlineForecast
from ztb.features.forecast import BOUND
from ztb.features.normaliser import SHRINKAGE

SIGMA = 0.002
COST = 0.1 * SIGMA
COLUMNS = 12


def market(regimes, seed):
    """z-scores (n, COLUMNS) of which the first is the last return, and mids (n,), of r' = rho r + noise."""
    rng = np.random.default_rng(seed)
    returns, r = [], 0.0
    for rho, n in regimes:
        for shock in rng.normal(0.0, np.sqrt(1.0 - rho * rho), n):
            r = rho * r + shock
            returns.append(r)
    scores = rng.normal(size=(len(returns), COLUMNS)).astype(np.float32)
    scores[:, 0] = returns
    return scores, 100.0 * np.exp(SIGMA * np.cumsum(returns))


def followed(scores, mids, gaps=None):
    """What was forecast of the return after each decision but the last, and what came, in deviations (n - 1,)."""
    forecast = OnlineForecast(scores.shape[1], COST)
    said = []
    for k, (row, mid) in enumerate(zip(scores, mids.tolist(), strict=True)):
        forecast.follow(row, mid, bool(gaps is not None and gaps[k]))
        said.append(forecast.mean / SIGMA)
    return np.array(said[:-1]), np.diff(np.log(mids)) / SIGMA


def gain(said, came):
    """By how much the forecast lessens the mean square error, of a variance of 1."""
    return float(np.mean(2.0 * said * came - said * said))


@pytest.mark.parametrize(("rho", "decisions"), [(0.3, 12_000), (0.1, 40_000)])
def test_it_finds_what_is_to_be_foreseen_and_its_size(rho, decisions):
    said, came = followed(*market([(rho, decisions)], 1))
    late = slice(decisions // 4, None)
    assert gain(said[late], came[late]) > 0.6 * rho * rho
    slope = float(said[late] @ came[late] / (said[late] @ said[late]))
    assert 0.7 < slope < 1.3


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_next_to_nothing_where_nothing_is(seed):
    said, _ = followed(*market([(0.0, 8_000)], seed))
    assert np.sqrt(np.mean(said * said)) < 0.03


def test_a_turn_shows_within_a_hundred_decisions_and_what_comes_back_is_known():
    turn, back = 6_000, 12_000
    said, came = followed(*market([(0.3, turn), (-0.3, back - turn), (0.3, 3_000)], 2))
    after = [gain(said[a:b], came[a:b]) for a, b in ((turn + 100, turn + 400), (turn + 1_500, back))]
    assert after[0] > -0.02  # what is gone is not believed any more
    assert after[1] > 0.06  # 0.09 is there
    assert gain(said[back + 150 : back + 650], came[back + 150 : back + 650]) > 0.05


def test_what_comes_later_changes_nothing_that_was_said():
    scores, mids = market([(0.3, 3_000)], 3)
    whole, _ = followed(scores, mids)
    part, _ = followed(scores[:2_000], mids[:2_000])
    assert np.array_equal(whole[:1_999], part)


def test_nothing_is_learnt_across_a_gap():
    scores, mids = market([(0.3, 3_000)], 4)
    gaps = np.ones(len(mids), np.bool_)
    said, _ = followed(scores, mids, gaps)
    assert not said.any()


def test_prices_that_stand_still_or_are_missing_say_nothing():
    scores = np.zeros((600, COLUMNS), np.float32)
    for mids in (np.full(600, 5.0), np.zeros(600)):
        forecast = OnlineForecast(COLUMNS, COST)
        for row, mid in zip(scores, mids.tolist(), strict=True):
            forecast.follow(row, mid, gap=False)
            assert forecast.mean == 0.0 == forecast.deviation


def fresh():
    return Normaliser.with_forecast(COLUMNS, COST)


def test_decision_by_decision_is_all_at_once_bit_for_bit_and_goes_on_from_a_state():
    scores, mids = market([(0.3, 2_500)], 5)
    values, gaps = scores.astype(np.float64) * 3.0 + 1.0, np.arange(len(mids)) % 97 == 96
    whole, out = fresh(), np.empty((len(mids), COLUMNS + 1), np.float32)
    whole.follow(values, mids, gaps, out)
    again = fresh()
    for k, (row, mid, gap) in enumerate(zip(values, mids.tolist(), gaps.tolist(), strict=True)):
        if k == 1_700:
            state, again = again.state(), fresh()
            again.load_state(state)
        again.update(row, mid, gap)
        assert np.array_equal(again.apply(row), out[k])
    assert all(
        np.array_equal(a, b) for a, b in zip(whole.state().values(), again.state().values(), strict=True)
    )


def test_a_policy_is_told_shrunken_scores_and_the_forecast_in_costs():
    scores, mids = market([(0.3, 4_000)], 6)
    told, plain = fresh(), Normaliser(COLUMNS)
    for row, mid in zip(scores.astype(np.float64), mids.tolist(), strict=True):
        told.update(row, mid)
        plain.update(row)
    last = scores[-1].astype(np.float64)
    seen = told.apply(last)
    assert np.allclose(seen[:-1], SHRINKAGE * plain.apply(last))
    assert told.forecast is not None
    expected = told.forecast.mean / (COST + 0.05 * told.forecast.deviation)
    assert seen[-1] == pytest.approx(np.clip(expected, -BOUND, BOUND), rel=1e-6) and seen[-1] != 0.0
