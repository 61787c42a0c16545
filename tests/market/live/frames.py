"""Frames of venues as ccxt's own handlers document them, made from a market that is made up, and who sends them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from types import MappingProxyType
from typing import Any

import ccxt.pro

from ztb.testing.memory_transport import MemoryReply, MemorySession, MemorySocket

Row = dict[str, Any]
Levels = dict[float, float]


@dataclass
class Market:
    """Trades by number and a book of twenty levels a side, changed at random. Times are milliseconds."""

    seed: int
    ms: int = 1_700_000_000_123
    number: int = 1000
    update: int = 5000
    trades: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.bids: Levels = {round(60_000.1 - i / 10, 1): 1.0 + i / 8 for i in range(20)}
        self.asks: Levels = {round(60_000.2 + i / 10, 1): 2.0 + i / 8 for i in range(20)}

    def happen(self, count: int) -> list[Row]:
        """`count` trades, as ccxt's unified structures."""
        made = []
        for _ in range(count):
            self.number += 1
            self.ms += self.random.randrange(0, 40)
            made.append({
                "id": str(self.number), "timestamp": self.ms, "side": self.random.choice(["buy", "sell"]),
                "price": round(60_000 + self.random.gauss(0, 5), 1), "amount": round(self.random.random() + 1e-5, 5),
            })  # fmt: skip
        self.trades += made
        return made

    def touch(self) -> tuple[float, float, float, float]:
        self.change()
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]

    def best(self) -> tuple[float, float]:
        return max(self.bids), min(self.asks)

    def near(self, most: int) -> tuple[Levels, Levels]:
        """The best levels of each side."""
        bids, asks = sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
        return dict(bids[:most]), dict(asks[:most])

    def change(self) -> tuple[Levels, Levels]:
        """Levels set or removed, by side; the best move too, and the book never crosses."""
        self.ms += self.random.randrange(1, 40)
        self.update += 1
        return self._side(self.bids, -1, min(self.asks)), self._side(self.asks, 1, max(self.bids))

    def _side(self, side: Levels, sign: int, other: float) -> Levels:
        told: Levels = {}
        for _ in range(self.random.randrange(1, 5)):
            price = self.random.choice(
                [*side, *(round(p + sign * 0.7, 1) for p in side), round(other + sign / 10, 1)]
            )
            size = (
                0.0
                if price in side and len(side) > 12 and self.random.random() < 0.5
                else round(self.random.random() + 0.01, 5)
            )
            told[price] = size
            if size:
                side[price] = size
            else:
                side.pop(price)
        return told


def iso(ms: int, digits: str = "456") -> str:
    """As venues write it: with more digits than milliseconds."""
    moment = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{ms % 1000:03}{digits}Z"


def texts(levels: Mapping[float, float], *more: str) -> list[list[str]]:
    return [[str(price), str(size), *more] for price, size in levels.items()]


class Wire:
    """One venue's way to say it; `kinds` are the streams that it has. See the subclasses."""

    venue = ""
    symbol = "BTC/USDT"
    market_id = "BTCUSDT"
    contract = False
    numbered = True  # whether trade ids tell of holes

    def market(self) -> Row:
        base, quote = self.symbol.split(":")[0].split("/")
        made: Any = getattr(ccxt, self.venue)()
        return made.safe_market_structure({
            "id": self.market_id, "lowercaseId": self.market_id.lower(), "symbol": self.symbol, "base": base, "quote": quote,
            "baseId": base, "quoteId": quote, "settle": quote if self.contract else None, "type": "swap" if self.contract else "spot",
            "spot": not self.contract, "swap": self.contract, "contract": self.contract, "linear": True if self.contract else None,
            "inverse": False if self.contract else None, "contractSize": 0.01 if self.contract else None, "active": True,
            "option": False, "precision": {"price": 0.1, "amount": 0.00001}, "limits": {"cost": {"min": 5.0}},
        })  # fmt: skip

    def acknowledge(self, asked: Row) -> list[str]:
        return [json.dumps({"result": None, "id": asked.get("id")})]

    def foreign(self) -> list[str]:
        """Frames that are none of the decoder's."""
        return []

    def trades(self, rows: list[Row]) -> list[str]:
        raise NotImplementedError

    def quote(self, market: Market) -> list[str]:
        raise NotImplementedError

    def snapshot(self, market: Market) -> list[str]:
        """What the stream begins with; nothing where the snapshot comes by REST."""
        return []

    def depth(self, market: Market) -> list[str]:
        raise NotImplementedError

    def quotes_begin(self, market: Market) -> list[str]:
        return []


class Binance(Wire):
    venue = "binance"
    extra: Mapping[str, Any] = MappingProxyType({})

    def foreign(self) -> list[str]:
        return [
            json.dumps(
                {
                    "e": "trade",
                    "E": 1,
                    "s": "ETHUSDT",
                    "t": 7,
                    "p": "1",
                    "q": "1",
                    "T": 1,
                    "m": True,
                    "M": True,
                }
            )
        ]

    def trades(self, rows: list[Row]) -> list[str]:
        return [
            json.dumps({
                "e": "trade", "E": row["timestamp"] + 2, "s": self.market_id, "t": int(row["id"]), "p": f"{row['price']:.8f}",
                "q": f"{row['amount']:.8f}", "T": row["timestamp"], "m": row["side"] == "sell", **self.extra,
            })
            for row in rows
        ]  # fmt: skip

    def quote(self, market: Market) -> list[str]:
        bid, bid_size, ask, ask_size = market.touch()
        stamp = {"e": "bookTicker", "E": market.ms, "T": market.ms} if self.contract else {}
        return [
            json.dumps(
                {
                    "u": market.update,
                    "s": self.market_id,
                    "b": str(bid),
                    "B": str(bid_size),
                    "a": str(ask),
                    "A": str(ask_size),
                    **stamp,
                }
            )
        ]

    def depth(self, market: Market) -> list[str]:
        before = market.update
        bids, asks = market.change()
        numbers = {
            "U": before + 1,
            "u": market.update,
            **({"pu": before, "T": market.ms} if self.contract else {}),
        }
        return [
            json.dumps(
                {
                    "e": "depthUpdate",
                    "E": market.ms,
                    "s": self.market_id,
                    **numbers,
                    "b": texts(bids),
                    "a": texts(asks),
                }
            )
        ]


class BinanceSpot(Binance):
    extra = MappingProxyType({"M": True})


class BinanceFutures(Binance):
    venue = "binanceusdm"
    symbol = "BTC/USDT:USDT"
    contract = True
    extra = MappingProxyType({"X": "MARKET"})


class Bybit(Wire):
    venue = "bybit"
    numbered = False

    def acknowledge(self, asked: Row) -> list[str]:
        return [
            json.dumps(
                {
                    "success": True,
                    "ret_msg": "",
                    "conn_id": "x",
                    "req_id": asked.get("req_id"),
                    "op": "subscribe",
                }
            )
        ]

    def foreign(self) -> list[str]:
        return [json.dumps({"req_id": "2", "op": "pong", "args": ["1757405570352"], "conn_id": "x"})]

    def trades(self, rows: list[Row]) -> list[str]:
        data = [
            {
                "T": row["timestamp"], "s": self.market_id, "S": row["side"].title(), "v": str(row["amount"]), "p": str(row["price"]),
                "L": "PlusTick", "i": f"{int(row['id']):032x}", "BT": False, "seq": 1,
            }
            for row in rows
        ]  # fmt: skip
        return [
            json.dumps(
                {
                    "topic": f"publicTrade.{self.market_id}",
                    "type": "snapshot",
                    "ts": rows[-1]["timestamp"] + 3,
                    "data": data,
                }
            )
        ]

    def _book(self, levels: int, kind: str, market: Market, bids: Levels, asks: Levels) -> str:
        data = {
            "s": self.market_id,
            "b": texts(bids),
            "a": texts(asks),
            "u": market.update,
            "seq": market.update,
        }
        return json.dumps(
            {
                "topic": f"orderbook.{levels}.{self.market_id}",
                "type": kind,
                "ts": market.ms,
                "data": data,
                "cts": market.ms - 1,
            }
        )

    def quotes_begin(self, market: Market) -> list[str]:
        bid, bid_size, ask, ask_size = market.touch()
        self.told = {bid: bid_size}, {ask: ask_size}
        return [self._book(1, "snapshot", market, *self.told)]

    def quote(self, market: Market) -> list[str]:
        bid, bid_size, ask, ask_size = market.touch()
        now = {bid: bid_size}, {ask: ask_size}
        gone = [
            {price: 0.0 for price in old if price not in new} for old, new in zip(self.told, now, strict=True)
        ]
        self.told = now
        return [self._book(1, "delta", market, gone[0] | now[0], gone[1] | now[1])]

    def snapshot(self, market: Market) -> list[str]:
        return [self._book(50, "snapshot", market, market.bids, market.asks)]

    def depth(self, market: Market) -> list[str]:
        bids, asks = market.change()
        return [self._book(50, "delta", market, bids, asks)]


class Okx(Wire):
    venue = "okx"
    market_id = "BTC-USDT"

    def acknowledge(self, asked: Row) -> list[str]:
        return [json.dumps({"event": "subscribe", "arg": asked["args"][0], "connId": "x"})]

    def foreign(self) -> list[str]:
        return ["pong"]

    def trades(self, rows: list[Row]) -> list[str]:
        data = [
            {
                "instId": self.market_id, "tradeId": row["id"], "px": str(row["price"]), "sz": str(row["amount"]),
                "side": row["side"], "ts": str(row["timestamp"]), "count": "1", "source": "0", "seqId": 1,
            }
            for row in rows
        ]  # fmt: skip
        return [json.dumps({"arg": {"channel": "trades", "instId": self.market_id}, "data": data})]

    def _book(self, channel: str, market: Market, bids: Levels, asks: Levels, **more: Any) -> str:
        order = {"bids": texts(bids, "0", "2"), "asks": texts(asks, "0", "3")}
        numbers = {"ts": str(market.ms), "seqId": market.update, **more.pop("numbers", {})}
        return json.dumps(
            {"arg": {"channel": channel, "instId": self.market_id}, **more, "data": [{**order, **numbers}]}
        )

    def quote(self, market: Market) -> list[str]:
        bid, bid_size, ask, ask_size = market.touch()
        return [self._book("bbo-tbt", market, {bid: bid_size}, {ask: ask_size})]

    def snapshot(self, market: Market) -> list[str]:
        return [
            self._book(
                "books",
                market,
                market.bids,
                market.asks,
                action="snapshot",
                numbers={"prevSeqId": -1, "checksum": 1},
            )
        ]

    def depth(self, market: Market) -> list[str]:
        before = market.update
        bids, asks = market.change()
        return [
            self._book(
                "books", market, bids, asks, action="update", numbers={"prevSeqId": before, "checksum": 2}
            )
        ]


class OkxSwap(Okx):
    symbol = "BTC/USDT:USDT"
    market_id = "BTC-USDT-SWAP"
    contract = True


class Kraken(Wire):
    venue = "kraken"
    symbol = "BTC/USD"
    market_id = "XXBTZUSD"

    def acknowledge(self, asked: Row) -> list[str]:
        params = asked["params"]
        result = {"channel": params["channel"], "symbol": params["symbol"][0], "snapshot": True}
        return [
            json.dumps(
                {"method": "subscribe", "result": result, "success": True, "req_id": asked.get("req_id")}
            )
        ]

    def foreign(self) -> list[str]:
        return [
            json.dumps({"channel": "heartbeat"}),
            json.dumps({"channel": "status", "type": "update", "data": [{"system": "online"}]}),
        ]

    def trades(self, rows: list[Row]) -> list[str]:
        data = [
            {
                "symbol": self.symbol, "side": row["side"], "price": row["price"], "qty": row["amount"], "ord_type": "market",
                "trade_id": int(row["id"]), "timestamp": iso(row["timestamp"]),
            }
            for row in rows
        ]  # fmt: skip
        return [json.dumps({"channel": "trade", "type": "update", "data": data})]

    def quote(self, market: Market) -> list[str]:
        bid, bid_size, ask, ask_size = market.touch()
        touch = {"symbol": self.symbol, "bid": bid, "bid_qty": bid_size, "ask": ask, "ask_qty": ask_size}
        rest = {
            "last": bid,
            "volume": 1.5,
            "vwap": bid,
            "low": bid,
            "high": bid,
            "change": 0.1,
            "change_pct": 0.1,
        }
        return [json.dumps({"channel": "ticker", "type": "update", "data": [touch | rest]})]

    def _book(self, kind: str, market: Market, bids: Levels, asks: Levels) -> str:
        sides = {
            name: [{"price": price, "qty": size} for price, size in side.items()]
            for name, side in (("bids", bids), ("asks", asks))
        }
        stamp = {"timestamp": iso(market.ms, "")} if kind == "update" else {}
        return json.dumps(
            {
                "channel": "book",
                "type": kind,
                "data": [{"symbol": self.symbol, **sides, "checksum": 7, **stamp}],
            }
        )

    def snapshot(self, market: Market) -> list[str]:
        return [self._book("snapshot", market, *market.near(10))]

    def depth(self, market: Market) -> list[str]:
        return [self._book("update", market, *market.change())]


class Coinbase(Wire):
    venue = "coinbase"
    symbol = "BTC/USD"
    market_id = "BTC-USD"

    def acknowledge(self, asked: Row) -> list[str]:
        events = [{"subscriptions": {asked["channel"]: asked["product_ids"]}}]
        return [self._frame("subscriptions", iso(0), events)]

    def foreign(self) -> list[str]:
        return [self._frame("heartbeats", iso(0), [{"current_time": "x", "heartbeat_counter": "3049"}])]

    def _frame(self, channel: str, time: str, events: list[Row]) -> str:
        return json.dumps(
            {"channel": channel, "client_id": "", "timestamp": time, "sequence_num": 0, "events": events}
        )

    def trades(self, rows: list[Row]) -> list[str]:
        data = [
            {
                "trade_id": row["id"], "product_id": self.market_id, "price": str(row["price"]), "size": str(row["amount"]),
                "side": row["side"].upper(), "time": iso(row["timestamp"]),
            }
            for row in reversed(rows)
        ]  # fmt: skip
        return [
            self._frame(
                "market_trades", iso(rows[-1]["timestamp"], "96251234"), [{"type": "update", "trades": data}]
            )
        ]

    def quote(self, market: Market) -> list[str]:
        bid, bid_size, ask, ask_size = market.touch()
        ticker = {
            "type": "ticker", "product_id": self.market_id, "price": str(bid), "volume_24_h": "1", "low_24_h": "1", "high_24_h": "1",
            "low_52_w": "1", "high_52_w": "2", "price_percent_chg_24_h": "0.5", "best_bid": str(bid), "best_bid_quantity": str(bid_size),
            "best_ask": str(ask), "best_ask_quantity": str(ask_size),
        }  # fmt: skip
        return [self._frame("ticker", iso(market.ms, "96251234"), [{"type": "update", "tickers": [ticker]}])]

    def _book(self, kind: str, market: Market, bids: Levels, asks: Levels) -> str:
        updates = [
            {
                "side": side,
                "event_time": "1970-01-01T00:00:00Z",
                "price_level": str(price),
                "new_quantity": str(size),
            }
            for side, levels in (("bid", bids), ("offer", asks))
            for price, size in levels.items()
        ]
        return self._frame(
            "l2_data", iso(market.ms, "1"), [{"type": kind, "product_id": self.market_id, "updates": updates}]
        )

    def snapshot(self, market: Market) -> list[str]:
        return [self._book("snapshot", market, market.bids, market.asks)]

    def depth(self, market: Market) -> list[str]:
        return [self._book("update", market, *market.change())]


WIRES: dict[str, Callable[[], Wire]] = {
    "binance": BinanceSpot, "binance-futures": BinanceFutures, "bybit": Bybit, "okx": Okx, "okx-swap": OkxSwap,
    "kraken": Kraken, "coinbase": Coinbase,
}  # fmt: skip


class FrameVenue:
    """A venue in memory that speaks `wire` on websockets; what REST tells comes from `market`, as ccxt gives it."""

    def __init__(self, wire: Wire, market: Market, kind: str) -> None:
        self.wire = wire
        self.market = market
        self.kind = kind
        self.socket: MemorySocket | None = None
        self.subscribed = 0
        self.asked = 0  # questions by REST
        self.by_ccxt = 0  # frames that ccxt handled
        self.made: Any = None  # the latest client

    def client(self) -> Any:
        row = self.wire.market()
        options = {
            "session": MemorySession(self),
            "enableRateLimit": False,
            "markets": {row["symbol"]: row},
            "newUpdates": True,
        }
        made = getattr(ccxt.pro, self.wire.venue)({**options, "options": {"tradesLimit": 100_000}})
        made.timeout_on_exit = 0
        self.made = made
        made.has["fetchTime"] = False
        made.fetch_trades, made.fetch_order_book = self.fetch_trades, self.fetch_order_book
        handle = made.handle_message

        def counted(socket: Any, message: Any) -> None:
            self.by_ccxt += 1
            handle(socket, message)

        made.handle_message = counted
        return made

    async def fetch_trades(
        self, symbol: str, since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Row]:
        self.asked += 1
        made = [
            {**row, "id": row["id"] if self.wire.numbered else f"{int(row['id']):032x}"}
            for row in self.market.trades
            if row["timestamp"] >= (since or 0)
        ]
        return made[: limit or 500]

    async def fetch_order_book(self, symbol: str, limit: int | None = None, params: Any = None) -> Row:
        self.asked += 1
        bids = sorted(map(list, self.market.bids.items()), reverse=True)
        asks = sorted(map(list, self.market.asks.items()))
        return {
            "symbol": symbol,
            "bids": bids,
            "asks": asks,
            "timestamp": None,
            "datetime": None,
            "nonce": self.market.update,
        }

    def say(self, frames: list[str]) -> None:
        assert self.socket is not None
        for frame in frames:
            self.socket.say(frame)

    def say_at_once(self, frames: list[str]) -> None:
        """Several frames in one turn of the loop, as ccxt takes what aiohttp has buffered."""
        (socket,) = self.made.clients.values()
        for frame in frames:
            socket.handle_text_or_binary_message(frame)

    def connect(self, url: str, socket: MemorySocket) -> None:
        def heard(text: str) -> None:
            if not text.startswith("{"):
                return
            asked = json.loads(text)
            if asked.get("op", asked.get("method", asked.get("type", ""))).lower() != "subscribe":
                return
            self.socket, self.subscribed = socket, self.subscribed + 1
            begin = {"depth": self.wire.snapshot, "quotes": self.wire.quotes_begin}.get(self.kind)
            self.say([*self.wire.acknowledge(asked), *(begin(self.market) if begin else [])])

        socket.heard = heard

    async def request(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> MemoryReply:
        raise AssertionError(f"nobody may be asked: {url}")
