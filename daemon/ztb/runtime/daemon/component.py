"""Components beside the engine in a daemon: parts with a life of their own, and whoever keeps the account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from ztb.errors import UsageError
from ztb.ledger.records import Record
from ztb.telemetry.conditions import Severity
from ztb.telemetry.snapshot import ProtectiveStopFact, StreamFact

if TYPE_CHECKING:
    from ztb.runtime.daemon.controls import SessionControls


class Component:
    """A part of a daemon. What one has no use for stays as it is here: it does nothing."""

    name = "component"

    def start(self, controls: SessionControls) -> None:
        """The daemon is made, and its `controls` can stop the trading; nothing runs yet."""

    def jobs(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Tasks beside the engine's, by name; each runs until it is cancelled, and an error of one ends the daemon."""
        return {}

    def tick(self) -> None:
        """Called a few times a second."""

    def on_record(self, record: Record) -> None:
        """A row was journaled; it may only count or enqueue."""

    def stop(self) -> None:
        """The ticks shall end."""

    async def ended(self) -> None:
        """The ticks have ended, and nothing has gone wrong; the tasks still run."""

    async def close(self) -> None:
        """Whatever ended the daemon."""

    def streams(self) -> tuple[StreamFact, ...]:
        """The health of its streams of market data."""
        return ()

    @property
    def recording(self) -> bool:
        """True if it keeps what is received."""
        return False


class AccountKeeper(Component):
    """Whoever keeps the account that the daemon trades; this one has nothing to say against our books."""

    @property
    def believed(self) -> bool:
        """True if our books have been found to be right; until then nothing is flattened by them."""
        return True

    @property
    def protective_stop(self) -> ProtectiveStopFact | None:
        """The stop that stands at the venue."""
        return None

    @property
    def unprotected(self) -> tuple[str, Severity]:
        """The reason why no stop at the venue protects the position, and how bad that is; "" where one does, or
        none is due.
        """
        return "", "info"

    async def adopt(self, origin: str) -> str:
        """Take the venue's figures over for `origin`; what has changed. UsageError: there is nothing to adopt."""
        raise UsageError("there is nothing to adopt: no real money is traded")

    def disarm(self) -> str:
        """End what `ztb arm` began; what was done."""
        return "there is nothing to disarm: no real money is traded"
