"""Between our whole lots and ticks and the venue's own words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from ztb.execution.orders import Filled, OrderRequest, OrderType, TimeInForce
from ztb.market.instrument import Instrument
from ztb.market.live.client import Row

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Sending:
    """Arguments of ccxt's `create_order`, beside the symbol."""

    type: str
    side: str
    amount: float
    price: float | None
    params: dict[str, Any]


def sending(order: OrderRequest, instrument: Instrument, client_id: str, worst: float | None) -> Sending:
    """`order` as ccxt sends it.

    A market order goes without a price, which some venues would take for an amount of quote currency; where the
    venue insists on one, `worst` is given, and it is sent as a limit order at that price that does not rest.
    """
    params: dict[str, Any] = {"clientOrderId": client_id}
    amount = float(order.lots * instrument.lot_size)
    side = "buy" if order.side > 0 else "sell"
    if order.order_type is OrderType.STOP:
        quantity, trigger = order.lots * instrument.lot_size, order.price_ticks * instrument.tick_size
        return stop_sale(quantity, trigger, client_id)
    if order.order_type is OrderType.MARKET:
        if worst is None:
            return Sending(type="market", side=side, amount=amount, price=None, params=params)
        return Sending(
            type="limit", side=side, amount=amount, price=worst, params=params | {"timeInForce": "IOC"}
        )
    if order.post_only:
        params["postOnly"] = True
    elif order.time_in_force is not TimeInForce.GTC:
        params["timeInForce"] = order.time_in_force.name
    return Sending(
        type="limit",
        side=side,
        amount=amount,
        price=float(order.price_ticks * instrument.tick_size),
        params=params,
    )


def stop_sale(quantity: Decimal, trigger: Decimal | None, client_id: str) -> Sending:
    """`quantity` is to be sold at market once the price has come down to `trigger`, as ccxt sends it; None: now."""
    return _sale(quantity, trigger, client_id, "stopLossPrice")


def sale_in_place(quantity: Decimal, trigger: Decimal | None, client_id: str) -> Sending:
    """The same in the place of an order that stands, as ccxt's `edit_order` sends it: that has another word for it."""
    return _sale(quantity, trigger, client_id, "stopPrice")


def _sale(quantity: Decimal, trigger: Decimal | None, client_id: str, word: str) -> Sending:
    params: dict[str, Any] = {"clientOrderId": client_id}
    if trigger is not None:
        params[word] = float(trigger)
    return Sending(type="market", side="sell", amount=float(quantity), price=None, params=params)


_FACTS = ("order", "timestamp", "side", "price", "amount", "cost")


def fill_id(trade: Row) -> int:
    """The venue's trade id as a whole number; one that is none is digested, as are the facts of a trade without one.

    Two executions of an order that agree in all of them would then count as one, which reconciliation finds.
    """
    text = str(trade["id"]) if trade.get("id") is not None else repr([trade.get(fact) for fact in _FACTS])
    if text.isdecimal():
        return int(text)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def price_of(trade: Row) -> Decimal | None:
    """The price of a trade: the venue's, else cost over quantity; None if it tells neither."""
    price, cost, amount = trade.get("price"), trade.get("cost"), trade.get("amount")
    if price is not None:
        return Decimal(str(price))
    return None if cost is None or not amount else Decimal(str(cost)) / Decimal(str(amount))


def filled(
    trade: Row, price: Decimal, order: OrderRequest, before: Decimal, instrument: Instrument, seen_ns: int
) -> Filled:
    """ccxt's trade at `price` as a fill of `order`, of which `before` base currency had been filled.

    `seen_ns` is the moment of one whose time the venue does not tell.

    Fills count in whole lots and ticks. What a venue trades off its own grid is booked at the nearest, and the rest as
    fees, above or below 0: so cash and position are what the venue says, whatever it says.
    """
    quantity = Decimal(str(trade["amount"]))
    ticks, cumulative_lots = instrument.nearest_ticks(price), instrument.nearest_lots(before + quantity)
    lots = cumulative_lots - instrument.nearest_lots(before)
    on_grid, on_grid_price = lots * instrument.lot_size, ticks * instrument.tick_size
    fee, base_fee, other_fee = _fees(trade, instrument)
    if (on_grid, on_grid_price) != (quantity, price):
        fee += order.side * (price * quantity - on_grid_price * on_grid)
        base_fee -= order.side * (quantity - on_grid)
        other_fee = ", ".join(filter(None, [other_fee, f"off the grid: {quantity:f} at {price:f}"]))
    ts_ns = seen_ns if trade.get("timestamp") is None else int(trade["timestamp"]) * _NS_PER_MS
    liquidity: Literal["maker", "taker"] = "maker" if trade.get("takerOrMaker") == "maker" else "taker"
    return Filled(
        order_id=order.order_id,
        ts_ns=ts_ns,
        fill_id=fill_id(trade),
        lots=lots,
        price_ticks=ticks,
        liquidity=liquidity,
        cumulative_lots=cumulative_lots,
        fee=fee,
        base_fee=base_fee,
        other_fee=other_fee,
    )


def _fees(trade: Row, instrument: Instrument) -> tuple[Decimal, Decimal, str]:
    """(quote, base, other) that the trade cost."""
    quote = base = Decimal(0)
    other: list[str] = []
    for fee in trade.get("fees") or [trade.get("fee") or {}]:
        if fee.get("cost") is None:
            continue
        cost, currency = Decimal(str(fee["cost"])), fee.get("currency")
        if currency == instrument.quote:
            quote += cost
        elif currency == instrument.base:
            base += cost
        elif cost:
            other.append(f"{cost:f} {currency}")
    return quote, base, ", ".join(other)


def balance_of(balance: Row, currency: str) -> Decimal:
    """All that the account holds of `currency`, reserved or not, exactly."""
    total = (balance.get("total") or {}).get(currency)
    return Decimal(0) if total is None else Decimal(str(total))
