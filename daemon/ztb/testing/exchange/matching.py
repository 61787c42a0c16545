"""Price-time priority: which resting orders an incoming one trades with, and how much."""

from __future__ import annotations

from dataclasses import dataclass, field

from ztb.testing.exchange.book import Book
from ztb.testing.exchange.orders import Order, OrderRequest, OrderType
from ztb.testing.exchange.units import SCALE, cost_of


@dataclass(slots=True)
class Match:
    """What an order would do on arrival: fills in order of priority, and own orders in its way, which expire."""

    fills: list[tuple[Order, int]] = field(default_factory=list[tuple[Order, int]])
    prevented: list[Order] = field(default_factory=list[Order])
    quantity: int = 0
    cost: int = 0


def match(book: Book, request: OrderRequest, lot: int) -> Match:
    """Walk the other side as far as price and quantity of `request` reach; changes nothing."""
    found = Match()
    other = book.of(request.side.opposite)
    limit = None if request.type is OrderType.MARKET else request.price
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


def _room(request: OrderRequest, found: Match, price: int, lot: int) -> int:
    """Base units that `request` still takes at `price`; whole lots of what is left of a quote amount."""
    if not request.quote_quantity:
        return request.quantity - found.quantity
    return (request.quote_quantity - found.cost) * SCALE // price // lot * lot
