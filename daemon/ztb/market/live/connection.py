"""A stream's connection: made, listened to, and made anew when it has died or when silence has missed news."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ztb.errors import VenueError, ZtbError
from ztb.market.live.channel import TAINTED, MarketChannel
from ztb.market.live.client import VenueClient, close_client
from ztb.market.live.rest import Backoff
from ztb.market.live.tap import Tap

_GRACE_S = 0.25
_GATHER_S = 0.001


class ChannelRunner:
    """Runs one channel on a client of its own, so that the fault of one stream is no other's.

    `connect` makes a client; a channel without a stream is asked by REST every `poll_s` instead. `most` trades wait
    to be read.
    """

    def __init__(
        self,
        channel: MarketChannel,
        connect: Callable[[], VenueClient],
        backoff: Backoff,
        poll_s: float,
        most: int,
    ) -> None:
        self.channel = channel
        self._connect = connect
        self._backoff = backoff
        self._poll_s = poll_s
        self._most = most

    async def run(self) -> None:
        """Until cancelled. What the venue or ccxt does wrong ends a connection, never this task."""
        while True:
            client = self._connect()
            try:
                await self._serve(client)
            except* VenueError as faults:
                self._failed(str(faults.exceptions[0]))
            finally:
                await close_client(client)
            await asyncio.sleep(self._backoff.next_s())

    def _failed(self, fault: str) -> None:
        health = self.channel.health
        health.fault, health.stale = fault, True
        health.reconnects += 1
        self.channel.interrupted()

    async def _serve(self, client: VenueClient) -> None:
        channel, decoder = self.channel, self.channel.decoder
        if not channel.streams(client):
            await self._poll()
        if decoder is None:
            await self._listen(lambda: _heard(channel, client), 0.0)
            return
        tap = Tap(channel, decoder, client, self._most)
        async with asyncio.TaskGroup() as tasks:
            name = f"{channel.health.name}-by-ccxt"
            tasks.create_task(tap.follow(lambda: _heard(channel, client)), name=name)
            await self._listen(tap.read, _GATHER_S)

    async def _listen(self, read: Callable[[], Awaitable[Any]], pause_s: float) -> None:
        """Hand on what `read` brings, until it raises. In a pause more gathers, which costs as little as one."""
        channel = self.channel
        while True:
            await channel.line.intake.room()
            message = await self._next(read)
            if message is not None:
                await channel.accept(message, channel.line.now_ns())
                channel.health.stale = False
                self._backoff.reset()
                if pause_s:
                    await asyncio.sleep(pause_s)

    async def _poll(self) -> None:
        while True:
            await self.channel.line.intake.room()
            await self.channel.check(0)
            self.channel.health.stale = False
            self._backoff.reset()
            await asyncio.sleep(self._poll_s)

    async def _next(self, read: Callable[[], Awaitable[Any]]) -> Any:
        """The next message; None if the stream is silent and REST knows no news either. VenueError if it is dead."""
        name, patience = self.channel.health.name, self.channel.stale_s
        # The second time is for us: if this process stood still, what came meanwhile waits to be read.
        for seconds in (patience, _GRACE_S):
            try:
                async with asyncio.timeout(seconds):
                    return await read()
            except TimeoutError:
                continue
        self.channel.health.stale = True
        if await self.channel.check(TAINTED):
            raise VenueError(f"{name}: silent for {patience:g} s while the venue had news")
        self.channel.health.stale = False
        return None


async def _heard(channel: MarketChannel, client: VenueClient) -> Any:
    """The messages that the channel reads. Whatever ccxt raises, a future cancelled by its own closing too, is a
    VenueError.
    """
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
