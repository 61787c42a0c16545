"""Faults on demand: what goes wrong, where, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec


class FaultKind(StrEnum):
    """The kind of a fault: four happen to requests, five to messages, four at once."""

    STATUS = "status"
    NO_ANSWER = "no_answer"
    RESET = "reset"
    SLOW = "slow"
    DROP = "drop"
    DUPLICATE = "duplicate"
    MALFORM = "malform"
    DELAY = "delay"
    SILENCE = "silence"
    DISCONNECT = "disconnect"
    END_SESSION = "end_session"
    SKEW = "skew"
    FALL = "fall"


REQUEST_KINDS = frozenset({FaultKind.STATUS, FaultKind.NO_ANSWER, FaultKind.RESET, FaultKind.SLOW})
MESSAGE_KINDS = frozenset(
    {FaultKind.DROP, FaultKind.DUPLICATE, FaultKind.MALFORM, FaultKind.DELAY, FaultKind.SILENCE}
)


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault.

    `match` is a pattern with * and ?: of requests "POST /api/v3/order", of messages the stream, such as
    "btcusdt@trade", "*@depth*", "user" or "answer". It happens `count` times (0: until cleared), after the
    first `after` that match were let through. `seconds`: how slow, how late, how long silent (0: until cleared),
    how far the venue's clock is ahead, how long a fall of the market by `fraction` takes. `status`: of the answer.
    `accepted`: the request is done all the same, only its answer is lost. `text`: what a malformed frame reads; by
    default, half of what it was.
    """

    kind: FaultKind
    match: str = "*"
    count: int = 1
    after: int = 0
    seconds: float = 0.0
    fraction: Annotated[float, msgspec.Meta(gt=-1.0, lt=1.0)] = 0.0
    status: int = 503
    accepted: bool = False
    text: str = ""


@dataclass(slots=True)
class Armed:
    """A fault that waits for its moments. `seen` counts what matched, `happened` what went wrong."""

    fault: Fault
    until_ns: int | None = None
    seen: int = 0
    happened: int = 0

    def strikes(self, name: str, now_ns: int) -> bool:
        """True if it happens to `name` now; counts."""
        fault = self.fault
        if not fnmatchcase(name, fault.match):
            return False
        if fault.kind is FaultKind.SILENCE:
            strikes = self.until_ns is None or now_ns < self.until_ns
        else:
            self.seen += 1
            strikes = self.seen > fault.after and (fault.count == 0 or self.happened < fault.count)
        self.happened += strikes
        return strikes


@dataclass(slots=True)
class Faults:
    """All faults that are armed, in the order in which they were."""

    armed: list[Armed] = field(default_factory=list[Armed])

    def arm(self, fault: Fault, now_ns: int) -> Armed:
        """From now on, `fault` waits for its moments."""
        ends = fault.kind is FaultKind.SILENCE and fault.seconds > 0
        added = Armed(fault, now_ns + round(fault.seconds * 1e9) if ends else None)
        self.armed.append(added)
        return added

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.armed = []

    def of_request(self, name: str, now_ns: int) -> Iterator[Fault]:
        """Faults that happen to this request."""
        return self._striking(REQUEST_KINDS, name, now_ns)

    def of_message(self, stream: str, now_ns: int) -> Iterator[Fault]:
        """Faults that happen to this message."""
        return self._striking(MESSAGE_KINDS, stream, now_ns)

    def silent(self, now_ns: int) -> bool:
        """True if everything is silent, so that not even a ping is answered."""
        return any(
            armed.fault.match == "*" and (armed.until_ns is None or now_ns < armed.until_ns)
            for armed in self.armed
            if armed.fault.kind is FaultKind.SILENCE
        )

    def _striking(self, kinds: frozenset[FaultKind], name: str, now_ns: int) -> Iterator[Fault]:
        for armed in self.armed:
            if armed.fault.kind in kinds and armed.strikes(name, now_ns):
                yield armed.fault
