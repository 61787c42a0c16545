"""Carries out what a daemon is asked to do between two ticks: commands, whoever asks, and a changed configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, assert_never

import msgspec

from ztb.config import Config
from ztb.control import (
    Adopt,
    Answer,
    AtOnce,
    Command,
    Disarm,
    Flatten,
    Freeze,
    Halt,
    LogLevel,
    Promote,
    Reload,
    Resume,
    Rollback,
    Status,
    Unfreeze,
)
from ztb.errors import DataError, UsageError, ZtbError
from ztb.execution.risk import Rung
from ztb.learning.service.base import BY_HAND, NEAR_A_LIMIT, NOT_HELPING
from ztb.ledger.records import HOLDS, LIMITS_LIFTED, NoteRow
from ztb.runtime.daemon.account import AccountKeeper
from ztb.runtime.daemon.kill_switch import KillSwitch, Latch, Stop
from ztb.runtime.session import Session
from ztb.telemetry.logs import set_log_level
from ztb.telemetry.snapshot import DaemonSnapshot

LEVELS = ("debug", "info", "warning", "error")


class SessionControls:
    """Commands on one session. A stop is latched on disk before it acts, and a command is journaled as it acts."""

    def __init__(
        self,
        session: Session,
        switch: KillSwitch,
        now_ns: Callable[[], int],
        reload: Callable[[], str],
        account: AccountKeeper,
        snapshot: Callable[[], DaemonSnapshot],
        redact: Callable[[str], str],
    ) -> None:
        """`reload` takes the configuration over and says what it did; `redact` takes secrets out of a text."""
        self._session = session
        self._switch = switch
        self._now_ns = now_ns
        self._reload = reload
        self._account = account
        self._snapshot = snapshot
        self._redact = redact
        self._lane = session.engine.live
        self._held: set[str] = set()
        if switch.latch is not None:
            self._obey(switch.latch.stop)

    async def execute(self, command: Command, origin: str) -> Answer:
        """See `ztb.control.Controls`."""
        if not isinstance(command, Adopt):
            return self.carry_out(command, origin)
        try:
            return await self._adopt(origin)
        except ZtbError as error:
            return Answer(False, str(error), error.exit_code)

    def carry_out(self, command: AtOnce, origin: str) -> Answer:
        """As `execute`, for signal handlers. Errors that ztb raises on purpose become the answer."""
        try:
            return self._execute(command, origin)
        except ZtbError as error:
            return Answer(False, str(error), error.exit_code)

    def look(self) -> None:
        """Obey the file `halt`; called before every order and a few times a second."""
        self._note_holds()
        latch = self._switch.latch
        if self._switch.touched() and (latch is None or latch.stop != "halted"):
            self.latch("halted", "file", f"{self._switch.file} is there")

    def _note_holds(self) -> None:
        """Journal what holds new risk back, for whoever repeats this: the accounts beside the live one obey it too."""
        holds = self._lane.gate.memory.permission.holds
        if holds.keys() != self._held:
            self._held, progress = set(holds), self._session.engine.progress
            told = {"holds": holds, "rows": progress.rows, "since_ns": self._now_ns()}
            detail = json.dumps(told, sort_keys=True)
            self._session.journal.append(NoteRow(progress.last_ts_ns, HOLDS, detail))

    def latch(self, stop: Stop, origin: str, reason: str) -> None:
        """Stop: on disk first, then in the gate, then at the venue.

        DataError: the disk refused; it stops all the same, which a restart would not know.
        """
        reason = self._redact(reason)
        since_ns = self._now_ns()
        try:
            self._switch.set(Latch(stop, since_ns, origin, reason))
        except OSError as error:
            raise DataError(
                f"{stop} now, but {error}: a restart would not know of it; make room on the disk and say it again"
            ) from error
        finally:
            self._obey(stop)
        self._note(stop, origin, reason, since_ns=since_ns)
        if stop == "halted":
            self._session.cancel_all()

    def insist(self) -> None:
        """Called a few times a second: no order works while halted, and nothing left to sell ends in a halt."""
        latch = self._switch.latch
        if latch is None:
            return
        if latch.stop == "halted":
            self._session.cancel_all()
        elif latch.stop == "flattening" and self._account.believed and self._session.flatten():
            self.latch("halted", latch.origin, latch.reason or "flattened")

    def distrust(self, reason: str) -> None:
        """The program has contradicted itself and ends: the next start books and reconciles anew, flattens, and halts.

        Not this one, whose books may be what is wrong. A halt that is latched stays one.
        """
        reason, latch = self._redact(reason), self._switch.latch
        if latch is None or latch.stop != "halted":
            self._switch.set(Latch("flattening", self._now_ns(), "invariant", reason))
        self._note("contradiction", "invariant", reason)

    def _execute(self, command: AtOnce, origin: str) -> Answer:
        match command:
            case Status():
                return self._status()
            case Halt():
                self.latch("halted", origin, command.reason or f"asked by {origin}")
                return Answer(True, "halted: no order leaves until `ztb resume`")
            case Resume():
                return self._resume(origin)
            case Flatten():
                self.latch("flattening", origin, f"flatten, asked by {origin}")
                self.insist()
                return Answer(True, "flattening: the position is being closed, then the trading halts")
            case Freeze() | Unfreeze():
                return self._freeze(isinstance(command, Freeze), origin)
            case Promote() | Rollback():
                return self._serve(command, origin)
            case Reload():
                done = self._reload()
                self._note("reload", origin, done)
                return Answer(True, done)
            case LogLevel():
                return self._log_level(command.level, origin)
            case Disarm():
                done = self._account.disarm()
                self._note("disarmed", origin, done)
                return Answer(True, done)
            case _:
                assert_never(command)

    def _status(self) -> Answer:
        now = self._snapshot()
        return Answer(True, now.state, detail=msgspec.to_builtins(now))

    def _resume(self, origin: str) -> Answer:
        latch = self._switch.latch
        memory = self._lane.gate.memory
        if memory.rung is not Rung.FREE:
            self._lift_limits(origin)
        elif latch is None and not self._switch.touched():
            return Answer(True, "it trades already")
        self._switch.clear()
        permission = memory.permission
        permission.halted = permission.reduce_only = permission.flattening = False
        self._note("resumed", origin, latch.reason if latch else "")
        held = ", ".join(sorted(permission.holds))
        return Answer(True, f"resumed; no new risk yet: {held}" if held else "resumed")

    def _lift_limits(self, origin: str) -> None:
        """A limit on losses has been reached, and somebody wants to go on all the same: they are counted anew."""
        engine = self._session.engine
        equity, progress = self._lane.equity, engine.progress
        detail = {"origin": origin, "equity": equity, "rows": progress.rows}
        note = NoteRow(progress.last_ts_ns, LIMITS_LIFTED, json.dumps(detail, sort_keys=True))
        self._session.journal.append(note)
        engine.lift_limits(progress.last_ts_ns, equity)

    async def _adopt(self, origin: str) -> Answer:
        latch = self._switch.latch
        if latch is None or latch.stop != "halted":
            raise UsageError("halt first: what the venue holds is taken over only while nothing trades")
        done = await self._account.adopt(origin)
        resumed = self._resume(origin)
        return Answer(True, f"{done}; {resumed.message}")

    def _freeze(self, frozen: bool, origin: str) -> Answer:
        if self._session.policy is None:
            raise UsageError(f"the strategy {self._session.assembly.strategy.name} does not learn")
        learning = self._session.engine.learning
        learning.freeze(BY_HAND, frozen)
        if not frozen:
            learning.freeze(NOT_HELPING, False)
        self._note("frozen" if frozen else "unfrozen", origin, "")
        if NEAR_A_LIMIT in learning.freezes:
            return Answer(True, "learning rests on: the account is near a limit on losses, or past it")
        return Answer(True, "learning is frozen" if frozen else "learning goes on")

    def _serve(self, command: Promote | Rollback, origin: str) -> Answer:
        promotion = self._session.promotion
        if promotion is None:
            raise UsageError(f"the strategy {self._session.assembly.strategy.name} has no generations")
        if isinstance(command, Promote):
            promotion.promote(command.generation, origin)
            serving = command.generation
        else:
            serving = promotion.rollback(command.generation, origin)
        self._session.journal.commit()
        return Answer(True, f"generation {serving} serves from the next decision on")

    def _log_level(self, level: str, origin: str) -> Answer:
        if level not in LEVELS:
            raise UsageError(f"log level {level!r}: give one of {', '.join(LEVELS)}")
        set_log_level(level)
        self._note("log_level", origin, level)
        return Answer(True, f"logging from {level} on")

    def _obey(self, stop: Stop) -> None:
        permission = self._lane.gate.memory.permission
        permission.halted = stop == "halted"
        permission.reduce_only = permission.flattening = stop == "flattening"

    def _note(self, kind: str, origin: str, reason: str, **more: int) -> None:
        progress = self._session.engine.progress
        told = {"origin": origin, "reason": reason, "rows": progress.rows, **more}
        detail = json.dumps(told, sort_keys=True)
        self._session.journal.append(NoteRow(progress.last_ts_ns, kind, detail))
        self._session.journal.commit()


_RUNNING = ("risk", "telemetry.log_level")
"""Sections and keys that are taken over; whatever else has changed waits for a restart."""


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Dotted names of the settings that differ."""
    return [
        f"{section}.{key}"
        for section, values in before.items()
        for key, value in values.items()
        if after[section][key] != value
    ]


class Reloading:
    """Reads the configuration again with `load`, and takes over what may change."""

    def __init__(self, session: Session, load: Callable[[], Config]) -> None:
        self._session = session
        self._load = load
        self._present = session.assembly.config

    def __call__(self) -> str:
        """Says what was taken over and what waits. ConfigError if the file is wrong: then nothing has changed."""
        wanted = self._load()
        changed = _changed(self._present.model_dump(mode="json"), wanted.model_dump(mode="json"))
        taken = [name for name in changed if name in _RUNNING or name.split(".")[0] in _RUNNING]
        waiting = [name for name in changed if name not in taken]
        self._session.limit(wanted.risk)
        set_log_level(wanted.telemetry.log_level)
        self._present = self._present.model_copy(
            update={
                "risk": wanted.risk,
                "telemetry": self._present.telemetry.model_copy(
                    update={"log_level": wanted.telemetry.log_level}
                ),
            }
        )
        said = f"taken over: {', '.join(taken) or 'nothing has changed'}"
        return f"{said}; only after a restart: {', '.join(waiting)}" if waiting else said
