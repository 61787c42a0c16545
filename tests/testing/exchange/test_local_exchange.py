"""An unmodified ccxt client watches and trades on the local exchange, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ccxt
import pytest

from ztb.cli import run
from ztb.testing import LocalExchange
from ztb.testing.exchange.api import wire

SYMBOL = "BTC/USDT"
ROOT = Path(__file__).resolve().parents[3]


def addresses(urls: object) -> list[str]:
    if isinstance(urls, dict):
        return [address for value in urls.values() for address in addresses(value)]
    if isinstance(urls, list):
        return [address for value in urls for address in addresses(value)]
    return [urls] if isinstance(urls, str) and "://" in urls else []


async def test_every_address_of_the_client_is_the_local_exchange(
    exchange: LocalExchange, client: Any
) -> None:
    found = addresses(client.urls)
    assert len(found) > 40
    assert {urlsplit(address).netloc for address in found} == {f"127.0.0.1:{exchange.port}"}


async def test_trades_come_at_least_once_a_second_on_both_sides(client: Any) -> None:
    seen: dict[str, Any] = {}
    async with asyncio.timeout(60):
        while len(seen) < 12:
            seen |= {trade["id"]: trade for trade in await client.watch_trades(SYMBOL)}
    trades = list(seen.values())
    ids = [int(trade["id"]) for trade in trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert {trade["side"] for trade in trades} == {"buy", "sell"}
    times = [trade["timestamp"] for trade in trades]
    assert max(b - a for a, b in zip(times, times[1:], strict=False)) <= 1_000


async def test_the_watched_book_equals_the_venues(exchange: LocalExchange, client: Any) -> None:
    market = exchange.core.state.venue.market("BTCUSDT")
    compared = 0
    async with asyncio.timeout(60):
        while compared < 3:
            watched = await client.watch_order_book(SYMBOL)
            if watched["nonce"] == market.book.update_id:
                truth = wire.depth(market.book, 1_000)
                sides = [[[float(x) for x in level] for level in truth[side]] for side in ("bids", "asks")]
                assert [watched["bids"], watched["asks"]] == sides
                compared += 1


async def test_an_order_is_placed_found_and_canceled(client: Any) -> None:
    placed = await client.create_order(SYMBOL, "limit", "buy", 0.01, 50_000, {"clientOrderId": "mine-1"})
    assert placed["status"] == "open"
    assert [order["clientOrderId"] for order in await client.fetch_open_orders(SYMBOL)] == ["mine-1"]
    balance = await client.fetch_balance()
    assert balance["USDT"]["used"] == 500
    with pytest.raises(ccxt.InvalidOrder, match="Duplicate"):
        await client.create_order(SYMBOL, "limit", "buy", 0.01, 50_000, {"clientOrderId": "mine-1"})
    await client.cancel_order(placed["id"], SYMBOL)
    found = await client.fetch_order(None, SYMBOL, {"clientOrderId": "mine-1"})
    assert (found["status"], found["filled"]) == ("canceled", 0)
    assert (await client.fetch_balance())["USDT"]["used"] == 0


async def test_the_user_stream_tells_of_a_fill_and_of_balances(client: Any) -> None:
    async with asyncio.TaskGroup() as group:
        orders = group.create_task(client.watch_orders(SYMBOL))
        trades = group.create_task(client.watch_my_trades(SYMBOL))
        balance = group.create_task(client.watch_balance())
        await asyncio.sleep(0.3)
        placed = await client.create_order(SYMBOL, "market", "buy", 0.01)
    assert placed["status"] == "closed"
    assert sum(trade["amount"] for trade in placed["trades"]) == pytest.approx(0.01)
    assert orders.result()[-1]["id"] == placed["id"]
    assert trades.result()[0]["order"] == placed["id"]
    assert balance.result()["BTC"]["free"] == pytest.approx(1.01 - 1e-5)


async def test_orders_over_the_websocket_api_are_the_same_orders(client: Any) -> None:
    placed = await client.create_order_ws(SYMBOL, "limit", "buy", 0.01, 50_000)
    assert placed["status"] == "open"
    edited = await client.edit_order_ws(placed["id"], SYMBOL, "limit", "buy", 0.02, 50_000)
    assert (await client.fetch_order_ws(placed["id"], SYMBOL))["status"] == "canceled"
    assert [order["id"] for order in await client.fetch_open_orders(SYMBOL)] == [edited["id"]]
    assert (await client.fetch_balance())["USDT"]["used"] == 1_000
    await client.cancel_order_ws(edited["id"], SYMBOL)
    assert await client.fetch_open_orders_ws(SYMBOL) == []
    with pytest.raises(ccxt.InsufficientFunds):
        await client.create_order_ws(SYMBOL, "limit", "buy", 5, 50_000)


def test_a_port_in_use_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["exchange", "--port", str(port)]) == 2
    assert f"--port {port}" in capsys.readouterr().err


def test_the_command_prints_one_line_that_a_client_trades_with() -> None:
    command = [sys.executable, "-m", "ztb", "exchange", "--port", "0", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "daemon")}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        options = json.loads(process.stdout.readline())
        client = ccxt.binance(options)
        order = client.create_order(SYMBOL, "market", "sell", 0.1)
        process.send_signal(signal.SIGTERM)
        rest, log = process.communicate(timeout=60)
    assert order["status"] == "closed"
    assert (process.returncode, rest) == (0, "")
    assert "closed" in log
