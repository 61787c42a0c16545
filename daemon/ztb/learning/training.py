"""PPO on recorded history: rollouts, updates, looks at a held-out part; the best generation is kept.

All training on history is this: generation 0 of a run, and `ztb train`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError, NonFiniteError, StrategyError
from ztb.learning.forecast import fit_forecast
from ztb.learning.holdout import HoldoutEvaluator, Validation
from ztb.learning.rollouts import SimulatedEnvironments, new_actor, simulated_rollouts
from ztb.learning.training_settings import PretrainSettings
from ztb.trading.episodes import Episodes
from ztb.trading.policy.network import first_weights
from ztb.trading.policy.torch_network import build_module
from ztb.trading.policy.weights import Weights
from ztb.trading.ppo.loop import TrainingLoop
from ztb.trading.ppo.rollout import Rollout, UpdateStats
from ztb.trading.ppo.update import PPOUpdater
from ztb.trading.recording import Recording
from ztb.trading.simulation import Simulation


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """After one update: the mean reward a decision in training, and on the held-out part where it was looked at.

    Rewards are those trained on, unscaled: the bridge's less the luck in them. `steps` counts decisions trained on,
    over all environments.
    """

    update: int
    steps: int
    mean_reward: float
    validation: float | None
    stats: UpdateStats

    def plain(self) -> dict[str, Any]:
        """As plain data: None where a figure does not exist."""
        stats = {name: _known(value) for name, value in asdict(self.stats).items()}
        return {**asdict(self), "stats": stats}


@dataclass(frozen=True, slots=True)
class BestPolicy:
    """The policy that did best on the held-out part: the update it came from, and the optimiser's state.

    `validation` is its mean reward there less the luck in it, by which it was chosen, `reward` with it.
    """

    validation: float
    reward: float
    update: int
    weights: Weights
    updater_state: dict[str, Any]


def split(recording: Recording, settings: PretrainSettings) -> tuple[Recording, Recording]:
    """The part to train on, and the part held out. DataError: one of them has no two decisions."""
    n = recording.decisions
    first = n - int(n * settings.validation_fraction)
    if settings.validation_from_ns is not None:
        first = int(np.searchsorted(recording.shared.times_ns, settings.validation_from_ns))
    if first < 2 or n - first < 2:
        raise DataError(
            f"{n} decisions, {n - first} of them held out, are too few to train on and to validate with: "
            "give a longer span"
        )
    return recording.window(0, first), recording.window(first, n)


def _innovations(
    recording: Recording, held_out: Recording, settings: PretrainSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | tuple[None, None]:
    """Of the log returns of both parts, what counts as luck, by a forecast that was made on the first alone.

    None where a reward is not a log return.
    """
    share = 1.0 - settings.online.luck_weight
    if not share or settings.own_reward is not None or settings.bridge.reward != "log_return":
        return None, None
    forecast = fit_forecast(recording)
    return share * forecast.innovations(recording), share * forecast.innovations(held_out)


class Training:
    """PPO on `recording`, examined on `held_out`; ends after `settings.updates`, or early for want of progress.

    `load_state(state())` goes on bit for bit in a training made of the same things.
    """

    def __init__(
        self, recording: Recording, held_out: Recording, settings: PretrainSettings, seed: int
    ) -> None:
        ppo = settings.ppo
        shape = settings.shape(recording.feature_size)
        weights = first_weights(shape, seed, settings.network, ppo.orthogonal_init)
        episodes = Episodes(2 * ppo.num_steps, random_start=True, random_account=True)
        simulation = Simulation(
            recording=recording,
            bridge=settings.bridge,
            paper=settings.paper,
            start_cash=settings.start_cash,
            episodes=episodes,
            num_lanes=ppo.num_envs,
        )
        self.settings = settings
        trained, examined = _innovations(recording, held_out, settings)
        environments = SimulatedEnvironments(
            simulation, settings.online.reward_scale, settings.own_reward, innovations=trained
        )
        collector = simulated_rollouts(
            shape, weights, environments, steps=ppo.num_steps, seed=seed, make=settings.network
        )
        module = build_module(shape, settings.network, seed) if settings.network else None
        self.updater = PPOUpdater(shape, ppo, weights, seed, device=settings.device, module=module)
        self._loop = TrainingLoop(collector, self.updater)
        self._actor = new_actor(shape, weights, settings.validation_lanes, settings.network)
        self._examination = HoldoutEvaluator(held_out, settings, seed, examined)
        self.best = BestPolicy(
            validation=-np.inf, reward=-np.inf, update=0, weights=weights, updater_state=self.updater.state()
        )
        self.curve: list[CurvePoint] = []

    @property
    def updates(self) -> int:
        return self._loop.updates

    @property
    def stale(self) -> bool:
        """True if too many looks in a row have found nothing better."""
        patience = self.settings.patience * self.settings.validate_every
        return 0 < patience <= self.updates - self.best.update

    @property
    def over(self) -> bool:
        return self.stale or self.updates >= self.settings.updates

    def update(self) -> CurvePoint:
        """Collect, learn, look at the held-out part where it is time.

        StrategyError: the strategy's own reward is not finite. NonFiniteError: an observation, another reward or the
        loss is not, and of which environment and step. Then nothing was learnt, and `state()` is of the update before.
        """
        settings, number = self.settings, self.updates + 1
        try:
            remaining = 1.0 - self.updates / settings.updates
            rollout, stats = self._loop.iterate(remaining, weights=self.updater.weights())
        except NonFiniteError as error:
            raise self._explained(error, number) from None
        due = number % settings.validate_every == 0 or number == settings.updates
        found = self._examine(number) if due else None
        point = CurvePoint(
            update=number,
            steps=self._loop.steps,
            mean_reward=self._mean_reward(rollout),
            validation=found,
            stats=stats,
        )
        self.curve.append(point)
        return point

    def run(
        self,
        stop: Callable[[], bool] = lambda: False,
        save: Callable[[], None] = lambda: None,
        every: int = 1,
    ) -> Iterator[CurvePoint]:
        """Update until the end, or until `stop` says so; see `TrainingLoop.run`."""
        return self._loop.run(self.update, lambda: self.over or stop(), save, every)

    def _explained(self, error: NonFiniteError, number: int) -> StrategyError | NonFiniteError:
        """The error as told to whoever can mend it."""
        if error.what == "reward" and self.settings.own_reward is not None:
            return StrategyError(str(error))
        said = f"{error}, of update {number}: it was not learnt from"
        if error.step is not None:
            said += (
                f"; that is step {(number - 1) * self.settings.ppo.num_steps + error.step} of the training"
            )
        return NonFiniteError(error.what, said, error.env, error.step)

    def _mean_reward(self, rollout: Rollout) -> float:
        return float(np.mean(rollout.rewards, dtype=np.float64)) / self.settings.online.reward_scale

    def _examine(self, number: int) -> float:
        weights = self.updater.weights()
        self._actor.evaluator.load(weights)
        found = self._examination.policy(self._actor)
        if not math.isfinite(found.less_luck):
            raise NonFiniteError(
                "reward", f"the mean reward on the held-out part is {found.less_luck} at update {number}"
            )
        if found.less_luck > self.best.validation:
            state = self.updater.state()
            self.best = BestPolicy(
                validation=found.less_luck,
                reward=found.reward,
                update=number,
                weights=weights,
                updater_state=state,
            )
        return found.less_luck

    def validation(self) -> Validation:
        """The best policy's figure beside those of policies that know nothing."""
        return self._examination.against_ignorance(self.best.reward)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, copied: plain data and numpy arrays."""
        best = {name: getattr(self.best, name) for name in BestPolicy.__slots__}
        for name in ("validation", "reward"):
            best[name] = _known(best[name])
        return {
            "updater": self.updater.state(),
            "collector": {
                "generator": self._loop.collector.generator.bit_generator.state,
                "simulation": self._loop.collector.environments.simulation.state(),
            },
            "best": best,
            "curve": [point.plain() for point in self.curve],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self.updater.load_state(state["updater"])
        self._loop.collector.generator.bit_generator.state = state["collector"]["generator"]
        self._loop.collector.environments.simulation.load_state(state["collector"]["simulation"])
        best: dict[str, Any] = dict(state["best"])
        for name in ("validation", "reward"):
            best[name] = -np.inf if best[name] is None else best[name]
        self.best = BestPolicy(**best)
        self.curve = [_point(**point) for point in state["curve"]]
        self._loop.updates = len(self.curve)
        self._loop.steps = self.curve[-1].steps if self.curve else 0


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _point(stats: dict[str, Any], **rest: Any) -> CurvePoint:
    found: dict[str, Any] = {name: math.nan if value is None else value for name, value in stats.items()}
    return CurvePoint(stats=UpdateStats(**found), **rest)
