"""The broker of live mode: takes orders from the lane at once, and keeps what is to be done for the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ztb.execution.account import new_account
from ztb.execution.fills import book
from ztb.execution.orders import Filled, OpenOrder, OrderEvent, OrderRequest
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks, empty_ticks, plain_ticks
from ztb.market.view import apply_tick, new_view
from ztb.ports import Clock
from ztb.runtime.venue.orders import OrderTable, VenueOrder
from ztb.utils.kernel import entry, kernel


@kernel
def _see(ticks: Ticks, i0: int, i1: int, view: NDArray[np.void]) -> None:
    for i in range(i0, i1):
        apply_tick(view[0], ticks[i])


@dataclass(frozen=True, slots=True)
class SubmitCommand:
    """An order of the lane's is to be sent."""

    order: VenueOrder


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """An order's end is to be asked for."""

    order: VenueOrder


@dataclass(frozen=True, slots=True)
class ProtectCommand:
    """The protective stop is to be looked at."""


VenueCommand: TypeAlias = SubmitCommand | CancelCommand | ProtectCommand


class MarketViewBroker:
    """The base of every broker whose orders match elsewhere: the market as it goes by, and an account."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.view = new_view(instrument)
        self.account = new_account(0.0)
        self._block = empty_ticks(0)
        self._entry = entry(_see, self._block, 0, 0, self.view)

    def advance(self, ticks: Ticks, i0: int, i1: int) -> int:
        """See `ports.Broker`: all rows at once, the venue does the matching."""
        if ticks is not self._block:
            self._block = plain_ticks(ticks)
        self._entry(self._block, i0, i1, self.view)
        return i1


class VenueBroker(MarketViewBroker):
    """The account's `Broker` at a venue. At most as many commands wait as the risk gate lets through.

    `collecting` is called before events are collected: whoever repeats a session has to know when that was.
    """

    def __init__(
        self, instrument: Instrument, prefix: str, clock: Clock, collecting: Callable[[], None]
    ) -> None:
        super().__init__(instrument)
        self.table = OrderTable(instrument, prefix)
        self._clock = clock
        self._collecting = collecting
        self._commands: asyncio.Queue[VenueCommand] = asyncio.Queue()
        self._protecting = False

    def submit(self, order: OrderRequest, now_ns: int) -> None:
        """See `ports.Broker`."""
        self._commands.put_nowait(SubmitCommand(self.table.add(order)))

    def cancel(self, order_id: int, now_ns: int) -> None:
        """See `ports.Broker`."""
        order = self.table.cancel_asked(order_id, now_ns)
        if order is not None:
            self.cancel_sent(order)

    def cancel_sent(self, order: VenueOrder) -> None:
        """Have the end of an order asked for, after what waits already."""
        self._commands.put_nowait(CancelCommand(order))

    def protect(self) -> None:
        """See that the protective stop is as it should be, as soon as the orders before that are sent."""
        if not self._protecting:
            self._protecting = True
            self._commands.put_nowait(ProtectCommand())

    async def next_command(self) -> VenueCommand:
        """The oldest command, once there is one."""
        command = await self._commands.get()
        if isinstance(command, ProtectCommand):
            self._protecting = False
        return command

    def events(self) -> list[OrderEvent]:
        """See `ports.Broker`; fills enter the account as they are collected."""
        collected: list[OrderEvent] = []
        if self.table.events:
            self._collecting()
        while self.table.events:
            event = self.table.events.popleft()
            if isinstance(event, Filled):
                side = self.table.orders[event.order_id].request.side
                book(self.account, self.instrument, side, event)
                self.protect()
            collected.append(event)
        return collected

    def resume(self, left: list[OpenOrder], client_ids: dict[int, str], fills: set[int]) -> None:
        """Go on after a restart."""
        self.table.trades = fills
        for order in left:
            self.table.resume(order, client_ids[order.order_id])

    def now_ns(self) -> int:
        """The moment at which the venue's words are heard."""
        return self._clock.now_ns()
