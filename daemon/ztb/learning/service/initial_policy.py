"""The origin of generation 0: nothing, an earlier generation, or the first span of the data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ztb.errors import ConfigError, DataError, UsageError
from ztb.features import differing
from ztb.learning.allocation.evidence import GrowthEvidence
from ztb.learning.generations import GenerationInfo
from ztb.trading.policy.network import MakeNetwork, first_weights, weight_shapes
from ztb.trading.policy.weights import NetworkShape, Weights
from ztb.trading.ppo.finite import unsound
from ztb.utils import CheckpointManager

CHECKPOINT_NAME = "policy"
RANDOM = "random"
"""Name of the origin of a generation 0 that knows nothing."""
_UNITS_NS = {"h": 3_600_000_000_000, "d": 86_400_000_000_000, "w": 604_800_000_000_000, "m": 60_000_000_000}


@dataclass(frozen=True, slots=True)
class InitialPolicy:
    """Generation 0: `how` it came about, its weights, and what goes with them where it was trained.

    A run that is gone on with begins at the generation that served last: `served` says which it was, `first` is
    generation 0, `checkpoint` the number of the file. `evidence`: of its growth on history that it was not trained on.
    """

    how: str
    weights: Weights
    updater_state: dict[str, Any] | None = None
    normaliser_state: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    served: GenerationInfo | None = None
    first: GenerationInfo | None = None
    checkpoint: int | None = None
    evidence: GrowthEvidence | None = None


def parse_span(text: str | None, flag: str = "--pretrain") -> int:
    """A span such as 180d, 12h, 2w, 30m in nanoseconds; none or nothing is 0. UsageError otherwise."""
    if text is None or text in ("none", "0"):
        return 0
    found = re.fullmatch(r"(\d+)([hdwm])", text)
    if found is None:
        raise UsageError(f"{flag} {text!r}: give a span such as 180d, 12h, 2w or 30m, or none")
    return int(found[1]) * _UNITS_NS[found[2]]


def random_origin(
    shape: NetworkShape, seed: int, make: MakeNetwork | None, orthogonal: bool
) -> InitialPolicy:
    """A policy that knows nothing, and says so."""
    return InitialPolicy(RANDOM, first_weights(shape, seed, make, orthogonal))


def load_origin(text: str, shape: NetworkShape, schema_hash: str, make: MakeNetwork | None) -> InitialPolicy:
    """The generation named by `FOLDER` or `FOLDER:N`, a run directory or its checkpoints.

    DataError if there is none; ConfigError if it was made for other features or another network.
    """
    folder, number = _split(text)
    base = folder / "checkpoints" if (folder / "checkpoints").is_dir() else folder
    if not base.is_dir():
        raise DataError(f"{folder}: no run directory or checkpoint folder")
    state = CheckpointManager(base).load(CHECKPOINT_NAME, number, as_numpy=True)
    if state["feature_schema"] != schema_hash:
        raise ConfigError(
            f"{text}: made for feature schema {state['feature_schema']}, this run has {schema_hash}: "
            f"{differing(state['feature_schema'], schema_hash)} differ; use the features, decision period and version "
            "it was trained with"
        )
    weights: Weights = state["weights"]
    found = {name: array.shape for name, array in weights.items()}
    wanted = weight_shapes(shape, make)
    if found != wanted:
        raise ConfigError(f"{text}: its network {found} is not the configured one {wanted}")
    place = unsound([weights, state["updater"]])
    if place:
        raise DataError(
            f"{text}: {place} of its state is not finite; choose another generation of it, with :N"
        )
    return InitialPolicy(f"generation {text}", weights, state["updater"], state["normaliser"])


def _split(text: str) -> tuple[Path, int | None]:
    found = re.fullmatch(r"(.+):(\d+)", text)
    return (Path(found[1]), int(found[2])) if found else (Path(text), None)
