"""A calm, a trending and a volatile market are told apart, without flickering."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ztb.learning.regime import DetectorConfig, Regime, RegimeDetector

STEP = 0.002


def returns(condition: Regime, n: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    match condition:
        case Regime.CALM:
            return rng.normal(0.0, STEP, n)
        case Regime.TRENDING:
            return rng.normal(0.9 * STEP, STEP, n)
        case Regime.VOLATILE:
            return rng.normal(0.0, 3 * STEP, n)


def watch(changes: NDArray[np.float64]) -> tuple[list[Regime], int]:
    """The condition after each return, and how often it changed."""
    detector, seen, count = RegimeDetector(), [], 0
    for mid in 100.0 * np.exp(np.cumsum(changes)):
        count += detector.see(float(mid))
        seen.append(detector.condition)
    return seen, count


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("condition", [Regime.TRENDING, Regime.VOLATILE])
def test_each_condition_is_found_and_left_again(condition: Regime, seed: int) -> None:
    parts = [
        returns(Regime.CALM, 3000, seed),
        returns(condition, 600, seed + 100),
        returns(Regime.CALM, 2000, seed + 200),
    ]
    seen, changes = watch(np.concatenate(parts))
    assert np.mean([found is Regime.CALM for found in seen[:3000]]) > 0.97
    assert np.mean([found is condition for found in seen[3200:3600]]) > 0.9
    assert np.mean([found is Regime.CALM for found in seen[4000:]]) > 0.9
    assert 2 <= changes <= 8


def test_a_calm_market_is_called_anything_else_less_than_one_hour_in_fifty() -> None:
    wrong = [
        np.mean([found is not Regime.CALM for found in watch(returns(Regime.CALM, 5000, seed))[0]])
        for seed in range(10)
    ]
    assert np.mean(wrong) < 0.02


def changes(config: DetectorConfig, excess: float) -> list[int]:
    """How long each condition stayed, in bursts of 150 decisions in 900 with `excess` times the deviation."""
    detector, rng = RegimeDetector(config), np.random.default_rng(1)
    mid, since, stays = 100.0, 0, []
    for k in range(20_000):
        mid *= math.exp(rng.normal(0.0, STEP * (excess if k % 900 < 150 else 1.0)))
        since += 1
        if detector.see(mid):
            stays.append(since)
            since = 0
    return stays


def test_a_condition_stays_for_a_while() -> None:
    brief, long = (changes(DetectorConfig(shortest_stay=stay), 3.0) for stay in (1, 400))
    assert len(long) > 10 and min(long[1:]) >= 400 > min(brief[1:])


def test_a_condition_is_left_at_a_lower_level_than_it_is_entered_at() -> None:
    one = DetectorConfig(shortest_stay=1, volatile_from=1.5, volatile_to=1.2)
    flickering = replace(one, volatile_to=1.5)
    assert 4 < len(changes(one, 2.0)) < 0.7 * len(changes(flickering, 2.0))


def test_the_same_mids_give_the_same_conditions_whatever_their_scale() -> None:
    changes = returns(Regime.VOLATILE, 500, 3)
    one, two = RegimeDetector(), RegimeDetector()
    for mid in np.exp(np.cumsum(changes)):
        one.see(float(mid)), two.see(float(mid) * 2**20)
    assert (one.condition, one.ratio, one.trend) == (two.condition, two.ratio, two.trend)


def test_a_market_that_stands_still_is_calm() -> None:
    detector = RegimeDetector()
    assert not any(detector.see(5.0) for _ in range(500)) and detector.condition is Regime.CALM
