"""Pretraining learns where there is something to learn, honestly and reproducibly."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from trading.markets import HOUR_NS, SPOT, bars
from ztb.errors import DataError
from ztb.execution.paper_config import PaperConfig
from ztb.features import FeatureSet, Normaliser
from ztb.learning.pretrain import Pretrained, PretrainSettings, pretrain
from ztb.learning.settings import OnlineConfig
from ztb.market.ticks import Ticks
from ztb.trading.decision_clock import DecisionClock, Every
from ztb.trading.policy.weights import weights_sha256
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.settings import BridgeConfig

FEATURES = ("return_1", "return_4", "return_16", "ema_deviation_32", "rsi_14", "volatility_8")
PPO = PPOConfig(
    num_envs=16, num_steps=32, minibatch_size=256, epochs=4, gamma=0.9, entropy_coef=0.005, hidden=(16,),
    learning_rate=3e-3,
)  # fmt: skip
SETTINGS = PretrainSettings(
    features=partial(FeatureSet, SPOT, HOUR_NS, FEATURES),
    normaliser=Normaliser,
    clock=partial(DecisionClock, Every.BAR, 0),
    period_ns=HOUR_NS,
    bridge=BridgeConfig((0.0, 0.5, 1.0)),
    paper=PaperConfig(),
    ppo=PPO,
    start_cash=10_000.0,
    online=OnlineConfig(),
    updates=6,
    validate_every=2,
)


def trending(n: int, seed: int = 0) -> Ticks:
    """Bars that rise or fall by 0.4 % an hour for about 60 hours at a time, plus noise of 0.2 %."""
    rng = np.random.default_rng(seed)
    direction = np.where(np.cumsum(rng.random(n) < 1 / 60) % 2 == 0, 1.0, -1.0)
    close = np.round(5000.0 * np.exp(np.cumsum(direction * 0.004 + rng.normal(0.0, 0.002, n))), 2)
    ticks = bars(n, seed)
    ticks["open"] = np.concatenate([[5000.0], close[:-1]])
    ticks["price"] = close
    ticks["high"], ticks["low"] = np.maximum(ticks["open"], close), np.minimum(ticks["open"], close)
    return ticks


def run(ticks: Ticks, seed: int = 0, **changes: Any) -> Pretrained:
    return pretrain(ticks, SPOT, replace(SETTINGS, **changes), seed)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    ticks = trending(600)
    one, two, other = run(ticks, 1), run(ticks, 1), run(ticks, 2)
    assert weights_sha256(one.weights) == weights_sha256(two.weights) != weights_sha256(other.weights)
    assert one.curve == two.curve and one.validation == two.validation
    assert weights_sha256(one.updater_state["weights"]) == weights_sha256(one.weights)


def test_the_held_out_part_is_never_trained_on():
    ticks = trending(600)
    changed = ticks.copy()
    changed[490:] = trending(600, seed=9)[490:]
    one, two = run(ticks, validate_every=6), run(changed, validate_every=6)
    assert weights_sha256(one.weights) == weights_sha256(two.weights)
    assert [p.mean_reward for p in one.curve] == [p.mean_reward for p in two.curve]
    assert one.validation != two.validation


def test_progress_and_the_curve_tell_what_happened():
    heard: list[float] = []
    found = pretrain(trending(400), SPOT, SETTINGS, 0, heard.append)
    assert heard == [pytest.approx(k / 6) for k in range(1, 7)]
    assert [point.update for point in found.curve] == [1, 2, 3, 4, 5, 6]
    assert [point.validation is not None for point in found.curve] == [False, True] * 3
    assert found.curve[-1].steps == 6 * 16 * 32
    examined = {point.update: point.validation for point in found.curve if point.validation is not None}
    assert found.best_update == max(examined, key=lambda update: examined[update])
    assert found.validation.policy != examined[found.best_update], "the policy is told with its luck"


def test_with_all_luck_left_in_the_curve_tells_what_the_policy_earned():
    found = run(trending(400), online=OnlineConfig(luck_weight=1.0))
    assert found.validation.policy == max(p.validation for p in found.curve if p.validation is not None)


def test_the_normaliser_ends_where_the_engines_does_after_the_span():
    ticks = trending(400)
    found = run(ticks, updates=1)
    features = FeatureSet(SPOT, HOUR_NS, FEATURES)
    normaliser = Normaliser(features.size)
    for i in range(len(ticks)):
        features.advance(ticks, i, i + 1)
        normaliser.update(features.values)
    assert all(
        np.array_equal(found.normaliser_state[name], value) for name, value in normaliser.state().items()
    )


def test_it_learns_to_follow_trends_it_has_not_seen():
    found = run(trending(3000, seed=3), updates=80, validate_every=8)
    validation = found.validation
    assert validation.flat == 0.0
    assert validation.policy > max(validation.hold, validation.random, 0.0) + 2e-4
    assert found.curve[-1].mean_reward > found.curve[0].mean_reward


def test_where_there_is_nothing_to_earn_it_learns_to_leave_its_money_alone():
    validation = run(bars(1500, volatility=0.0005), updates=40, validate_every=8).validation
    assert validation.random < -2e-4
    assert abs(validation.policy) < 0.2 * abs(validation.random)


@pytest.mark.parametrize("n", [10, 67])
def test_too_little_history_is_told(n):
    with pytest.raises(DataError, match="too few"):
        run(trending(n), features=partial(FeatureSet, SPOT, HOUR_NS))
