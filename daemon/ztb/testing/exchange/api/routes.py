"""Routes of requests: what each does, what it weighs, and whether it must be signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ztb.testing.exchange.api import market_data, trading
from ztb.testing.exchange.api.call import Call
from ztb.testing.exchange.venue import State


@dataclass(frozen=True, slots=True)
class Route:
    """`is_order` counts towards the limit on orders."""

    handle: Callable[[State, Call], Any]
    weight: int = 1
    signed: bool = False
    is_order: bool = False


_ROOT = "/api/v3/"
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", _ROOT + "ping"): Route(market_data.ping),
    ("GET", _ROOT + "time"): Route(market_data.time),
    ("GET", _ROOT + "exchangeInfo"): Route(market_data.exchange_info, 20),
    ("GET", _ROOT + "depth"): Route(market_data.depth, 5),
    ("GET", _ROOT + "trades"): Route(market_data.trades, 25),
    ("GET", _ROOT + "historicalTrades"): Route(market_data.trades, 25),
    ("GET", _ROOT + "aggTrades"): Route(market_data.aggregate_trades, 4),
    ("GET", _ROOT + "klines"): Route(market_data.klines, 2),
    ("GET", _ROOT + "ticker/24hr"): Route(market_data.day_ticker, 2),
    ("GET", _ROOT + "ticker/bookTicker"): Route(market_data.book_ticker, 2),
    ("GET", _ROOT + "ticker/price"): Route(market_data.price_ticker, 2),
    ("POST", _ROOT + "order"): Route(trading.place, 1, signed=True, is_order=True),
    ("POST", _ROOT + "order/test"): Route(trading.test, 1, signed=True),
    ("POST", _ROOT + "order/cancelReplace"): Route(trading.replace, 1, signed=True, is_order=True),
    ("GET", _ROOT + "order"): Route(trading.query, 4, signed=True),
    ("DELETE", _ROOT + "order"): Route(trading.cancel, 1, signed=True),
    ("GET", _ROOT + "openOrders"): Route(trading.open_orders, 6, signed=True),
    ("DELETE", _ROOT + "openOrders"): Route(trading.cancel_all, 1, signed=True),
    ("GET", _ROOT + "allOrders"): Route(trading.all_orders, 20, signed=True),
    ("GET", _ROOT + "account"): Route(trading.account, 20, signed=True),
    ("GET", _ROOT + "myTrades"): Route(trading.my_trades, 20, signed=True),
    ("GET", "/sapi/v1/asset/tradeFee"): Route(trading.trade_fee, 1, signed=True),
    ("GET", "/sapi/v1/account/apiRestrictions"): Route(trading.api_restrictions, 1, signed=True),
    ("GET", "/sapi/v1/system/status"): Route(trading.system_status),
    ("GET", "/sapi/v1/capital/deposit/hisrec"): Route(trading.no_rows, 1, signed=True),
    ("GET", "/sapi/v1/capital/withdraw/history"): Route(trading.no_rows, 1, signed=True),
    ("GET", "/sapi/v1/asset/transfer"): Route(trading.no_transfers, 1, signed=True),
}

METHODS: dict[str, tuple[str, str]] = {
    "ping": ("GET", _ROOT + "ping"),
    "time": ("GET", _ROOT + "time"),
    "exchangeInfo": ("GET", _ROOT + "exchangeInfo"),
    "depth": ("GET", _ROOT + "depth"),
    "trades.recent": ("GET", _ROOT + "trades"),
    "trades.historical": ("GET", _ROOT + "historicalTrades"),
    "trades.aggregate": ("GET", _ROOT + "aggTrades"),
    "klines": ("GET", _ROOT + "klines"),
    "ticker.24hr": ("GET", _ROOT + "ticker/24hr"),
    "ticker.book": ("GET", _ROOT + "ticker/bookTicker"),
    "ticker.price": ("GET", _ROOT + "ticker/price"),
    "order.place": ("POST", _ROOT + "order"),
    "order.test": ("POST", _ROOT + "order/test"),
    "order.cancelReplace": ("POST", _ROOT + "order/cancelReplace"),
    "order.status": ("GET", _ROOT + "order"),
    "order.cancel": ("DELETE", _ROOT + "order"),
    "openOrders.status": ("GET", _ROOT + "openOrders"),
    "openOrders.cancelAll": ("DELETE", _ROOT + "openOrders"),
    "allOrders": ("GET", _ROOT + "allOrders"),
    "account.status": ("GET", _ROOT + "account"),
    "myTrades": ("GET", _ROOT + "myTrades"),
}
"""Methods of the websocket API, and the REST requests they are the same as."""
