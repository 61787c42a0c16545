"""What really happened at a venue, whatever its clients were told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ztb.execution.orders import is_protective
from ztb.testing.exchange.exchange import Exchange
from ztb.testing.exchange.listing import SCALE
from ztb.testing.exchange.venue import USER

MARKET = "BTCUSDT"
_ENDS = {
    "FILLED": set[str](),
    "CANCELED": {"cancelled"},
    "EXPIRED": {"expired"},
    "EXPIRED_IN_MATCH": {"expired"},
}


def protects(client_id: str) -> bool:
    """Whether an order of ours is a protective stop."""
    number = client_id.rpartition("-")[2]
    return number.isdecimal() and is_protective(int(number))


@dataclass(frozen=True)
class Traded:
    """A fill: `side` +1 or -1."""

    trade_id: int
    client_id: str
    side: int
    price: Decimal
    quantity: Decimal


def by_number(fill: Traded) -> int:
    """The order in which the venue numbers trades."""
    return fill.trade_id


@dataclass(frozen=True)
class Truth:
    """Orders ever accepted, as (client id, status), their fills in order, and what the account holds."""

    orders: list[tuple[str, str]]
    fills: list[Traded]
    cash: Decimal
    position: Decimal

    @property
    def repeated(self) -> list[str]:
        """Client ids of which the venue took more than one order."""
        return [client_id for client_id, n in Counter(name for name, _ in self.orders).items() if n > 1]

    @property
    def ends(self) -> dict[str, set[str]]:
        """By client id, how each order ended, in our own words; nothing for one that was filled, or stands on."""
        return {
            client_id: _ENDS.get(status, set() if protects(client_id) else {"open"})
            for client_id, status in self.orders
        }

    @property
    def standing(self) -> list[str]:
        """Client ids of protective stops that wait."""
        return [name for name, status in self.orders if protects(name) and status not in _ENDS]


def truth_of(exchange: Exchange) -> Truth:
    """Read off the exchange's core."""
    venue = exchange.state.venue
    orders = {order.id: order for order in venue.orders_of(USER, MARKET)}
    held = venue.accounts.held[USER]
    cash, position = (Decimal(held[asset].free + held[asset].locked) / SCALE for asset in ("USDT", "BTC"))
    fills = [
        Traded(
            fill.trade_id, orders[fill.order_id].request.client_id, 1 if fill.side == "BUY" else -1,
            Decimal(fill.price) / SCALE, Decimal(fill.quantity) / SCALE,
        )
        for fill in venue.fills
        if fill.account == USER
    ]  # fmt: skip
    told = [(order.request.client_id, str(order.status)) for order in orders.values()]
    return Truth(told, sorted(fills, key=by_number), cash, position)


_NEWEST = {"symbol": MARKET, "limit": 1000}


def orders_told(client: Any) -> list[dict[str, Any]]:
    """As `truth_told`, the orders alone, as the venue has them."""
    told: list[dict[str, Any]] = client.private_get_allorders(_NEWEST)
    return told


def truth_told(client: Any) -> Truth:
    """Asked for by REST, by a client of ccxt's (not the daemon's): the newest thousand of each. Nobody may trade."""
    orders = {order["orderId"]: order for order in orders_told(client)}
    rows = client.private_get_account()["balances"]
    held = {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in rows}
    fills = [
        Traded(
            int(row["id"]), orders[row["orderId"]]["clientOrderId"], 1 if row["isBuyer"] in (True, "true") else -1,
            Decimal(row["price"]), Decimal(row["qty"]),
        )
        for row in client.private_get_mytrades(_NEWEST)
    ]  # fmt: skip
    told = [(order["clientOrderId"], order["status"]) for order in orders.values()]
    return Truth(told, sorted(fills, key=by_number), held["USDT"], held["BTC"])
