"""Binance spot's market data in memory, below an unmodified ccxt client, with faults on demand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ztb.testing.memory_transport import MemoryReply, MemorySession, MemorySocket

SYMBOL = "BTC/USDT"
_START = 60_000.0


class MemoryBinance:
    """Trades and a book of ten levels a side. The price of each trade is unique: it tells which one it was.

    `replies` are given to the next requests instead of answers; a `silent` socket is told nothing any more.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self.trades: list[dict[str, Any]] = []
        self.sockets: list[MemorySocket] = []
        self.topics: dict[int, set[str]] = {}
        self.silent: set[int] = set()
        self.replies: list[MemoryReply] = []
        self.requests: list[str] = []
        self.update = 100
        self.bids: dict[float, float] = {_START - i: 1.0 + i for i in range(10)}
        self.asks: dict[float, float] = {_START + 1 + i: 1.0 + i for i in range(10)}

    def options(self) -> dict[str, Any]:
        """Constructor options of the client."""
        inner = {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "fetchCurrencies": False}
        return {
            "session": MemorySession(self), "enableRateLimit": False,
            "options": {"defaultType": "spot", **inner},
        }  # fmt: skip

    def ms(self) -> int:
        return self.now_ns() // 1_000_000

    # What happens at the market.

    def trade(self, count: int = 1, deliver: bool = True, times: int = 1) -> None:
        for _ in range(count):
            number = len(self.trades) + 1
            row = {
                "t": number,
                "p": f"{_START + number / 100:.2f}",
                "q": "0.50000",
                "T": self.ms(),
                "m": False,
            }
            self.trades.append(row)
            if deliver:
                for _ in range(times):
                    self.tell("trade", {"e": "trade", "E": self.ms(), "s": "BTCUSDT", "M": True, **row})

    def move(self, deliver: bool = True) -> None:
        """One level of each side changes; the touch too."""
        self.update += 1
        gone = [price for price in self.bids if price > _START]
        bid, ask = round(_START + self.update % 50 / 100 + 0.01, 2), _START + 5
        size = 2.0 + self.update % 7
        levels = {**dict.fromkeys(gone, 0.0), bid: size}
        changed = {
            "b": [[f"{price:.2f}", f"{left:.5f}"] for price, left in levels.items()],
            "a": [[f"{ask:.2f}", f"{size:.5f}"]],
        }
        for price in gone:
            del self.bids[price]
        self.bids[bid], self.asks[ask] = size, size
        if deliver:
            number = {"U": self.update, "u": self.update}
            self.tell("depth", {"e": "depthUpdate", "E": self.ms(), "s": "BTCUSDT", **number, **changed})
            touch = {"b": f"{max(self.bids):.2f}", "B": "1", "a": f"{min(self.asks):.2f}", "A": "2"}
            self.tell("bookTicker", {"u": self.update, "s": "BTCUSDT", **touch})

    # What goes wrong.

    def malform(self, topic: str) -> None:
        """A frame that makes ccxt's handler raise, which kills its receive loop."""
        self.tell_text(topic, '{"e":"trade","s":"BTCUSDT","t":1,"p":{},"q":[],"T":"x"')

    def hang_up(self, topic: str) -> None:
        for socket in self.heard_by(topic):
            socket.hang_up(1001)

    def silence(self, topic: str) -> None:
        self.silent |= {id(socket) for socket in self.heard_by(topic)}

    # The wire.

    def heard_by(self, topic: str) -> list[MemorySocket]:
        return [s for s in self.sockets if not s.closed and topic in self.topics.get(id(s), ())]

    def tell(self, topic: str, message: dict[str, Any]) -> None:
        self.tell_text(topic, json.dumps(message))

    def tell_text(self, topic: str, text: str) -> None:
        for socket in self.heard_by(topic):
            if id(socket) not in self.silent:
                socket.say(text)

    def connect(self, url: str, socket: MemorySocket) -> None:
        self.sockets.append(socket)

        def heard(text: str) -> None:
            asked = json.loads(text)
            topics = {topic.split("@")[1] for topic in asked["params"]}
            self.topics.setdefault(id(socket), set()).update(topics)
            socket.say(json.dumps({"result": None, "id": asked["id"]}))

        socket.heard = heard

    async def request(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> MemoryReply:
        parts = urlsplit(url)
        self.requests.append(parts.path)
        if self.replies:
            return self.replies.pop(0)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        return MemoryReply(json.dumps(self._answer(parts.path.rsplit("/", 1)[1], query)))

    def _answer(self, name: str, query: dict[str, str]) -> Any:
        if name == "aggTrades":
            since = int(query.get("startTime", 0))
            found = [trade for trade in self.trades if trade["T"] >= since][: int(query.get("limit", 500))]
            return [{"a": trade["t"], "f": trade["t"], "l": trade["t"], **trade} for trade in found]
        if name == "depth":
            sides = {"bids": sorted(self.bids.items(), reverse=True), "asks": sorted(self.asks.items())}
            return {
                "lastUpdateId": self.update,
                **{k: [[str(p), str(s)] for p, s in v] for k, v in sides.items()},
            }
        return {"time": {"serverTime": self.ms()}, "exchangeInfo": EXCHANGE_INFO}[name]


EXCHANGE_INFO: dict[str, Any] = {
    "timezone": "UTC", "serverTime": 0, "rateLimits": [],
    "symbols": [
        {
            "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
            "baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": ["LIMIT"],
            "isSpotTradingAllowed": True, "isMarginTradingAllowed": False, "permissions": ["SPOT"],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
                {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "avgPriceMins": 5},
            ],
        }
    ],
}  # fmt: skip


def refused(status: int, code: int = -1003, retry_after_s: int = 0) -> MemoryReply:
    """What Binance answers when it will not, or cannot."""
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    return MemoryReply(json.dumps({"code": code, "msg": "no"}), status, headers)
