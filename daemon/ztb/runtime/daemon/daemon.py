"""The daemon: one task group around a session, every task named, and a clean end whatever ends it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from ztb.config import Config
from ztb.control import SOCKET_NAME, AtOnce, Halt, Reload
from ztb.errors import InvariantError
from ztb.execution.risk_gate import RiskGate
from ztb.ledger.records import COLLECTED, STOPPING, NoteRow, Record
from ztb.ports import Clock, Source
from ztb.runtime.daemon.account import AccountKeeper, PaperAccount
from ztb.runtime.daemon.component import Component
from ztb.runtime.daemon.conditions import Conditions
from ztb.runtime.daemon.control_socket import ControlSocket
from ztb.runtime.daemon.controls import Reloading, SessionControls
from ztb.runtime.daemon.kill_switch import KillSwitch
from ztb.runtime.daemon.status import Snapshots, StatusCollector
from ztb.runtime.guards import MemoryGuard
from ztb.runtime.session import Session, status_of
from ztb.runtime.sources.feed import StoppableSource
from ztb.telemetry.conditions import Severity
from ztb.telemetry.snapshot import AlertFact, DaemonSnapshot, Observer, StreamFact

_TURN_S = 0.2  # between two looks at the kill switch, the journal and the memory
_TURNS_FOR_CANCELS = 10
_PATIENCE_S = 3.0  # for a learner that still owes something, once the run is to end
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0  # before an observer that failed is started again


@dataclass(frozen=True, slots=True)
class DaemonOptions:
    """`load` reads the configuration again; `dropped` counts the rows that the source left out; `redact` takes secrets
    out of what others said, before it is told, latched or journaled.
    """

    instance: str
    load: Callable[[], Config]
    dropped: Callable[[], int] = lambda: 0
    redact: Callable[[str], str] = str


class Daemon:
    """Runs `session` over `source`, `components` beside it, and `account` as the last of them.

    `turns` grows while the loop is alive; `ready` is set once it trades or is halted.
    """

    def __init__(
        self,
        session: Session,
        source: Source,
        clock: Clock,
        options: DaemonOptions,
        observers: Sequence[Observer] = (),
        components: Sequence[Component] = (),
        account: AccountKeeper | None = None,
    ) -> None:
        self.session = session
        self.account = account or PaperAccount(session)
        self.components = (*components, self.account)
        self.turns = 0
        self.ready = asyncio.Event()
        self._clock = clock
        self._options = options
        self._observers = observers
        self._feed = StoppableSource(source)
        self._stopping = False
        self._turns_left = 0
        self._watch = StatusCollector()
        if session.context.past is not None:
            self._watch.recall(session.context.past)
        self._guard = MemoryGuard(session.assembly.config.limits.max_memory_gb)
        self.switch = KillSwitch(session.directory.path)
        self.conditions = Conditions(
            session=session,
            switch=self.switch,
            now_ns=clock.now_ns,
            alert=self._raise,
            started=self._has_started,
            stopping=lambda: self._stopping,
            streams=self.streams,
            unprotected=lambda: self.account.unprotected,
        )
        self._snapshots = Snapshots(
            session=session,
            instance=options.instance,
            watch=self._watch,
            now_ns=clock.now_ns,
            conditions=self.conditions,
            streams=self.streams,
            recording=self._is_recording,
            protective_stop=lambda: self.account.protective_stop,
        )
        self.controls = SessionControls(
            session=session,
            switch=self.switch,
            now_ns=clock.now_ns,
            reload=Reloading(session, options.load),
            account=self.account,
            snapshot=self._snapshots.take,
            redact=options.redact,
        )
        session.context.broadcast.watch(self)
        for component in self.components:
            component.start(self.controls)

    def watch(self, observers: Sequence[Observer]) -> None:
        """Further observers, before it runs."""
        self._observers = (*self._observers, *observers)

    async def run(self) -> dict[str, Any]:
        """Until the source ends, a signal, or an error; the summary, which is written in any case."""
        dropped = self._options.dropped
        try:
            await self._run()
        except BaseException as error:
            contradiction = _contradiction_in(error)
            if contradiction is not None:
                self.controls.distrust(str(contradiction))
            self.session.abandon(self._options.redact(status_of(error)), dropped())
            raise
        return self.session.finish("stopped" if self._stopping else "complete", dropped())

    def stop(self) -> None:
        """End cleanly: what is in hand is finished, nothing new is begun, orders are cancelled if so configured."""
        if self._stopping:
            return
        self._stopping = True
        self.session.hurry(_PATIENCE_S)
        lane, last_ns = self.session.engine.live, self.session.engine.progress.last_ts_ns
        self.session.journal.append(NoteRow(last_ns, STOPPING, ""))
        lane.gate.memory.permission.halted = True
        if self.session.assembly.config.execution.orders_at_stop == "cancel":
            self.session.cancel_all()
            self._turns_left = _TURNS_FOR_CANCELS
        self._end_when_quiet()

    def _end_when_quiet(self) -> None:
        """Once stopping: end the ticks when the venue has confirmed our cancels, or has had its time."""
        self._turns_left -= 1
        if self._stopping and (self._turns_left < 0 or not self.session.engine.live.working):
            self._feed.stop()
            for component in self.components:
                component.stop()

    def alert(self, severity: Severity, key: str, text: str) -> None:
        """See `broadcast.Watcher`: tell the log, and whoever watches, of something that happened; what lasts is a
        condition.
        """
        text = self._options.redact(text)
        if self.conditions.trouble(key, text):
            return
        structlog.get_logger().warning("alert", severity=severity, key=key, text=text)
        self._raise(severity, key, text)

    def _raise(self, severity: Severity, key: str, text: str) -> None:
        fact = AlertFact(self._clock.now_ns(), severity, key, self._options.redact(text))
        self._watch.alert(fact)
        for observer in self._observers:
            self._tell(observer, partial(observer.alert, fact))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._listen_to_signals(loop)
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(job, name=name) for name, job in self._background().items()]
            try:
                await self.session.drive(self._feed, group)
                for component in self.components:
                    await component.ended()
            finally:
                for task in background:
                    task.cancel()
                for component in self.components:
                    await component.close()

    def _background(self) -> dict[str, Any]:
        socket = ControlSocket(self.session.directory.path / SOCKET_NAME, self.controls)
        tasks: dict[str, Any] = {"source": self._feed.pump(), "control-socket": socket.run()}
        tasks["turns"] = self._turn_for_ever()
        tasks |= {f"observer-{observer.name}": self._observe(observer) for observer in self._observers}
        for component in self.components:
            tasks |= {name: job() for name, job in component.jobs().items()}
        return tasks

    async def _turn_for_ever(self) -> None:
        """Obey the kill switch, hand rows to the disk, look at the memory: a few times a second."""
        while True:
            self.turns += 1
            self.controls.look()
            for component in self.components:
                component.tick()
            self.controls.insist()
            self._end_when_quiet()
            self.session.journal.commit()
            self._guard()
            if (state := self.conditions.state) != "starting" and not self.ready.is_set():
                self.ready.set()
                structlog.get_logger().info("ready", state=state)
            await asyncio.sleep(_TURN_S)

    def _has_started(self) -> bool:
        """True if the books are believed, and a tick came beside those that a live session begins with, which are
        history.
        """
        engine = self.session.engine
        seen = engine.progress.rows > 0 and (
            not self.session.assembly.live or engine.progress.last_ts_ns >= engine.trade_from_ns
        )
        return seen and self.account.believed

    def _listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self.stop)
        loop.add_signal_handler(signal.SIGUSR1, self._on_signal, Halt("SIGUSR1"), "signal")
        loop.add_signal_handler(signal.SIGHUP, self._on_signal, Reload(), "signal")

    def _on_signal(self, command: AtOnce, origin: str) -> None:
        answer = self.controls.carry_out(command, origin)
        log = structlog.get_logger()
        (log.info if answer.ok else log.error)(
            "signal_obeyed", command=type(command).__name__, answer=answer.message
        )

    def record(self, record: Record) -> None:
        """See `broadcast.Watcher`."""
        self._watch.record(record)
        self.conditions.record(record)
        for component in self.components:
            component.on_record(record)
        for observer in self._observers:
            self._tell(observer, partial(observer.record, record))

    def before_order(self, _gate: RiskGate) -> None:
        """See `broadcast.Watcher`."""
        self.controls.look()

    def collecting(self) -> None:
        """See `broadcast.Watcher`: whoever repeats the session has to know when that was."""
        self.session.record_external_event(COLLECTED)

    def _tell(self, observer: Observer, call: Callable[[], None]) -> None:
        """An observer's mistake is a line in the log, never the trading's affair."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 (a supervisor)
            structlog.get_logger().error("observer_failed", observer=observer.name, reason=repr(error))

    async def _observe(self, observer: Observer) -> None:
        """Run an observer for ever; one that fails or ends is started again, less and less often."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                await observer.run(self._snapshots.take, self.controls)
                reason = "it ended"
            except Exception as error:  # noqa: BLE001 (a supervisor)
                reason = repr(error)
            self.alert("warning", f"observer-{observer.name}", f"{observer.name} is started again: {reason}")
            await asyncio.sleep(wait_s)
            wait_s = min(2.0 * wait_s, _LONGEST_WAIT_S)

    def streams(self) -> tuple[StreamFact, ...]:
        """The health of each stream of market data."""
        return tuple(fact for component in self.components for fact in component.streams())

    def _is_recording(self) -> bool:
        return any(component.recording for component in self.components)

    def progress(self) -> tuple[bool, int]:
        """Changes while the daemon gets on: with each block that is consumed, and where none waits, with each turn."""
        return (True, self._feed.taken) if self._feed.waiting else (False, self.turns)

    def snapshot(self) -> DaemonSnapshot:
        """The state now."""
        return self._snapshots.take()


def _contradiction_in(error: BaseException) -> InvariantError | None:
    """The first InvariantError among what ended a task group."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_contradiction_in, error.exceptions)), None)
    return error if isinstance(error, InvariantError) else None
