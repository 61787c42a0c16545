"""Private requests: orders, balances, own trades, fees, rights of the key."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from ztb.testing.exchange.api import wire
from ztb.testing.exchange.api.call import Call
from ztb.testing.exchange.listing import PPM, SCALE, Listing, amount_text
from ztb.testing.exchange.orders import (
    OPEN,
    ExchangeOrder,
    ExchangeOrderRequest,
    ExchangeOrderType,
    ExchangeTimeInForce,
    Fill,
    Refusal,
    Side,
)
from ztb.testing.exchange.venue import State

_CLIENT_ID = re.compile(r"^[a-zA-Z0-9-_.:/]{1,36}$")
_FAR_MS = 10**15

Row = TypeVar("Row")


def place(state: State, call: Call) -> Any:
    """`POST order`."""
    return _place(state, call, order_request(state, call))


def test(state: State, call: Call) -> Any:
    """`POST order/test`: reads the order and does nothing."""
    order_request(state, call)
    return {}


def _place(state: State, call: Call, request: ExchangeOrderRequest) -> wire.Json:
    before = len(state.venue.fills)
    placed = state.venue.place(request, call.now_ms)
    fills = [fill for fill in state.venue.fills[before:] if fill.order_id == placed.id]
    return wire.placed(placed, fills, call.params.get("newOrderRespType", "FULL"))


def order_request(state: State, call: Call) -> ExchangeOrderRequest:
    """The order that `call` asks for; Refusal where parameters are missing or wrong."""
    symbol = call.text("symbol")
    state.venue.market(symbol)
    side = call.choice("side", Side, -1117, "side")
    kind = call.choice("type", ExchangeOrderType, -1116, "orderType")
    client_id = call.params.get("newClientOrderId") or f"local{state.venue.last_order_id + 1}"
    if not _CLIENT_ID.match(client_id):
        raise Refusal(-1100, "Illegal characters found in parameter 'newClientOrderId'.")
    force = ExchangeTimeInForce.GTC
    price = quantity = quote_quantity = stop_price = 0
    if kind is ExchangeOrderType.LIMIT:
        force = call.choice("timeInForce", ExchangeTimeInForce, -1115, "timeInForce")
    if kind is ExchangeOrderType.STOP_LOSS:
        stop_price = call.amount("stopPrice")
    elif kind is not ExchangeOrderType.MARKET:
        price = call.amount("price")
    if kind is ExchangeOrderType.MARKET and "quoteOrderQty" in call.params:
        quote_quantity = call.amount("quoteOrderQty")
    else:
        quantity = call.amount("quantity")
    return ExchangeOrderRequest(
        call.account, symbol, client_id, side, kind, force, price, quantity, quote_quantity, stop_price
    )


def query(state: State, call: Call) -> Any:
    """`GET order`."""
    found = _find(state, call)
    if found is None:
        raise Refusal(-2013, "ExchangeOrder does not exist.")
    return wire.order(found)


def cancel(state: State, call: Call) -> Any:
    """`DELETE order`."""
    found = _find(state, call)
    if found is None or found.status not in OPEN:
        raise Refusal(-2011, "Unknown order sent.")
    return _cancel(state, call, found)


def cancel_all(state: State, call: Call) -> Any:
    """`DELETE openOrders` of one symbol."""
    found = state.venue.open_orders(call.account, call.text("symbol"))
    if not found:
        raise Refusal(-2011, "Unknown order sent.")
    return [_cancel(state, call, order) for order in found]


def replace(state: State, call: Call) -> Any:
    """`POST order/cancelReplace`: cancels one order, then places another."""
    old = _find(
        state,
        Call(
            {
                "symbol": call.text("symbol"),
                **_renamed(
                    call, {"cancelOrderId": "orderId", "cancelOrigClientOrderId": "origClientOrderId"}
                ),
            },
            call.now_ms,
            call.account,
        ),
    )
    request = order_request(state, call)
    if old is None or old.status not in OPEN:
        raise Refusal(-2011, "Unknown order sent.")
    canceled = _cancel(state, call, old)
    return {
        "cancelResult": "SUCCESS",
        "newOrderResult": "SUCCESS",
        "cancelResponse": canceled,
        "newOrderResponse": _place(state, call, request),
    }


def _renamed(call: Call, names: dict[str, str]) -> dict[str, str]:
    return {new: call.params[old] for old, new in names.items() if old in call.params}


def _cancel(state: State, call: Call, order: ExchangeOrder) -> wire.Json:
    cancel_id = call.params.get("newClientOrderId") or f"cancel{order.id}"
    state.venue.cancel(order, call.now_ms, cancel_id)
    return wire.canceled(order, cancel_id)


def _find(state: State, call: Call) -> ExchangeOrder | None:
    order_id, client_id = call.maybe_integer("orderId"), call.params.get("origClientOrderId")
    if order_id is None and not client_id:
        raise Refusal(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return state.venue.find(call.account, call.text("symbol"), order_id, client_id)


def open_orders(state: State, call: Call) -> Any:
    """`GET openOrders`: of one symbol or of all."""
    symbol = call.params.get("symbol")
    if symbol is not None:
        state.venue.market(symbol)
    return [wire.order(order) for order in state.venue.open_orders(call.account, symbol)]


def all_orders(state: State, call: Call) -> Any:
    """`GET allOrders` of one symbol: from an id or a time on, or the newest."""
    found = state.venue.orders_of(call.account, state.venue.market(call.text("symbol")).listing.symbol)
    first, start, end = _window(call, "orderId")
    chosen = [o for o in found if o.id >= first and start <= o.created_ms <= end]
    return [wire.order(order) for order in _newest(call, chosen, "orderId")]


def my_trades(state: State, call: Call) -> Any:
    """`GET myTrades` of one symbol: of an order, from an id or a time on, or the newest."""
    symbol = state.venue.market(call.text("symbol")).listing.symbol
    first, start, end = _window(call, "fromId")
    order_id = call.maybe_integer("orderId")

    def wanted(fill: Fill) -> bool:
        inside = fill.trade_id >= first and start <= fill.time_ms <= end
        return (
            inside
            and (fill.account, fill.symbol) == (call.account, symbol)
            and order_id in (None, fill.order_id)
        )

    return [
        wire.my_trade(fill) for fill in _newest(call, [f for f in state.venue.fills if wanted(f)], "fromId")
    ]


def _window(call: Call, first: str) -> tuple[int, int, int]:
    return call.integer(first, 0), call.integer("startTime", 0), call.integer("endTime", _FAR_MS)


def _newest(call: Call, rows: list[Row], first: str) -> list[Row]:
    """The oldest `limit` rows of a span that was asked for by its start, otherwise the newest."""
    limit = min(max(call.integer("limit", 500), 1), 1_000)
    from_start = first in call.params or "startTime" in call.params
    return rows[:limit] if from_start else rows[-limit:]


def account(state: State, call: Call) -> Any:
    """`GET account`."""
    listing = next(iter(state.venue.markets.values())).listing
    held = state.venue.accounts.held[call.account]
    balances = [
        {"asset": asset, "free": amount_text(balance.free), "locked": amount_text(balance.locked)}
        for asset, balance in held.items()
    ]
    return {
        "makerCommission": listing.maker_ppm // 100,
        "takerCommission": listing.taker_ppm // 100,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": _rate(listing.maker_ppm),
            "taker": _rate(listing.taker_ppm),
            "buyer": _rate(0),
            "seller": _rate(0),
        },
        "canTrade": True,
        "canWithdraw": state.credentials.withdrawals,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": call.now_ms,
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
        "uid": 1,
    }


def trade_fee(state: State, call: Call) -> Any:
    """`GET /sapi/v1/asset/tradeFee`: of one symbol or of all."""
    symbol = call.params.get("symbol")
    listings = (
        [market.listing for market in state.venue.markets.values()]
        if symbol is None
        else [state.venue.market(symbol).listing]
    )
    return [_fees(listing) for listing in listings]


def _fees(listing: Listing) -> wire.Json:
    return {
        "symbol": listing.symbol,
        "makerCommission": _rate(listing.maker_ppm),
        "takerCommission": _rate(listing.taker_ppm),
    }


def _rate(ppm: int) -> str:
    return amount_text(ppm * SCALE // PPM)


def api_restrictions(state: State, call: Call) -> Any:
    """`GET /sapi/v1/account/apiRestrictions`: what the key may do."""
    return {
        "ipRestrict": False,
        "createTime": 0,
        "enableReading": True,
        "enableSpotAndMarginTrading": True,
        "enableWithdrawals": state.credentials.withdrawals,
        "enableInternalTransfer": False,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableMargin": False,
        "enableFutures": False,
        "enablePortfolioMarginTrading": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
    }


def system_status(state: State, call: Call) -> Any:
    """`GET /sapi/v1/system/status`."""
    return {"status": 0, "msg": "normal"}


def no_rows(state: State, call: Call) -> Any:
    """Deposits and withdrawals: there were none."""
    return []


def no_transfers(state: State, call: Call) -> Any:
    """`GET /sapi/v1/asset/transfer`: there were none."""
    return {"total": 0, "rows": []}
