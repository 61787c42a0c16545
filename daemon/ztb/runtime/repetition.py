"""A recorded session again: its ticks in their order, its generations where the journal says they served.

Only what came from outside is taken from the record: ticks, the weights that were swapped in, and the holds on new
risk. Everything else is done again, and every decision compared with the one that was made, up to where an operator
stopped the trading.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.config import Config
from ztb.errors import DataError
from ztb.execution.risk import Reason, RiskMemory
from ztb.learning.generations import GenerationInfo, ServedPolicy
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import STOPPING, DecisionRow, FillRow, NoteRow, OrderRow, Record
from ztb.ledger.run_directory import RunDirectory
from ztb.market.instrument import Instrument
from ztb.market.recording import RecordingReader
from ztb.market.ticks import Ticks
from ztb.runtime.assembly import Assembly, assemble
from ztb.runtime.engine import Learning, Progress
from ztb.runtime.origin import Origin, load_origin
from ztb.runtime.recovery import Opening
from ztb.runtime.session import Frame, MakeOrigin, Session
from ztb.runtime.trading import configured
from ztb.telemetry.why.recomputation import load_weights
from ztb.trading.weights import NetworkShape, weights_sha256

_COMPARED: tuple[type[Record], ...] = (DecisionRow, OrderRow, FillRow)
_HOLD = "as recorded"
_STEERED = frozenset({"halted", "reduce_only", "flattening", STOPPING})
_NEVER_NS = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a session left: its manifest, its files of ticks, and the decisions that it made."""

    directory: RunDirectory
    manifest: dict[str, Any]
    ticks: tuple[Path, ...]
    decisions: Sequence[DecisionRow]

    @property
    def instrument(self) -> Instrument:
        """As the venue described it."""
        return RecordingReader(self.ticks[0]).header().instrument


def read_recorded(directory: RunDirectory) -> Recorded:
    """The record of a session. DataError if it was not recorded, made no decision, or is not of one piece."""
    manifest = directory.read_json(directory.manifest)
    files = tuple(sorted((directory.path / "ticks").glob("*.ticks")))
    if not files:
        raise DataError(f"{directory.path}: its ticks were not recorded: set market.record before a run")
    reader = JournalReader(directory.journal)
    try:
        notes = list(reader.rows(NoteRow))
        steered_ns = min((note.ts_ns for note in notes if note.kind in _STEERED), default=_NEVER_NS)
        decisions = list(reader.rows(DecisionRow, "ts_ns <= ?", (steered_ns,)))
        starts = sum(note.kind == "start" for note in notes)
    finally:
        reader.close()
    if not decisions:
        raise DataError(f"{directory.path}: made no decision: there is nothing to repeat")
    if starts > 1:
        raise DataError(
            f"{directory.path}: was gone on with {starts - 1} times; only runs of one piece can be repeated: "
            "replay its ticks with --data instead"
        )
    return Recorded(directory, manifest, files, decisions)


class RecordedTicks:
    """The recorded ticks as a source; ends when `progress` has come to `decisions` decisions."""

    def __init__(self, recorded: Recorded, progress: Progress) -> None:
        self.instrument = recorded.instrument
        self._recorded = recorded
        self._progress = progress

    async def blocks(self) -> AsyncIterator[Ticks]:
        """See `ports.Source`. What was received after the last decision is left out."""
        for path in self._recorded.ticks:
            for ticks, _ in RecordingReader(path).frames():
                yield ticks
                if self._progress.decisions >= len(self._recorded.decisions):
                    return


class KeptSwaps(Learning):
    """In the learner's place: before each decision, what served it then, and what held new risk back."""

    def __init__(self, recorded: Recorded, policy: ServedPolicy | None, memory: RiskMemory) -> None:
        self._recorded = recorded
        self._policy = policy
        self._memory = memory
        self.generation = recorded.decisions[0].generation

    def begin(self, ts_ns: int, origin: str) -> None:
        """See `Learning`."""
        self._prepare(0)

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """See `Learning`."""
        self._prepare(decision + 1)

    def _prepare(self, number: int) -> None:
        decisions = self._recorded.decisions
        if number >= len(decisions):
            return
        row = decisions[number]
        if row.generation != self.generation and self._policy is not None:
            weights = load_weights(self._recorded.directory, row.generation)[1]
            self._policy.swap(GenerationInfo(row.generation, None, weights, weights_sha256(weights)))
            self.generation = row.generation
        self._memory.holds = {_HOLD} if row.verdict == Reason.HELD.value else set()


def repeating_session(recorded: Recorded, directory: RunDirectory) -> Session:
    """A session in `directory` that will do what `recorded` did."""
    config = Config.model_validate(recorded.manifest["config"])
    quiet = config.model_copy(update={"online": config.online.model_copy(update={"learner": "off"})})
    facts = {"repeats": str(recorded.directory.path.resolve())}
    frame = Frame(
        "replay", _assembly(recorded, quiet), directory, recorded.manifest["run_id"], facts,
        recorded.manifest["trade_from_ns"], opening=Opening(Decimal(repr(config.execution.start_cash_quote))),
    )  # fmt: skip
    session = Session(frame, _first_generation(recorded, frame))
    engine = session.engine
    engine.learning = KeptSwaps(recorded, session.policy, engine.live.gate.memory)
    return session


def _assembly(recorded: Recorded, config: Config) -> Assembly:
    bar_ns = recorded.manifest["period_ns"] if config.market.streams == ("bars",) else None
    return assemble(config, configured(recorded.instrument, config), bar_ns, recorded.manifest["seed"])


def _first_generation(recorded: Recorded, frame: Frame) -> MakeOrigin:
    def make(shape: NetworkShape, schema_hash: str) -> Origin:
        number = load_weights(recorded.directory, recorded.decisions[0].generation)[0]
        kept = f"{recorded.directory.path}:{number}"
        return load_origin(kept, shape, schema_hash, frame.assembly.strategy.network)

    return make


def differences(recorded: Recorded, again: RunDirectory) -> list[str]:
    """What is not the same in the two journals, up to the last decision recorded; empty if nothing is."""
    last = recorded.decisions[-1]
    found: list[str] = []
    for record in _COMPARED:
        then, now = (_rows(directory, record, last) for directory in (recorded.directory, again))
        if then != now:
            first = next(
                (i for i, pair in enumerate(zip(then, now, strict=False)) if pair[0] != pair[1]), None
            )
            where = f"from number {first}" if first is not None else f"{len(then)} then, {len(now)} now"
            found.append(f"{record.table} ({where})")
    return found


def _rows(directory: RunDirectory, record: type[Record], last: DecisionRow) -> list[Any]:
    """Rows of one table before the last decision's moment, and that decision."""
    reader = JournalReader(directory.journal)
    try:
        if record is DecisionRow:
            return list(reader.rows(DecisionRow, "decision <= ?", (last.decision,)))
        return list(reader.rows(record, "ts_ns < ?", (last.ts_ns,)))
    finally:
        reader.close()
