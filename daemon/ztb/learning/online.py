"""Learning while trading: own transitions, and rollouts over the recent past, to PPO updates to candidates.

Own transitions and rollouts are one batch: transitions are folded into lanes as long as the rollouts are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import NonFiniteError
from ztb.learning.recent import AccountState, RecentRollouts
from ztb.learning.settings import OnlineConfig
from ztb.ledger.performance import finite
from ztb.ledger.records import UpdateRow
from ztb.trading.decided import Decided
from ztb.trading.observation import drawdown_seen
from ztb.trading.policy.weights import Weights
from ztb.trading.ppo.rollout import Rollout, UpdateStats

if TYPE_CHECKING:
    from ztb.trading.ppo.update import PPOUpdater


def fold(own: Rollout, steps: int) -> Rollout:
    """A rollout of one environment, (T, 1), as (steps, ceil(T / steps)): consecutive stretches, side by side.

    The first is filled up in front with what is masked. Each ends as cut off: the value of what follows it is the
    value of the next one's first observation.
    """
    total = len(own.rewards)
    lanes = -(-total // steps)
    missing = lanes * steps - total
    parts = {field.name: _fold(getattr(own, field.name), missing, lanes, steps) for field in fields(Rollout)}
    parts["truncated"][-1] = True
    parts["next_values"][-1, :-1] = parts["values"][0, 1:]
    return Rollout(**parts)


def _fold(array: NDArray[Any], missing: int, lanes: int, steps: int) -> NDArray[Any]:
    flat = array[:, 0]
    padded = np.concatenate([np.zeros((missing, *flat.shape[1:]), flat.dtype), flat])
    return np.ascontiguousarray(np.moveaxis(padded.reshape(lanes, steps, *flat.shape[1:]), 0, 1))


def newest_lanes(rollout: Rollout, lanes: int) -> Rollout:
    """Its last `lanes` environments, as views."""
    first = max(0, rollout.rewards.shape[1] - lanes)
    return Rollout(**{field.name: getattr(rollout, field.name)[:, first:] for field in fields(Rollout)})


def side_by_side(rollouts: Sequence[Rollout]) -> Rollout:
    """Rollouts of the same number of steps as one of all their environments."""
    if len(rollouts) == 1:
        return rollouts[0]
    names = [field.name for field in fields(Rollout)]
    return Rollout(**{name: np.concatenate([getattr(r, name) for r in rollouts], axis=1) for name in names})


@dataclass(frozen=True, slots=True)
class Transition:
    """One decision and what it earned, as at serving time. `observation` (D,) float32, `actions` one a head.

    `equity` when it was made, quote currency.
    """

    observation: NDArray[np.float32]
    actions: tuple[int, ...]
    logprob: float
    value: float
    reward: float
    generation: int
    tainted: bool
    equity: float

    @property
    def account(self) -> AccountState:
        """The account's worth when the decision was made."""
        return AccountState(self.equity, drawdown_seen(self.observation))


def transition_of(before: Decided, generation: int, reward: float, tainted: bool) -> Transition:
    """The decision `before`, by `generation`, as the learner wants it.

    An action without a log-prob is not the policy's own (a rule overruled it) and is not trained on.
    """
    action = before.action
    return Transition(
        observation=before.observation,
        actions=(action.size, action.timing),
        logprob=float(action.logprob or 0.0),
        value=float(action.value or 0.0),
        reward=reward,
        generation=generation,
        tainted=tainted or action.logprob is None,
        equity=before.equity,
    )


@dataclass(frozen=True, slots=True)
class Updated:
    """An update happened: its number, the statistics of its last pass, the mean own reward, and a candidate's
    weights if one is due.
    """

    update: int
    stats: UpdateStats
    mean_reward: float
    candidate: Weights | None


def update_row(update: int, ts_ns: int, decisions: int, stats: UpdateStats, mean_reward: float) -> UpdateRow:
    """An update as it is journaled."""
    return UpdateRow(
        number=update,
        ts_ns=ts_ns,
        decisions=decisions,
        policy_loss=stats.policy_loss,
        value_loss=stats.value_loss,
        entropy=stats.entropy,
        approx_kl=stats.approx_kl,
        clip_fraction=stats.clip_fraction,
        explained_variance=finite(stats.explained_variance),
        mean_reward=mean_reward,
        churn=finite(stats.churn),
        dormant=finite(stats.dormant),
    )


@dataclass(frozen=True, slots=True)
class Dropped:
    """An update that did not happen, because of a number that is not finite: its number, and what was not finite.

    `astray`: the learner itself has gone wrong, and is to begin anew from the last good generation.
    """

    update: int
    why: str
    astray: bool


class Restart(StrEnum):
    """The learner's way on when another generation serves."""

    NONE = ""
    """As it is."""
    SET_BACK = "set_back"
    """From the generation that serves; what was learnt since that was made is forgotten."""
    ANEW = "anew"
    """The same, and without the optimiser's moments: the learner had gone wrong."""


@dataclass(slots=True)
class LearnerCounts:
    """Counts of what was left out of training: transitions, save where another thing is named."""

    tainted: int = 0
    stale: int = 0
    empty: int = 0
    """Updates that did not happen because nothing was left to train on."""
    non_finite: int = 0
    """Updates that were dropped because of a number that was not finite."""


_MOST_ASTRAY = 2
"""Updates in a row that make what is not finite out of numbers that are, after which the learner has gone wrong."""


@dataclass(slots=True)
class OnlineLearner:
    """Collects transitions in order and updates the policy in step with them. Owns no clock and no thread.

    `updates_per_generation` updates make a candidate.

    An update is learnt from whole or not at all: whatever is not finite in it, or comes of it, leaves the learner as it
    was after the update before. Should its own state turn bad meanwhile, it goes back to that one too.
    """

    updater: PPOUpdater
    config: OnlineConfig
    updates_per_generation: int
    recent: RecentRollouts | None = None
    counts: LearnerCounts = field(default_factory=LearnerCounts)
    updates: int = 0
    _waiting: list[Transition] = field(default_factory=list[Transition])
    _sound: dict[str, Any] = field(default_factory=dict[str, Any])
    _astray: int = 0

    def __post_init__(self) -> None:
        self._sound = self.updater.state()

    def add(
        self, transition: Transition, next_value: float, serving: int, drop: bool = False
    ) -> Updated | Dropped | None:
        """Take one transition; returns the update it completed, or that was dropped, if it did.

        `next_value` is the serving policy's value of the observation that followed; `serving` its generation. `drop`:
        an update that this completes is to be dropped, as it was then, whatever is the matter with it now.
        """
        self._waiting.append(transition)
        if len(self._waiting) < self.config.update_every_decisions:
            return None
        own = self._own(next_value, serving)
        rewards = [t.reward for t in self._waiting]
        self._waiting.clear()
        try:
            stats = self._update(own, transition.account, drop)
        except NonFiniteError as error:
            return self._drop(error)
        if stats is None:
            self.counts.empty += 1
            return None
        self._astray = 0
        self._sound = self.updater.state()
        self.updates += 1
        due = (self.updates - self.counts.non_finite) % self.updates_per_generation == 0
        return Updated(self.updates, stats, float(np.mean(rewards)), self.updater.weights() if due else None)

    def _drop(self, error: NonFiniteError) -> Dropped:
        """Be what the last update left; the update that was dropped has its number all the same."""
        self.updates += 1
        self.counts.non_finite += 1
        self._astray = 0 if error.given else self._astray + 1
        broken = error.what in ("weights", "moments")
        self.updater.load_state(self._sound)
        return Dropped(self.updates, str(error), broken or self._astray >= _MOST_ASTRAY)

    @property
    def patience(self) -> int:
        """Transitions to come before the next update, the one that completes it included."""
        return self.config.update_every_decisions - len(self._waiting)

    @property
    def waiting(self) -> int:
        """Transitions taken that no update has used yet."""
        return len(self._waiting)

    def interrupt(self) -> None:
        """Bar the last transition from training: what comes next does not follow on it, nor may flow back over it."""
        if self._waiting:
            self._waiting[-1] = replace(self._waiting[-1], tainted=True)

    def restart(
        self, restart: Restart, weights: Weights, updater_state: Mapping[str, Any] | None = None
    ) -> None:
        """Go on from `weights` as `restart` says."""
        if restart is Restart.ANEW:
            self.begin_anew(weights)
        elif restart is Restart.SET_BACK:
            self.set_back(weights, updater_state)

    def set_back(self, weights: Weights, updater_state: Mapping[str, Any] | None) -> None:
        """Forget what has been learnt since `weights` were made; without a state the optimiser's moments stay."""
        if updater_state is None:
            self.updater.load_weights(weights)
        else:
            self.updater.load_state(dict(updater_state))
        self._sound = self.updater.state()
        self._astray = 0

    def begin_anew(self, weights: Weights) -> None:
        """Forget all that has been learnt since `weights` were made, the optimiser's moments too."""
        self.updater.begin_anew(weights)
        self._sound = self.updater.state()
        self._astray = 0

    def _update(self, own: Rollout, account: AccountState, drop: bool) -> UpdateStats | None:
        """Learn from `own`, and from rollouts of accounts like `account` over the recent window, if it is long enough.

        None: there was nothing to learn from. NonFiniteError: something was not finite, or it is to be dropped.
        """
        collector = None
        if self.recent is not None and self.config.own_share < 1.0:
            self.recent.advance()
            collector = self.recent.collector(self.updater.weights(), account)
        if drop:
            raise NonFiniteError("observation", "dropped as it was then")
        self.updater.check()
        if not np.isfinite(own.rewards).all():
            raise NonFiniteError("reward", "the reward of a decision of our own is not finite")
        if collector is None:
            return self.updater.update(own) if self.config.own_share > 0.0 and own.mask.any() else None
        own_lanes = self.config.own_lanes(collector.environments.num_envs)
        kept = [newest_lanes(fold(own, len(collector.rollout.rewards)), own_lanes)] if own_lanes else []
        stats = None
        for _ in range(self.config.passes):
            mixed = side_by_side([collector.collect(self.updater.weights()), *kept])
            if mixed.mask.any():
                stats = self.updater.update(mixed)
        return stats

    def _own(self, next_value: float, serving: int) -> Rollout:
        """The waiting transitions as a rollout of one environment, shape (T, 1, …)."""
        waiting = self._waiting
        n = len(waiting)
        mask = np.empty((n, 1), np.bool_)
        for i, transition in enumerate(waiting):
            stale = serving - transition.generation > self.config.max_generation_age
            self.counts.tainted += transition.tainted
            self.counts.stale += stale
            mask[i, 0] = not (transition.tainted or stale)
        values = np.array([t.value for t in waiting], np.float32).reshape(n, 1)
        next_values = np.append(values[1:, 0], np.float32(next_value)).reshape(n, 1)
        truncated = np.zeros((n, 1), np.bool_)
        truncated[-1, 0] = True
        return Rollout(
            observations=np.stack([t.observation for t in waiting])[:, None, :],
            actions=np.array([t.actions for t in waiting], np.int64)[:, None, :],
            logprobs=np.array([t.logprob for t in waiting], np.float32).reshape(n, 1),
            values=values,
            rewards=np.array([t.reward for t in waiting], np.float32).reshape(n, 1)
            * np.float32(self.config.reward_scale),
            terminated=np.zeros((n, 1), np.bool_),
            truncated=truncated,
            next_values=next_values,
            mask=mask,
        )
