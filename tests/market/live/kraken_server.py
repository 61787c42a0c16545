"""Kraken's public market data on loopback, by its documentation: REST, and websocket v2 with made-up trades."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAIR = {
    "altname": "XBTUSD", "wsname": "XBT/USD", "aclass_base": "currency", "base": "XXBT",
    "aclass_quote": "currency", "quote": "ZUSD", "lot": "unit", "cost_decimals": 5, "pair_decimals": 1,
    "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [], "leverage_sell": [], "fees": [[0, 0.4]],
    "fees_maker": [[0, 0.25]], "fee_volume_currency": "ZUSD", "margin_call": 80, "margin_stop": 40,
    "ordermin": "0.00005", "costmin": "0.5", "tick_size": "0.1", "status": "online",
}  # fmt: skip
ASSETS = {
    "XXBT": {
        "aclass": "currency",
        "altname": "XBT",
        "decimals": 10,
        "display_decimals": 5,
        "status": "enabled",
    },
    "ZUSD": {
        "aclass": "currency",
        "altname": "USD",
        "decimals": 4,
        "display_decimals": 2,
        "status": "enabled",
    },
}


class KrakenServer:
    """BTC/USD around 60,000: a trade, a touch and a change of the book every 50 ms. `port` is known once it runs."""

    def __init__(self) -> None:
        self.port = 0
        self.trades: list[dict[str, Any]] = []
        self.heard: dict[str, list[web.WebSocketResponse]] = {}

    def urls(self) -> dict[str, Any]:
        """Every address of ccxt's kraken, here."""
        here, socket = f"http://127.0.0.1:{self.port}", f"ws://127.0.0.1:{self.port}/v2"
        names = ("public", "private", "publicV2", "privateV2", "beta", "beta-private")
        return {"api": {"public": here, "private": here, "zendesk": here, "ws": dict.fromkeys(names, socket)}}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[KrakenServer]:
        app = web.Application()
        app.router.add_get("/v2", self._socket)
        app.router.add_get("/0/public/{name}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        async with asyncio.TaskGroup() as tasks:
            flow = tasks.create_task(self._flow())
            yield self
            flow.cancel()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        trades = [
            [f"{t['price']:.1f}", f"{t['qty']:.8f}", t["at"], t["side"][0], "m", "", t["trade_id"]]
            for t in self.trades
        ]
        bids, asks = self._book()
        rows = {
            side: [[f"{p:.1f}", f"{s:.3f}", 0] for p, s in levels]
            for side, levels in (("bids", bids), ("asks", asks))
        }
        known: dict[str, Any] = {
            "Assets": ASSETS, "AssetPairs": {"XXBTZUSD": PAIR}, "Time": {"unixtime": int(time.time())},
            "Trades": {"XXBTZUSD": trades, "last": "0"}, "Depth": {"XXBTZUSD": rows},
        }  # fmt: skip
        return web.json_response({"error": [], "result": known[request.match_info["name"]]})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                asked = json.loads(message.data)
                channel = asked["params"]["channel"]
                result = {"channel": channel, "symbol": "BTC/USD", "snapshot": True}
                await socket.send_json(
                    {"method": "subscribe", "req_id": asked.get("req_id"), "result": result, "success": True}
                )
                if channel == "book":
                    await socket.send_json(self._levels("snapshot"))
                self.heard.setdefault(channel, []).append(socket)
        return socket

    async def _flow(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            number = len(self.trades) + 1
            now = datetime.now(UTC)
            trade = {
                "symbol": "BTC/USD", "side": "buy" if number % 2 else "sell", "price": 60_000.0 + number % 40 / 10,
                "qty": round(0.01 + number / 1e5, 5), "ord_type": "market", "trade_id": number,
                "timestamp": now.isoformat().replace("+00:00", "Z"),
            }  # fmt: skip
            self.trades.append({**trade, "at": now.timestamp()})
            await self._tell("trade", {"channel": "trade", "type": "update", "data": [trade]})
            (bid, bid_size), (ask, ask_size) = (side[0] for side in self._book())
            touch = {
                "symbol": "BTC/USD",
                "bid": bid,
                "bid_qty": bid_size,
                "ask": ask,
                "ask_qty": ask_size,
                "last": bid,
            }
            await self._tell("ticker", {"channel": "ticker", "type": "update", "data": [touch]})
            await self._tell("book", self._levels("update"))

    async def _tell(self, channel: str, message: dict[str, Any]) -> None:
        for socket in self.heard.get(channel, []):
            if not socket.closed:
                await socket.send_json(message)

    def _book(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        size = 1.0 + len(self.trades) % 9
        bids = [(59_999.9 - i / 10, size + i) for i in range(10)]
        return bids, [(60_000.1 + i / 10, size + i) for i in range(10)]

    def _levels(self, kind: str) -> dict[str, Any]:
        bids, asks = ([{"price": p, "qty": s} for p, s in side] for side in self._book())
        stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        book = {"symbol": "BTC/USD", "bids": bids, "asks": asks, "checksum": 0, "timestamp": stamp}
        return {"channel": "book", "type": kind, "data": [book]}
