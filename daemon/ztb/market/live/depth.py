"""The book: its best levels, as changes against what was handed on before."""

from __future__ import annotations

from collections.abc import Callable

from ztb.market.live.channel import Channel, Line
from ztb.market.live.client import Row, VenueClient
from ztb.market.live.rows import Levels, book_side, depth_rows

_Book = tuple[Levels, Levels]


class Depth(Channel):
    """The best `levels` of each side. ccxt keeps the book and refuses to go on after a gap in its sequence."""

    def __init__(self, line: Line, stale_s: float, levels: int) -> None:
        super().__init__("depth", line, stale_s)
        self._levels = levels
        self._book: _Book | None = None

    def streams(self, client: VenueClient) -> bool:
        return bool(client.has.get("watchOrderBook"))

    async def read(self, client: VenueClient) -> Row:
        return await client.watch_order_book(self.line.symbol)

    async def accept(self, message: Row, recv_ns: int) -> None:
        self._hand_on(message, recv_ns, self.take_marks)

    async def check(self, marks: int) -> bool:
        symbol, levels = self.line.symbol, self._levels
        book = await self.line.rest.call(lambda client: client.fetch_order_book(symbol, levels))
        return self._hand_on(book, self.line.now_ns(), lambda: marks)

    def interrupted(self) -> None:
        super().interrupted()
        self._book = None

    def _hand_on(self, book: Row, recv_ns: int, marks: Callable[[], int]) -> bool:
        """Hand on what changed; whether anything did. A crossed book is not handed on, and takes no marks."""
        now = book_side(book["bids"], self._levels), book_side(book["asks"], self._levels)
        if not now[0] or not now[1] or max(now[0]) >= min(now[1]):
            self.health.bad += 1
            return False
        rows = depth_rows(self._book, now, book.get("timestamp"), self.line.unit)
        self._book = now
        self.put(rows, recv_ns, marks())
        return len(rows) > 0
