"""The legacy of a daemon that died: its word to its watchdog while it lived, and how the account looks at the venue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from ztb.execution.orders import is_protective
from ztb.market.live.client import Row
from ztb.runtime.venue.client import PrivateClient

FLOOR = "floor "
"""What a line begins with that says below what equity (quote currency) the account shall not fall."""
RELEASED = "released"
"""The line of a daemon that leaves on purpose."""


class Cover(msgspec.Struct, frozen=True):
    """The way to put stops back: the number of the first, on what grid."""

    order_id: int
    base: str
    quote: str
    lot_size: str
    tick_size: str
    min_notional: str
    min_quantity: str

    @property
    def lot(self) -> Decimal:
        """Base currency in a lot."""
        return Decimal(self.lot_size)

    @property
    def tick(self) -> Decimal:
        """Quote currency in a tick."""
        return Decimal(self.tick_size)


class LeftBehind(msgspec.Struct, frozen=True):
    """A daemon's word to its watchdog: whose orders to cancel where, and how to `cover` the position, if at all.

    `folder`: the run's. `listed`: the venue's market, as ccxt has it, so that nobody has to ask for it first.
    `patience_s`: what was on its way when the daemon died has come to the venue, or never will, so long after it.
    """

    market: dict[str, Any]
    symbol: str
    prefix: str
    folder: str
    patience_s: float
    listed: dict[str, Any] | None = None
    cover: Cover | None = None

    def protects(self, row: Row) -> bool:
        """True if an order is a protective stop of ours."""
        client_id = str(row.get("clientOrderId"))
        number = client_id.removeprefix(self.prefix)
        return client_id.startswith(self.prefix) and number.isdecimal() and is_protective(int(number))

    def decided(self, row: Row) -> bool:
        """True if an order is ours, and no protective stop: that is to be cancelled."""
        return str(row.get("clientOrderId")).startswith(self.prefix) and not self.protects(row)


def last_floor(lines: Iterable[str]) -> float | None:
    """The last floor in what a daemon says until it ends, 0 if it tells none; None if it left on purpose."""
    floor = 0.0
    for line in lines:
        if line.startswith(RELEASED):
            return None
        if line.startswith(FLOOR):
            floor = float(line.removeprefix(FLOOR))
    return floor


@dataclass(frozen=True, slots=True)
class StandingStop:
    """A stop of ours at the venue: its number there, whole lots and ticks."""

    number: str
    lots: int
    trigger_ticks: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """The account at the venue: cash and position in their currency, lots that nothing locks, our stops, the touch."""

    cash: float
    position: float
    free_lots: int
    stops: list[StandingStop]
    bid: float
    ask: float

    @property
    def lots(self) -> int:
        """Whole lots that one stop can be for: those that are free, and those that our stops lock."""
        return self.free_lots + sum(stop.lots for stop in self.stops)


def stops_of(rows: list[Row], left: LeftBehind, cover: Cover) -> list[StandingStop]:
    """The stops of ours among the open orders `rows`."""
    return [
        StandingStop(
            number=str(row["id"]),
            lots=int(Decimal(str(row["remaining"])) // cover.lot),
            trigger_ticks=int(Decimal(str(row.get("triggerPrice") or 0)) / cover.tick),
        )
        for row in rows
        if left.protects(row)
    ]


async def look(client: PrivateClient, symbol: str, cover: Cover, stops: list[StandingStop]) -> Holdings:
    """The account as it is now, `stops` being known to stand."""
    book, balance = await asyncio.gather(client.fetch_order_book(symbol, 5), client.fetch_balance())
    return Holdings(
        cash=float(balance["total"][cover.quote]),
        position=float(balance["total"][cover.base]),
        free_lots=int(Decimal(str(balance["free"][cover.base])) // cover.lot),
        stops=stops,
        bid=float(book["bids"][0][0]),
        ask=float(book["asks"][0][0]),
    )
