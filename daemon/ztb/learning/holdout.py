"""Evaluation of a policy on history that it was not trained on, beside policies that know nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztb.learning.luck import Luck
from ztb.learning.rollouts import episode_keys
from ztb.learning.training_settings import PretrainSettings
from ztb.trading.episodes import Episodes
from ztb.trading.policy.evaluator import Actor
from ztb.trading.recording import Recording
from ztb.trading.simulation import Simulation
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMINGS


@dataclass(frozen=True, slots=True)
class Validation:
    """Mean rewards a decision on the held-out part: of the policy that was kept, and of three that know nothing.

    `hold` keeps the highest rung of the ladder, `random` draws every action uniformly.
    """

    policy: float
    flat: float
    hold: float
    random: float


@dataclass(frozen=True, slots=True)
class HoldoutScore:
    """Mean rewards a decision on the held-out part: as they were, and less the luck in them (see `Luck`)."""

    reward: float
    less_luck: float


class HoldoutEvaluator:
    """The held-out part, passed by some paths with the same random numbers every time.

    `innovations` (K,) are those of the log returns after its decisions; None: nothing is held to be luck.
    """

    def __init__(
        self,
        recording: Recording,
        settings: PretrainSettings,
        seed: int,
        innovations: NDArray[np.float64] | None = None,
    ) -> None:
        lanes = settings.validation_lanes
        self._simulation = Simulation(
            recording=recording,
            bridge=settings.bridge,
            paper=settings.paper,
            start_cash=settings.start_cash,
            episodes=Episodes(),
            num_lanes=lanes,
        )
        self._luck = Luck(self._simulation, innovations)
        generator = np.random.Generator(np.random.PCG64(seed))
        self._keys = episode_keys(generator, lanes)
        self._uniforms = generator.random((recording.decisions - 1, lanes, 2))
        self._rungs = len(settings.bridge.ladder)
        self._flat = settings.bridge.ladder.index(0.0)
        self._logprobs = np.zeros(lanes, np.float32)
        self._greedy = not settings.sample

    def policy(self, actor: Actor) -> HoldoutScore:
        """The mean rewards a decision of `actor`, acting as it will serve."""
        actions = np.zeros((len(self._keys), 2), np.int64)

        def choose(uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
            seen = self._simulation.outcome.observations
            actor.act(seen, uniforms, actions, self._logprobs, greedy=self._greedy)
            return actions

        return self._mean(choose)

    def random(self) -> float:
        """The mean reward of actions drawn uniformly."""
        return self._mean(lambda uniforms: (uniforms * (self._rungs, TIMINGS)).astype(np.int64)).reward

    def constant(self, rung: int) -> float:
        """The mean reward of one target exposure, taken at once."""
        actions = np.tile(np.array([rung, TIMING_AGGRESSIVE], np.int64), (len(self._keys), 1))
        return self._mean(lambda _: actions).reward

    def against_ignorance(self, policy: float) -> Validation:
        """`policy`'s figure beside those of policies that know nothing."""
        return Validation(policy, self.constant(self._flat), self.constant(self._rungs - 1), self.random())

    def _mean(self, choose: Callable[[NDArray[np.float64]], NDArray[np.int64]]) -> HoldoutScore:
        simulation = self._simulation
        simulation.reset(self._keys)
        rewards, lucky = np.empty((2, len(self._uniforms), len(self._keys)))
        outcome = simulation.outcome
        for t, uniforms in enumerate(self._uniforms):
            lucky[t] = self._luck.step(choose(uniforms))
            rewards[t] = outcome.rewards
            if outcome.terminated.any():
                simulation.restart(outcome.terminated)
        return HoldoutScore(float(rewards.mean()), float((rewards - lucky).mean()))
