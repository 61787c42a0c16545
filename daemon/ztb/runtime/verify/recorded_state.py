"""Stand-ins for the world: the recorded ticks, the venue's reports, the operator, whoever held risk back."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Iterator

import structlog

from ztb.errors import DataError
from ztb.execution.fills import book
from ztb.execution.orders import Filled, OrderEvent, OrderRequest, is_protective
from ztb.execution.permission import Permission
from ztb.execution.risk import RefusalReason, RiskLimits
from ztb.execution.risk_gate import RiskGate
from ztb.ledger.records import (
    CANCEL_ALL,
    COLLECTED,
    FLATTEN,
    HOLDS,
    LIMITS,
    LIMITS_LIFTED,
    NoteRow,
    OrderRow,
    Record,
    RefusalRow,
)
from ztb.market.instrument import Instrument
from ztb.market.recording import RecordingReader
from ztb.market.ticks import Ticks
from ztb.runtime.broadcast import Severity
from ztb.runtime.decision_log import RunProgress
from ztb.runtime.engine import Engine
from ztb.runtime.recovery.adoption import adopt
from ztb.runtime.venue.broker import MarketViewBroker
from ztb.runtime.verify.external_events import ExternalEvent
from ztb.runtime.verify.record import RecordedStart

_HOLD = "as recorded"


class RecordedBroker(MarketViewBroker):
    """A venue that says what it said then, at the same places; what it is told changes nothing."""

    def __init__(self, instrument: Instrument, script: deque[ExternalEvent], progress: RunProgress) -> None:
        super().__init__(instrument)
        self._progress = progress
        self._script = script

    def submit(self, order: OrderRequest, now_ns: int) -> None:
        """See `ports.Broker`."""

    def cancel(self, order_id: int, now_ns: int) -> None:
        """See `ports.Broker`."""

    def events(self) -> list[OrderEvent]:
        """See `ports.Broker`: what was collected together, if it is time for that."""
        script, progress = self._script, self._progress
        if not script or script[0].kind != COLLECTED or not _due(script[0], progress):
            return []
        reports = script.popleft().reports
        for report in reports:
            if isinstance(report.event, Filled):
                book(self.account, self.instrument, report.side, report.event)
        return [report.event for report in reports]


def _due(item: ExternalEvent, progress: RunProgress) -> bool:
    return item.rows <= progress.rows and item.decisions <= progress.decisions


class RecordedTicks:
    """The ticks of `start` as a source, cut where something came from outside, which `engine` is then told.

    It ends where the session did, or, where that was killed, when everything in its journal has happened.
    """

    def __init__(
        self, start: RecordedStart, engine: Engine, script: deque[ExternalEvent], obeyed: Permission
    ) -> None:
        """`obeyed` is what the accounts beside the live one may do."""
        self._obeyed = obeyed
        self.instrument = instrument_of(start)
        self._start = start
        self._engine = engine
        self._script = script
        self._last = start.consumed
        self._wanted = engine.progress.decisions + len(start.decisions)

    async def blocks(self) -> AsyncIterator[Ticks]:
        """See `ports.Source`."""
        self._tell()
        for ticks in self._whole():
            i = 0
            while i < len(ticks):
                end = min(len(ticks), i + self._until_next(len(ticks)))
                yield ticks[i:end]
                i = end
                self._tell()
                if self._over():
                    return

    def _whole(self) -> Iterator[Ticks]:
        """The recorded rows in order, up to a hole. DataError: a file within is damaged or cut short."""
        left = self._start.recorded
        for path in self._start.files:
            reader = RecordingReader(path)
            for ticks, _ in reader.frames():
                whole = ticks if left is None else ticks[:left]
                if len(whole):
                    yield whole
                left = None if left is None else left - len(whole)
            if reader.torn and path != self._start.files[-1]:
                raise DataError(
                    f"{path}: its last {reader.torn} bytes are cut short, but the recording goes on behind it: "
                    "restore the file from a copy"
                )

    def _until_next(self, most: int) -> int:
        """Rows until something happens from outside, or the end."""
        done = self._engine.progress.rows
        following = next((item.rows for item in self._script if item.rows > done), done + most)
        last = self._last if self._last is not None and self._last > done else done + most
        return min(most, following - done, last - done)

    def _over(self) -> bool:
        progress = self._engine.progress
        if self._last is not None:
            return progress.rows >= self._last
        return progress.decisions >= self._wanted and not self._script

    def _tell(self) -> None:
        """Everything that happened here, in order."""
        engine, script, obeyed = self._engine, self._script, self._obeyed
        while script and _due(script[0], engine.progress):
            lane, item = engine.live, script[0]
            if item.kind == COLLECTED:
                lane.collect()
                continue
            script.popleft()
            if item.kind == CANCEL_ALL:
                engine.cancel_all(item.ts_ns)
            elif item.adoption is not None:
                adopt(item.adoption, engine)
            elif item.kind == LIMITS_LIFTED:
                engine.lift_limits(item.ts_ns, item.equity)
            elif item.kind == HOLDS:
                obeyed.holds = dict.fromkeys(item.holds, "")
            elif item.kind == FLATTEN:
                obeyed.flattening = obeyed.reduce_only = True
                lane.flatten(item.ts_ns)
            else:
                lane.flattening = obeyed.flattening = obeyed.reduce_only = False
                obeyed.halted = item.kind == "halted"


def instrument_of(start: RecordedStart) -> Instrument:
    """As the venue described it. DataError: none of its ticks were recorded."""
    if not start.files:
        raise DataError(f"start {start.number}: its ticks were not recorded: set market.record before a run")
    return RecordingReader(start.files[0]).header().instrument


class Outcomes:
    """The gate as it was: before each order it is given the limits and the stops that it had then.

    What halted, what held new risk back and what allowed only closing came from outside, and is known by its
    refusals. Everything else that the gate finds, it has to find again.
    """

    def __init__(self, start: RecordedStart) -> None:
        self.limits = RiskLimits(**start.made_of["limits"])
        """On risk, as the start began with them."""
        self._outcomes: list[tuple[str, RiskLimits]] = list(_outcomes(start, self.limits))
        self._asked = 0

    def record(self, record: Record) -> None:
        """See `broadcast.Watcher`: count what the gate has judged."""
        self._asked += isinstance(record, OrderRow | RefusalRow)

    def alert(self, severity: Severity, key: str, text: str) -> None:
        """See `broadcast.Watcher`."""
        structlog.get_logger().warning("alert", severity=severity, key=key, text=text)

    def collecting(self) -> None:
        """See `broadcast.Watcher`."""

    def before_order(self, gate: RiskGate) -> None:
        """See `broadcast.Watcher`."""
        reason = ""
        if self._asked < len(self._outcomes):
            reason, gate.limits = self._outcomes[self._asked]
        permission = gate.memory.permission
        permission.halted = reason == RefusalReason.HALTED
        permission.reduce_only = reason == RefusalReason.REDUCE_ONLY
        permission.holds = {_HOLD: ""} if reason == RefusalReason.HELD else {}


def _outcomes(start: RecordedStart, limits: RiskLimits) -> Iterator[tuple[str, RiskLimits]]:
    """Of each order that the gate saw, in order: why it was refused, "" if it was not, and the limits then."""
    for _, row in start.rows:
        if isinstance(row, NoteRow) and row.kind == LIMITS:
            limits = RiskLimits(**json.loads(row.detail))
        elif isinstance(row, OrderRow) and not is_protective(row.order_id):
            yield "", limits
        elif isinstance(row, RefusalRow):
            yield row.reason, limits
