"""Training on history as a run is configured; and generation 0 from the first span of the data, not traded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from ztb.errors import DataError
from ztb.learning.service.initial_policy import InitialPolicy
from ztb.market.history import History
from ztb.market.ticks import Ticks, join_ticks
from ztb.runtime.build.assembly import Assembly

if TYPE_CHECKING:
    from ztb.learning.pretrain import Pretrained, PretrainSettings

_ROWS = 65_536


def ticks_before(history: History, end_ns: int | None) -> Ticks:
    """The ticks before `end_ns`, or all. DataError: there are none."""
    parts: list[Ticks] = []
    for block in history.blocks(_ROWS):
        n = len(block) if end_ns is None else int(np.searchsorted(block["ts_ns"], end_ns))
        parts.append(block[:n])
        if n < len(block):
            break
    if not sum(map(len, parts)):
        raise DataError("there is nothing to train on in the span that was asked for: give a longer one")
    return join_ticks(parts)


def training_settings(assembly: Assembly) -> PretrainSettings:
    """The training settings of a run with this configuration."""
    # Imported here alone: a run that does not pretrain, and whose learner has its own process, never needs torch.
    from ztb.learning.pretrain import PretrainSettings

    config = assembly.config
    return PretrainSettings(
        features=assembly.features,
        normaliser=assembly.normaliser,
        clock=assembly.clock,
        period_ns=assembly.period_ns,
        bridge=assembly.bridge,
        paper=config.paper,
        ppo=config.ppo,
        start_cash=config.execution.start_cash_quote,
        online=config.online,
        sample=config.strategy.sample,
        network=assembly.strategy.network,
        own_reward=assembly.strategy.reward,
    )


def pretrained_origin(
    assembly: Assembly, history: History, end_ns: int, seed: int, on_progress: Callable[[float], None]
) -> InitialPolicy:
    """Train on the ticks before `end_ns`. The normaliser is not taken over: the run goes through the span itself."""
    from ztb.learning.pretrain import pretrain
    from ztb.learning.walk_forward import walk_forward

    ticks, settings, evidence = ticks_before(history, end_ns), training_settings(assembly), None
    given = assembly.config.allocation
    folds = given.folds if assembly.allocates else 0
    done = pretrain(
        ticks=ticks,
        instrument=assembly.instrument,
        settings=settings,
        seed=seed,
        on_progress=lambda done: on_progress(done / (1 + folds)),
    )
    if folds:
        evidence = walk_forward(
            ticks=ticks,
            instrument=assembly.instrument,
            settings=settings,
            plan=given,
            seed=seed,
            on_progress=lambda done: on_progress((1 + folds * done) / (1 + folds)),
        )
    return InitialPolicy(
        how="pretrained",
        weights=done.weights,
        updater_state=done.updater_state,
        normaliser_state=None,
        facts=_facts(done),
        evidence=evidence,
    )


def _facts(done: Pretrained) -> dict[str, object]:
    """Facts about the pretraining, for the manifest and the report."""
    return {
        "best_update": done.best_update,
        "updates": len(done.curve),
        "validation_mean_reward": asdict(done.validation),
    }
