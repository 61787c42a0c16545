"""PPO's speed: training against stable-baselines3 on the same environment, and one decision of the serving policy.

Run from the repository's root, in an environment with the extra `dev`: `python tests/benchmarks/bench_ppo.py`.
Everything runs in this one process on one thread and is measured in its own CPU time, in rounds that alternate,
so that other load on the machine falls on all alike; ratios are medians over the rounds. stable-baselines3 gets
the environment in two ways: one at a time through its DummyVecEnv, as its users have it, and all at once through
a VecEnv over the compiled kernel, where only the learning differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "daemon"))

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

from ztb.trading.policy.serving import ServingPolicy
from ztb.trading.policy.weights import NetworkShape, initial_weights
from ztb.trading.ppo_trainer import PPOConfig, PPOTrainer
from ztb.utils.kernel import kernel

OBSERVED, EXPOSURES, EPISODE = 48, 5, 512


@kernel
def advance(
    returns: np.ndarray, exposure: np.ndarray, actions: np.ndarray, noise: np.ndarray, rewards: np.ndarray
) -> None:
    """Momentum with costs: returns r' = 0.3 r + noise, five target exposures; observes 47 returns and the exposure."""
    for n in range(returns.shape[0]):
        target = 0.5 * actions[n] - 1.0
        following = np.float32(0.3) * returns[n, 0] + noise[n]
        rewards[n] = target * following - 0.2 * abs(target - exposure[n])
        exposure[n] = target
        for k in range(returns.shape[1] - 2, 0, -1):
            returns[n, k] = returns[n, k - 1]
        returns[n, 0] = following
        returns[n, returns.shape[1] - 1] = target


class Market(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N markets in one kernel; all episodes end together, cut off after EPISODE steps."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (OBSERVED,))
        self.single_action_space = gym.spaces.Discrete(EXPOSURES)
        self.observations = np.zeros((num_envs, OBSERVED), np.float32)
        self.exposure, self.rewards = np.zeros(num_envs), np.zeros(num_envs)
        self.generator = np.random.default_rng(0)
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.generator = np.random.default_rng(seed)
        self._begin()
        return self.observations, {}

    def _begin(self) -> None:
        self.steps = 0
        self.observations[:] = self.generator.standard_normal(self.observations.shape)
        self.observations[:, -1] = self.exposure[:] = 0.0

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        noise = self.generator.standard_normal(self.num_envs, np.float32)
        advance(self.observations, self.exposure, actions, noise, self.rewards)
        self.steps += 1
        infos: dict[str, Any] = {}
        truncated = np.full(self.num_envs, self.steps == EPISODE)
        if truncated[0]:
            infos["final_obs"] = self.observations.copy()
            self._begin()
        return self.observations, self.rewards, np.zeros(self.num_envs, np.bool_), truncated, infos


class SingleMarket(gym.Env[np.ndarray, np.int64]):
    """One of them, as an Env."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (OBSERVED,))
    action_space = gym.spaces.Discrete(EXPOSURES)

    def __init__(self) -> None:
        self.market, self.action = Market(1), np.zeros(1, np.int64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self.market.reset(seed=seed)[0][0].copy(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.action[0] = action
        observations, rewards, _, truncated, _ = self.market.step(self.action)
        return observations[0].copy(), float(rewards[0]), False, bool(truncated[0]), {}


def sb3_environment(num_envs: int, compiled: bool) -> Any:
    """The markets as stable-baselines3 takes them."""
    from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

    class Together(VecEnv):
        """Every market at once; infos as SB3 reads them."""

        def __init__(self) -> None:
            self.market = Market(num_envs)
            super().__init__(num_envs, SingleMarket.observation_space, SingleMarket.action_space)

        def reset(self) -> np.ndarray:
            return self.market.reset(seed=0)[0].copy()

        def step_async(self, actions: np.ndarray) -> None:
            self.actions = actions

        def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
            observations, rewards, _, truncated, infos = self.market.step(self.actions)
            told: list[dict[str, Any]] = [{} for _ in range(num_envs)]
            if truncated[0]:
                told = [
                    {"terminal_observation": row, "TimeLimit.truncated": True} for row in infos["final_obs"]
                ]
            return observations.copy(), rewards.copy(), truncated, told

        def close(self) -> None: ...
        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [None] * num_envs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None: ...
        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
            return [None] * num_envs

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * num_envs

    return Together() if compiled else DummyVecEnv([SingleMarket] * num_envs)


def sb3_learner(config: PPOConfig, compiled: bool) -> Callable[[int], None]:
    """Trains stable-baselines3's PPO for some steps."""
    from stable_baselines3 import PPO

    learner = PPO(
        "MlpPolicy",
        sb3_environment(config.num_envs, compiled),
        n_steps=config.num_steps,
        batch_size=config.minibatch_size,
        n_epochs=config.epochs,
        policy_kwargs={"net_arch": list(config.hidden)},
        device="cpu",
    )
    return lambda steps: void(learner.learn(steps, reset_num_timesteps=False))


def our_learner(config: PPOConfig) -> Callable[[int], None]:
    """Trains ours for some steps more."""
    trainer = PPOTrainer(Market(config.num_envs), config)
    return lambda steps: trainer.train(trainer.steps + steps)


def void(_: object) -> None: ...


def cpu_time(work: Callable[[int], None], steps: int) -> float:
    """Seconds of this process."""
    began = time.process_time()
    work(steps)
    return time.process_time() - began


def training(sizes: dict[str, int], rollouts: int, rounds: int) -> dict[str, Any]:
    """Steps a second of each learner and our ratios to both forms of stable-baselines3, medians over rounds."""
    options: dict[str, Any] = {**sizes, "anneal_learning_rate": False, "normalize_rewards": False}
    learners = {
        "sb3": sb3_learner(PPOConfig(**options), compiled=False),
        "sb3_compiled": sb3_learner(PPOConfig(**options), compiled=True),
        "separate": our_learner(PPOConfig(**options, shared_trunk=False)),
        "shared": our_learner(PPOConfig(**options, shared_trunk=True)),
    }
    steps = rollouts * sizes["num_envs"] * sizes["num_steps"]
    for learner in learners.values():
        learner(steps // rollouts)
    times = [{name: cpu_time(learner, steps) for name, learner in learners.items()} for _ in range(rounds)]
    figures: dict[str, Any] = {name: round(steps / median(row[name] for row in times)) for name in learners}
    for ours in ("separate", "shared"):
        for theirs in ("sb3", "sb3_compiled"):
            figures[f"{ours}/{theirs}"] = round(median(row[theirs] / row[ours] for row in times), 2)
    return {**sizes, "steps_per_s": figures}


def decision(width: int, decisions: int = 100_000, rounds: int = 5) -> dict[str, Any]:
    """Microseconds of one decision at the percentiles; of the rounds, the quietest."""
    shape = NetworkShape(OBSERVED, (EXPOSURES,), (width, width))
    policy = ServingPolicy(shape, initial_weights(shape, 0))
    generator = np.random.default_rng(0)
    observations = generator.standard_normal((256, OBSERVED)).astype(np.float32)
    uniforms = generator.random((256, 1))
    spent = np.empty((rounds, decisions))
    for row in spent:
        for k in range(decisions):
            observation, uniform = observations[k & 255], uniforms[k & 255]
            began = time.perf_counter_ns()
            policy.decide(observation, uniform)
            row[k] = time.perf_counter_ns() - began
    best = min(spent, key=lambda row: float(np.percentile(row, 99))) * 1e-3
    return {"width": width, **{f"p{q}_us": round(float(np.percentile(best, q)), 2) for q in (50, 99, 99.9)}}


def main() -> None:
    """Print every figure as JSON, a line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for width in (64, 256):
        print(json.dumps(decision(width)))
    large = {"num_envs": 256, "num_steps": 128, "minibatch_size": 4096, "epochs": 4}
    print(json.dumps(training(large, 4, rounds)), flush=True)
    small = {"num_envs": 8, "num_steps": 256, "minibatch_size": 64, "epochs": 10}
    print(json.dumps(training(small, 4, rounds)))


if __name__ == "__main__":
    main()
