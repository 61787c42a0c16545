"""Our orders in the venue's words, and its trades in ours, to the unit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.venue.fake_account import INSTRUMENT
from ztb.config import Config
from ztb.execution.orders import PROTECTIVE_FROM, OrderRequest, OrderType, TimeInForce
from ztb.runtime.venue.dead_man import VenueSwitch, Watchdog, dead_man_of
from ztb.runtime.venue.translation import (
    Sending,
    balance_of,
    fill_id,
    filled,
    price_of,
    sale_in_place,
    sending,
    stop_sale,
)

D = Decimal
COARSE = replace(INSTRUMENT, tick_size=D("0.5"), lot_size=D("0.25"))


def sent(worst: float | None = None, **other: Any) -> Sending:
    given = {"order_id": 7, "side": 1, "lots": 8, "order_type": OrderType.LIMIT, "price_ticks": 41} | other
    return sending(OrderRequest(**given), COARSE, "an-id", worst)


def test_a_sale_by_itself_and_in_the_place_of_another_at_a_price_or_now():
    ours: dict[str, Any] = {"clientOrderId": "id"}
    alone, in_place = stop_sale(D("0.5"), D(90), "id"), sale_in_place(D("0.5"), D(90), "id")
    assert alone == Sending("market", "sell", 0.5, None, {**ours, "stopLossPrice": 90.0})
    assert in_place == Sending("market", "sell", 0.5, None, {**ours, "stopPrice": 90.0})
    assert (
        stop_sale(D("0.5"), None, "id")
        == sale_in_place(D("0.5"), None, "id")
        == Sending("market", "sell", 0.5, None, ours)
    )


def test_each_kind_of_order_as_it_is_sent():
    ours: dict[str, Any] = {"clientOrderId": "an-id"}
    assert sent() == Sending("limit", "buy", 2.0, 20.5, ours)
    assert sent(side=-1) == Sending("limit", "sell", 2.0, 20.5, ours)
    assert sent(post_only=True, time_in_force=TimeInForce.IOC).params == ours | {"postOnly": True}
    assert sent(time_in_force=TimeInForce.IOC).params == ours | {"timeInForce": "IOC"}
    market = {"order_type": OrderType.MARKET, "side": -1}
    assert sent(**market) == Sending("market", "sell", 2.0, None, ours)
    assert sent(21.0, **market) == Sending("limit", "sell", 2.0, 21.0, ours | {"timeInForce": "IOC"})
    stop = sent(order_type=OrderType.STOP)
    assert stop == Sending("market", "sell", 2.0, None, ours | {"stopLossPrice": 20.5})


TRADE: dict[str, Any] = {
    "id": "12", "order": "3", "timestamp": 5, "side": "buy", "amount": 0.5, "price": 20.5, "takerOrMaker": "maker",
    "fee": {"cost": 0.125, "currency": "USDT"},
}  # fmt: skip


def fill(side: int = 1, before: str = "0.25", **other: Any) -> Any:
    trade = TRADE | other
    price = price_of(trade)
    assert price is not None
    return filled(trade, price, replace_side(side), D(before), COARSE, seen_ns=99)


def replace_side(side: int) -> OrderRequest:
    return OrderRequest(7, side, 8, OrderType.LIMIT, 41)


def test_a_trade_on_the_grid_is_a_fill_as_it_stands():
    made = fill()
    assert (made.order_id, made.ts_ns, made.fill_id, made.liquidity) == (7, 5_000_000, 12, "maker")
    assert (made.lots, made.price_ticks, made.cumulative_lots) == (2, 41, 3)
    assert (made.fee, made.base_fee, made.other_fee) == (D("0.125"), 0, "")
    assert fill(takerOrMaker=None).liquidity == "taker" and fill(timestamp=None).ts_ns == 99
    assert fill(timestamp=0).ts_ns == 0


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("amount", "price"), [(0.6, 20.5), (0.5, 20.6), (0.3, 20.9), (0.7, 20.1)])
def test_what_is_traded_off_the_grid_is_fees_so_that_cash_and_position_are_the_venues(side, amount, price):
    made = fill(side, amount=amount, price=price)
    cash = -side * D(made.lots) * COARSE.lot_size * made.price_ticks * COARSE.tick_size - made.fee
    position = side * made.lots * COARSE.lot_size - made.base_fee
    assert cash == -side * D(str(amount)) * D(str(price)) - D("0.125")
    assert position == side * D(str(amount))
    assert made.other_fee == f"off the grid: {amount} at {price}"


def test_fees_are_counted_by_their_currency_and_those_without_a_figure_are_none():
    several = [
        {"cost": 0.25, "currency": "USDT"}, {"cost": 0.5, "currency": "USDT"}, {"cost": 0.001, "currency": "BTC"},
        {"cost": None, "currency": "USDT"}, {"cost": 0.75, "currency": "BNB"}, {"cost": 0, "currency": "KCS"},
        {"cost": 1.5, "currency": "OKB"},
    ]  # fmt: skip
    made = fill(fees=several)
    assert (made.fee, made.base_fee, made.other_fee) == (D("0.75"), D("0.001"), "0.75 BNB, 1.5 OKB")
    nothing = fill(fee=None)
    assert (nothing.fee, nothing.base_fee, nothing.other_fee) == (0, 0, "")


def test_a_trade_is_known_by_its_number_by_its_id_or_by_its_facts():
    assert fill_id(TRADE) == 12 and fill_id(TRADE | {"id": 13}) == 13
    digested = {fill_id(TRADE | {"id": "a-b"}), fill_id(TRADE | {"id": "a-c"}), fill_id(TRADE | {"id": None})}
    changed = [{"order": "4"}, {"timestamp": 6}, {"side": "sell"}, {"price": 21}, {"amount": 1}, {"cost": 2}]
    digested |= {fill_id(TRADE | {"id": None} | other) for other in changed}
    assert len(digested) == 9 and all(0 < number < 2**56 for number in digested)
    assert fill_id(TRADE | {"id": None}) == fill_id(dict(TRADE) | {"id": None})


def test_a_price_that_is_not_told_is_what_was_paid_for_each():
    assert price_of({"price": 20.1, "cost": 7, "amount": 1}) == D("20.1")
    assert price_of({"price": None, "cost": 6.3, "amount": 0.3}) == D(21)
    for nothing in ({"price": None}, {"cost": 6.3}, {"cost": 6.3, "amount": 0}, {"amount": 1.0}):
        assert price_of(nothing) is None


def test_a_balance_is_all_that_is_held():
    assert balance_of({"total": {"BTC": 0.1}}, "BTC") == D("0.1")
    for nothing in ({}, {"total": None}, {"total": {"BTC": None}}, {"total": {"USDT": 1}}):
        assert balance_of(nothing, "BTC") == 0


def gateway(switch: bool) -> Any:
    return SimpleNamespace(
        client=SimpleNamespace(
            has={"cancelAllOrdersAfter": switch}, market=lambda symbol: {"symbol": symbol}
        ),
        patience_s=8.0,
        table=SimpleNamespace(prefix="ours-"),
        broker=SimpleNamespace(instrument=INSTRUMENT),
    )


def config() -> Config:
    return Config.model_validate(
        {"market": {"venue": "binance", "symbol": "BTC/USDT"}, "execution": {"dead_man_s": 45.0}}
    )


@pytest.mark.parametrize(
    ("switch", "protection", "cover"),
    [(False, None, False), (False, False, False), (False, True, True), (True, True, True)],
)
def test_where_there_are_stops_or_no_switch_a_watchdog_is_the_switch(
    switch, protection, cover, tmp_path: Path
):
    stops = None if protection is None else SimpleNamespace(supported=protection, floor=123.0)
    made = dead_man_of(config(), gateway(switch), stops, tmp_path, stops=2)  # type: ignore[arg-type]
    assert isinstance(made, Watchdog)
    assert (made.left.symbol, made.left.prefix) == ("BTC/USDT", "ours-")
    assert made._floor() == (123.0 if cover else 0.0) and (made.left.cover is not None) is cover
    assert (
        made.left.folder == str(tmp_path)
        and made.left.listed == {"symbol": "BTC/USDT"}
        and made.left.patience_s == 8.0
    )
    if made.left.cover is not None:
        assert made.left.cover.order_id == 2 * PROTECTIVE_FROM + 3 and made.left.cover.lot_size == "0.00001"


def test_the_first_start_of_a_run_numbers_a_watchdogs_stops_from_one_on():
    made = dead_man_of(config(), gateway(False), SimpleNamespace(supported=True, floor=0.0))  # type: ignore[arg-type]
    assert isinstance(made, Watchdog) and made.left.cover is not None
    assert made.left.cover.order_id == 2 * PROTECTIVE_FROM + 1


@pytest.mark.parametrize("stops", [None, SimpleNamespace(supported=False)])
def test_where_there_are_none_the_venues_own_switch_is(stops):
    made = dead_man_of(config(), gateway(True), stops)
    assert isinstance(made, VenueSwitch) and made._after_s == 45.0
