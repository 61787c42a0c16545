"""Components beside the engine in a daemon: parts with a life of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from ztb.ledger.records import Record
from ztb.telemetry.snapshot import StreamFact

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
