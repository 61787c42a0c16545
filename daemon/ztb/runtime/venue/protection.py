"""The protective stop at the venue: what stands behind a live position while nobody watches.

One at a time. It is placed once fills are known, moved when position or day have changed, and gone before the next one
comes: nothing is ever protected twice. What it would sell is locked, so it makes way for our own sells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from ztb.execution.orders import PROTECTIVE_FROM, PROTECTIVE_SIDE, OrderRequest, OrderType, is_protective
from ztb.execution.protection import NO_FRACTION, floor_of, no_stops_at, too_little, trigger_price
from ztb.ledger.accounts import Account
from ztb.market.instrument import Instrument
from ztb.market.venues import keeps_stops
from ztb.runtime.venue.client import PrivateClient
from ztb.runtime.venue.orders import OrderTable, VenueOrder
from ztb.telemetry.conditions import Severity
from ztb.telemetry.snapshot import ProtectiveStopFact
from ztb.trading.lane import Lane

_BETWEEN_S = 1.0  # two stops
_LONGEST_S = 60.0  # after the venue has refused some
_MAKES_WAY_S = 5.0  # by then an order of ours is sent, locked or not: the venue knows
_LOOK_S = 0.05
_STOP = "STOP_LOSS"
_SAME = 0.002  # of the price: a trigger that moved less stays where it is


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop: how much is to be sold at market once the price has come down to `trigger_ticks`."""

    lots: int
    trigger_ticks: int

    def stands_as(self, order: VenueOrder) -> bool:
        """True if an order at the venue is as good as this one."""
        apart = abs(order.request.price_ticks - self.trigger_ticks)
        return order.remaining_lots == self.lots and apart <= max(1, int(_SAME * self.trigger_ticks))


class OrderSender(Protocol):
    """The way of an order out to the venue, and of asking for its end, answered or not."""

    async def send(self, order: VenueOrder) -> None: ...

    async def end(self, order: VenueOrder) -> None: ...


@dataclass(frozen=True, slots=True)
class ProtectionCallbacks:
    """Callbacks of the protection: `intend` writes an order down before it is sent, `believed` says whether the
    books have been found to be right, `fraction` what may be lost (0: no stop). `counted` is called when the floor
    has been: whoever acts after us has to know it.
    """

    intend: Callable[[OrderRequest], None]
    believed: Callable[[], bool]
    fraction: Callable[[], float]
    counted: Callable[[], None]


def has_stops(client: PrivateClient, symbol: str) -> bool:
    """True if the venue has stop orders on that market, as ccxt says, and their fills are told as theirs.

    Binance lists what each market takes.
    """
    listed: list[str] = client.market(symbol)["info"].get("orderTypes", [_STOP])
    feature = client.feature_value(symbol, "createOrder", "stopLossPrice")
    return keeps_stops(client.id) and bool(feature) and _STOP in listed


class Protection:
    """Keeps the stop of `account`, the exact books of `lane`, as it should be. Only long positions are live.

    `follow` and `make_way` are called by who sends, between two orders, so that never two of them are at work.
    """

    def __init__(
        self,
        table: OrderTable,
        lane: Lane,
        account: Account,
        callbacks: ProtectionCallbacks,
        supported: bool,
    ) -> None:
        self.supported = supported
        self._table = table
        self._lane = lane
        self._account = account
        self._callbacks = callbacks
        self._instrument: Instrument = account.instrument
        self._numbered = 0
        self._order: VenueOrder | None = None
        self._ended_by_us = 0
        self._taken_at: int | None = None  # lots, when somebody else took the stop away
        self._refused = 0
        self._too_small = ""  # in words, what keeps the venue from taking a stop for what is held
        self._not_before_s = 0.0
        self._reference = self._floor = 0.0

    def resume(self, numbered: int) -> None:
        """Go on after a restart, so many stops having been placed before."""
        self._numbered = numbered

    @property
    def _stops(self) -> list[VenueOrder]:
        """All that the venue has, or may have: more than one only where a watchdog has helped."""
        return [order for order in self._table.open if is_protective(order.order_id)]

    @property
    def standing(self) -> VenueOrder | None:
        """The stop that the venue has, or may have; of several the last one."""
        return max(self._stops, key=lambda order: order.order_id, default=None)

    @property
    def floor(self) -> float:
        """The equity that the stop keeps, quote currency; 0 before there was one."""
        return self._floor

    @property
    def fact(self) -> ProtectiveStopFact | None:
        """The stop that the venue is known to have."""
        standing, instrument = self.standing, self._instrument
        if standing is None or not standing.accepted:
            return None
        quantity = standing.remaining_lots * instrument.lot_size
        return ProtectiveStopFact(float(quantity), float(standing.request.price_ticks * instrument.tick_size))

    @property
    def lacking(self) -> tuple[str, Severity]:
        """The reason why a position has no stop, in words, and how bad that is; "" where it has one, or needs none."""
        if not self.supported:
            return no_stops_at(self._instrument.venue), "info"
        if self._callbacks.fraction() <= 0.0:
            return NO_FRACTION, "info"
        if self._free_lots() <= 0 or self._stops:
            return "", "info"
        if self._left_to_others():
            return "somebody took it away at the venue, and it stays away until the halt is over", "warning"
        if self._too_small:
            return too_little(self._too_small), "info"
        return "the venue refuses it; it is tried again" if self._refused else "", "warning"

    async def follow(self, sender: OrderSender) -> None:
        """Bring the stop at the venue to what it should be, as far as that is known; else later."""
        self._look_back()
        if not self._sees():
            return
        stops = self._stops
        self._count_floor(bool(stops))
        if stops:
            wanted = self._wanted()
            if len(stops) == 1 and (_unsettled(stops[0]) or (wanted and wanted.stands_as(stops[0]))):
                return
            if not await self._take_away(stops, sender):
                return
        wanted = self._wanted()
        if wanted is None or self._left_to_others() or asyncio.get_running_loop().time() < self._not_before_s:
            return
        await self._place(wanted, sender)

    async def make_way(self, order: OrderRequest, sender: OrderSender) -> None:
        """Before one of our own is sent: what it sells must not be locked. The next look protects what is left.

        What it leaves may be seen by nobody but a watchdog, which is to know the floor by then.
        """
        stops = self._stops
        if self._sees():
            self._count_floor(bool(stops))
        if order.side > 0 or sum(stop.remaining_lots for stop in stops) <= self._free_lots():
            return
        await self._take_away(stops, sender)
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _MAKES_WAY_S
        while not all(stop.over for stop in stops) and loop.time() < deadline_s:  # noqa: ASYNC110 (whoever hears of it has no event)
            await asyncio.sleep(_LOOK_S)

    def _sees(self) -> bool:
        """True if books and market are known: without either nothing is moved."""
        possible = self.supported and self._callbacks.fraction() > 0.0
        return possible and self._callbacks.believed() and self._mid > 0.0

    @property
    def _mid(self) -> float:
        mid: float = self._lane.broker.view["mid"].item()
        return mid

    def _free_lots(self) -> int:
        """Lots held that no sell of ours has locked, or will have once it is sent."""
        held = int(self._account.exact_position // self._instrument.lot_size)
        working = (order for order in self._table.open if not is_protective(order.order_id))
        return held - sum(order.remaining_lots for order in working if order.request.side < 0)

    def _wanted(self) -> Stop | None:
        """The stop that there should be; None where too little is held to be sold."""
        lots = self._free_lots()
        if lots <= 0:
            return None
        price = trigger_price(self._floor, self._account.cash, self._account.position, self._mid)
        instrument = self._instrument
        ticks = int(Decimal(repr(price)) / instrument.tick_size)
        self._too_small = instrument.smallness(lots, ticks)
        return None if self._too_small else Stop(lots, ticks)

    def _count_floor(self, stands: bool) -> None:
        """Count the equity to keep: anew each day, while nothing is held, and where a new stop would sell at once."""
        equity = self._account.cash + self._account.position * self._mid
        reference = self._lane.gate.memory.day_start_equity or self._reference or equity
        anew = reference != self._reference or self._account.exact_position < self._instrument.lot_size
        if anew or not stands:
            floor = floor_of(reference, equity, self._callbacks.fraction())
            self._floor = floor if anew else min(self._floor, floor)
            self._reference = reference
        self._callbacks.counted()

    def _left_to_others(self) -> bool:
        """During a halt a person may have sold it, or be about to: what they took away stays away."""
        return self._taken_at == self._free_lots() and self._lane.gate.memory.permission.halted

    def _look_back(self) -> None:
        """Look at what became of the last stop."""
        order, self._order = self._order, self.standing or self._order
        if order is None or not order.done:
            return
        ours = order.order_id == self._ended_by_us
        if order.accepted and order.filled_lots == 0 and not ours:
            self._taken_at = self._free_lots()
        self._order = self.standing

    async def _take_away(self, stops: list[VenueOrder], sender: OrderSender) -> bool:
        """Ask for the end of all of them that are known to stand; whether nothing is left of any."""
        for order in stops:
            if not _unsettled(order):
                self._ended_by_us = order.order_id
                await sender.end(order)
        return all(order.done for order in stops)

    async def _place(self, wanted: Stop, sender: OrderSender) -> None:
        self._numbered += 1
        request = OrderRequest(
            order_id=PROTECTIVE_FROM + self._numbered,
            side=PROTECTIVE_SIDE,
            lots=wanted.lots,
            order_type=OrderType.STOP,
            price_ticks=wanted.trigger_ticks,
            reduce_only=True,
        )
        self._taken_at = None
        self._callbacks.intend(request)
        self._order = order = self._table.add(request)
        await sender.send(order)
        refused = order.done and not order.accepted
        self._refused = self._refused + 1 if refused else 0
        wait_s = min(_BETWEEN_S * 2**self._refused, _LONGEST_S)
        self._not_before_s = asyncio.get_running_loop().time() + wait_s


def _unsettled(order: VenueOrder) -> bool:
    """True if word of it is awaited: of its arrival, its end, or the fills before that."""
    return order.unknown or order.ending or order.over or not order.accepted
