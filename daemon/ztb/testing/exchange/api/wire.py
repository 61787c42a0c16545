"""The venue's words for prices, trades, orders and balances (Binance spot, REST)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ztb.testing.exchange.book import Book
from ztb.testing.exchange.candles import INTERVALS, MINUTE_MS, Candle
from ztb.testing.exchange.listing import PPM, SCALE, Listing, amount_text, cost_of
from ztb.testing.exchange.orders import ExchangeOrder, ExchangeOrderType, Fill, Print, Side
from ztb.testing.exchange.venue import Market

Json = dict[str, Any]

RATE_LIMITS = (
    ("REQUEST_WEIGHT", "MINUTE", 1, 6_000),
    ("ORDERS", "SECOND", 10, 100),
    ("ORDERS", "DAY", 1, 200_000),
)
"""Kind, interval, how many of them, limit."""


def exchange_info(listings: Sequence[Listing], now_ms: int) -> Json:
    """`GET exchangeInfo`."""
    limits = [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
        for kind, interval, number, limit in RATE_LIMITS
    ]
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": limits,
        "exchangeFilters": [],
        "symbols": [_symbol(listing) for listing in listings],
    }


def _symbol(listing: Listing) -> Json:
    return {
        "symbol": listing.symbol,
        "status": "TRADING",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": [
            kind.value
            for kind in ExchangeOrderType
            if listing.stops or kind is not ExchangeOrderType.STOP_LOSS
        ],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(listing),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
    }


def _filters(listing: Listing) -> list[Json]:
    sizes = {
        "minQty": amount_text(listing.least),
        "maxQty": amount_text(listing.max_quantity),
        "stepSize": amount_text(listing.lot),
    }
    notional = amount_text(listing.min_notional)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": amount_text(listing.tick),
            "maxPrice": amount_text(listing.max_price),
            "tickSize": amount_text(listing.tick),
        },
        {"filterType": "LOT_SIZE", **sizes},
        {"filterType": "MARKET_LOT_SIZE", **sizes},
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": str(listing.band),
            "bidMultiplierDown": "0",
            "askMultiplierUp": str(PPM),
            "askMultiplierDown": amount_text(SCALE // listing.band),
            "avgPriceMins": 0,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": notional,
            "applyMinToMarket": True,
            "maxNotional": amount_text(9_000_000 * SCALE),
            "applyMaxToMarket": False,
            "avgPriceMins": 0,
        },
    ]


def levels(book: Book, side: Side, limit: int) -> list[list[str]]:
    """The best `limit` levels of one side."""
    found = book.of(side)
    prices = [price for price, _ in zip(found.by_priority(), range(limit), strict=False)]
    return [[amount_text(price), amount_text(found.totals[price])] for price in prices]


def depth(book: Book, limit: int) -> Json:
    """`GET depth`."""
    return {
        "lastUpdateId": book.update_id,
        "bids": levels(book, Side.BUY, limit),
        "asks": levels(book, Side.SELL, limit),
    }


def book_ticker(market: Market) -> Json:
    """`GET ticker/bookTicker`."""
    (bid, bid_size), (ask, ask_size) = touch(market.book)
    return {
        "symbol": market.listing.symbol,
        "bidPrice": bid,
        "bidQty": bid_size,
        "askPrice": ask,
        "askQty": ask_size,
    }


def touch(book: Book) -> tuple[tuple[str, str], tuple[str, str]]:
    """Best bid and ask, each price and quantity; zero where a side is empty."""
    best = (levels(book, side, 1) for side in (Side.BUY, Side.SELL))
    (bid, ask) = ((rows[0][0], rows[0][1]) if rows else (amount_text(0), amount_text(0)) for rows in best)
    return bid, ask


def trade(printed: Print) -> Json:
    """One row of `GET trades`."""
    return {
        "id": printed.id,
        "price": amount_text(printed.price),
        "qty": amount_text(printed.quantity),
        "quoteQty": amount_text(cost_of(printed.price, printed.quantity)),
        "time": printed.time_ms,
        "isBuyerMaker": printed.buyer_is_maker,
        "isBestMatch": True,
    }


def aggregate_trade(printed: Print) -> Json:
    """One row of `GET aggTrades`; here each trade is an aggregate of its own."""
    return {
        "a": printed.id,
        "p": amount_text(printed.price),
        "q": amount_text(printed.quantity),
        "f": printed.id,
        "l": printed.id,
        "T": printed.time_ms,
        "m": printed.buyer_is_maker,
        "M": True,
    }


def kline(candle: Candle, interval: str) -> list[Any]:
    """One row of `GET klines`."""
    return [
        candle.open_ms,
        amount_text(candle.open),
        amount_text(candle.high),
        amount_text(candle.low),
        amount_text(candle.close),
        amount_text(candle.volume),
        close_ms(candle, interval),
        amount_text(candle.quote),
        candle.trades,
        amount_text(candle.bought),
        amount_text(candle.bought_quote),
        "0",
    ]


def close_ms(candle: Candle, interval: str) -> int:
    """The last millisecond of a bar."""
    return candle.open_ms + INTERVALS[interval] * MINUTE_MS - 1


def day_ticker(market: Market, day: Candle | None, now_ms: int) -> Json:
    """`GET ticker/24hr`."""
    last = market.last_price
    day = day or Candle(open_ms=now_ms, open=last, high=last, low=last, close=last)
    change = last - day.open
    average = day.quote * SCALE // day.volume if day.volume else last
    quotes = book_ticker(market)
    newest = market.prints[-1].quantity if market.prints else 0
    return quotes | {
        "priceChange": amount_text(change),
        "priceChangePercent": f"{100 * change / day.open:.3f}",
        "weightedAvgPrice": amount_text(average),
        "prevClosePrice": amount_text(day.open),
        "lastPrice": amount_text(last),
        "lastQty": amount_text(newest),
        "openPrice": amount_text(day.open),
        "highPrice": amount_text(day.high),
        "lowPrice": amount_text(day.low),
        "volume": amount_text(day.volume),
        "quoteVolume": amount_text(day.quote),
        "openTime": day.open_ms,
        "closeTime": now_ms,
        "firstId": day.first_id,
        "lastId": day.last_id,
        "count": day.trades,
    }


def order(found: ExchangeOrder) -> Json:
    """One row of `GET order`, `openOrders` and `allOrders`."""
    return order_identity(found) | {
        "stopPrice": amount_text(found.request.stop_price),
        "icebergQty": amount_text(0),
        "time": found.created_ms,
        "updateTime": found.updated_ms,
        "isWorking": not found.waiting,
        "workingTime": found.created_ms,
    }


def order_identity(found: ExchangeOrder) -> Json:
    """The fields of every answer about an order."""
    request = found.request
    return {
        "symbol": request.symbol,
        "orderId": found.id,
        "orderListId": -1,
        "clientOrderId": request.client_id,
        "price": amount_text(request.price),
        "origQty": amount_text(found.quantity),
        "executedQty": amount_text(found.filled),
        "origQuoteOrderQty": amount_text(request.quote_quantity),
        "cummulativeQuoteQty": amount_text(found.spent),
        "status": found.status.value,
        "timeInForce": request.time_in_force.value,
        "type": request.type.value,
        "side": request.side.value,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def placed(found: ExchangeOrder, fills: Sequence[Fill], form: str) -> Json:
    """The answer to `POST order` of the form ACK, RESULT or FULL."""
    if form == "ACK":
        whole = order_identity(found)
        kept = {key: whole[key] for key in ("symbol", "orderId", "orderListId", "clientOrderId")}
        return kept | {"transactTime": found.created_ms}
    result = order_identity(found) | {"transactTime": found.created_ms, "workingTime": found.created_ms}
    return result if form == "RESULT" else result | {"fills": [_fill_of_order(fill) for fill in fills]}


def _fill_of_order(fill: Fill) -> Json:
    return {
        "price": amount_text(fill.price),
        "qty": amount_text(fill.quantity),
        "commission": amount_text(fill.commission),
        "commissionAsset": fill.commission_asset,
        "tradeId": fill.trade_id,
    }


def canceled(found: ExchangeOrder, cancel_id: str) -> Json:
    """The answer to `DELETE order`."""
    return order_identity(found) | {
        "origClientOrderId": found.request.client_id,
        "clientOrderId": cancel_id,
        "transactTime": found.updated_ms,
    }


def my_trade(fill: Fill) -> Json:
    """One row of `GET myTrades`."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": amount_text(fill.price),
        "qty": amount_text(fill.quantity),
        "quoteQty": amount_text(fill.quote),
        "commission": amount_text(fill.commission),
        "commissionAsset": fill.commission_asset,
        "time": fill.time_ms,
        "isBuyer": fill.side is Side.BUY,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }
