"""The account's own streams: quick news of fills and orders. What they miss, reconciliation finds.

A deaf stream looks like one on which nothing happens. So a connection ends not only with an error, but also when the
venue has ended what it carries, and when it does not bring a trade that REST knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ztb.errors import VenueError
from ztb.market.live.client import Row
from ztb.market.live.rest import Backoff
from ztb.ports import Clock
from ztb.runtime.venue.client import PrivateClient
from ztb.runtime.venue.orders import OrderTable
from ztb.runtime.venue.translation import fill_id

_LOOK_S = 0.2
_SETTLING_S = 1.0  # after connecting, until the venue has answered what was asked for
_CATCH_UP_S = 5.0  # until REST has told what was before that
_LATE_S = 3.0  # by which a stream may be behind REST


class UserStream:
    """Reads trades and orders on clients of its own, made anew after each fault.

    `again` is called when a connection has failed, and when the next one listens: what was between them is to be
    asked for.
    """

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
        self._listens_since_s: float | None = None
        self._nameless = (
            False  # whether it brings trades without ids, so that nobody knows which it has brought
        )
        self._owed: dict[int, float] = {}  # trades that REST told first, and until when they may still come

    def missed(self, trade: int) -> None:
        """REST knows a trade, by `fill_id`, that this stream has not brought."""
        now_s = asyncio.get_running_loop().time()
        if self._nameless:
            return
        if self._listens_since_s is not None and now_s > self._listens_since_s + _CATCH_UP_S:
            self._owed[trade] = now_s + _LATE_S

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            client = self._make()
            try:
                await self._read(client)
            finally:
                await client.close()
            self.reconnects += 1
            self._listens_since_s = None
            self._owed.clear()
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
                streams.create_task(self._settle(client), name="own-streams-settle")
                await self._watch(client)
        except* VenueError as faults:
            structlog.get_logger().warning("user_stream_failed", reasons=[str(e) for e in faults.exceptions])

    async def _settle(self, client: PrivateClient) -> None:
        """Wait until the streams bring what happens from now on; what happened before is asked for."""
        while not _connected(client):  # noqa: ASYNC110 (ccxt has no event for it)
            await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(_SETTLING_S)
        self._backoff.reset()
        if client.has.get("watchMyTrades"):
            self._listens_since_s = asyncio.get_running_loop().time()
        self._again()

    async def _watch(self, client: PrivateClient) -> None:
        """Raise a VenueError when the streams are deaf."""
        loop = asyncio.get_running_loop()
        while not any(until_s < loop.time() for until_s in self._owed.values()):
            _refuse_rejected(client)
            await asyncio.sleep(_LOOK_S)
        raise VenueError("a trade that REST knows has not come")

    async def _trades(self, client: PrivateClient) -> None:
        while True:
            for trade in await _heard(client.watch_my_trades(self._symbol)):
                if trade.get("id") is None:
                    # By REST it may have one: booked here, it would count twice.
                    self._nameless = True
                    self._owed.clear()
                    self._again()
                    continue
                self._owed.pop(fill_id(trade), None)
                self._table.traded(trade)
            self._heard()

    async def _orders(self, client: PrivateClient) -> None:
        while True:
            for row in await _heard(client.watch_orders(self._symbol)):
                self._table.told(row, self._clock.now_ns())
            self._heard()


async def _heard(reading: Awaitable[list[Row]]) -> list[Row]:
    """The messages of a stream. Whatever ccxt raises, a future cancelled by its own closing too, is a VenueError."""
    task = asyncio.current_task()
    try:
        return await reading
    except asyncio.CancelledError:
        if task is not None and task.cancelling():
            raise
        raise VenueError("the connection was closed") from None
    except Exception as error:
        raise VenueError(f"{type(error).__name__}: {error}") from error


def _connected(client: PrivateClient) -> bool:
    sockets = client.clients.values()
    return bool(sockets) and all(socket.isConnected for socket in sockets)


def _refuse_rejected(client: PrivateClient) -> None:
    """VenueError if the venue has ended a subscription: ccxt keeps that for the next who asks, and lets us wait."""
    for socket in client.clients.values():
        for error in socket.rejections.values():
            raise VenueError(f"{type(error).__name__}: {error}")
