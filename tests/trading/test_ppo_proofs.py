"""Tasks that PPO is known to solve, each by every seed."""

from __future__ import annotations

from statistics import fmean

import gymnasium as gym
import pytest

from ztb.trading.ppo_trainer import PPOConfig, PPOTrainer

SEEDS = range(5)


def mean_return(trainer: PPOTrainer, task: str, episodes: int = 100) -> float:
    """Over fresh episodes, by the most probable actions."""
    env = gym.make(task)
    returns = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=10_000 + episode)
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(trainer.predict(observation))
            total += float(reward)
            over = terminated or truncated
        returns.append(total)
    return fmean(returns)


@pytest.mark.proof
@pytest.mark.parametrize("seed", SEEDS)
def test_cartpole_within_100_000_steps(seed: int) -> None:
    trainer = PPOTrainer("CartPole-v1", PPOConfig(num_envs=8), seed=seed)
    trainer.train(total_steps=100_000 // 1024 * 1024)
    assert trainer.steps <= 100_000
    assert mean_return(trainer, "CartPole-v1") >= 475


@pytest.mark.proof
@pytest.mark.parametrize("seed", SEEDS)
def test_pendulum_within_300_000_steps(seed: int) -> None:
    trainer = PPOTrainer("Pendulum-v1", PPOConfig.profile("continuous"), seed=seed)
    trainer.train(total_steps=300_000 // 4096 * 4096)
    assert trainer.steps <= 300_000
    assert mean_return(trainer, "Pendulum-v1") >= -300
