"""Bars: each once, when it has closed, none missing that REST can give back."""

from __future__ import annotations

from collections.abc import Sequence

from ztb.errors import ConfigError
from ztb.market.live.channel import GAP, TAINTED, MarketChannel, SymbolContext
from ztb.market.live.client import Bar, VenueClient
from ztb.market.live.rows import bar_rows

_PAGE = 500
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Bars(MarketChannel):
    """Bars of `timeframe`, `span_ns` long. One has closed when a later one was seen, or its time is over."""

    def __init__(self, line: SymbolContext, stale_s: float, timeframe: str, span_ns: int) -> None:
        super().__init__("bars", line, stale_s)
        self._timeframe = timeframe
        self._span_ms = span_ns // 1_000_000
        self._next_ms = 0  # opening time of the bar that is due
        self._held: dict[int, Bar] = {}

    def streams(self, client: VenueClient) -> bool:
        return bool(client.has.get("watchOHLCV"))

    async def read(self, client: VenueClient) -> list[Bar]:
        return [list(bar) for bar in await client.watch_ohlcv(self.line.symbol, self._timeframe)]

    async def accept(self, message: Sequence[Bar], recv_ns: int) -> None:
        self._held |= {int(bar[0]): bar for bar in message if int(bar[0]) >= self._next_ms}
        latest = max(self._held, default=0)
        closed = sorted(opening for opening in self._held if opening < latest)
        if self.resuming or (closed and self._next_ms and closed[0] > self._next_ms):
            await self._fetch(TAINTED)
            self.resuming = False
        self._put_bars([self._held[opening] for opening in closed], recv_ns, 0)

    async def check(self, marks: int) -> bool:
        return await self._fetch(marks)

    async def warm_up(self, since_ms: int) -> None:
        """Fetch the bars from `since_ms` to now, as history."""
        self._next_ms = -(-since_ms // self._span_ms) * self._span_ms
        await self._fetch(0)

    async def _fetch(self, marks: int) -> bool:
        """Hand on the closed bars that REST has from the one that is due; whether there were any."""
        found, now_ms = 0, self.line.now_ns() // 1_000_000
        while True:
            bars = await self._page(self._next_ms or now_ms - 2 * self._span_ms)
            closed = [bar for bar in bars if int(bar[0]) + self._span_ms <= now_ms]
            put = self._put_bars(closed, self.line.now_ns(), marks)
            found += put
            self.health.recovered += put if marks else 0
            if put == 0:
                return found > 0

    async def _page(self, since_ms: int) -> list[Bar]:
        symbol, timeframe = self.line.symbol, self._timeframe
        page = await self.line.rest.call(
            lambda client: client.fetch_ohlcv(symbol, timeframe, since_ms, _PAGE)
        )
        return sorted(page, key=lambda bar: bar[0])

    def _put_bars(self, bars: Sequence[Bar], recv_ns: int, marks: int) -> int:
        """Hand on those that are due or later, a missing one marked; how many were."""
        due = [bar for bar in bars if int(bar[0]) >= self._next_ms]
        if not due:
            return 0
        rows = bar_rows(due, self._span_ms * 1_000_000, self.line.unit)
        self.health.bad += len(due) - len(rows)
        if self._next_ms and int(due[0][0]) > self._next_ms and len(rows):
            self.health.gaps += 1
            rows["flags"][0] |= GAP | TAINTED
        self._next_ms = int(due[-1][0]) + self._span_ms
        self._held = {opening: bar for opening, bar in self._held.items() if opening >= self._next_ms}
        self.put(rows, recv_ns, marks)
        return len(due)


def bar_span_ns(client: VenueClient, timeframe: str) -> int:
    """The duration of a bar of ccxt's `timeframe`; ConfigError if the venue has no such bars."""
    number, unit = timeframe[:-1], timeframe[-1:]
    known = client.timeframes or {}
    if not number.isdecimal() or unit not in _UNITS_S or (known and timeframe not in known):
        raise ConfigError(f"market.timeframe {timeframe!r}: {client.id} has {', '.join(known) or 'no bars'}")
    return int(number) * _UNITS_S[unit] * 10**9
