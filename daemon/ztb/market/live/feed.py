"""A stream kept alive: connected, read, suspected when it is silent, connected anew when it is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from ztb.errors import VenueError, ZtbError
from ztb.market.live.backoff import Backoff
from ztb.market.live.channel import TAINTED, Channel
from ztb.market.live.client import VenueClient

_CLOSING_S = 1.0


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
                await _close(client)
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
        try:
            async with asyncio.timeout(patience):
                return await _heard(self.channel, client)
        except TimeoutError:
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


async def _close(client: VenueClient) -> None:
    """Close a client. Where the venue does not answer the farewell, a second call finds that it was said."""
    for _ in range(2):
        try:
            async with asyncio.timeout(_CLOSING_S):
                await client.close()
            return
        except Exception as error:  # noqa: BLE001 (whatever ccxt left behind, we are done with it)
            structlog.get_logger().debug("client_not_closed", venue=client.id, reason=repr(error))
