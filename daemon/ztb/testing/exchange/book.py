"""A limit order book: price levels, each a queue of orders by time of arrival.

Also here: price-time priority: which resting orders an incoming one trades with, and how much.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from ztb.testing.exchange.listing import SCALE, cost_of
from ztb.testing.exchange.orders import ExchangeOrder, ExchangeOrderRequest, Side


@dataclass(slots=True)
class BookSide:
    """One side. `prices` ascend; `levels` keep orders by id in order of arrival; `totals` are base units."""

    side: Side
    prices: list[int] = field(default_factory=list[int])
    levels: dict[int, dict[int, ExchangeOrder]] = field(default_factory=dict[int, dict[int, ExchangeOrder]])
    totals: dict[int, int] = field(default_factory=dict[int, int])

    @property
    def best(self) -> int | None:
        """The price that trades first."""
        if not self.prices:
            return None
        return self.prices[-1] if self.side is Side.BUY else self.prices[0]

    def reaches(self, price: int, limit: int | None) -> bool:
        """Whether an order of the other side, willing to trade at `limit` (None: any), meets `price`."""
        if limit is None:
            return True
        return price >= limit if self.side is Side.BUY else price <= limit

    def by_priority(self, limit: int | None = None) -> Iterator[int]:
        """Prices from the best on, as far as `limit` reaches."""
        for price in reversed(self.prices) if self.side is Side.BUY else self.prices:
            if not self.reaches(price, limit):
                return
            yield price

    def add(self, order: ExchangeOrder) -> None:
        """`order` joins the end of the queue at its price."""
        price = order.request.price
        if price not in self.levels:
            insort(self.prices, price)
            self.levels[price] = {}
            self.totals[price] = 0
        self.levels[price][order.id] = order
        self.totals[price] += order.remaining

    def reduce(self, order: ExchangeOrder, quantity: int) -> None:
        """`quantity` left `order`, which keeps its place."""
        self.totals[order.request.price] -= quantity

    def remove(self, order: ExchangeOrder) -> None:
        """`order` leaves, with what it still holds."""
        price = order.request.price
        level = self.levels[price]
        del level[order.id]
        self.totals[price] -= order.remaining
        if not level:
            del self.levels[price], self.totals[price]
            del self.prices[bisect_left(self.prices, price)]


@dataclass(slots=True)
class Book:
    """Both sides of one symbol, and the levels that changed since they were last taken.

    `update_id` counts changes of levels; `first_id` is the first of those not taken yet.
    """

    bids: BookSide = field(default_factory=lambda: BookSide(Side.BUY))
    asks: BookSide = field(default_factory=lambda: BookSide(Side.SELL))
    update_id: int = 0
    changed: dict[tuple[Side, int], None] = field(default_factory=dict[tuple[Side, int], None])
    first_id: int = 1

    def of(self, side: Side) -> BookSide:
        """The side where orders of `side` rest."""
        return self.bids if side is Side.BUY else self.asks

    def touch(self, side: Side, price: int) -> None:
        """The level changed."""
        self.update_id += 1
        self.changed[side, price] = None

    def take_changes(self) -> tuple[int, int, list[tuple[Side, int, int]]]:
        """First and last update id since the last call, and (side, price, quantity left) of the levels."""
        first, self.first_id = self.first_id, self.update_id + 1
        levels = [(side, price, self.of(side).totals.get(price, 0)) for side, price in self.changed]
        self.changed = {}
        return first, self.update_id, levels


@dataclass(slots=True)
class Match:
    """What an order would do on arrival: fills in order of priority, and own orders in its way, which expire."""

    fills: list[tuple[ExchangeOrder, int]] = field(default_factory=list[tuple[ExchangeOrder, int]])
    prevented: list[ExchangeOrder] = field(default_factory=list[ExchangeOrder])
    quantity: int = 0
    cost: int = 0


def match(book: Book, request: ExchangeOrderRequest, lot: int) -> Match:
    """Walk the other side as far as price and quantity of `request` reach; changes nothing."""
    found = Match()
    other = book.of(request.side.opposite)
    limit = None if request.type.at_market else request.price
    for price in other.by_priority(limit):
        for maker in other.levels[price].values():
            room = _room(request, found, price, lot)
            if room == 0:
                return found
            if maker.request.account == request.account:
                found.prevented.append(maker)
                continue
            quantity = min(maker.remaining, room)
            found.fills.append((maker, quantity))
            found.quantity += quantity
            found.cost += cost_of(price, quantity)
    return found


def _room(request: ExchangeOrderRequest, found: Match, price: int, lot: int) -> int:
    """Base units that `request` still takes at `price`; whole lots of what is left of a quote amount."""
    if not request.quote_quantity:
        return request.quantity - found.quantity
    return (request.quote_quantity - found.cost) * SCALE // price // lot * lot
