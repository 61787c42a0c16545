"""Bars of one minute, as trades make them, and what is summed from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ztb.testing.exchange.listing import cost_of
from ztb.testing.exchange.orders import Print

MINUTE_MS = 60_000
INTERVALS = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360, "8h": 480,
    "12h": 720, "1d": 1440, "3d": 4320, "1w": 10080,
}  # fmt: skip
"""Minutes of each interval that is served."""

_MONDAY_MS = 4 * 1440 * MINUTE_MS  # the first Monday after 1970-01-01: weeks begin there


@dataclass(slots=True)
class Candle:
    """One bar. Prices and amounts in units; `bought` and `bought_quote` are what takers bought."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    quote: int = 0
    trades: int = 0
    bought: int = 0
    bought_quote: int = 0
    first_id: int = -1
    last_id: int = -1

    def add(self, trade: Print) -> None:
        """Count one more trade."""
        self.high = max(self.high, trade.price)
        self.low = min(self.low, trade.price)
        self.close = trade.price
        self.first_id = trade.id if self.first_id < 0 else self.first_id
        self.last_id = trade.id
        quote = cost_of(trade.price, trade.quantity)
        self.volume += trade.quantity
        self.quote += quote
        self.trades += 1
        if not trade.buyer_is_maker:
            self.bought += trade.quantity
            self.bought_quote += quote


@dataclass(slots=True)
class Candles:
    """Bars of one minute of one symbol, oldest first; minutes without a trade have none."""

    minutes: list[Candle] = field(default_factory=list[Candle])

    def add(self, trade: Print) -> None:
        """Count a trade into its minute."""
        open_ms = trade.time_ms // MINUTE_MS * MINUTE_MS
        if not self.minutes or self.minutes[-1].open_ms < open_ms:
            self.minutes.append(
                Candle(
                    open_ms=open_ms, open=trade.price, high=trade.price, low=trade.price, close=trade.price
                )
            )
        self.minutes[-1].add(trade)

    def of(self, interval: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Bars of `interval` that open within [`start_ms`, `end_ms`]."""
        merged: dict[int, list[Candle]] = {}
        for minute in self.minutes:
            open_ms = opening(interval, minute.open_ms)
            if start_ms <= open_ms <= end_ms:
                merged.setdefault(open_ms, []).append(minute)
        return [_merge(open_ms, parts) for open_ms, parts in merged.items()]

    def day(self, now_ms: int) -> Candle | None:
        """The last 24 hours as one bar."""
        since = now_ms - 1440 * MINUTE_MS
        parts = [minute for minute in self.minutes[-1441:] if minute.open_ms >= since]
        return _merge(since, parts) if parts else None


def opening(interval: str, time_ms: int) -> int:
    """The opening time of the bar that holds `time_ms`."""
    length = INTERVALS[interval] * MINUTE_MS
    origin = _MONDAY_MS if interval == "1w" else 0
    return (time_ms - origin) // length * length + origin


def _merge(open_ms: int, parts: Iterable[Candle]) -> Candle:
    bars = list(parts)
    ids = [bar.first_id for bar in bars if bar.first_id >= 0]
    return Candle(
        open_ms=open_ms,
        open=bars[0].open,
        high=max(bar.high for bar in bars),
        low=min(bar.low for bar in bars),
        close=bars[-1].close,
        volume=sum(bar.volume for bar in bars),
        quote=sum(bar.quote for bar in bars),
        trades=sum(bar.trades for bar in bars),
        bought=sum(bar.bought for bar in bars),
        bought_quote=sum(bar.bought_quote for bar in bars),
        first_id=ids[0] if ids else -1,
        last_id=bars[-1].last_id,
    )
