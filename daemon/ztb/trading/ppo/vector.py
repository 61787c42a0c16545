"""Gymnasium's environments as rollouts want them: any becomes a VectorEnv, and autoreset modes become one.

Around them, as wrappers: observations flat and normalised, rewards normalised, the statistics of episodes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from ztb.errors import ConfigError, NonFiniteError
from ztb.trading.ppo.collector import Step
from ztb.trading.ppo.normalizer import Normalizer
from ztb.trading.ppo.spaces import Actions, flat, observation_size

AnyEnv = gym.Env[Any, Any] | VectorEnv[Any, Any, Any]
EnvSource = str | AnyEnv | Callable[[], AnyEnv]

_KEPT_EPISODES = 100


def as_vector(source: EnvSource, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """A VectorEnv of an id or a callable (`num_envs` of what it makes), of one Env, or as it is."""
    if isinstance(source, str):
        return gym.make_vec(source, num_envs)
    if isinstance(source, VectorEnv):
        return source
    if isinstance(source, gym.Env):
        return SyncVectorEnv([partial(_identity, source)])
    made = source()
    if isinstance(made, VectorEnv):
        return made
    envs = [made, *(_one(source()) for _ in range(num_envs - 1))]
    return SyncVectorEnv([partial(_identity, env) for env in envs])


def _identity(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return env


def _one(made: AnyEnv) -> gym.Env[Any, Any]:
    if isinstance(made, VectorEnv):
        raise ConfigError("environment: the callable made one Env and then a VectorEnv; let it make one kind")
    return made


@dataclass(frozen=True, slots=True)
class RawStep:
    """The answer of N environments to a step; observations as the environment has them."""

    observations: NDArray[Any]
    """The observations to act on next."""
    final: NDArray[Any]
    """The observations that the step led to: the last observation of an episode that ended, else the same."""
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    live: NDArray[np.bool_]
    """False: the environment only reset itself and ignored the action."""


class Stepper:
    """Steps a VectorEnv of any autoreset mode (Gymnasium 1.x), `taken` steps so far.

    What an environment gives must be finite as float32. NonFiniteError names the environment and the step; then
    `failed` is set until `restart`, and `observations` are still those before the step.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], seed: int) -> None:
        self.envs = envs
        self._mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self.taken = 0
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """New episodes everywhere."""
        self.failed = True
        first = np.array(self.envs.reset(seed=seed)[0])
        self._check("observation", first, "after a reset")
        self.observations: NDArray[Any] = first
        self.resetting: NDArray[np.bool_] = np.zeros(self.envs.num_envs, np.bool_)
        self.failed = False

    def step(self, actions: NDArray[Any]) -> RawStep:
        """Take `actions`, a batch as VectorEnv.step takes it."""
        self.failed = True
        observations, rewards, terminated, truncated, infos = self.envs.step(actions)
        final, live, done = observations, ~self.resetting, terminated | truncated
        self._check("observation", observations, "after")
        self._check("reward", np.where(live, rewards, 0.0), "for")
        if self._mode == AutoresetMode.NEXT_STEP:
            self.resetting = done & live
        elif done.any():
            observations, final = self._ended(observations, done, infos)
            self._check("observation", observations, "after")
            self._check("observation", final, "after")
        self.observations = np.array(observations)
        self.taken += 1
        self.failed = False
        return RawStep(
            observations=self.observations,
            final=final,
            rewards=np.asarray(rewards, np.float64),
            terminated=terminated,
            truncated=truncated,
            live=live,
        )

    def _check(self, what: str, given: NDArray[Any], when: str) -> None:
        """NonFiniteError: one of `given` (N, …) is not finite, or too large to be learnt from."""
        if given.dtype.kind != "f" or np.isfinite(_as_learnt(given)).all():
            return
        found = _as_learnt(given).reshape(len(given), -1)
        env, place = (int(index) for index in np.argwhere(~np.isfinite(found))[0])
        value = np.asarray(given).reshape(len(given), -1)[env, place]
        where = f"[{place}]" if what == "observation" else ""
        moment = when if when == "after a reset" else f"{when} step {self.taken}"
        raise NonFiniteError(
            what,
            f"environment {env}: its {what}{where} {moment} (counted from 0) is {value}: nothing was learnt from "
            f"it; let the environment give finite numbers",
            env,
            self.taken,
        )

    def _ended(
        self, observations: NDArray[Any], done: NDArray[np.bool_], infos: dict[str, Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """(to act on next, what the step led to) where some episodes have ended."""
        final = np.array(observations)
        if self._mode == AutoresetMode.SAME_STEP:
            for index in np.flatnonzero(done):
                final[index] = infos["final_obs"][index]
            return observations, final
        return self.envs.reset(options={"reset_mask": done})[0], final


def _as_learnt(given: NDArray[Any]) -> NDArray[Any]:
    """As rollouts hold them: float32, infinite where that is too small for a number."""
    with np.errstate(over="ignore"):
        return given.astype(np.float32, copy=False)


class EpisodeStatistics:
    """Returns and lengths of the last finished episodes, in rewards as the environment gives them."""

    def __init__(self, envs: int) -> None:
        self.returns: deque[float] = deque(maxlen=_KEPT_EPISODES)
        self.lengths: deque[int] = deque(maxlen=_KEPT_EPISODES)
        self._running = np.zeros(envs)
        self._steps = np.zeros(envs, np.int64)

    def see(self, step: RawStep) -> None:
        """Add a step's rewards, and close the episodes that it ended."""
        self._running += step.rewards * step.live
        self._steps += step.live
        for env in np.flatnonzero((step.terminated | step.truncated) & step.live):
            self.returns.append(float(self._running[env]))
            self.lengths.append(int(self._steps[env]))
            self._running[env] = self._steps[env] = 0

    def state(self) -> dict[str, Any]:
        """Plain data and arrays."""
        return {
            "returns": list(self.returns),
            "lengths": list(self.lengths),
            "running": self._running.copy(),
            "steps": self._steps.copy(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.returns = deque(state["returns"], _KEPT_EPISODES)
        self.lengths = deque(state["lengths"], _KEPT_EPISODES)
        self._running, self._steps = np.array(state["running"]), np.array(state["steps"])


class GymEnvironments:
    """A VectorEnv as rollouts want it (`trading.ppo.collector.Environments`)."""

    def __init__(self, stepper: Stepper, actions: Actions, normalizer: Normalizer) -> None:
        self.normalizer = normalizer
        self.episodes = EpisodeStatistics(stepper.envs.num_envs)
        self._stepper, self._actions = stepper, actions
        self._size = observation_size(stepper.envs.single_observation_space)

    @property
    def num_envs(self) -> int:
        """See Environments."""
        return self._stepper.envs.num_envs

    def observe(self) -> NDArray[np.float32]:
        """See Environments; the normaliser learns from it."""
        seen = flat(self._stepper.observations, self._size)
        self.normalizer.see(seen, ~self._stepper.resetting)
        return self.normalizer.observations(seen)

    def step(self, actions: NDArray[Any]) -> Step:
        """See Environments."""
        raw = self._stepper.step(self._actions.to_env(actions))
        self.episodes.see(raw)
        return Step(
            final=self.normalizer.observations(flat(raw.final, self._size)),
            rewards=self.normalizer.rewards(raw.rewards, raw.terminated | raw.truncated, raw.live),
            terminated=raw.terminated,
            truncated=raw.truncated,
            mask=raw.live,
        )
