"""What the exchange answers, on a virtual clock and without a socket."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from testing.exchange.desk import Desk, answer, opened
from ztb.testing import Close
from ztb.testing.exchange.candles import MINUTE_MS
from ztb.testing.exchange.listing import BTCUSDT, LISTINGS, parse_amount


@pytest.fixture
def desk() -> Desk:
    return opened()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"price": "50000.001"}, "PRICE_FILTER"),
        ({"price": "1000000.01"}, "PRICE_FILTER"),
        ({"quantity": "0.010001"}, "LOT_SIZE"),
        ({"quantity": "9000.00001"}, "LOT_SIZE"),
        ({"price": "400000"}, "PERCENT_PRICE_BY_SIDE"),
        ({"side": "SELL", "price": "10000"}, "PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "0.00009"}, "NOTIONAL"),
        ({"type": "MARKET", "price": None, "timeInForce": None, "quantity": "0.00001"}, "NOTIONAL"),
    ],
)
def test_a_filter_refuses_by_name(desk: Desk, changes: dict[str, str | None], name: str) -> None:
    response = desk.order(**changes)
    assert (response.status, answer(response)) == (400, {"code": -1013, "msg": f"Filter failure: {name}"})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": None}, -1102),
        ({"symbol": "NONE"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "STOP"}, -1116),
        ({"timeInForce": None}, -1102),
        ({"timeInForce": "GTD"}, -1115),
        ({"price": None}, -1102),
        ({"quantity": "-1"}, -1111),
        ({"quantity": "0.000000001"}, -1111),
        ({"quantity": "0"}, -1013),
        ({"newClientOrderId": "not allowed"}, -1100),
        ({"quantity": "3"}, -2010),
        ({"type": "LIMIT_MAKER", "price": "70000"}, -2010),
    ],
)
def test_a_wrong_order_is_refused_by_code_and_changes_nothing(
    desk: Desk, changes: dict[str, str | None], code: int
) -> None:
    before = answer(desk.signed("GET", "/api/v3/account"))["balances"]
    response = desk.order(**changes)
    assert (response.status, answer(response)["code"]) == (400, code)
    assert answer(desk.signed("GET", "/api/v3/account"))["balances"] == before


@pytest.mark.parametrize(
    ("details", "code", "status"),
    [
        ({"secret": "another"}, -1022, 400),
        ({"key": "another"}, -2015, 401),
        ({"key": ""}, -2014, 401),
        ({"timestamp": 0}, -1021, 400),
        ({"recvWindow": 60_001}, -1131, 400),
    ],
)
def test_a_request_that_is_not_ours_or_not_of_now_is_refused(
    desk: Desk, details: dict[str, Any], code: int, status: int
) -> None:
    response = desk.signed("GET", "/api/v3/account", **details)
    assert (response.status, answer(response)["code"]) == (status, code)


@pytest.mark.parametrize(
    ("offset_ms", "code"), [(999, None), (1_000, -1021), (-5_000, None), (-5_001, -1021)]
)
def test_the_window_of_time_is_as_documented(desk: Desk, offset_ms: int, code: int | None) -> None:
    response = desk.signed("GET", "/api/v3/account", timestamp=desk.exchange.now_ms() + offset_ms)
    assert answer(response).get("code") == code


def test_a_changed_parameter_breaks_the_signature(desk: Desk) -> None:
    query = urlencode({"timestamp": desk.exchange.now_ms(), "symbol": "BTCUSDT"})
    secret = desk.exchange.state.credentials.secret
    digest = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    forged = query.replace("BTCUSDT", "ETHUSDT") + f"&signature={digest}"
    headers = {"x-mbx-apikey": desk.exchange.state.credentials.key}
    response = desk.exchange.handle_request("GET", "/api/v3/openOrders", forged, headers)
    assert answer(response)["code"] == -1022


def test_orders_that_are_not_there_are_named_so(desk: Desk) -> None:
    query = {"symbol": "BTCUSDT", "origClientOrderId": "none"}
    assert answer(desk.signed("GET", "/api/v3/order", **query))["code"] == -2013
    assert answer(desk.signed("DELETE", "/api/v3/order", **query))["code"] == -2011
    assert answer(desk.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT"))["code"] == -2011
    assert answer(desk.signed("GET", "/api/v3/order", symbol="BTCUSDT"))["code"] == -1102
    assert desk.get("/fapi/v1/time").status == 404


def test_a_client_id_is_unique_among_open_orders_only(desk: Desk) -> None:
    assert desk.order(newClientOrderId="mine").status == 200
    assert answer(desk.order(newClientOrderId="mine"))["msg"] == "Duplicate order sent."
    desk.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine")
    second = answer(desk.order(newClientOrderId="mine"))
    found = answer(desk.signed("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine"))
    assert (found["orderId"], found["status"]) == (second["orderId"], "NEW")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"timeInForce": "IOC"}, "EXPIRED"),
        ({"timeInForce": "FOK"}, "EXPIRED"),
        ({"timeInForce": "FOK", "price": "61000"}, "FILLED"),
        ({"timeInForce": "IOC", "price": "61000"}, "FILLED"),
        ({"type": "LIMIT_MAKER", "timeInForce": None}, "NEW"),
        ({"type": "MARKET", "price": None, "timeInForce": None}, "FILLED"),
    ],
)
def test_an_order_ends_as_its_kind_says(desk: Desk, changes: dict[str, str | None], status: str) -> None:
    assert answer(desk.order(**changes))["status"] == status


def test_a_market_order_by_quote_amount_spends_no_more_than_that(desk: Desk) -> None:
    placed = answer(
        desk.order(type="MARKET", price=None, timeInForce=None, quantity=None, quoteOrderQty="1000")
    )
    spent = parse_amount(placed["cummulativeQuoteQty"])
    assert parse_amount("999") < spent <= parse_amount("1000")
    assert parse_amount(placed["executedQty"]) % BTCUSDT.lot == 0


def test_fees_are_taken_from_what_is_received(desk: Desk) -> None:
    bought = answer(desk.order(type="MARKET", price=None, timeInForce=None))["fills"]
    assert {fill["commissionAsset"] for fill in bought} == {"BTC"}
    total = sum(parse_amount(fill["commission"]) for fill in bought)
    assert total == sum(parse_amount(fill["qty"]) // 1_000 for fill in bought)
    sold = answer(desk.order(type="MARKET", side="SELL", price=None, timeInForce=None))["fills"]
    assert {fill["commissionAsset"] for fill in sold} == {"USDT"}


def test_the_weight_of_requests_is_told_and_the_limit_holds(desk: Desk) -> None:
    desk.run(60 - desk.exchange.now_ms() % MINUTE_MS / 1_000)
    assert desk.get("/api/v3/exchangeInfo").headers["X-MBX-USED-WEIGHT-1M"] == "20"
    for _ in range(299):
        assert desk.get("/api/v3/exchangeInfo").status == 200
    refused = desk.get("/api/v3/time")
    assert (refused.status, answer(refused)["code"], refused.headers["Retry-After"]) == (429, -1003, "60")
    statuses = [desk.get("/api/v3/time").status for _ in range(12)]
    assert statuses[0] == 429
    assert statuses[-1] == 418
    desk.run(119)
    assert desk.get("/api/v3/time").status == 418
    desk.run(2)
    assert desk.get("/api/v3/time").status == 200


def test_orders_are_counted_apart(desk: Desk) -> None:
    desk.run(10 - desk.exchange.now_ms() % 10_000 / 1_000)
    last = [desk.order(quantity="0.0002") for _ in range(101)][-1]
    assert (last.status, answer(last)["code"]) == (429, -1015)
    desk.run(10)
    assert desk.order(quantity="0.0002").headers["X-MBX-ORDER-COUNT-10S"] == "1"


def test_the_key_tells_its_rights(desk: Desk) -> None:
    rights = answer(desk.signed("GET", "/sapi/v1/account/apiRestrictions"))
    assert (rights["enableWithdrawals"], rights["enableSpotAndMarginTrading"]) == (False, True)


def test_streams_are_wrapped_where_the_path_says_so(desk: Desk) -> None:
    plain, wrapped = desk.connect("/ws/stream/0"), desk.connect("/stream")
    for connection in (plain, wrapped):
        desk.exchange.receive(
            connection, json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
        )
    assert desk.frames == [{"result": None, "id": 1}] * 2
    desk.run(1)
    first, second = desk.frames[2:4]
    assert second == {"stream": "btcusdt@trade", "data": first}
    desk.exchange.receive(plain, json.dumps({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 2}))
    del desk.frames[:]
    desk.run(1)
    assert {frame.get("stream") for frame in desk.frames} == {"btcusdt@trade"}


@pytest.mark.parametrize("stream", ["btcusdt@nonsense", "none@trade", "btcusdt@kline_7m"])
def test_an_unknown_stream_is_refused(desk: Desk, stream: str) -> None:
    connection = desk.connect("/ws/stream/0")
    desk.exchange.receive(connection, json.dumps({"method": "SUBSCRIBE", "params": [stream], "id": 3}))
    assert desk.frames[-1]["error"]["code"] == 2


def test_a_text_that_is_no_request_closes_the_socket(desk: Desk) -> None:
    desk.exchange.receive(desk.connect("/ws/stream/0"), "hello")
    assert desk.frames == [Close(1008, "Invalid request")]


def test_bars_are_made_of_the_trades(desk: Desk) -> None:
    desk.run(120)
    minute = desk.exchange.now_ms() // MINUTE_MS * MINUTE_MS - MINUTE_MS
    (bar,) = answer(desk.get("/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=minute, limit=1))
    inside = {"startTime": minute, "endTime": minute + MINUTE_MS - 1, "limit": 1000}
    trades = answer(desk.get("/api/v3/aggTrades", symbol="BTCUSDT", **inside))
    prices = [parse_amount(trade["p"]) for trade in trades]
    assert [parse_amount(value) for value in bar[1:5]] == [prices[0], max(prices), min(prices), prices[-1]]
    assert (parse_amount(bar[5]), bar[8]) == (sum(parse_amount(trade["q"]) for trade in trades), len(trades))
    hours = answer(desk.get("/api/v3/klines", symbol="BTCUSDT", interval="1h"))
    assert all(
        later[0] - earlier[0] == 60 * MINUTE_MS for earlier, later in zip(hours, hours[1:], strict=False)
    )


def everything(seed: int) -> list[Any]:
    """All that a session sees: messages, and answers to the same requests."""
    desk = opened(seed, LISTINGS)
    streams = [
        "btcusdt@trade",
        "btcusdt@depth@100ms",
        "ethusdt@bookTicker",
        "!miniTicker@arr",
        "ltcusdt@kline_1m",
    ]
    desk.exchange.connect("/ws", lambda output: desk.frames.append(output)).streams |= set(streams)
    for k in range(10):
        desk.run(0.5)
        desk.frames.append(desk.order(price=str(59_990 + k)).body)
    return desk.frames


def test_the_same_seed_and_requests_give_the_same_session() -> None:
    assert everything(1) == everything(1)
    assert everything(1) != everything(2)


def test_made_up_flow_fills_resting_orders_and_conserves_everything() -> None:
    desk = opened()
    venue = desk.exchange.state.venue
    before = {asset: venue.accounts.total(asset) for asset in ("BTC", "USDT")}
    for k in range(60):
        book = answer(desk.get("/api/v3/depth", symbol="BTCUSDT", limit=5))
        side = ("BUY", "SELL")[k % 2]
        price = book["bids" if side == "BUY" else "asks"][0][0]
        desk.order(type="LIMIT_MAKER", timeInForce=None, side=side, price=price, quantity="0.005")
        desk.run(1)
    fills = answer(desk.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT"))
    assert len(fills) > 10
    assert {fill["isMaker"] for fill in fills} == {True}
    assert {asset: venue.accounts.total(asset) for asset in before} == before
