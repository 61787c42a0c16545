"""What generation 0 begins with: evidence from history that did not train whoever was judged on it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from learning import made_markets as made
from trading.markets import HOUR_NS
from ztb.execution.paper_config import PaperConfig
from ztb.features import FeatureSet, Normaliser
from ztb.learning import walk_forward as module
from ztb.learning.allocation import GrowthEvidence
from ztb.learning.settings import AllocationConfig, OnlineConfig
from ztb.learning.training import Training
from ztb.learning.training_settings import PretrainSettings
from ztb.learning.walk_forward import EMBARGO_DECISIONS, walk_forward
from ztb.trading.decision_clock import DecisionClock, Every
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.settings import BridgeConfig

PLAN = AllocationConfig(folds=2, block_decisions=16, forgetting=0.9995)
SETTINGS = PretrainSettings(
    features=partial(FeatureSet, made.MARKET, HOUR_NS, made.FEATURES), normaliser=Normaliser,
    clock=partial(DecisionClock, Every.BAR, 0), period_ns=HOUR_NS, bridge=made.BRIDGE, paper=PaperConfig(),
    ppo=PPOConfig(
        num_envs=64, num_steps=32, minibatch_size=512, epochs=4, gamma=0.5, learning_rate=3e-3, entropy_coef=0.003,
    ),
    start_cash=made.CASH, online=OnlineConfig(reward_scale=1.0 / made.SIGMA), updates=24,
)  # fmt: skip


def evidence(
    prices: np.ndarray, settings: PretrainSettings = SETTINGS, plan: AllocationConfig = PLAN
) -> GrowthEvidence:
    return walk_forward(made.bars_of(prices), made.MARKET, settings, plan, 0, lambda _: None)


def test_an_edge_shows_and_chance_does_not():
    assert evidence(made.closes([(0.4, 6000)], 1)).log_e > np.log(100.0)
    assert evidence(made.closes([(0.0, 6000)], 2)).log_e < np.log(10.0)


def test_what_the_market_did_to_everybody_is_no_merit():
    """Prices that only rise make a policy that is always long; its growth says nothing of it."""
    rng = np.random.default_rng(3)
    prices = np.round(50_000.0 * np.exp(np.cumsum(rng.normal(0.3 * made.SIGMA, made.SIGMA, 6000))), 3)
    long_only = replace(SETTINGS, bridge=BridgeConfig((0.0, 1.0), cost_reserve_fraction=0.0))
    assert evidence(prices, long_only).log_e < np.log(10.0)


def test_nobody_is_judged_on_what_trained_it_nor_on_what_came_just_after(monkeypatch):
    trained, judged = [], []

    class Watched(Training):
        def __init__(self, recording, held_out, settings, seed):
            trained.append((recording.shared.times_ns[0], held_out.shared.times_ns[-1]))
            super().__init__(recording, held_out, settings, seed)

    judge = module.own_growths

    def watched(recording, *rest):
        judged.append((recording.shared.times_ns[0], recording.shared.times_ns[-1]))
        return judge(recording, *rest)

    monkeypatch.setattr(module, "Training", Watched)
    monkeypatch.setattr(module, "own_growths", watched)
    evidence(made.closes([(0.0, 2400)], 4), replace(SETTINGS, updates=1))
    assert len(trained) == len(judged) == 2
    for (begin, end), (first, last) in zip(trained, judged, strict=True):
        assert begin < end and first - end > EMBARGO_DECISIONS * HOUR_NS and last > first
    assert judged[0][1] < judged[1][0] and trained[0][0] == trained[1][0]


@pytest.mark.parametrize(("folds", "decisions"), [(0, 6000), (2, 900)])
def test_without_folds_or_with_too_little_history_there_is_no_evidence(folds, decisions):
    found = evidence(made.closes([(0.0, decisions)], 5), plan=replace(PLAN, folds=folds))
    assert found == GrowthEvidence(PLAN.forgetting)


def test_what_was_trained_on_less_and_does_not_grow_is_not_held_against_what_was_trained_on_more(monkeypatch):
    losses = [-0.01, 0.004] * 40
    monkeypatch.setattr(module, "own_growths", lambda *_: losses)
    prices, settings = made.closes([(0.0, 2400)], 6), replace(SETTINGS, updates=1)
    assert evidence(prices, settings) == GrowthEvidence(PLAN.forgetting)
    losses[:] = [0.01, -0.004] * 40
    assert evidence(prices, settings).log_e > 1.0
