"""An account at a venue that speaks ccxt's private calls in memory, and loses answers on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ccxt.base import errors

from ztb.execution.orders import OrderRequest
from ztb.market.instrument import Instrument
from ztb.market.live.rest import Backoff, Rest
from ztb.runtime.venue.broker import VenueBroker
from ztb.runtime.venue.gateway import GatewayCallbacks, OrderGateway

INSTRUMENT = Instrument(
    "BTC/USDT", "BTC", "USDT", "fake", Decimal("0.01"), Decimal("0.00001"), Decimal(5), Decimal("0.001"),
    Decimal("0.001"), 1.0,
)  # fmt: skip
PREFIX = "ztbtest-"


@dataclass
class FakeAccount:
    """`answers` are raised, one a call of create_order: before the order is taken if in `before`, else after.

    `deaf_to_cancels` are raised too, one a call of cancel_order, which changes nothing then.
    """

    id = "fake"
    apiKey = "a key"
    base: Decimal = Decimal(1)
    quote: Decimal = Decimal(100_000)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    trades: list[dict[str, Any]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    answers: list[Exception | None] = field(default_factory=list)
    deaf_to_cancels: list[Exception] = field(default_factory=list)
    before: bool = False
    hidden: int = 0  # calls of fetch_order that do not know any order yet
    options: dict[str, Any] = field(default_factory=dict)
    has: dict[str, Any] = field(default_factory=dict)

    async def create_order(self, symbol, kind, side, amount, price, params):
        client_id = params["clientOrderId"]
        self.sent.append(client_id)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None and self.before:
            raise answer
        assert client_id not in {row["clientOrderId"] for row in self.orders.values()}, "a duplicate order"
        number = str(len(self.orders) + 1)
        self.orders[number] = {
            "id": number, "clientOrderId": client_id, "status": "open", "amount": amount, "filled": 0.0,
            "price": price, "side": side,
        }  # fmt: skip
        if answer is not None:
            raise answer
        return dict(self.orders[number])

    def trade(
        self, number: str, amount: str, price: str = "60000", fee: str = "0", currency: str = "USDT"
    ) -> None:
        """`amount` of order `number` is executed."""
        row, quantity = self.orders[number], Decimal(amount)
        side = 1 if row["side"] == "buy" else -1
        self.base += side * quantity
        self.quote -= side * quantity * Decimal(price)
        if currency == "BTC":
            self.base -= Decimal(fee)
        else:
            self.quote -= Decimal(fee)
        row["filled"] = float(Decimal(str(row["filled"])) + quantity)
        if row["filled"] >= row["amount"]:
            row["status"] = "closed"
        self.trades.append(
            {
                "id": str(1000 + len(self.trades)), "order": number, "timestamp": 1_700_000_000_000,
                "side": row["side"], "amount": float(quantity), "price": float(price), "takerOrMaker": "taker",
                "fee": {"cost": float(fee), "currency": currency},
            }
        )  # fmt: skip

    def _row(self, number, params):
        if self.hidden > 0:
            self.hidden -= 1
            raise errors.OrderNotFound("no such order")
        for row in self.orders.values():
            if row["clientOrderId"] == params.get("clientOrderId") or row["id"] == number:
                return row
        raise errors.OrderNotFound("no such order")

    async def fetch_order(self, number, symbol, params):
        await asyncio.sleep(0)
        return dict(self._row(number, params))

    async def cancel_order(self, number, symbol, params):
        await asyncio.sleep(0)
        if self.deaf_to_cancels:
            raise self.deaf_to_cancels.pop(0)
        row = self._row(number, params)
        if row["status"] != "open":
            raise errors.OrderNotFound("over")
        row["status"] = "canceled"
        return dict(row)

    async def fetch_my_trades(self, symbol, since=None, limit=None):
        await asyncio.sleep(0)
        return [dict(trade) for trade in self.trades if trade["timestamp"] >= (since or 0)]

    async def fetch_balance(self):
        return {"total": {"USDT": float(self.quote), "BTC": float(self.base)}}


class Wall:
    """A clock that stands still."""

    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000


class Desk:
    """A broker on a fake account, and what it heard."""

    def __init__(
        self,
        account: FakeAccount,
        patience_s: float = 5.0,
        durable: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.account = account
        self.stopped = ""
        self.durable_calls = 0
        self.events = []
        rest = Rest(account, lambda: Backoff(0.01, 0.02, lambda: 0.5))
        self.broker = VenueBroker(INSTRUMENT, PREFIX, Wall(), lambda: None)
        self.broker.account["cash"], self.broker.account["position"] = 100_000.0, 1.0
        callbacks = GatewayCallbacks(
            durable or self._durable, lambda _order: self.stopped, self.collect, lambda key, text: None
        )
        self.gateway = OrderGateway(self.broker, account, rest, patience_s, callbacks)

    async def _durable(self) -> None:
        self.durable_calls += 1
        await asyncio.sleep(0)

    def collect(self) -> None:
        self.events += self.broker.events()

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def buy(order_id: int, lots: int = 1000, **more: Any) -> OrderRequest:
    from ztb.execution.orders import OrderType

    return OrderRequest(order_id, 1, lots, OrderType.MARKET, **more)
