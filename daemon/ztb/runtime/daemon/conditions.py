"""The one source of a daemon's state: what holds now, looked up in one place, and told once as it begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog

from ztb.execution.orders import is_protective
from ztb.execution.risk import Rung
from ztb.execution.risk_gate import RiskMemory
from ztb.learning.service.base import NEAR_A_LIMIT
from ztb.ledger.records import NoteRow, OrderRow, Record, RefusalRow, UpdateRow
from ztb.runtime.daemon.kill_switch import KillSwitch
from ztb.runtime.guards import NOT_ARMED, NOT_RECONCILED, SKEWED, STALE
from ztb.runtime.session import Session
from ztb.telemetry.conditions import (
    SAID_OTHERWISE,
    Condition,
    Kind,
    LearnerState,
    Severity,
    State,
    Wording,
    ordered,
    state_of,
)
from ztb.telemetry.snapshot import StreamFact

_IN_A_ROW = 3
"""Refusals, of which the cause is no condition of its own, after which they are one."""
_A_START_S = 300.0
"""What a start may take until somebody should look."""
_RANK: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}
_TROUBLE: dict[str, Kind] = {
    "learner_hung": "learner_hung", "learner_died": "learner_died", "learner_not_started": "learner_not_started",
    "learner_made_anew": "learner_made_anew",
}  # fmt: skip

Raise = Callable[[Severity, str, str], None]
"""Alerts whoever watches: how bad, its key, in words."""

_logger = structlog.get_logger("ztb.state")


class Conditions:
    """All that a person may act on, as it stands now.

    `started`, `stopping`, `streams` and `unprotected` say what the shell knows; `alert` is called once for each
    condition from `warning` on, as it begins or gets worse.
    """

    def __init__(
        self,
        session: Session,
        switch: KillSwitch,
        now_ns: Callable[[], int],
        alert: Raise,
        started: Callable[[], bool],
        stopping: Callable[[], bool],
        streams: Callable[[], tuple[StreamFact, ...]],
        unprotected: Callable[[], tuple[str, Severity]] = lambda: ("", "info"),
    ) -> None:
        self._unprotected = unprotected
        self._session = session
        self._switch = switch
        self._now_ns = now_ns
        self._alert = alert
        self._started = started
        self._stopping = stopping
        self._streams = streams
        self._words = Wording(str(session.directory.path))
        self._began: dict[str, int] = {}
        self._told: dict[str, Condition] = {}
        self._refusals: tuple[str, int] = ("", 0)
        self._trouble: dict[Kind, str] = {}
        self._opened_ns = now_ns()

    @property
    def present(self) -> tuple[Condition, ...]:
        """The conditions that hold now, that which makes the state first; changes are told."""
        found = ordered(self._found())
        self._tell(found)
        return found

    @property
    def state(self) -> State:
        """The one word for it."""
        return state_of(self.present)

    @property
    def learner(self) -> LearnerState:
        """The learner's state, in a word."""
        learning = self._session.engine.learning
        if self._session.policy is None or self._session.assembly.learner == "off":
            return "off"
        if self._trouble:
            return _LEARNER_WORDS[next(reversed(self._trouble))]
        if learning.freezes:
            return "frozen"
        if learning.paused:
            return "paused"
        return _DOING.get(
            learning.doing, "learning" if self._session.assembly.learner == "inline" else "starting"
        )

    def record(self, record: Record) -> None:
        """A row was journaled."""
        if isinstance(record, RefusalRow):
            reason, times = self._refusals
            self._refusals = record.reason, times + 1 if record.reason == reason else 1
        elif isinstance(record, OrderRow) and not is_protective(record.order_id):
            self._refusals = "", 0
        elif isinstance(record, UpdateRow):
            self._trouble.pop("learner_made_anew", None)
        elif isinstance(record, NoteRow) and record.kind == "learner_started":
            self._began.pop("learner_hung", None)

    def trouble(self, key: str, text: str) -> bool:
        """Something went wrong with the learner, as `text` says; whether that is a condition."""
        if key not in _TROUBLE:
            return False
        self._trouble.pop(_TROUBLE[key], None)  # the newest comes last
        self._trouble[_TROUBLE[key]] = text
        self._tell(ordered(self._found()))  # at once: it may be over before anybody looks
        return True

    def _tell(self, found: tuple[Condition, ...]) -> None:
        """One log line for each that began, got worse or is over; one alert from `warning` on."""
        before, self._told = self._told, {one.kind: one for one in found}
        state = state_of(found)
        for one in found:
            known = before.get(one.kind)
            if known is None or _what(one) != _what(known):
                log = _logger.info if one.severity == "info" else _logger.warning
                log("condition", kind=one.kind, severity=one.severity, text=one.text, state=state)
                if one.severity != "info" and (known is None or _worse(one, known)):
                    self._alert(one.severity, one.kind, one.text)
        for kind, known in before.items():
            if kind not in self._told:
                self._began.pop(kind, None)
                _logger.info("condition_over", kind=kind, text=known.text, state=state)

    def _since(self, kind: str) -> int:
        return self._began.setdefault(kind, self._now_ns())

    def _found(self) -> Iterator[Condition]:
        if self._stopping():
            yield self._words.plain("stopping", "", self._since("stopping"))
        latch = self._switch.latch
        if latch is not None:
            words = self._words.halted if latch.stop == "halted" else self._words.flattening
            yield words(latch.reason, latch.origin, latch.since_ns)
        starting = not self._started()
        if starting:
            yield self._words.starting(self._for_long("starting"), self._since("starting"))
        memory = self._session.engine.live.gate.memory
        yield from self._held(memory)
        yield from self._limited(memory)
        yield from self._learning()
        if self._session.waits and not starting:
            yield self._words.plain("waiting", self._session.awaited, self._since("waiting"))

    def _for_long(self, kind: str) -> bool:
        """True if a condition that comes with every start has held for longer than a start takes."""
        return self._now_ns() - self._since(kind) > _A_START_S * 1e9

    def _held(self, memory: RiskMemory) -> Iterator[Condition]:
        """The hold on new risk. What has never been seen yet is no news while there is time for it."""
        holds = memory.permission.holds
        if NOT_ARMED in holds:
            yield self._words.disarmed(holds[NOT_ARMED], self._since("disarmed"))
        if NOT_RECONCILED in holds:
            severity: Severity = "warning" if self._for_long("not_reconciled") else "info"
            yield self._words.not_reconciled(severity, self._since("not_reconciled"))
        if STALE in holds:
            stale = [stream for stream in self._streams() if stream.stale]
            patient = self._now_ns() - self._opened_ns < self._session.assembly.config.market.stale_s * 1e9
            severity = "info" if patient and all(one.age_ms is None for one in stale) else "warning"
            yield self._words.stale(holds[STALE], severity, self._since("stale_market_data"))
        if SKEWED in holds:
            yield self._words.skewed(holds[SKEWED], self._since("clock_skew"))
        cause, how_bad = self._unprotected()
        if cause:
            yield self._words.unprotected(cause, how_bad, self._since("unprotected"))

    def _limited(self, memory: RiskMemory) -> Iterator[Condition]:
        """Limits that have been reached."""
        words, limits = self._words, self._session.engine.live.gate.limits
        if memory.daily_loss.rung is not Rung.FREE:
            yield words.loss_limit("daily_loss", memory.daily_loss.rung, memory.daily_loss.since_ns)
        if memory.drawdown.rung is not Rung.FREE:
            yield words.loss_limit("drawdown", memory.drawdown.rung, memory.drawdown.since_ns)
        if memory.day >= 0 and memory.orders_today >= limits.max_orders_per_day:
            yield words.orders_per_day(limits.max_orders_per_day, memory.day, self._since("orders_per_day"))
        if memory.day >= 0 and memory.orders_this_minute >= limits.max_orders_per_minute:
            yield words.orders_per_minute(limits.max_orders_per_minute, self._since("orders_per_minute"))
        if memory.last_side and memory.repeated >= limits.max_repeated_side:
            since_ns = self._since("repeated_side")
            yield words.repeated_side(memory.last_side, limits.max_repeated_side, since_ns)
        reason, times = self._refusals
        if times >= _IN_A_ROW and reason not in SAID_OTHERWISE:
            yield words.refused(reason, self._since("refused"))

    def _learning(self) -> Iterator[Condition]:
        words, learning = self._words, self._session.engine.learning
        if self._session.policy is None:
            return
        why = learning.freezes - {NEAR_A_LIMIT}
        if why:
            yield words.learner_frozen(why, self._since("learner_frozen"))
        if learning.paused:
            yield words.learner_paused(self._since("learner_paused"))
        if learning.doing == "compiling":
            yield words.learner("learner_compiling", "", self._since("learner_compiling"))
        if learning.doing in ("learning", "resting"):
            for kind in ("learner_hung", "learner_died", "learner_not_started"):
                self._trouble.pop(kind, None)
        for kind, cause in self._trouble.items():
            yield words.learner(kind, cause, self._since(kind))


_LEARNER_WORDS: dict[Kind, LearnerState] = {
    "learner_hung": "hung", "learner_died": "died", "learner_not_started": "not_started",
    "learner_made_anew": "made_anew",
}  # fmt: skip
_DOING: dict[str, LearnerState] = {
    "starting": "starting", "compiling": "compiling", "learning": "learning", "resting": "resting",
}  # fmt: skip


def _what(one: Condition) -> tuple[object, ...]:
    """The identity of a condition: not its words, in which figures may grow."""
    return one.kind, one.severity, one.state, one.since_ns, one.by


def _worse(one: Condition, known: Condition) -> bool:
    return (
        _RANK[one.severity] > _RANK[known.severity]
        or one.state != known.state
        or one.since_ns != known.since_ns
    )
