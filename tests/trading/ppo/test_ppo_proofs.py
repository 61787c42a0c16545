"""Tasks that PPO is known to solve, each by every seed."""

from __future__ import annotations

from statistics import fmean

import gymnasium as gym
import pytest

from utils.checkpoint_states import proof_sample
from ztb.trading.ppo_trainer import PPOConfig, PPOTrainer

CARTPOLE = ("CartPole-v1", PPOConfig(num_envs=8), 100_000, 475)
PENDULUM = ("Pendulum-v1", PPOConfig.profile("continuous"), 300_000, -300)
CASES = [(*task, seed) for seed in range(5) for task in (CARTPOLE, PENDULUM)]


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
@pytest.mark.parametrize(
    ("task", "config", "steps", "least", "seed"), [CASES[k] for k in proof_sample(len(CASES))]
)
def test_a_known_task_is_solved(task: str, config: PPOConfig, steps: int, least: float, seed: int) -> None:
    with PPOTrainer(task, config, seed) as trainer:
        trainer.train(steps)
        assert trainer.steps == steps
        assert mean_return(trainer, task) >= least
