"""Probe environments of rising difficulty, each of which only one part of PPO can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from utils.checkpoint_states import proof_sample
from ztb.trading.ppo_trainer import PPOConfig, PPOTrainer

CONFIG = PPOConfig(
    num_steps=32,
    learning_rate=1e-2,
    minibatch_size=64,
    epochs=4,
    gamma=0.9,
    normalize_rewards=False,
    hidden=(16,),
)


class Probe(gym.Env[np.ndarray, Any]):
    """Episodes of `length` steps; `reward(observation, action, step)`; observations by `observe(generator, step)`."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,))

    def __init__(
        self,
        reward: Callable[[float, Any, int], float],
        observe: Callable[[np.random.Generator, int], float] = lambda generator, step: 0.0,
        length: int = 1,
        truncates: bool = False,
        actions: gym.Space[Any] | None = None,
    ) -> None:
        self.action_space = actions or gym.spaces.Discrete(2)
        self.reward, self.observe, self.length, self.truncates = reward, observe, length, truncates
        self.seen, self.count = 0.0, 0

    def _look(self) -> np.ndarray:
        self.seen = self.observe(self.np_random, self.count)
        return np.full(1, self.seen, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        self.count = 0
        return self._look(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        earned = self.reward(self.seen, action, self.count)
        self.count += 1
        ended = self.count == self.length
        return self._look(), earned, ended and not self.truncates, ended and self.truncates, {}


def sign(generator: np.random.Generator, step: int) -> float:
    return float(generator.choice((-1.0, 1.0)))


def trained(seed: int, steps: int, config: PPOConfig = CONFIG, **probe: Any) -> PPOTrainer:
    trainer = PPOTrainer(lambda: Probe(**probe), config, seed)
    trainer.train(steps)
    return trainer


def value(trainer: PPOTrainer, observation: float) -> float:
    """The critic's value, read off the weights."""
    weights = {name: array.astype(float) for name, array in trainer.weights().items()}
    tower = "trunk" if trainer.shape.shared_trunk else "value"
    hidden = np.tanh(np.array([observation]) @ weights[f"{tower}.0.weight"] + weights[f"{tower}.0.bias"])
    return float((hidden @ weights[f"{tower}.1.weight"] + weights[f"{tower}.1.bias"])[-1])


def constant_reward(seed: int) -> None:
    trainer = trained(seed, 12_000, reward=lambda seen, action, step: 1.0)
    assert value(trainer, 0) == pytest.approx(1, abs=0.05)


def reward_by_observation(seed: int) -> None:
    trainer = trained(seed, 12_000, reward=lambda seen, action, step: seen, observe=sign)
    assert [value(trainer, 1), value(trainer, -1)] == pytest.approx([1, -1], abs=0.1)


def delayed_reward(seed: int) -> None:
    trainer = trained(
        seed,
        16_000,
        reward=lambda seen, action, step: float(step),
        observe=lambda generator, step: step,
        length=2,
    )
    assert [value(trainer, 0), value(trainer, 1)] == pytest.approx([0.9, 1], abs=0.1)


def reward_by_action(seed: int) -> None:
    trainer = trained(seed, 8_000, reward=lambda seen, action, step: float(action))
    assert int(trainer.predict(np.zeros(1, np.float32))) == 1
    assert value(trainer, 0) == pytest.approx(1, abs=0.1)


def reward_by_action_and_observation(seed: int) -> None:
    trainer = trained(
        seed, 16_000, reward=lambda seen, action, step: float((seen > 0) == (action == 1)), observe=sign
    )
    assert [int(trainer.predict(np.full(1, seen, np.float32))) for seen in (-1, 1)] == [0, 1]
    assert [value(trainer, 1), value(trainer, -1)] == pytest.approx([1, 1], abs=0.1)


def endless_reward(seed: int) -> None:
    trainer = trained(seed, 60_000, reward=lambda seen, action, step: 1.0, length=3, truncates=True)
    assert value(trainer, 0) == pytest.approx(10, abs=0.5)


def two_heads(seed: int) -> None:
    trainer = trained(
        seed,
        16_000,
        reward=lambda seen, action, step: float(action[0] == 2) + float(action[1] == (seen > 0)),
        observe=sign,
        actions=gym.spaces.MultiDiscrete([3, 2]),
    )
    found = [trainer.predict(np.full(1, seen, np.float32)).tolist() for seen in (-1, 1)]
    assert found == [[2, 0], [2, 1]]


def continuous_action(seed: int) -> None:
    config = PPOConfig(
        num_steps=64,
        learning_rate=1e-2,
        minibatch_size=64,
        gamma=0.9,
        normalize_rewards=False,
        hidden=(16,),
        log_std=-0.5,
    )
    trainer = trained(
        seed,
        30_000,
        config,
        reward=lambda seen, action, step: -float((action[0] - 2 - seen) ** 2),
        observe=sign,
        actions=gym.spaces.Box(0.0, 4.0, (1,)),
    )
    found = [float(trainer.predict(np.full(1, seen, np.float32))[0]) for seen in (-1, 1)]
    assert found == pytest.approx([1, 3], abs=0.2)


PROBES = [
    constant_reward,
    reward_by_observation,
    delayed_reward,
    reward_by_action,
    reward_by_action_and_observation,
    endless_reward,
    two_heads,
    continuous_action,
]


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_is_solved(probe: Callable[[int], None]) -> None:
    probe(0)


CASES = [(probe, seed) for probe in PROBES for seed in range(1, 6)]


@pytest.mark.proof
@pytest.mark.parametrize(("probe", "seed"), [CASES[k] for k in proof_sample(len(CASES))])
def test_a_probe_is_solved_by_every_seed(probe: Callable[[int], None], seed: int) -> None:
    probe(seed)


def test_steps_on_which_the_environment_resets_teach_nothing() -> None:
    """Every second step of one-step episodes is a reset, which pays nothing whatever the action."""
    envs = SyncVectorEnv(
        [lambda: Probe(lambda seen, action, step: 1.0)] * 4, autoreset_mode=AutoresetMode.NEXT_STEP
    )
    trainer = PPOTrainer(envs, CONFIG, 0)
    trainer.train(12_000)
    assert value(trainer, 0) == pytest.approx(1, abs=0.05)
