"""One way to step any environment: whatever is given becomes a VectorEnv, and autoreset modes become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from ztb.errors import ConfigError, NonFiniteError

AnyEnv = gym.Env[Any, Any] | VectorEnv[Any, Any, Any]
EnvSource = str | AnyEnv | Callable[[], AnyEnv]


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
class Step:
    """What a step of N environments gave; observations as the environment has them."""

    observations: NDArray[Any]
    """What to act on next."""
    final: NDArray[Any]
    """What the step led to: the last observation of an episode that ended, else the same."""
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

    def step(self, actions: NDArray[Any]) -> Step:
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
        return Step(self.observations, final, np.asarray(rewards, np.float64), terminated, truncated, live)

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
