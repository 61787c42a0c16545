"""The Gymnasium environments: trading recorded history on the kernels that replay, paper and live trade on.

They are known to Gymnasium as `ztb/Trading-v0` once `ztb` was imported (ztb.trading.registration).

Also here: many trading environments side by side, in one compiled loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from ztb.errors import ConfigError
from ztb.features.forecast import BOUND
from ztb.market.instrument import Instrument
from ztb.trading.bridge import FACT_CASH, FACT_EQUITY, FACT_EXPOSURE, FACT_MID, FACT_POSITION
from ztb.trading.environment_options import EnvironmentOptions, TickSource, make_simulation
from ztb.trading.episode_renderer import EpisodeRenderer, png
from ztb.trading.registration import ENVIRONMENT_ID
from ztb.trading.simulation import Simulation
from ztb.trading.sizing import TIMINGS

_KEYS = 2**62
_FACTS = {
    "mid": FACT_MID,
    "cash": FACT_CASH,
    "position": FACT_POSITION,
    "equity": FACT_EQUITY,
    "exposure": FACT_EXPOSURE,
}


def observation_space(simulation: Simulation) -> gym.Space[Any]:
    """Normalised features and the account part (see ztb.trading.observation): a Box, (D,) float32."""
    bound = max(BOUND, *map(abs, simulation.bridge.ladder))
    return gym.spaces.Box(-bound, bound, (simulation.observation_size,), np.float32)


def action_space(simulation: Simulation) -> gym.spaces.MultiDiscrete:
    """(size, timing): a rung of the ladder; 0 wait, 1 passive, 2 aggressive."""
    return gym.spaces.MultiDiscrete([len(simulation.bridge.ladder), TIMINGS])


def draw_keys(generator: np.random.Generator, n: int) -> NDArray[np.int64]:
    """Keys of the random numbers of `n` lanes."""
    return generator.integers(0, _KEYS, n)


def facts(simulation: Simulation) -> dict[str, NDArray[Any]]:
    """Facts of each account at the present decision, (N,): `ts_ns`; `mid`, `cash`, `equity`, `fees` in
    quote, `position` in base currency; `exposure`, a share of equity; `tainted`, not to be trained on.
    """
    lanes, shared = simulation.lanes, simulation.recording.shared
    found: dict[str, NDArray[Any]] = {name: lanes.facts[:, place].copy() for name, place in _FACTS.items()}
    found["fees"] = lanes.account["fees"].copy()
    decision = lanes.lane["decision"]
    return {**found, "ts_ns": shared.times_ns[decision], "tainted": shared.tainted[decision]}


class VectorTradingEnvironment(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """`num_envs` accounts trading the same history, each in an episode of its own.

    An episode terminates when no equity is left, and is truncated after `episode_decisions` or at the end of the
    history; the next begins in the same step, with `final_obs` and `final_info` in the infos. Options are those
    of EnvironmentOptions; the risk gate of the daemon is no part of it. Environment i of `reset(seed=s)` is
    TradingEnvironment's `reset(seed=s + i)`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (as Gymnasium declares it)
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 8,
    }

    def __init__(
        self,
        ticks: TickSource = None,
        num_envs: int = 1,
        instrument: Instrument | None = None,
        *,
        render_mode: str | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        """`seed` seeds `np_random` until a reset does. ConfigError and DataError: see make_simulation."""
        check_render_mode(render_mode)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.simulation = make_simulation(ticks, instrument, EnvironmentOptions.of(options), num_envs)
        self.single_observation_space = observation_space(self.simulation)
        self.single_action_space = action_space(self.simulation)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._trails = [EpisodeRenderer() for _ in range(num_envs)] if render_mode else []
        self._begun = False
        if seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(seed)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """New episodes everywhere, or where `options["reset_mask"]` (N,) says; `seed`: one, or one for each."""
        chosen = (options or {}).get("reset_mask")
        if chosen is not None:
            chosen = np.asarray(chosen, np.bool_)
        self.simulation.reset(self._keys(seed), chosen)
        self._begun = True
        for i, trail in enumerate(self._trails):
            if chosen is None or chosen[i]:
                trail.clear()
                trail.add(self.simulation, i)
        return self.simulation.outcome.observations.copy(), self._infos()

    def _keys(self, seed: int | Sequence[int | None] | None) -> NDArray[np.int64]:
        if seed is None:
            return draw_keys(self.np_random, self.num_envs)
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else list(seed)
        if len(seeds) != self.num_envs:
            raise ConfigError(f"{len(seeds)} seeds for {self.num_envs} environments: give one for each")
        super().reset(seed=seeds[0])
        return np.concatenate([draw_keys(seeding.np_random(one)[0], 1) for one in seeds])

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """`actions` (N, 2). InvalidAction, ResetNeeded: as named."""
        chosen = np.ascontiguousarray(actions, np.int64)
        if chosen.shape != self.action_space.shape or not self.action_space.contains(chosen):
            raise gym.error.InvalidAction(f"{actions!r} is not in {self.action_space}")
        if not self._begun:
            raise gym.error.ResetNeeded("call reset before step")
        outcome = self.simulation.step(chosen)
        ended = outcome.terminated | outcome.truncated
        for i, trail in enumerate(self._trails):
            trail.add(self.simulation, i)
        infos = self._begin_again(ended) if ended.any() else self._infos()
        return (
            outcome.observations.copy(),
            outcome.rewards.copy(),
            outcome.terminated.copy(),
            outcome.truncated.copy(),
            infos,
        )

    def _begin_again(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """Restart what ended; infos of the new episodes, with the last words of the old."""
        final = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(ended):
            final[i] = self.simulation.outcome.observations[i].copy()
        final_info = self._infos(ended)
        self.simulation.restart(ended)
        for i in np.flatnonzero(ended) if self._trails else ():
            self._trails[i].clear()
            self._trails[i].add(self.simulation, int(i))
        last = {"final_obs": final, "final_info": final_info}
        return {**self._infos(), **last, **{f"_{name}": ended.copy() for name in last}}

    def _infos(self, chosen: NDArray[np.bool_] | None = None) -> dict[str, Any]:
        """The facts of all environments; `_name` tells which environments `name` is of."""
        found = facts(self.simulation)
        which = np.ones(self.num_envs, np.bool_) if chosen is None else chosen
        return {**found, **{f"_{name}": which.copy() for name in found}}

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture of each episode so far, (H, W, 3) each; None without a render mode."""
        return tuple(trail.draw() for trail in self._trails) if self.render_mode else None

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, copied; pictures are not part of it."""
        return {
            "simulation": self.simulation.state(),
            "np_random": self.np_random.bit_generator.state,
            "begun": self._begun,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from the `state()` of an environment made the same way, bit for bit."""
        self.simulation.load_state(state["simulation"])
        self.np_random.bit_generator.state = state["np_random"]
        self._begun = bool(state["begun"])


def check_render_mode(render_mode: str | None) -> None:
    """ConfigError: there is no such mode."""
    if render_mode not in (None, "rgb_array"):
        raise ConfigError(f"render_mode is {render_mode!r}: give 'rgb_array' or None")


__all__ = ["ENVIRONMENT_ID", "EnvironmentOptions", "TradingEnvironment", "VectorTradingEnvironment"]


class TradingEnvironment(gym.Env[NDArray[np.float32], NDArray[np.int64]]):
    """One account trading recorded history: the vector environment with one.

    Observation (D,) float32: normalised features, then our own account (ztb.trading.observation). Action
    (size, timing): a rung of the ladder of target exposures, and 0 wait, 1 passive, 2 aggressive. Reward: of the
    time until the next decision (ztb.trading.rewards). An episode terminates when no equity is left, and is
    truncated after `episode_decisions` or at the end of the history. Options are those of EnvironmentOptions; the
    risk gate of the daemon is no part of it.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 8}  # noqa: RUF012 (Gymnasium's way)

    def __init__(
        self,
        ticks: TickSource = None,
        instrument: Instrument | None = None,
        *,
        render_mode: str | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        """`seed` seeds `np_random` until a reset does. ConfigError and DataError: see make_simulation."""
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self.simulation = make_simulation(ticks, instrument, EnvironmentOptions.of(options), 1)
        self.observation_space = observation_space(self.simulation)
        self.action_space = action_space(self.simulation)
        self._trail = EpisodeRenderer()
        self._over = True
        if seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(seed)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """A new episode; there are no `options`."""
        super().reset(seed=seed)
        self.simulation.reset(draw_keys(self.np_random, 1))
        self._over = False
        self._trail.clear()
        self._remember()
        return self.simulation.outcome.observations[0].copy(), self._info()

    def step(
        self, action: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """InvalidAction, ResetNeeded: as named."""
        chosen = np.ascontiguousarray(action, np.int64)
        if not self.action_space.contains(chosen):
            raise gym.error.InvalidAction(f"{action!r} is not in {self.action_space}")
        if self._over:
            raise gym.error.ResetNeeded("the episode is over, or none has begun: call reset")
        outcome = self.simulation.step(chosen.reshape(1, 2))
        terminated, truncated = bool(outcome.terminated[0]), bool(outcome.truncated[0])
        self._over = terminated or truncated
        self._remember()
        return outcome.observations[0].copy(), float(outcome.rewards[0]), terminated, truncated, self._info()

    def _remember(self) -> None:
        if self.render_mode:
            self._trail.add(self.simulation, 0)

    def _info(self) -> dict[str, Any]:
        """The facts of the one environment."""
        return {name: values[0].item() for name, values in facts(self.simulation).items()}

    def render(self) -> NDArray[np.uint8] | None:
        """The episode so far as a picture, (H, W, 3) uint8; None without a render mode."""
        return self._trail.draw() if self.render_mode else None

    def save_picture(self, path: str | Path) -> None:
        """Write what `render` shows to `path`, as PNG; a picture needs `render_mode="rgb_array"`."""
        Path(path).write_bytes(png(self._trail.draw()))

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, copied; pictures are not part of it."""
        return {
            "simulation": self.simulation.state(),
            "np_random": self.np_random.bit_generator.state,
            "over": self._over,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from the `state()` of an environment made the same way, bit for bit."""
        self.simulation.load_state(state["simulation"])
        self.np_random.bit_generator.state = state["np_random"]
        self._over = bool(state["over"])
