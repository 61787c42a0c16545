"""What all kinds of streams have in common: how they are read, checked by REST, and what is known of them.

Also here: a stream kept alive: connected, read, suspected when it is silent, connected anew when it is dead.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ztb.errors import VenueError, ZtbError
from ztb.market.live.client import VenueClient, close_client
from ztb.market.live.intake import Intake
from ztb.market.live.rest import Backoff, Rest
from ztb.market.ticks import Flag, Ticks

TAINTED = int(Flag.TAINTED)
GAP = int(Flag.GAP)


@dataclass(slots=True)
class Health:
    """How a stream is. `last_ns` is when it last brought something; `fault` is why it was last connected anew.

    `gaps` counts times at which something was missing, `recovered` rows that REST gave back, `lost` trades that it
    did not, `duplicates` trades that came again, `bad` entries that could not be true.
    """

    name: str
    last_ns: int | None = None
    stale: bool = True
    reconnects: int = 0
    gaps: int = 0
    recovered: int = 0
    lost: int = 0
    duplicates: int = 0
    bad: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class SymbolContext:
    """What the channels of one symbol share. `unit` is base currency in one unit of the venue's quantities."""

    symbol: str
    unit: float
    rest: Rest
    intake: Intake
    now_ns: Callable[[], int]


class MarketChannel(ABC):
    """One kind of data of one symbol. The way of its rows goes through `put`, which marks what follows an outage."""

    def __init__(self, name: str, line: SymbolContext, stale_s: float) -> None:
        self.line = line
        self.stale_s = stale_s
        self.health = Health(name)
        self.resuming = False

    @abstractmethod
    def streams(self, client: VenueClient) -> bool:
        """Whether the venue has a stream of this."""

    @abstractmethod
    async def read(self, client: VenueClient) -> Any:
        """Wait for the stream's next message and return it. Nothing may be lost if this is cancelled."""

    @abstractmethod
    async def accept(self, message: Any, recv_ns: int) -> None:
        """Hand on what `read` gave."""

    @abstractmethod
    async def check(self, marks: int) -> bool:
        """Ask by REST. Whether there was news that the stream did not bring; it is handed on flagged `marks`."""

    def put(self, ticks: Ticks, recv_ns: int, marks: int = 0) -> None:
        """Hand on rows; `marks` are set on all of them, but a gap lies before the first alone."""
        if marks:
            ticks["flags"] |= marks & ~GAP
            ticks["flags"][:1] |= marks & GAP
        self.health.last_ns = recv_ns
        self.line.intake.put(ticks, recv_ns)

    def interrupted(self) -> None:
        """The stream is connected anew: something may be missing before its next message."""
        self.resuming = True

    def take_marks(self) -> int:
        """Marks of the first row after an outage, 0 at other times."""
        if not self.resuming:
            return 0
        self.resuming = False
        self.health.gaps += 1
        return GAP | TAINTED


_GRACE_S = 0.25


class ChannelRunner:
    """Runs one channel on a client of its own, so that the fault of one stream is no other's.

    `connect` makes a client; a channel without a stream is asked by REST every `poll_s` instead.
    """

    def __init__(
        self, channel: MarketChannel, connect: Callable[[], VenueClient], backoff: Backoff, poll_s: float
    ) -> None:
        self.channel = channel
        self._connect = connect
        self._backoff = backoff
        self._poll_s = poll_s

    async def run(self) -> None:
        """Until cancelled. What the venue or ccxt does wrong ends a connection, never this task."""
        while True:
            client = self._connect()
            try:
                await self._serve(client)
            except VenueError as error:
                self._failed(str(error))
            finally:
                await close_client(client)
            await asyncio.sleep(self._backoff.next_s())

    def _failed(self, fault: str) -> None:
        health = self.channel.health
        health.fault, health.stale = fault, True
        health.reconnects += 1
        self.channel.interrupted()

    async def _serve(self, client: VenueClient) -> None:
        channel = self.channel
        if not channel.streams(client):
            await self._poll()
        while True:
            await channel.line.intake.room()
            message = await self._next(client)
            if message is not None:
                await channel.accept(message, channel.line.now_ns())
                channel.health.stale = False
                self._backoff.reset()

    async def _poll(self) -> None:
        while True:
            await self.channel.line.intake.room()
            await self.channel.check(0)
            self.channel.health.stale = False
            self._backoff.reset()
            await asyncio.sleep(self._poll_s)

    async def _next(self, client: VenueClient) -> Any:
        """The next message; None if the stream is silent and REST knows no news either. VenueError if it is dead."""
        name, patience = self.channel.health.name, self.channel.stale_s
        # The second time is for us: if this process stood still, what came meanwhile waits to be read.
        for seconds in (patience, _GRACE_S):
            try:
                async with asyncio.timeout(seconds):
                    return await _heard(self.channel, client)
            except TimeoutError:
                continue
        self.channel.health.stale = True
        if await self.channel.check(TAINTED):
            raise VenueError(f"{name}: silent for {patience:g} s while the venue had news")
        self.channel.health.stale = False
        return None


async def _heard(channel: MarketChannel, client: VenueClient) -> Any:
    """What the channel reads. Whatever ccxt raises, a future cancelled by its own closing too, is a VenueError."""
    task = asyncio.current_task()
    try:
        return await channel.read(client)
    except asyncio.CancelledError:
        if task is not None and task.cancelling():
            raise
        raise VenueError(f"{channel.health.name}: the connection was closed") from None
    except (ZtbError, TimeoutError):
        raise
    except Exception as error:
        raise VenueError(f"{channel.health.name}: {type(error).__name__}: {error}") from error
