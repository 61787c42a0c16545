"""The schedule of publication: trades and own orders at once, books each 100 ms, bars and tickers each second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ztb.testing.exchange.api import events
from ztb.testing.exchange.api.market_data import day_ticker_of
from ztb.testing.exchange.candles import INTERVALS, opening
from ztb.testing.exchange.connections import Connections
from ztb.testing.exchange.orders import BalanceChange, ExecutionReport, Fact, Print
from ztb.testing.exchange.venue import Market, State

DEPTH_MS = 100
SLOW_MS = 1_000
_AT_ONCE = {"trade", "aggTrade", "bookTicker"}
_TICKERS = {"ticker": events.ticker, "miniTicker": events.mini_ticker}


@dataclass(slots=True)
class Publisher:
    """Turns facts into messages for those who listen."""

    state: State
    connections: Connections
    touches: dict[str, tuple[object, ...]] = field(default_factory=dict[str, tuple[object, ...]])

    def publish_facts(self, now_ms: int) -> None:
        """Tell of all that happened since the last call."""
        facts = self.state.venue.take_facts()
        for fact in facts:
            self._publish_fact(fact, now_ms)
        for market in self.state.venue.markets.values():
            self._publish_touch(market)

    def _publish_fact(self, fact: Fact, now_ms: int) -> None:
        match fact:
            case Print():
                self.state.candles[fact.symbol].add(fact)
                name = fact.symbol.lower()
                self._publish(f"{name}@trade", partial(events.trade, fact, now_ms))
                self._publish(f"{name}@aggTrade", partial(events.aggregate_trade, fact, now_ms))
            case ExecutionReport():
                self.connections.publish_user(events.execution_report(fact, now_ms))
            case BalanceChange():
                self.connections.publish_user(events.account_position(fact, now_ms))

    def _publish(self, stream: str, message: Callable[[], object]) -> None:
        if self.connections.wants(stream):
            self.connections.publish(stream, message())

    def _publish_touch(self, market: Market) -> None:
        stream = f"{market.listing.symbol.lower()}@bookTicker"
        if not self.connections.wants(stream):
            return
        message = events.book_ticker(market)
        touch = tuple(message[key] for key in "bBaA")
        if self.touches.get(stream) != touch:
            self.touches[stream] = touch
            self.connections.publish(stream, message)

    def listened_to(self, every: int) -> bool:
        """True if anybody listens to what is published so often, in milliseconds."""
        streams = (stream for connection in self.connections.open for stream in connection.streams)
        kinds = {stream.partition("@")[2].partition("@")[0] for stream in streams}
        return "depth" in kinds if every == DEPTH_MS else bool(kinds - _AT_ONCE - {"depth"})

    def publish_depth(self, now_ms: int) -> None:
        """Differences of all books."""
        for symbol, market in self.state.venue.markets.items():
            message = events.depth(symbol, market.book, now_ms)
            if message is not None:
                self.connections.publish(f"{symbol.lower()}@depth@100ms", message)

    def publish_slow(self, now_ms: int) -> None:
        """Bars and tickers of all symbols."""
        for kind, message in _TICKERS.items():
            self._publish_tickers(kind, message, now_ms)
        for stream in sorted(self.connections.wanted()):
            self._publish_bar(stream, now_ms)

    def _publish_tickers(self, kind: str, message: Callable[[events.Json, int], object], now_ms: int) -> None:
        """Each symbol's own, and all of them together. A day is summed up only where somebody listens."""

        def ticker(market: Market) -> object:
            return message(day_ticker_of(self.state, market, now_ms), now_ms)

        markets = self.state.venue.markets
        for symbol, market in markets.items():
            self._publish(f"{symbol.lower()}@{kind}", partial(ticker, market))
        self._publish(f"!{kind}@arr", lambda: [ticker(market) for market in markets.values()])

    def _publish_bar(self, stream: str, now_ms: int) -> None:
        """The running bar, and first the one before it if it has just closed."""
        name, _, kind = stream.partition("@")
        interval = kind.removeprefix("kline_")
        if not kind.startswith("kline_") or interval not in INTERVALS:
            return
        symbol = name.upper()
        since = opening(interval, now_ms - SLOW_MS)
        for bar in self.state.candles[symbol].of(interval, since, now_ms):
            self.connections.publish(stream, events.kline(symbol, bar, interval, now_ms))
