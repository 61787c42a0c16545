"""Generation 0: PPO on recorded history before the first decision that counts, with validation on its last part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.learning.holdout import Validation
from ztb.learning.training import CurvePoint, Training, split
from ztb.learning.training_settings import PretrainSettings
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks
from ztb.trading.policy.weights import Weights
from ztb.trading.recording import Recording

__all__ = ["PretrainSettings", "Pretrained", "begin_training", "pretrain"]

NormaliserState = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The best generation on the held-out part, with the state of its optimiser, and how it came about.

    `normaliser_state` is after the last decision of the ticks.
    """

    weights: Weights
    updater_state: dict[str, Any]
    normaliser_state: NormaliserState
    curve: tuple[CurvePoint, ...]
    validation: Validation
    best_update: int


def begin_training(
    ticks: Ticks, instrument: Instrument, settings: PretrainSettings, seed: int
) -> tuple[Training, tuple[Recording, Recording], NormaliserState]:
    """A training on the first part of `ticks`, what it trains on and what is held out, and the normaliser's state
    after the last decision. DataError: too few ticks.
    """
    recording, normaliser = settings.record(ticks, instrument)
    parts = split(recording, settings)
    return Training(*parts, settings, seed), parts, normaliser.state()


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
    training, _, normaliser_state = begin_training(ticks, instrument, settings, seed)
    for _ in training.run():
        if on_progress is not None:
            on_progress(training.updates / settings.updates)
    best = training.best
    return Pretrained(
        weights=best.weights,
        updater_state=best.updater_state,
        normaliser_state=normaliser_state,
        curve=tuple(training.curve),
        validation=training.validation(),
        best_update=best.update,
    )
