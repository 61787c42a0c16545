"""Where a market has an edge training finds it, where it has none nothing is traded; held against the optimum.

The optima are computed by dynamic programming (`made_markets`), and looked at on the same fresh paths of the same
paper exchange as the trained policies.
"""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest

from learning.made_markets import (
    BRIDGE,
    CASH,
    COST,
    LADDER,
    SHAPE,
    SIGMA,
    Examination,
    bars_of,
    best_policy,
    closes,
    record_bars,
)
from utils.checkpoint_states import proof_sample
from ztb.execution.paper_config import PaperConfig
from ztb.learning.rollouts import SimulatedEnvironments, simulated_rollouts
from ztb.trading.episodes import Episodes
from ztb.trading.policy.weights import Weights, initial_weights
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.update import PPOUpdater
from ztb.trading.simulation import Simulation

PPO = PPOConfig(
    num_envs=128, num_steps=64, gamma=0.8, gae_lambda=0.5, learning_rate=1e-3, minibatch_size=1024, epochs=4,
    entropy_coef=0.003,
)  # fmt: skip
MOMENTUM, REVERSION = 0.3, -0.3
SEEDS = 5


def trained(rho: float, seed: int, updates: int, bars: int = 200_000) -> Weights:
    """From nothing, on one path of the market."""
    recording = record_bars(bars_of(closes([(rho, bars)], seed)))
    episodes = Episodes(2 * PPO.num_steps, random_start=True, random_account=True)
    simulation = Simulation(recording, BRIDGE, PaperConfig(), CASH, episodes, PPO.num_envs)
    weights = initial_weights(SHAPE, seed)
    collector = simulated_rollouts(
        SHAPE, weights, SimulatedEnvironments(simulation, 1.0 / SIGMA), steps=PPO.num_steps, seed=seed
    )
    updater = PPOUpdater(SHAPE, PPO, weights, seed)
    for update in range(updates):
        updater.update(collector.collect(updater.weights()), 1.0 - update / updates)
    return updater.weights()


def small_examination(rho: float) -> Examination:
    return Examination(rho, 1_000, lanes=20, steps=400)


@pytest.mark.parametrize("rho", [MOMENTUM, REVERSION])
def test_the_optimum_earns_on_the_exchange_what_dynamic_programming_says(rho: float):
    table, gain = best_policy(rho)
    examination = Examination(rho, 7, lanes=40, steps=800)
    best = examination.best(table)
    assert best == pytest.approx(gain, rel=0.03)
    at = np.arange(len(LADDER))
    for lazy in (
        np.broadcast_to(at[:, None], table.shape),
        np.where(table > at[:, None], table, at[:, None]),
    ):
        assert examination.best(lazy) < 0.9 * best
    assert COST == 0.2 and examination.random() < -0.04


def test_a_short_training_already_turns_a_profit_where_random_actions_lose():
    table, _ = best_policy(MOMENTUM)
    examination = small_examination(MOMENTUM)
    share = examination.greedy(trained(MOMENTUM, 0, 24, 20_000)) / examination.best(table)
    assert share > 0.5 and examination.random() < 0.0


def test_a_short_training_already_stops_trading_where_there_is_nothing_to_gain():
    examination = small_examination(0.0)
    examination.random()
    turnover = examination.turnover
    examination.greedy(trained(0.0, 0, 24, 20_000))
    assert turnover > 0.1 and examination.turnover < 0.02 * turnover


@pytest.mark.proof
@pytest.mark.parametrize("rho", [MOMENTUM, REVERSION])
def test_it_earns_95_hundredths_of_the_optimum(rho: float):
    seeds = proof_sample(SEEDS)
    table, _ = best_policy(rho)
    shares, sampled = [], []
    for seed in seeds:
        examination = Examination(rho, 1_000 + seed)
        weights, best = trained(rho, seed, 200), examination.best(table)
        shares.append(examination.greedy(weights) / best)
        sampled.append(examination.sampled(weights) / best)
    print(f"rho {rho}: of the optimum, greedy {np.round(shares, 3)}, while sampling {np.round(sampled, 3)}")
    assert median(shares) >= (0.95 if len(seeds) == SEEDS else 0.9), shares


@pytest.mark.proof
def test_on_a_random_walk_it_ends_up_trading_almost_nothing():
    for seed in proof_sample(SEEDS):
        examination = Examination(0.0, 1_000 + seed)
        examination.random()
        turnover = examination.turnover
        weights = trained(0.0, seed, 100)
        sampled = examination.sampled(weights), examination.turnover
        examination.greedy(weights)
        print(f"random walk, seed {seed}: turnover {examination.turnover:.5f} greedy, {sampled[1]:.4f} while "
              f"sampling, which costs {-sampled[0]:.4f} deviations a decision; {turnover:.4f} at random")  # fmt: skip
        assert examination.turnover < 0.02 * turnover
