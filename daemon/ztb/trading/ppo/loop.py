"""The training loop of PPO: a rollout, an update, and again (Schulman et al. 2017, algorithm 1).

On Gymnasium's environments (`trading.ppo_trainer`) and on recorded history (`learning.training`) alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from ztb.errors import NonFiniteError, StrategyError
from ztb.trading.policy.weights import Weights
from ztb.trading.ppo.collector import Environments, RolloutCollector
from ztb.trading.ppo.rollout import Rollout, UpdateStats
from ztb.trading.ppo.update import PPOUpdater

_E = TypeVar("_E", bound=Environments)
_P = TypeVar("_P")


class TrainingLoop(Generic[_E]):
    """A collector, the updater that learns from what it collects, and how often they have: `steps` and `updates`.

    `steps` are transitions, over all environments.
    """

    def __init__(self, collector: RolloutCollector[_E], updater: PPOUpdater) -> None:
        self.collector = collector
        self.updater = updater
        self.steps = self.updates = 0

    def iterate(
        self, remaining: float, weights: Weights | None = None, most: int | None = None
    ) -> tuple[Rollout, UpdateStats]:
        """One rollout (see `RolloutCollector.collect`) and one update (see `PPOUpdater.update`)."""
        rollout = self.collector.collect(weights, most)
        stats = self.updater.update(rollout, remaining)
        self.steps += rollout.rewards.size
        self.updates += 1
        return rollout, stats

    def run(
        self, update: Callable[[], _P], over: Callable[[], bool], save: Callable[[], None], every: int
    ) -> Iterator[_P]:
        """Call `update`, which iterates once, until `over`; yields what each returned.

        `save` is called after each `every` updates, and, unless none was ever made, before an error of what is not
        finite (NonFiniteError, StrategyError) is raised.
        """
        while not over():
            try:
                done = update()
            except (NonFiniteError, StrategyError):
                if self.updates:
                    save()
                raise
            if self.updates % every == 0:
                save()
            yield done
