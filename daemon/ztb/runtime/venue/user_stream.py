"""The account's own streams: quick news of fills and orders. What they miss, reconciliation finds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ztb.errors import VenueError
from ztb.market.live.backoff import Backoff
from ztb.market.live.client import Row
from ztb.ports import Clock
from ztb.runtime.venue.client import PrivateClient
from ztb.runtime.venue.orders import OrderTable


class UserStream:
    """Reads trades and orders on clients of its own, made anew after each fault; `again` is called after each."""

    def __init__(
        self,
        make: Callable[[], PrivateClient],
        symbol: str,
        table: OrderTable,
        clock: Clock,
        backoff: Backoff,
        heard: Callable[[], None],
        again: Callable[[], None],
    ) -> None:
        self.reconnects = 0
        self._make = make
        self._symbol = symbol
        self._table = table
        self._clock = clock
        self._backoff = backoff
        self._heard = heard
        self._again = again

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            client = self._make()
            try:
                await self._read(client)
            finally:
                await client.close()
            self.reconnects += 1
            self._again()
            await asyncio.sleep(self._backoff.next_s())

    async def _read(self, client: PrivateClient) -> None:
        """Until something goes wrong."""
        try:
            async with asyncio.TaskGroup() as streams:
                if client.has.get("watchMyTrades"):
                    streams.create_task(self._trades(client), name="own-trades")
                if client.has.get("watchOrders"):
                    streams.create_task(self._orders(client), name="own-orders")
                await asyncio.Event().wait()
        except* VenueError as faults:
            structlog.get_logger().warning("user_stream_failed", reasons=[str(e) for e in faults.exceptions])

    async def _trades(self, client: PrivateClient) -> None:
        while True:
            for trade in await _heard(client.watch_my_trades(self._symbol)):
                self._table.traded(trade)
            self._backoff.reset()
            self._heard()

    async def _orders(self, client: PrivateClient) -> None:
        while True:
            for row in await _heard(client.watch_orders(self._symbol)):
                self._table.told(row, self._clock.now_ns())
            self._heard()


async def _heard(reading: Awaitable[list[Row]]) -> list[Row]:
    """What a stream brings. Whatever ccxt raises, a future cancelled by its own closing too, is a VenueError."""
    task = asyncio.current_task()
    try:
        return await reading
    except asyncio.CancelledError:
        if task is not None and task.cancelling():
            raise
        raise VenueError("the connection was closed") from None
    except Exception as error:
        raise VenueError(f"{type(error).__name__}: {error}") from error
