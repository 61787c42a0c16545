"""A stream kept alive: connected, read, suspected when it is silent, connected anew when it is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ztb.errors import VenueError, ZtbError
from ztb.market.live.backoff import Backoff
from ztb.market.live.channel import TAINTED, Channel
from ztb.market.live.client import VenueClient, close_client

_GRACE_S = 0.25


class Feed:
    """Runs one channel on a client of its own, so that the fault of one stream is no other's.

    `connect` makes a client; a channel without a stream is asked by REST every `poll_s` instead.
    """

    def __init__(
        self, channel: Channel, connect: Callable[[], VenueClient], backoff: Backoff, poll_s: float
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


async def _heard(channel: Channel, client: VenueClient) -> Any:
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
