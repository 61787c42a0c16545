"""The weights that a session kept, and the swaps between them where the journal says they happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError, ZtbError
from ztb.learning.generations import GenerationInfo, ServedPolicy
from ztb.learning.service.base import Learning
from ztb.learning.service.initial_policy import CHECKPOINT_NAME
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.verify.record import RecordedStart
from ztb.telemetry.why.recomputation import load_weights
from ztb.trading.policy.weights import Weights, weights_sha256
from ztb.utils import CheckpointManager


@dataclass(frozen=True, slots=True)
class Relearnt:
    """The number of generations and updates that are the same, the first that is not, and the first that could not
    be made again because the ticks ended, each in words or "".
    """

    generations: int = 0
    updates: int = 0
    difference: str = ""
    unmade: str = ""


@dataclass(frozen=True, slots=True)
class RecordedGenerations:
    """Generations on disk, held against the digests in the journal."""

    directory: RunDirectory
    digests: dict[int, str]

    def generation(self, number: int) -> GenerationInfo:
        """One of them. DataError: it was not kept, or is another than the one that served."""
        try:
            weights = load_weights(self.directory, number)[1]
        except ZtbError as error:
            raise DataError(f"generation {number} served, but cannot be had any more: {error}") from error
        return self.checked(GenerationInfo(number, None, weights, weights_sha256(weights)))

    def present(self) -> set[int]:
        """The generations that are on disk."""
        listed = CheckpointManager(self.directory.checkpoints).list(CHECKPOINT_NAME)
        return {saved.lineage["generation"] for saved in listed if saved.fault is None}

    def state(self, number: int) -> tuple[Weights, dict[str, Any] | None]:
        """The weights of a generation, and the updater's state that made them. DataError: it was not kept."""
        manager = CheckpointManager(self.directory.checkpoints)
        for saved in manager.list(CHECKPOINT_NAME):
            if saved.lineage.get("generation") == number:
                state = manager.load(CHECKPOINT_NAME, saved.number, as_numpy=True)
                return state["weights"], state["updater"]
        raise DataError(f"the learner went back to generation {number}, which was not kept")

    def checked(self, info: GenerationInfo) -> GenerationInfo:
        """`info`, if its weights are those of the journal. DataError."""
        wanted = self.digests.get(info.number)
        if wanted != info.sha256:
            raise DataError(
                f"{self.directory.checkpoints}: the weights of generation {info.number} are not those that served: "
                f"their digest is {info.sha256}, the journal says {wanted}: restore the folder from a copy"
            )
        return info


class KeptSwaps(Learning):
    """In the learner's place: before each decision, what served it then."""

    def __init__(self, start: RecordedStart, kept: RecordedGenerations, policy: ServedPolicy | None) -> None:
        self.generation = start.made_of["generation"] or 0
        self._served = {row.decision: row.generation for row in start.decisions}
        self._first = start.decisions[0].decision
        self._kept = kept
        self._policy = policy

    def begin(self, ts_ns: int, origin: str) -> None:
        """See `Learning`."""
        self._prepare(self._first)

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """See `Learning`."""
        self._prepare(decision + 1)

    def relearnt(self) -> Relearnt | None:
        """The result of learning again; None: nothing was."""
        return None

    def _prepare(self, decision: int) -> None:
        number = self._served.get(decision, self.generation)
        if number != self.generation and self._policy is not None:
            self._policy.swap(self._kept.generation(number))
            self.generation = number
