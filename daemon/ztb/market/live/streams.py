"""The streams of quotes, of the book and of trades: what each makes of the messages, and of what REST gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ztb.market.live.channel import GAP, TAINTED, MarketChannel, SymbolContext
from ztb.market.live.client import Row, VenueClient
from ztb.market.live.local_book import LocalBook
from ztb.market.live.messages import BestLevels, Touch, Trade, best_of, touch_in, touch_of, trade_of
from ztb.market.live.missed_trades import Missed, missed_trades, trades_page
from ztb.market.live.rows import depth_rows, touch_row, trade_rows
from ztb.market.live.trade_ids import TradeIds

_LEVELS = 5


class Quotes(MarketChannel):
    """The top of the book, from the venue's own stream of it or from its ticker."""

    def __init__(self, line: SymbolContext, stale_s: float) -> None:
        super().__init__("quotes", line, stale_s)
        self._touch: tuple[float, float] | None = None
        self._told: Row | None = None

    def streams(self, client: VenueClient) -> bool:
        return bool(client.has.get("watchBidsAsks") or client.has.get("watchTicker"))

    async def read(self, client: VenueClient) -> Touch:
        while (row := await self._row(client)) is self._told:
            pass
        self._told = row
        return touch_of(row)

    def of_book(self, book: LocalBook) -> Touch | None:
        return touch_in(book.best(1))

    async def _row(self, client: VenueClient) -> Row:
        symbol = self.line.symbol
        if not client.has.get("watchBidsAsks"):
            return await client.watch_ticker(symbol)
        answer: dict[str, Any] = await client.watch_bids_asks([symbol])
        # While we waited to run, later ones may have come: only the latest counts.
        return client.bidsasks.get(symbol) or answer.get(symbol) or {}

    async def accept(self, message: Touch, recv_ns: int) -> None:
        row = touch_row(message, self.line.unit)
        if row is None:
            self.health.bad += 1
            return
        self._touch = message.bid, message.ask
        self.put(row, recv_ns, self.take_marks())

    async def check(self, marks: int) -> bool:
        symbol = self.line.symbol
        book = await self.line.rest.call(lambda client: client.fetch_order_book(symbol, _LEVELS))
        touch = touch_in(best_of(book, 1))
        row = None if touch is None else touch_row(touch, self.line.unit)
        if touch is None or row is None:
            self.health.bad += 1
            return False
        if (touch.bid, touch.ask) == self._touch:
            return False
        self._touch = touch.bid, touch.ask
        self.put(row, self.line.now_ns(), marks)
        return True


class Depth(MarketChannel):
    """The best `levels` of each side. ccxt keeps the book and refuses to go on after a gap in its sequence."""

    def __init__(self, line: SymbolContext, stale_s: float, levels: int) -> None:
        super().__init__("depth", line, stale_s)
        self._levels = levels
        self._best: BestLevels | None = None

    def streams(self, client: VenueClient) -> bool:
        return bool(client.has.get("watchOrderBook"))

    async def read(self, client: VenueClient) -> BestLevels:
        return best_of(await client.watch_order_book(self.line.symbol), self._levels)

    def of_book(self, book: LocalBook) -> BestLevels:
        return book.best(self._levels)

    async def accept(self, message: BestLevels, recv_ns: int) -> None:
        self._hand_on(message, recv_ns, self.take_marks)

    async def check(self, marks: int) -> bool:
        symbol, levels = self.line.symbol, self._levels
        book = await self.line.rest.call(lambda client: client.fetch_order_book(symbol, levels))
        return self._hand_on(best_of(book, levels), self.line.now_ns(), lambda: marks)

    def interrupted(self) -> None:
        super().interrupted()
        self._best = None

    def _hand_on(self, now: BestLevels, recv_ns: int, marks: Callable[[], int]) -> bool:
        """Hand on what changed; whether anything did. A crossed book is not handed on, and takes no marks."""
        if not now.bids or not now.asks or max(now.bids) >= min(now.asks):
            self.health.bad += 1
            return False
        rows = depth_rows(self._best, now, self.line.unit)
        self._best = now
        self.put(rows, recv_ns, marks())
        return len(rows) > 0


class Trades(MarketChannel):
    """The trades of a symbol, told apart by their ids."""

    def __init__(self, line: SymbolContext, stale_s: float) -> None:
        super().__init__("trades", line, stale_s)
        self.ids = TradeIds()
        self._last_ms = 0
        self._joined = False  # whether the stream has brought anything yet

    def streams(self, client: VenueClient) -> bool:
        return bool(client.has.get("watchTrades"))

    async def read(self, client: VenueClient) -> list[Trade]:
        trades = [trade_of(row) for row in await client.watch_trades(self.line.symbol)]
        # What was read is ours: ccxt's cache holds the backlog alone, and overflows only by it.
        cache: Any = client.trades.get(self.line.symbol)
        if cache is not None:
            cache.clear()
        return trades

    async def accept(self, message: Sequence[Trade], recv_ns: int) -> None:
        fresh = self.ids.unseen(message)
        if not self._joined:
            self._joined = True
            await self._join(fresh)
            fresh = self.ids.unseen(message)
        self.health.duplicates += len(message) - len(fresh)
        while fresh:
            at = 0 if self.resuming else self.ids.jump(fresh)
            self._put_trades(fresh[:at], recv_ns, 0)
            if at == len(fresh):
                return
            marks = await self._mend(fresh[at])
            self._put_trades(fresh[at : at + 1], recv_ns, marks)
            # What came out of order may have been given back by REST just now.
            fresh = self.ids.unseen(fresh[at + 1 :])

    async def check(self, marks: int) -> bool:
        missed = await self._missed(self._now_ms())
        if missed.same_ids or self._last_ms == 0:
            self._put_trades(missed.trades, self.line.now_ns(), marks)
            self.health.recovered += len(missed.trades) if marks else 0
        return bool(missed.trades)

    async def warm_up(self, since_ms: int) -> None:
        """Fetch the trades from `since_ms` to now, as history."""
        now_ms = self._now_ms()
        self._put_trades(await trades_page(self.line.rest, self.line.symbol, since_ms), self.line.now_ns(), 0)
        missed = await self._missed(now_ms)
        self._put_trades(missed.trades, self.line.now_ns(), 0)

    async def _join(self, first: Sequence[Trade]) -> None:
        """History and stream meet: what happened between the two belongs to history."""
        if first and self._last_ms and self.ids.missing_before(first[0]):
            missed = await self._missed(first[0])
            self._put_trades(missed.trades, self.line.now_ns(), 0)

    async def _mend(self, until: Trade) -> int:
        """Hand on what is missing before `until`, tainted, as far as REST has it; returns marks for `until`."""
        resumed, self.resuming = self.resuming, False
        if self._last_ms == 0:
            return 0
        missing = self.ids.missing_before(until)
        missed = await self._missed(until)
        found = missed.trades
        self._put_trades(found, self.line.now_ns(), TAINTED, registered=missed.same_ids)
        self.health.recovered += len(found)
        lost = max(0, missing - len(found)) if missed.same_ids else 0
        if not resumed and not found and missed.reached and missed.same_ids:
            self.ids.hid_nothing()
            return TAINTED
        if found or lost or not missed.reached:
            self.health.gaps += 1
        self.health.lost += lost
        return GAP | TAINTED if lost or not missed.reached else 0

    async def _missed(self, until: Trade | int) -> Missed:
        return await missed_trades(
            rest=self.line.rest, symbol=self.line.symbol, ids=self.ids, since_ms=self._last_ms, until=until
        )

    def _now_ms(self) -> int:
        return self.line.now_ns() // 1_000_000

    def _put_trades(self, trades: Sequence[Trade], recv_ns: int, marks: int, registered: bool = True) -> None:
        """Hand on `trades`; their ids are remembered if `registered`."""
        if not trades:
            return
        if registered:
            self.ids.see(trades)
        self._last_ms = max(self._last_ms, max(trade.ms for trade in trades))
        ticks = trade_rows(trades, self.line.unit)
        self.health.bad += len(trades) - len(ticks)
        self.put(ticks, recv_ns, marks)
