"""A venue that speaks ccxt's unified API, trades once in a while, and fails on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ccxt.base import errors

SYMBOL = "BTC/USDT"
MARKET = {
    "symbol": SYMBOL, "base": "BTC", "quote": "USDT", "contract": False, "maker": 0.001, "taker": 0.001,
    "precision": {"price": 0.01, "amount": 0.00001}, "limits": {"cost": {"min": 5.0}},
}  # fmt: skip


@dataclass
class FakeVenue:
    """`trades` are all that happened; the price of each is unique, so that rows tell which they were."""

    now_ns: Callable[[], int]
    trades: list[dict[str, Any]] = field(default_factory=list)
    clients: list[FakeClient] = field(default_factory=list)
    bid: float = 100.0
    rest_faults: list[Exception] = field(default_factory=list)
    rest_calls: int = 0
    refuse_streams: Exception | None = None
    skew_ms: int = 0
    page: int = 500
    history: int = 10**9
    rest_ids: Callable[[int], str] = str
    stream_ids: Callable[[int], str] = str

    def client(self) -> FakeClient:
        made = FakeClient(self)
        self.clients.append(made)
        return made

    def trade(self, count: int = 1, deliver: bool = True, twice: bool = False) -> None:
        """`count` trades happen; clients hear of them if `deliver`, twice if `twice`."""
        for _ in range(count):
            number = len(self.trades) + 1
            self.bid = 100.0 + number
            self.trades.append(
                {"id": number, "timestamp": self.ms(), "side": "buy", "price": self.bid, "amount": 0.5}
            )
            if deliver:
                for client in self.clients:
                    client.hear(self.trades[-1], twice)

    def ms(self) -> int:
        return self.now_ns() // 1_000_000 + self.skew_ms

    def rest(self) -> None:
        self.rest_calls += 1
        if self.rest_faults:
            raise self.rest_faults.pop(0)


class FakeClient:
    """One client. `deaf` hears nothing any more; `fault` is raised by the next read."""

    id = "fake"
    precisionMode = 4

    def __init__(self, venue: FakeVenue) -> None:
        self.venue = venue
        self.timeframes = {"1m": "1m"}
        self.has = dict.fromkeys(
            ("watchTrades", "watchBidsAsks", "watchOrderBook", "watchOHLCV", "fetchTime"), True
        )
        self.markets = {SYMBOL: MARKET}
        self.trades: dict[str, Any] = {}
        self.bidsasks: dict[str, Any] = {}
        self.throttler = object()
        self.last_response_headers: dict[str, str] = {}
        self.deaf = self.closed = False
        self.fault: BaseException | None = None
        self._heard: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def hear(self, trade: dict[str, Any], twice: bool) -> None:
        if not self.deaf and not self.closed:
            told = {**trade, "id": self.venue.stream_ids(trade["id"])}
            self._heard += [told] * (2 if twice else 1)
            self._news.set()

    def fail(self, fault: BaseException) -> None:
        """The connection breaks: the read under way raises, and nothing comes any more."""
        self.fault, self.deaf = fault, True
        self._news.set()

    async def _wait(self) -> None:
        if self.venue.refuse_streams is not None:
            raise self.venue.refuse_streams
        await self._news.wait()
        self._news.clear()
        if self.fault is not None:
            raise self.fault

    async def watch_trades(self, symbol: str) -> list[dict[str, Any]]:
        await self._wait()
        heard, self._heard = self._heard, []
        return heard

    async def watch_bids_asks(self, symbols: list[str]) -> dict[str, Any]:
        await self._wait()
        bid = self.venue.bid
        ticker = {"bid": bid, "ask": bid + 0.01, "bidVolume": 1.0, "askVolume": 2.0, "timestamp": None}
        return {SYMBOL: ticker}

    async def watch_order_book(self, symbol: str, limit: int | None = None) -> dict[str, Any]:
        await self._wait()
        return self._book()

    def _book(self) -> dict[str, Any]:
        bid = self.venue.bid
        bids = [[bid - i, 1.0 + i] for i in range(30)]
        asks = [[bid + 0.01 + i, 1.0 + i] for i in range(30)]
        return {"bids": bids, "asks": asks, "timestamp": self.venue.ms()}

    async def watch_ohlcv(self, symbol: str, timeframe: str) -> list[list[float]]:
        await self._wait()
        return self._bars(self.venue.ms() - 60_000)[-1:]

    def _bars(self, since: int) -> list[list[float]]:
        """A bar a minute, the last one open; the closing price tells which."""
        first, last = -(-since // 60_000), self.venue.ms() // 60_000
        return [[m * 60_000, 1.0, 2.0 + m, 0.5, 1.0 + m, 3.0] for m in range(first, last + 1)]

    async def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> list[list[float]]:
        self.venue.rest()
        return self._bars(since)[: min(limit, self.venue.page)]

    async def fetch_trades(self, symbol: str, since: int, limit: int) -> list[dict[str, Any]]:
        self.venue.rest()
        kept = self.venue.trades[-self.venue.history :]
        found = [trade for trade in kept if trade["timestamp"] >= since][: min(limit, self.venue.page)]
        return [{**trade, "id": self.venue.rest_ids(trade["id"])} for trade in found]

    async def fetch_order_book(self, symbol: str, limit: int) -> dict[str, Any]:
        self.venue.rest()
        return self._book()

    async def fetch_time(self) -> int:
        self.venue.rest()
        return self.venue.ms()

    async def load_markets(self) -> dict[str, Any]:
        self.venue.rest()
        return self.markets

    def set_markets_from_exchange(self, first: FakeClient) -> None:
        self.markets = first.markets

    async def close(self) -> None:
        self.closed = True


def too_many() -> Exception:
    return errors.RateLimitExceeded("429 too many requests")


def banned() -> Exception:
    return errors.DDoSProtection("418 banned")


def out_of_order() -> Exception:
    return errors.ExchangeNotAvailable("503")
