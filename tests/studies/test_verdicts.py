"""What the verdict says of made-up courses, how often it is wrong, and what it leaves out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from ztb.studies.evidence import Outcome, StudyEvidence, judge
from ztb.studies.statistics import Floats, sharpe_ratio

DAY = 86_400_000_000_000
SHARE = float(os.environ.get("ZTB_PROOF_SHARE", "1"))


def judged(
    matrix: Floats, looks: int | None = None, market: Floats | None = None, **more: Any
) -> StudyEvidence:
    """A study whose configurations earned the columns (T, N) of a matrix."""
    found = [
        Outcome(k, {"n": k}, (matrix[:, k],), 1, more.get("failed", 0), True) for k in range(matrix.shape[1])
    ]
    ratios = np.array([sharpe_ratio(one.returns) for one in found])
    count = looks or matrix.shape[1]
    yardsticks = {"flat": None} if market is None else {"flat": None, "hold": market}
    return judge(found, yardsticks, ratios, looks=count, by={"study": count}, period_ns=DAY, **more)


def noise(seed: int, periods: int = 240, n: int = 1) -> Floats:
    return np.random.Generator(np.random.PCG64(seed)).normal(0.0, 0.01, (periods, n))


def test_a_strong_edge_works_and_after_a_thousand_looks_a_weak_one_no_more():
    edge = noise(1) + 0.0025
    assert judged(edge).verdict == "works" and "It works" in judged(edge).sentence
    assert judged(edge, looks=1_000_000).verdict == "unproven"
    assert judged(edge).deflated_sharpe > judged(edge, looks=1000).deflated_sharpe


def test_each_verdict_has_its_course():
    assert judged(noise(2)[:30] + 0.01).verdict == "too_short"
    assert judged(np.zeros((200, 2))).verdict == "nothing_traded"
    assert judged(noise(3) - 0.002).verdict == "loses"
    lucky = judged(noise(4, n=50))
    assert lucky.verdict == "overfit" and lucky.is_overfit and "do not trade it" in lucky.sentence
    assert "50 looks" in lucky.sentence and lucky.overfitting is not None


def test_what_is_not_better_than_holding_is_said():
    market = noise(5)[:, 0] + 0.002
    said = judged(noise(5) + 0.0021, market=market)
    assert said.verdict == "works" and "it earns more than hold" in said.sentence
    other = judged(noise(6) + 0.002, market=market)
    assert other.verdict == "works" and "that it earns more than hold is not shown" in other.sentence


def test_a_failed_trial_keeps_it_from_working():
    edge = noise(1) + 0.0025
    assert judged(edge, failed=1).best is None and judged(edge, failed=1).verdict == "too_short"


def test_nothing_finished_says_so():
    empty = judge([], {"flat": None}, np.zeros(0), looks=3, by={}, period_ns=DAY)
    assert empty.best is None and empty.verdict == "too_short" and empty.growth is None


def walk_through(seed: int, configurations: int, edge: float, hours: int = 24 * 240) -> StudyEvidence:
    """A study of moving-average rules on a made market: hourly returns with autocorrelation `edge`, no costs.

    Each configuration is long or short by the sign of its own average of past returns; its account is looked at daily.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    shocks = generator.normal(0.0, 0.005, hours)
    market = shocks.copy()
    for i in range(1, hours):
        market[i] += edge * market[i - 1]
    spans = np.unique(np.geomspace(1, 200, 2 * configurations).astype(int))[:configurations]
    summed = np.concatenate([[0.0], np.cumsum(market)])
    daily = []
    for span in spans.tolist():
        place = np.arange(hours)
        past = summed[place] - summed[np.maximum(place - span, 0)]
        earned = np.sign(past) * market
        daily.append(np.prod(1.0 + earned.reshape(-1, 24), axis=1) - 1.0)
    matrix = np.stack(daily, axis=1)
    hold = np.prod(1.0 + market.reshape(-1, 24), axis=1) - 1.0
    return judged(matrix, market=hold, seed=seed)


@pytest.mark.proof
@pytest.mark.parametrize("configurations", [1, 16])
def test_on_random_walks_it_works_at_most_5_times_in_100(configurations):
    times = max(100, round(1000 * SHARE))
    worked = sum(walk_through(seed, configurations, 0.0).verdict == "works" for seed in range(times))
    assert worked <= 0.05 * times


@pytest.mark.proof
def test_planted_edges_of_a_tenth_work_at_least_80_times_in_100():
    times = max(50, round(500 * SHARE))
    worked = sum(walk_through(seed, 16, 0.1).verdict == "works" for seed in range(times))
    assert worked >= 0.8 * times


@pytest.mark.proof
def test_the_best_of_50_worthless_ones_is_called_overfitting_at_least_90_times_in_100():
    times = max(50, round(500 * SHARE))
    called = sum(judged(noise(seed, n=50)).is_overfit for seed in range(times))
    assert called >= 0.9 * times


def test_a_few_walks_and_edges():
    """The proofs in small: two of these twenty walks at most work by chance; these five edges all do."""
    assert sum(walk_through(seed, 8, 0.0).verdict == "works" for seed in range(20)) <= 2
    assert all(walk_through(seed, 8, 0.1).verdict == "works" for seed in range(5))
