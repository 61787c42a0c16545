"""Stop orders at the local exchange: they hold what they sell, wait, and sell at market once the last price reaches them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testing.exchange.desk import Desk, answer, opened
from testing.exchange.test_venue_properties import ACCOUNTS, DEPOSITS, MIDDLE, Told, places, request_of
from testing.exchange.test_venue_properties import opened as venue_opened
from ztb.testing.exchange.listing import BTCUSDT, LISTINGS, Listing
from ztb.testing.exchange.orders import (
    OPEN,
    ExchangeOrderRequest,
    ExchangeOrderType,
    ExchangeTimeInForce,
    Refusal,
    Side,
)
from ztb.testing.exchange.venue import MatchingEngine

STOP: dict[str, str | None] = {
    "side": "SELL", "type": "STOP_LOSS", "timeInForce": None, "price": None, "quantity": "0.4", "stopPrice": "59000",
}  # fmt: skip


def fall_to(desk: Desk, price: float, seconds: float = 5.0) -> None:
    """The market's flow goes on from another price."""
    flow: Any = desk.exchange._flows["BTCUSDT"][0]
    flow.price = flow.anchor = price
    desk.run(seconds)


def held(desk: Desk, asset: str) -> tuple[float, float]:
    rows = {row["asset"]: row for row in answer(desk.signed("GET", "/api/v3/account"))["balances"]}
    return float(rows[asset]["free"]), float(rows[asset]["locked"])


def test_a_stop_holds_what_it_sells_and_sells_it_at_market_once_the_price_is_there():
    desk = opened()
    placed = answer(desk.order(**STOP))
    assert placed["status"] == "NEW" and placed["fills"] == []
    assert held(desk, "BTC") == (0.6, 0.4)
    told = answer(desk.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"]))
    assert (told["type"], float(told["stopPrice"]), told["isWorking"]) == ("STOP_LOSS", 59000.0, False)
    desk.run(5.0)
    assert held(desk, "BTC") == (0.6, 0.4), "the price is not there yet"
    fall_to(desk, 58_900.0)
    told = answer(desk.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"]))
    trades = answer(desk.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT"))
    assert told["status"] == "FILLED" and held(desk, "BTC") == (0.6, 0.0)
    assert {trade["orderId"] for trade in trades} == {placed["orderId"]}
    assert all(58_000 < float(trade["price"]) < 59_000 for trade in trades)


def test_a_stop_that_is_cancelled_lets_go_and_never_sells():
    desk = opened()
    placed = answer(desk.order(**STOP))
    desk.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"])
    fall_to(desk, 58_900.0)
    assert held(desk, "BTC") == (1.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stopPrice": "70000"}, -2010),
        ({"stopPrice": "59000.001"}, -1013),
        ({"stopPrice": None}, -1102),
        ({"quantity": "1.1"}, -2010),
        ({"side": "BUY"}, -1116),
    ],
)
def test_a_stop_that_cannot_be_is_refused(changes: dict[str, str | None], code: int):
    desk = opened()
    response = desk.order(**STOP | changes)
    assert (response.status, answer(response)["code"]) == (400, code)
    assert held(desk, "BTC") == (1.0, 0.0)


def test_a_listing_without_stops_takes_none_and_says_so():
    plain = Listing(
        "BTC", "USDT", BTCUSDT.tick, BTCUSDT.lot, BTCUSDT.min_notional, BTCUSDT.start_price, stops=False
    )
    desk = opened(listings=(plain,))
    assert answer(desk.order(**STOP))["code"] == -1116
    listed = answer(desk.get("/api/v3/exchangeInfo"))["symbols"][0]["orderTypes"]
    assert "STOP_LOSS" not in listed
    assert all(listing.stops for listing in LISTINGS)


stops = st.tuples(st.just("stop"), st.sampled_from(("ann", "bob")), st.integers(1, 4), st.integers(1, 40))
commands = st.lists(st.one_of(places, places, places, stops, st.integers(0, 200)), max_size=60)


def do(venue: MatchingEngine, command: Any, number: int) -> None:
    if isinstance(command, int):
        found = [order for order in venue.orders.values() if order.status in OPEN]
        if found:
            venue.cancel(found[command % len(found)], number)
        return
    if command[0] != "stop":
        request = request_of(command, number)
    else:
        _, account, below, size = command
        request = ExchangeOrderRequest(
            account, "BTCUSDT", f"c{number}", Side.SELL, ExchangeOrderType.STOP_LOSS, ExchangeTimeInForce.GTC, 0,
            size * 50 * BTCUSDT.lot, 0, MIDDLE - below * BTCUSDT.tick,
        )  # fmt: skip
    try:
        venue.place(request, number)
    except Refusal:
        return


@settings(max_examples=150)
@given(commands)
def test_among_any_orders_stops_keep_assets_and_locks_and_none_waits_that_the_price_has_reached(
    sequence: list,
):
    venue, told = venue_opened(), Told()
    market = venue.markets["BTCUSDT"]
    for number, command in enumerate(sequence):
        do(venue, command, number)
        told.listen(venue)
        for asset, units in DEPOSITS.items():
            assert venue.accounts.total(asset) == units * len(ACCOUNTS)
        open_orders = [order for order in venue.orders.values() if order.status in OPEN]
        for account in ACCOUNTS:
            sells = [o for o in open_orders if (o.request.account, o.request.side) == (account, Side.SELL)]
            assert venue.accounts.held[account]["BTC"].locked == sum(order.remaining for order in sells)
        waiting = [order for order in open_orders if order.waiting]
        assert {order.id for order in waiting} == set(market.stops)
        assert all(order.request.stop_price < market.last_price for order in waiting)
    for account in ("ann", "bob"):
        assert all(told.orders[order.id] == order for order in venue.orders_of(account, "BTCUSDT"))
