"""Each fault happens to an unmodified client, over real sockets."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import ccxt
import ccxt.pro
import pytest
from aiohttp import ClientSession

from ztb.testing import LocalExchange

SYMBOL = "BTC/USDT"


async def trades_within(client: Any, seconds: float) -> list[dict[str, Any]]:
    """Trades that the client is told of within `seconds`."""
    seen: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                seen += await client.watch_trades(SYMBOL)
    except TimeoutError:
        return seen


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (418, ccxt.DDoSProtection),
        (429, ccxt.DDoSProtection),
        (500, ccxt.ExchangeNotAvailable),
        (502, ccxt.ExchangeNotAvailable),
        (503, ccxt.ExchangeNotAvailable),
        (504, ccxt.RequestTimeout),
    ],
)
async def test_a_status_is_answered_and_nothing_is_done(
    exchange: LocalExchange, client: Any, status: int, error: type[Exception]
) -> None:
    await client.load_markets()
    armed = exchange.inject("status", match="POST /api/v3/order", status=status)
    with pytest.raises(error):
        await client.create_order(SYMBOL, "limit", "buy", 0.01, 50_000)
    assert armed.happened == 1
    assert await client.fetch_open_orders(SYMBOL) == []


@pytest.mark.parametrize("accepted", [False, True])
async def test_an_order_that_times_out_is_there_only_if_it_was_accepted(
    exchange: LocalExchange, client: Any, accepted: bool
) -> None:
    await client.load_markets()
    client.timeout = 300
    exchange.inject("no_answer", match="POST /api/v3/order", accepted=accepted)
    with pytest.raises(ccxt.RequestTimeout):
        await client.create_order(SYMBOL, "limit", "buy", 0.01, 50_000, {"clientOrderId": "unknown-1"})
    client.timeout = 10_000
    if accepted:
        assert (await client.fetch_order(None, SYMBOL, {"clientOrderId": "unknown-1"}))["status"] == "open"
    else:
        with pytest.raises(ccxt.OrderNotFound):
            await client.fetch_order(None, SYMBOL, {"clientOrderId": "unknown-1"})


@pytest.mark.parametrize("accepted", [False, True])
async def test_a_connection_breaks_before_or_after_the_order_is_accepted(
    exchange: LocalExchange, client: Any, accepted: bool
) -> None:
    await client.load_markets()
    exchange.inject("reset", match="POST /api/v3/order", accepted=accepted)
    with pytest.raises(ccxt.NetworkError):
        await client.create_order(SYMBOL, "limit", "buy", 0.01, 50_000)
    assert len(await client.fetch_open_orders(SYMBOL)) == int(accepted)


async def test_a_gateway_timeout_can_hide_an_accepted_order(exchange: LocalExchange, client: Any) -> None:
    await client.load_markets()
    exchange.inject("status", match="POST /api/v3/order", status=504, accepted=True)
    with pytest.raises(ccxt.RequestTimeout):
        await client.create_order(SYMBOL, "limit", "buy", 0.01, 50_000)
    assert len(await client.fetch_open_orders(SYMBOL)) == 1


async def test_an_answer_is_slow(exchange: LocalExchange, client: Any) -> None:
    exchange.inject("slow", match="GET /api/v3/time", seconds=0.4)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await client.fetch_time()
    assert loop.time() - begun >= 0.4


async def test_silence_leaves_the_socket_open_and_then_ends(exchange: LocalExchange, client: Any) -> None:
    await client.watch_trades(SYMBOL)
    exchange.inject("silence", match="*@trade", seconds=1.2)
    assert await trades_within(client, 1.0) == []
    assert await trades_within(client, 2.0) != []


async def test_silence_of_everything_answers_no_ping(exchange: LocalExchange, client: Any) -> None:
    exchange.inject("silence")
    async with (
        ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{exchange.port}/ws/a") as socket,
    ):
        await socket.ping()
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)
        exchange.gateway.clear_faults()
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 7})
        assert await socket.receive_json(timeout=60) == {"result": [], "id": 7}


async def test_trades_go_missing_and_the_gap_shows_in_their_ids(exchange: LocalExchange, client: Any) -> None:
    first = (await client.watch_trades(SYMBOL))[-1]
    armed = exchange.inject("drop", match="btcusdt@trade", count=2)
    after = await trades_within(client, 2.5)
    assert armed.happened == 2
    assert int(after[0]["id"]) - int(first["id"]) == 3


async def test_a_trade_comes_twice(exchange: LocalExchange, client: Any) -> None:
    await client.watch_trades(SYMBOL)
    exchange.inject("duplicate", match="btcusdt@trade")
    ids = [trade["id"] for trade in await trades_within(client, 2.0)]
    assert len(ids) == len(set(ids)) + 1


async def test_messages_are_late(exchange: LocalExchange, client: Any) -> None:
    await client.watch_trades(SYMBOL)
    exchange.inject("delay", match="btcusdt@trade", seconds=0.5)
    loop_time = asyncio.get_running_loop().time
    begun = loop_time()
    await client.watch_trades(SYMBOL)
    assert loop_time() - begun >= 0.5


async def test_a_gap_in_the_book_breaks_the_clients_checksum_once(
    exchange: LocalExchange, client: Any
) -> None:
    for _ in range(3):
        await client.watch_order_book(SYMBOL)
    exchange.inject("drop", match="btcusdt@depth*")
    with pytest.raises(ccxt.ChecksumError):
        for _ in range(40):
            await client.watch_order_book(SYMBOL)
    assert (await client.watch_order_book(SYMBOL))["bids"]


async def test_after_a_malformed_frame_the_client_hears_nothing_more(
    exchange: LocalExchange, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    await client.watch_trades(SYMBOL)
    armed = exchange.inject("malform", match="btcusdt@trade")
    before = exchange.core.state.venue.market("BTCUSDT").trades
    assert await trades_within(client, 1.5) == []
    assert armed.happened == 1
    assert exchange.core.state.venue.market("BTCUSDT").trades > before + 1


async def test_sockets_are_cut(exchange: LocalExchange, client: Any) -> None:
    await client.watch_trades(SYMBOL)
    assert exchange.inject("disconnect").happened == 1
    with pytest.raises(ccxt.NetworkError):
        for _ in range(5):
            await client.watch_trades(SYMBOL)
    assert (await client.watch_trades(SYMBOL))[-1]["price"]


async def test_the_session_of_the_user_stream_ends_and_orders_stay_untold(
    exchange: LocalExchange, client: Any
) -> None:
    await client.load_markets()
    waiting = asyncio.ensure_future(client.watch_orders(SYMBOL))
    await asyncio.sleep(0.4)
    assert exchange.inject("end_session").happened == 1
    await client.create_order(SYMBOL, "limit", "buy", 0.01, 50_000)
    done, _ = await asyncio.wait([waiting], timeout=0.7)
    assert not done
    waiting.cancel()


async def test_an_order_update_goes_missing_or_comes_twice(exchange: LocalExchange, client: Any) -> None:
    await client.load_markets()
    waiting = asyncio.ensure_future(client.watch_my_trades(SYMBOL))
    await asyncio.sleep(0.4)
    exchange.inject("drop", match="user", count=3)
    await client.create_order(SYMBOL, "market", "buy", 0.001)
    exchange.inject("duplicate", match="user", count=3)
    second = await client.create_order(SYMBOL, "market", "buy", 0.001)
    told = await asyncio.wait_for(waiting, 60)
    assert {trade["order"] for trade in told} == {second["id"]}
    assert len({trade["order"] for trade in await client.fetch_my_trades(SYMBOL)}) == 2


async def test_the_venues_clock_is_ahead(exchange: LocalExchange, client: Any) -> None:
    exchange.inject("skew", seconds=30)
    assert await client.fetch_time() - client.milliseconds() == pytest.approx(30_000, abs=1_000)
    with pytest.raises(ccxt.InvalidNonce):
        await client.fetch_balance()
    exchange.gateway.clear_faults()
    await client.fetch_balance()


async def test_the_market_falls_and_stays_there(exchange: LocalExchange, client: Any) -> None:
    before = (await client.fetch_ticker(SYMBOL))["last"]
    exchange.inject("fall", fraction=0.2, seconds=1.0)
    await asyncio.sleep(2.5)
    after = (await client.fetch_ticker(SYMBOL))["last"]
    assert after / before == pytest.approx(0.8, abs=0.01)
    exchange.inject("fall", fraction=-0.25, seconds=0.0)
    await asyncio.sleep(1.5)
    assert (await client.fetch_ticker(SYMBOL))["last"] / before == pytest.approx(1.0, abs=0.01)


async def test_faults_are_armed_over_http_and_refused_where_they_make_no_sense(
    exchange: LocalExchange,
) -> None:
    url = f"http://127.0.0.1:{exchange.port}/control/faults"
    async with ClientSession() as session:
        async with session.post(url, json={"kind": "status", "match": "GET /api/v3/time"}) as answer:
            assert [row["happened"] for row in await answer.json()] == [0]
        async with session.get(f"http://127.0.0.1:{exchange.port}/api/v3/time") as answer:
            assert answer.status == 503
        async with session.post(url, json={"kind": "earthquake"}) as answer:
            assert (answer.status, "earthquake" in await answer.text()) == (400, True)
        async with session.delete(url) as answer:
            assert await answer.json() == []
