"""The touch: best bid and ask, always the latest."""

from __future__ import annotations

from typing import Any

from ztb.market.live.channel import Channel, Line
from ztb.market.live.client import Row, VenueClient
from ztb.market.live.rows import quote_row, touch_row

_LEVELS = 5


class Quotes(Channel):
    """The top of the book, from the venue's own stream of it or from its ticker."""

    def __init__(self, line: Line, stale_s: float) -> None:
        super().__init__("quotes", line, stale_s)
        self._touch: tuple[float, float] | None = None
        self._told: Row | None = None

    def streams(self, client: VenueClient) -> bool:
        return bool(client.has.get("watchBidsAsks") or client.has.get("watchTicker"))

    async def read(self, client: VenueClient) -> Row:
        symbol = self.line.symbol
        if not client.has.get("watchBidsAsks"):
            return await client.watch_ticker(symbol)
        answer: dict[str, Any] = await client.watch_bids_asks([symbol])
        # While we waited to run, later ones may have come: only the latest counts.
        return client.bidsasks.get(symbol) or answer.get(symbol) or {}

    async def accept(self, message: Row, recv_ns: int) -> None:
        if message is self._told:
            return
        self._told = message
        row = quote_row(message, self.line.unit)
        if row is None:
            self.health.bad += 1
            return
        self._touch = float(row["bid"][0]), float(row["ask"][0])
        self.put(row, recv_ns, self.take_marks())

    async def check(self, marks: int) -> bool:
        symbol = self.line.symbol
        book = await self.line.rest.call(lambda client: client.fetch_order_book(symbol, _LEVELS))
        row = _touch_of(book, self.line.unit)
        if row is None:
            self.health.bad += 1
            return False
        touch = float(row["bid"][0]), float(row["ask"][0])
        if touch == self._touch:
            return False
        self._touch = touch
        self.put(row, self.line.now_ns(), marks)
        return True


def _touch_of(book: Row, unit: float) -> Any:
    bids, asks = book.get("bids"), book.get("asks")
    if not bids or not asks:
        return None
    return touch_row(bids[0][0], bids[0][1], asks[0][0], asks[0][1], book.get("timestamp"), unit)
