"""The Gymnasium environments: trading recorded history on the kernels that replay, paper and live trade on.

Importing this module registers `ztb/Trading-v0`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from ztb.market.instrument import Instrument
from ztb.trading.environment_options import EnvironmentOptions, TickSource, make_simulation
from ztb.trading.picture import Trail, png
from ztb.trading.vector_environment import (
    VectorTradingEnvironment,
    action_space,
    check_render_mode,
    draw_keys,
    facts,
    observation_space,
)

__all__ = ["ENVIRONMENT_ID", "EnvironmentOptions", "TradingEnvironment", "VectorTradingEnvironment"]

ENVIRONMENT_ID = "ztb/Trading-v0"


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
        self._trail = Trail()
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
        """See `ztb.trading.vector_environment.facts`."""
        return {name: values[0].item() for name, values in facts(self.simulation).items()}

    def render(self) -> NDArray[np.uint8] | None:
        """The episode so far as a picture, (H, W, 3) uint8; None without a render mode."""
        return self._trail.draw() if self.render_mode else None

    def save_picture(self, path: str | Path) -> None:
        """Write what `render` shows to `path`, as PNG; a picture needs `render_mode="rgb_array"`."""
        Path(path).write_bytes(png(self._trail.draw()))

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, copied; pictures are not part of it."""
        return {"simulation": self.simulation.state(), "np_random": self.np_random.bit_generator.state,
                "over": self._over}  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from the `state()` of an environment made the same way, bit for bit."""
        self.simulation.load_state(state["simulation"])
        self.np_random.bit_generator.state = state["np_random"]
        self._over = bool(state["over"])


gym.register(
    ENVIRONMENT_ID,
    entry_point="ztb.trading.environment:TradingEnvironment",
    vector_entry_point="ztb.trading.environment:VectorTradingEnvironment",
)
