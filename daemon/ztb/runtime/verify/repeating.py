"""Repeats one start of a session, from what the journal says of all that was before it, and compares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ztb.config import recorded_config
from ztb.errors import DataError, InvariantError
from ztb.execution.permission import Permission
from ztb.learning.generations import GenerationInfo, ServedPolicy
from ztb.learning.service.base import Learning
from ztb.learning.service.initial_policy import CHECKPOINT_NAME, InitialPolicy, load_origin
from ztb.ledger.records import DecisionRow, Record
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.broadcast import Broadcast
from ztb.runtime.build.assembly import Assembly, assemble
from ztb.runtime.build.context import (
    MakeInitialPolicy,
    MakeLearning,
    RunContext,
    configured_instrument,
)
from ztb.runtime.recovery.past import Past, read_past
from ztb.runtime.session import Session, status_of
from ztb.runtime.verify.external_events import inputs
from ztb.runtime.verify.record import Recorded, RecordedStart, read_rows, traded
from ztb.runtime.verify.recorded_state import Outcomes, RecordedBroker, RecordedTicks, instrument_of
from ztb.runtime.verify.swaps import KeptSwaps, RecordedGenerations, Relearnt
from ztb.trading.policy.weights import NetworkShape, weights_sha256
from ztb.utils import CheckpointManager


@dataclass(frozen=True, slots=True)
class Repeated:
    """The result of a start: its `summary`, how many of its decisions are the same bit for bit, the first thing that
    is not the same, and what could not be repeated at all and why, each in words or "".
    """

    number: int
    summary: dict[str, Any]
    decisions: int
    difference: str
    unrepeated: str
    relearnt: Relearnt | None = None

    @property
    def first_difference(self) -> str:
        """In what was traded, or, where that is the same, in what was learnt."""
        return self.difference or (self.relearnt.difference if self.relearnt else "")

    @property
    def left_out(self) -> list[str]:
        """Everything that could not be repeated."""
        unmade = self.relearnt.unmade if self.relearnt else ""
        behind = f"{unmade} of start {self.number} and what was learnt after it" if unmade else ""
        return [what for what in (self.unrepeated, behind) if what]


class Repetition:
    """`start` again, in `directory`; `relearn`: what was learnt too. DataError: what it began with was not kept, or is
    not what it was.
    """

    def __init__(
        self, recorded: Recorded, start: RecordedStart, directory: RunDirectory, relearn: bool = False
    ) -> None:
        self._start = start
        past = read_past(recorded.directory.journal, start.first_seq) if start.first_seq > 1 else None
        self._script = inputs(start, past)
        outcomes = Outcomes(start)
        kept = RecordedGenerations(recorded.directory, recorded.digests)
        context = _context(recorded, start, kept, past, directory, outcomes)
        if start.made_of["mode"] == "live":
            broker = RecordedBroker(instrument_of(start), self._script, context.progress)
            context = replace(context, broker=broker)
        relearns = relearn and start.made_of["learner"] != "off"
        context = replace(context, learning=_learning(start, kept, context, relearns))
        self.session = Session.open(context)
        gate = self.session.engine.live.gate
        gate.limits = outcomes.limits
        self._obeyed = gate.memory.permission
        self._obeyed.halted = start.made_of.get("halted", False)
        self._obeyed.flattening = start.made_of["flattening"]
        gate.memory.permission = Permission(flattening=self._obeyed.flattening)

    async def run(self) -> Repeated:
        """Do it all again, and compare."""
        session, start, contradiction = self.session, self._start, ""
        try:
            await session.run(RecordedTicks(start, session.engine, self._script, self._obeyed))
        except BaseException as error:
            session.abandon(status_of(error))
            contradiction = _contradiction(error)
            if not contradiction:
                raise
        else:
            session.finish("complete")
        again = traded(read_rows(session.directory.journal))
        same, difference, unrepeated = compare(start, again, session.engine.progress.rows)
        if contradiction:
            difference, unrepeated = contradiction, ""
        summary = session.directory.read_json(session.directory.summary)
        learning = session.engine.learning
        relearnt = learning.relearnt() if isinstance(learning, KeptSwaps) else None
        return Repeated(
            number=start.number,
            summary=summary,
            decisions=same,
            difference=difference,
            unrepeated=unrepeated,
            relearnt=relearnt,
        )


def _contradiction(error: BaseException) -> str:
    """The contradiction that ended the engine, if one did: the record is not that of what was repeated."""
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else [error]
    return next((str(one) for one in inner if isinstance(one, InvariantError)), "")


def _context(
    recorded: Recorded,
    start: RecordedStart,
    kept: RecordedGenerations,
    past: Past | None,
    directory: RunDirectory,
    outcomes: Outcomes,
) -> RunContext:
    """The context of `start`, but that nothing is learnt."""
    made_of, broadcast = start.made_of, Broadcast()
    broadcast.watch(outcomes)
    config = recorded_config(made_of, f"{recorded.directory.path}, start {start.number}")
    quiet = config.model_copy(update={"online": replace(config.online, learner="off")})
    instrument = configured_instrument(instrument_of(start), config.market)
    bar_ns = made_of["period_ns"] if config.market.streams == ("bars",) else None
    assembly = assemble(quiet, instrument, bar_ns, made_of["seed"])
    return RunContext(
        mode="replay",
        assembly=assembly,
        directory=directory,
        run_id=recorded.manifest["run_id"],
        facts={"repeats": str(recorded.directory.path.resolve()), "start": start.number},
        initial_policy=_origin(start, kept, assembly, past is not None),
        trade_from_ns=made_of["trade_from_ns"],
        past=past,
        opening=recorded.opening,
        unproven=made_of["unproven"],
        broadcast=broadcast,
        guard=broadcast.before_order,
    )


def _learning(
    start: RecordedStart, kept: RecordedGenerations, context: RunContext, relearns: bool
) -> MakeLearning:
    """Makes a stand-in for the learner: the swaps as they were, or all that led to them once more."""

    def make(policy: ServedPolicy, origin: InitialPolicy, schema_hash: str) -> Learning:
        if not relearns:
            return KeptSwaps(start, kept, policy)
        # Imported here alone: who does not learn again never needs torch.
        from ztb.runtime.verify.relearning import Relearning

        return Relearning(
            start=start, kept=kept, context=context, policy=policy, origin=origin, schema_hash=schema_hash
        )

    return make


def _origin(
    start: RecordedStart, kept: RecordedGenerations, assembly: Assembly, goes_on: bool
) -> MakeInitialPolicy:
    """The generation that `start` began with, normaliser and all, from the file that it was read from."""

    def make(shape: NetworkShape, schema_hash: str) -> InitialPolicy:
        folder = kept.directory.checkpoints
        generation, number = start.made_of["generation"], start.made_of["checkpoint"]
        if number is None:
            number = _first_file(kept.directory, generation)
        origin = load_origin(f"{folder}:{number}", shape, schema_hash, assembly.strategy.network)
        info = kept.checked(GenerationInfo(generation, None, origin.weights, weights_sha256(origin.weights)))
        return replace(origin, served=info) if goes_on else origin

    return make


def _first_file(directory: RunDirectory, generation: int) -> int:
    """The number of the file that `generation` was saved in when it was made. DataError: it was not kept."""
    listed = CheckpointManager(directory.checkpoints).list(CHECKPOINT_NAME)
    files = [saved.number for saved in listed if saved.lineage.get("generation") == generation]
    if not files:
        raise DataError(
            f"{directory.checkpoints}: generation {generation}, which a start began with, was not kept"
        )
    return min(files)


def compare(start: RecordedStart, again: list[Record], rows: int) -> tuple[int, str, str]:
    """(decisions that are the same, the first difference, what could not be repeated); `rows` were consumed."""
    then = start.traded
    same = next((i for i, pair in enumerate(zip(then, again, strict=False)) if pair[0] != pair[1]), None)
    if same is not None:
        return _decisions(then[:same]), _difference(then[same], again[same]), ""
    common = min(len(then), len(again))
    repeated = _decisions(then[:common])
    if len(again) > common:
        ended = start.consumed is not None
        return repeated, f"{_name(again[common])} now, nothing more then" if ended else "", ""
    if len(then) == common:
        return repeated, "", ""
    why = _why_cut(start, rows)
    if not why:
        return repeated, f"{_name(then[common])} then, nothing more now", ""
    left = [row.decision for row in then[common:] if isinstance(row, DecisionRow)]
    what = f"decisions {left[0]} to {left[-1]}" if left else f"what came after decision {repeated - 1}"
    return repeated, "", f"{what} of start {start.number}: {why}"


def _why_cut(start: RecordedStart, rows: int) -> str:
    """The reason why the ticks ended before the session did; "" if they did not."""
    if start.missing:
        return f"{start.missing[0]} is gone, and with it the ticks that they were made on"
    if start.recorded is not None:
        return f"recording stopped after {start.recorded} rows, and went on without some"
    if start.consumed is None:
        return f"it was killed, and of its ticks {rows} rows had been written by then"
    return (
        f"{start.consumed} rows of ticks were traded on, {rows} were recorded"
        if rows < start.consumed
        else ""
    )


def _decisions(rows: Iterable[Record]) -> int:
    return sum(isinstance(row, DecisionRow) for row in rows)


def _difference(then: Record, now: Record) -> str:
    """The difference of two rows."""
    if type(then) is not type(now):
        return f"{_name(then)} then, {_name(now)} now"
    fields = [name for name in then.__struct_fields__ if getattr(then, name) != getattr(now, name)]
    return f"{_name(then)}: {', '.join(fields)}"


def _name(row: Record) -> str:
    """The row by its table and number, such as decision 7."""
    first = row.__struct_fields__[0]
    return f"{row.table}, {first.removesuffix('_id')} {getattr(row, first)}"
