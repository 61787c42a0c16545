"""Conditions that a person may have to act on, in words that are made here alone: every output says one by its `text`.

A condition says what is the matter, why, by whom and since when, until when it lasts where that is known, and the
command that ends it where there is one. Times are nanoseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from ztb.execution.risk import DAY_NS, RefusalReason, Rung
from ztb.telemetry import texts

Severity: TypeAlias = Literal["info", "warning", "critical"]

State: TypeAlias = Literal[
    "stopping", "halted", "starting", "disarmed", "flattening", "flat", "reduce_only", "limited", "held", "waiting",
    "trading",
]  # fmt: skip
"""What a daemon is at; where several hold, the first of them.

`disarmed`: real money, and no permission; `flat`: a limit on losses had the position closed; `reduce_only`: one lets
through only what reduces it; `limited`: another limit refuses orders; `held`: no new risk while the market or the venue
cannot be seen well; `waiting`: nothing has earned a share of the account, so that no order is sent.
"""

ORDER: Final[tuple[State, ...]] = (
    "stopping", "halted", "starting", "disarmed", "flattening", "flat", "reduce_only", "limited", "held", "waiting",
)  # fmt: skip

Kind: TypeAlias = Literal[
    "stopping", "halted", "starting", "disarmed", "flattening", "daily_loss", "drawdown", "orders_per_day",
    "orders_per_minute", "repeated_side", "refused", "stale_market_data", "clock_skew", "not_reconciled", "waiting",
    "learner_frozen", "learner_paused", "learner_compiling", "learner_hung", "learner_died", "learner_not_started",
    "learner_made_anew", "unprotected",
]  # fmt: skip

LearnerState: TypeAlias = Literal[
    "off", "starting", "compiling", "learning", "resting", "frozen", "paused", "hung", "died", "not_started",
    "made_anew",
]  # fmt: skip


class Condition(msgspec.Struct, frozen=True):
    """Something that holds, and that a person may act on.

    `state`: what it puts the daemon in, None where orders go on as ever.
    """

    kind: Kind
    severity: Severity
    state: State | None
    text: str
    since_ns: int
    until_ns: int | None = None
    by: str = ""
    ends_with: str = ""


class Wording:
    """Words for the daemon in a run's folder, which every command that ends something names."""

    def __init__(self, run: str) -> None:
        self._run = run

    def _command(self, verb: str) -> str:
        return f"ztb {verb} --run {self._run}"

    def halted(self, cause: str, by: str, since_ns: int) -> Condition:
        """No order leaves."""
        verb = "resume --adopt" if "--adopt" in cause else "resume"
        severity: Severity = "warning" if by in _PEOPLE else "critical"
        return _made(
            kind="halted",
            severity=severity,
            state="halted",
            what="halted",
            cause=cause,
            since_ns=since_ns,
            by=by,
            ends_with=self._command(verb),
        )

    def flattening(self, cause: str, by: str, since_ns: int) -> Condition:
        """The position is being closed on demand; then the trading halts."""
        what = "the position is being closed, then the trading halts"
        return _made(
            kind="flattening",
            severity="warning",
            state="flattening",
            what=what,
            cause=cause,
            since_ns=since_ns,
            by=by,
        )

    def disarmed(self, cause: str, since_ns: int) -> Condition:
        """Real money, and the permission was taken away."""
        ends_with = f"{self._command('arm --limit AMOUNT')}, and a restart,"
        return _made(
            kind="disarmed",
            severity="warning",
            state="disarmed",
            what="disarmed, no new risk",
            cause=cause,
            since_ns=since_ns,
            ends_with=ends_with,
        )

    def loss_limit(self, limit: Literal["daily_loss", "drawdown"], rung: Rung, since_ns: int) -> Condition:
        """The account has come down to `rung` of a limit on losses, which is latched."""
        name = limit.replace("_", " ")
        what = {
            Rung.LEARNING_FROZEN: f"four fifths of the limit on {name} are lost: learning is frozen",
            Rung.REDUCE_ONLY: f"the limit on {name} is reached: only orders that reduce the position are sent",
            Rung.FLAT: f"the limit on {name} is passed by a quarter: the position is closed and stays closed",
        }[rung]
        state: dict[Rung, State] = {Rung.REDUCE_ONLY: "reduce_only", Rung.FLAT: "flat"}
        until_ns = (since_ns // DAY_NS + 1) * DAY_NS if limit == "daily_loss" else None
        severity: Severity = "warning" if rung is Rung.LEARNING_FROZEN else "critical"
        ends_with = self._command("resume")
        return _made(
            kind=limit,
            severity=severity,
            state=state.get(rung),
            what=what,
            cause="",
            since_ns=since_ns,
            until_ns=until_ns,
            ends_with=ends_with,
        )

    def orders_per_day(self, most: int, day: int, since_ns: int) -> Condition:
        """No order at all until the next UTC day."""
        what = f"{most:,} orders are sent today, which is the limit: none is sent any more, to close neither"
        return _made(
            kind="orders_per_day",
            severity="critical",
            state="limited",
            what=what,
            cause="",
            since_ns=since_ns,
            until_ns=(day + 1) * DAY_NS,
        )

    def orders_per_minute(self, most: int, since_ns: int) -> Condition:
        """No order for the rest of a minute."""
        what = f"{most:,} orders are sent within a minute, which is the limit: none is sent until it is over"
        return _made(
            kind="orders_per_minute",
            severity="warning",
            state="limited",
            what=what,
            cause="",
            since_ns=since_ns,
        )

    def repeated_side(self, side: int, most: int, since_ns: int) -> Condition:
        """Nothing more in one direction."""
        one, other = ("buy", "sell") if side > 0 else ("sell", "buy")
        what = f"{most:,} orders to {one} in a row, which is the limit: no more but to close, until one to {other}"
        return _made(
            kind="repeated_side", severity="warning", state="limited", what=what, cause="", since_ns=since_ns
        )

    def refused(self, reason: str, since_ns: int) -> Condition:
        """The risk gate refuses one order after the other."""
        what = "orders are refused by the risk gate, one after the other"
        return _made(
            kind="refused",
            severity="warning",
            state="limited",
            what=what,
            cause=reason.replace("_", " "),
            since_ns=since_ns,
        )

    def unprotected(self, cause: str, severity: Severity, since_ns: int) -> Condition:
        """Nothing at the venue would sell a position that nobody watches any more."""
        what = "no stop at the venue protects a position"
        return _made(
            kind="unprotected", severity=severity, state=None, what=what, cause=cause, since_ns=since_ns
        )

    def stale(self, streams: str, severity: Severity, since_ns: int) -> Condition:
        """The market cannot be seen."""
        return _made(
            kind="stale_market_data",
            severity=severity,
            state="held",
            what="no new risk: market data are stale",
            cause=streams,
            since_ns=since_ns,
        )

    def skewed(self, cause: str, since_ns: int) -> Condition:
        """Our clock or the venue's is off."""
        return _made(
            kind="clock_skew",
            severity="warning",
            state="held",
            what="no new risk: the clocks differ",
            cause=cause,
            since_ns=since_ns,
            ends_with="setting ours with NTP",
        )

    def not_reconciled(self, severity: Severity, since_ns: int) -> Condition:
        """Our books and the venue's have not been compared."""
        what = "no new risk: our books and the venue's are not reconciled"
        return _made(
            kind="not_reconciled", severity=severity, state="held", what=what, cause="", since_ns=since_ns
        )

    def starting(self, for_long: bool, since_ns: int) -> Condition:
        """Not yet recovered, reconciled, and past a first tick."""
        cause = "still no tick, or the venue does not answer: see the log" if for_long else ""
        return _made(
            kind="starting",
            severity="warning" if for_long else "info",
            state="starting",
            what="starting",
            cause=cause,
            since_ns=since_ns,
        )

    def plain(self, kind: Literal["stopping", "waiting"], cause: str, since_ns: int) -> Condition:
        """Nothing that anybody must look after."""
        return _made(kind=kind, severity="info", state=kind, what=kind, cause=cause, since_ns=since_ns)

    def learner_frozen(self, why: Iterable[str], since_ns: int) -> Condition:
        """Learning rests, by hand or because it is clear that it hurts."""
        reasons = sorted(why)
        words = [_FROZEN[reason] for reason in reasons]
        severity: Severity = "info" if reasons == ["by_hand"] else "warning"
        ends_with = self._command("unfreeze")
        return _made(
            kind="learner_frozen",
            severity=severity,
            state=None,
            what="learning is frozen",
            cause=", ".join(words),
            since_ns=since_ns,
            ends_with=ends_with,
        )

    def learner_paused(self, since_ns: int) -> Condition:
        """Memory is short."""
        return _made(
            kind="learner_paused",
            severity="warning",
            state=None,
            what="learning is paused",
            cause="memory is short",
            since_ns=since_ns,
            ends_with="a higher limits.max_memory_gb, and a restart,",
        )

    def learner(self, kind: Kind, cause: str, since_ns: int) -> Condition:
        """Something that goes on, or went wrong, where the learner is; `cause` is a sentence, or nothing."""
        severity: Severity = "info" if kind == "learner_compiling" else "warning"
        return _made(
            kind=kind,
            severity=severity,
            state=None,
            what=cause or _LEARNER[kind],
            cause="",
            since_ns=since_ns,
        )


_PEOPLE = frozenset({"socket", "mqtt", "signal", "file", "operator", "test"})
_BY = {
    "socket": "a command", "mqtt": "MQTT", "signal": "a signal", "file": "the file halt",
    "reconciliation": "the reconciliation", "invariant": "the check of the books",
}  # fmt: skip
_FROZEN = {"by_hand": "by a command", "not_helping": "it is clear that it hurts"}
_LEARNER: dict[Kind, str] = {
    "learner_compiling": "the learner compiles",
    "learner_hung": "the learner hung",
    "learner_died": "the learner died",
    "learner_not_started": "the learner cannot be started",
    "learner_made_anew": "the learner was made anew",
}


def _made(
    kind: Kind,
    severity: Severity,
    state: State | None,
    what: str,
    cause: str,
    since_ns: int,
    until_ns: int | None = None,
    by: str = "",
    ends_with: str = "",
) -> Condition:
    """The sentence: what, why, by whom, since when, until when, what ends it."""
    said = f"{what}: {cause}" if cause else what
    said += f"; by {_BY.get(by, by)}" if by else ""
    said += f", since {utc(since_ns)}" if since_ns else ""
    said += f", until {utc(until_ns)}" if until_ns else ""
    if ends_with:
        command = (
            f"`{ends_with}`" if ends_with.startswith("ztb ") and not ends_with.endswith(",") else ends_with
        )
        said += f"; {command} ends it{' sooner' if until_ns else ''}"
    return Condition(
        kind=kind,
        severity=severity,
        state=state,
        text=said,
        since_ns=since_ns,
        until_ns=until_ns,
        by=by,
        ends_with=ends_with,
    )


def utc(ts_ns: int) -> str:
    """A moment to the second, as outputs say it."""
    return f"{texts.moment(ts_ns, seconds=True)} UTC"


def state_of(conditions: Iterable[Condition]) -> State:
    """The one word: of what holds, whatever comes first in `ORDER`."""
    states = {condition.state for condition in conditions}
    for state in ORDER:
        if state in states:
            return state
    return "trading"


def ordered(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Those that make the state first, in the order of `ORDER`, then the others."""
    place = {state: number for number, state in enumerate(ORDER)}
    return tuple(sorted(conditions, key=lambda one: place.get(one.state or "trading", len(place))))


SAID_OTHERWISE: Final = frozenset({
    RefusalReason.HALTED, RefusalReason.REDUCE_ONLY, RefusalReason.HELD, RefusalReason.DAILY_LOSS,
    RefusalReason.DRAWDOWN, RefusalReason.ORDERS_PER_DAY, RefusalReason.ORDER_RATE, RefusalReason.REPEATED_SIDE,
})  # fmt: skip
"""Refusals whose cause is a condition of its own."""
