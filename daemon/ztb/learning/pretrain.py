"""Generation 0: PPO on recorded history before the first decision that counts, with validation on its last part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.execution.paper_config import PaperConfig
from ztb.features import FeatureSet, Normaliser
from ztb.learning.rollouts import BatchPolicy, Collector, episode_keys
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks
from ztb.trading.bridge import BridgeConfig
from ztb.trading.decision_clock import DecisionClock
from ztb.trading.episodes import Episodes
from ztb.trading.network import MakeNetwork, build_module, first_weights
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy import NetworkShape, Weights
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.rollout import Rollout
from ztb.trading.ppo.stats import UpdateStats
from ztb.trading.ppo.update import PPOUpdater
from ztb.trading.recording import Recording, record
from ztb.trading.simulation import Simulation
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMINGS
from ztb.trading.strategy import OwnReward


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """What the policy is told, how it trades, how it learns. The factories give each a fresh one."""

    features: Callable[[], FeatureSet]
    normaliser: Callable[[int], Normaliser]
    clock: Callable[[], DecisionClock]
    period_ns: int
    bridge: BridgeConfig
    paper: PaperConfig
    ppo: PPOConfig
    start_cash: float
    reward_scale: float
    network: MakeNetwork | None = None
    own_reward: OwnReward | None = None
    updates: int = 48
    validate_every: int = 4
    """Updates between two looks at the held-out part; the last update is always followed by one."""
    validation_fraction: float = 0.2
    """Of the decisions, the last, never trained on."""
    validation_lanes: int = 16
    """Sampled paths through the held-out part, each with the same random numbers every time."""

    def shape(self, feature_size: int) -> NetworkShape:
        """The network that is trained, for `feature_size` features."""
        heads = (len(self.bridge.ladder), TIMINGS)
        return NetworkShape(feature_size + ACCOUNT_SIZE, heads, self.ppo.hidden, self.ppo.shared_trunk)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """After one update: the mean reward a decision in training, and on the held-out part where it was looked at.

    Rewards are those of the bridge, unscaled.
    """

    update: int
    steps: int
    mean_reward: float
    validation: float | None
    stats: UpdateStats


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
class Pretrained:
    """The best generation on the held-out part, with the state of its optimiser, and how it came about.

    `normaliser_state` is after the last decision of the ticks.
    """

    weights: Weights
    updater_state: dict[str, Any]
    normaliser_state: dict[str, NDArray[np.float64]]
    curve: tuple[CurvePoint, ...]
    validation: Validation
    best_update: int


def pretrain(
    ticks: Ticks,
    instrument: Instrument,
    settings: PretrainSettings,
    seed: int,
    on_progress: Callable[[float], None] | None = None,
) -> Pretrained:
    """Train on the first part of `ticks`, keep what does best on the last; the same bits for the same seed.

    `on_progress` hears the fraction done after each update. DataError: too few ticks.
    """
    features = settings.features()
    normaliser = settings.normaliser(features.size)
    recording = record(ticks, instrument, settings.period_ns, settings.clock(), features, normaliser)
    training = _Training(*_split(recording, settings), settings, seed)
    for update in range(1, settings.updates + 1):
        training.update(update)
        if on_progress is not None:
            on_progress(update / settings.updates)
    weights, state = training.best
    return Pretrained(
        weights, state, normaliser.state(), tuple(training.curve), training.validation(), training.best_update
    )


def _split(recording: Recording, settings: PretrainSettings) -> tuple[Recording, Recording]:
    """What is trained on, and what is held out."""
    n = recording.decisions
    first = n - int(n * settings.validation_fraction)
    if first < 2 or n - first < 2:
        raise DataError(f"{n} decisions are too few to train on and to validate with: give a longer span")
    return recording.window(0, first), recording.window(first, n)


class _Examination:
    """The held-out part, passed by some sampled paths with the same random numbers every time."""

    def __init__(self, recording: Recording, settings: PretrainSettings, seed: int) -> None:
        lanes = settings.validation_lanes
        self._simulation = Simulation(
            recording, settings.bridge, settings.paper, settings.start_cash, Episodes(), lanes
        )
        generator = np.random.Generator(np.random.PCG64(seed))
        self._keys = episode_keys(generator, lanes)
        self._uniforms = generator.random((recording.decisions - 1, lanes, 2))
        self._rungs = len(settings.bridge.ladder)
        self._logprobs = np.zeros(lanes, np.float32)

    def policy(self, policy: BatchPolicy) -> float:
        """The mean reward a decision of a sampled policy."""
        actions = np.zeros((len(self._keys), 2), np.int64)

        def choose(uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
            seen = self._simulation.outcome.observations
            policy.decide(seen, uniforms, actions, self._logprobs)
            return actions

        return self._mean(choose)

    def random(self) -> float:
        """The mean reward of actions drawn uniformly."""
        return self._mean(lambda uniforms: (uniforms * (self._rungs, TIMINGS)).astype(np.int64))

    def constant(self, rung: int) -> float:
        """The mean reward of one target exposure, taken at once."""
        actions = np.tile(np.array([rung, TIMING_AGGRESSIVE], np.int64), (len(self._keys), 1))
        return self._mean(lambda _: actions)

    def _mean(self, choose: Callable[[NDArray[np.float64]], NDArray[np.int64]]) -> float:
        simulation = self._simulation
        simulation.reset(self._keys)
        total = 0.0
        for uniforms in self._uniforms:
            outcome = simulation.step(choose(uniforms))
            total += float(outcome.rewards.mean())
            if outcome.terminated.any():
                simulation.restart(outcome.terminated)
        return total / len(self._uniforms)


class _Training:
    """PPO on `recording`, examined on `held_out`, the best generation kept."""

    def __init__(
        self, recording: Recording, held_out: Recording, settings: PretrainSettings, seed: int
    ) -> None:
        ppo = settings.ppo
        shape = settings.shape(recording.feature_size)
        weights = first_weights(shape, seed, settings.network)
        episodes = Episodes(2 * ppo.num_steps, random_start=True, random_account=True)
        simulation = Simulation(
            recording, settings.bridge, settings.paper, settings.start_cash, episodes, ppo.num_envs
        )
        self._settings = settings
        self._collector = Collector(
            shape, weights, simulation, ppo.num_steps, seed, settings.reward_scale, settings.network,
            settings.own_reward,
        )  # fmt: skip
        module = build_module(shape, settings.network, seed) if settings.network else None
        self._updater = PPOUpdater(shape, ppo, weights, seed, module=module)
        self._policy = BatchPolicy(shape, weights, settings.validation_lanes, settings.network)
        self._examination = _Examination(held_out, settings, seed)
        self._ladder = settings.bridge.ladder
        self._best = -np.inf
        self.best_update = 0
        self.best: tuple[Weights, dict[str, Any]] = weights, self._updater.state()
        self.curve: list[CurvePoint] = []

    def update(self, number: int) -> None:
        """Collect, learn, look at the held-out part where it is time."""
        settings = self._settings
        rollout = self._collector.collect(self._updater.weights())
        stats = self._updater.update(rollout, 1.0 - (number - 1) / settings.updates)
        due = number % settings.validate_every == 0 or number == settings.updates
        found = self._examine(number) if due else None
        steps = number * rollout.rewards.size
        self.curve.append(CurvePoint(number, steps, self._mean_reward(rollout), found, stats))

    def _mean_reward(self, rollout: Rollout) -> float:
        return float(np.mean(rollout.rewards, dtype=np.float64)) / self._settings.reward_scale

    def _examine(self, number: int) -> float:
        weights = self._updater.weights()
        self._policy.load(weights)
        found = self._examination.policy(self._policy)
        if found > self._best:
            self._best, self.best_update = found, number
            self.best = weights, self._updater.state()
        return found

    def validation(self) -> Validation:
        """The kept policy's figure beside those of policies that know nothing."""
        examination, ladder = self._examination, self._ladder
        flat, hold = examination.constant(ladder.index(0.0)), examination.constant(len(ladder) - 1)
        return Validation(self._best, flat, hold, examination.random())
