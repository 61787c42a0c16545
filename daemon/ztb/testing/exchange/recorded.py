"""Recorded flow: trades, quotes and depth of a history, at a chosen speed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ztb.errors import DataError
from ztb.market.history import History
from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, Ticks
from ztb.testing.exchange.background import Background
from ztb.testing.exchange.listing import PPM, SCALE, Listing
from ztb.testing.exchange.orders import Side

_LADDER = 10
_LADDER_LOTS = 1_000
_NAMES = ("ts_ns", "kind", "side", "flags", "price", "size", "bid", "ask", "bid_size", "ask_size")

Row = tuple[Any, ...]
"""The fields of `_NAMES`."""


@dataclass(slots=True)
class RecordedFlow:
    """Ticks as others' quotes and trades. At `speed` 10, ten recorded seconds pass in one.

    Trades trade at their recorded price and size; own orders that were ahead in the queue trade first. Without
    quotes or depth in the data, a ladder is modelled around each trade.
    """

    blocks: Iterable[Ticks]
    start_ns: int
    speed: float = 1.0
    next_ns: int | None = None
    quoted: bool = False
    _rows: Iterator[Row] = field(init=False)
    _message: list[Row] = field(init=False)
    _first_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self._rows = _rows(self.blocks)
        self._message = self._read()
        self._first_ns = self._message[0][0] if self._message else 0
        self.next_ns = self.start_ns if self._message else None

    @property
    def first_price(self) -> float:
        """The market's price at the beginning, in quote currency; 0 without data."""
        if not self._message:
            return 0.0
        _, kind, *_, price, _, bid, _, _, _ = self._message[0]
        return float(bid if kind == QUOTE else price)

    def act(self, background: Background, now_ms: int) -> None:
        """One trade, one quote, or one whole message of depth."""
        for row in self._message:
            self._apply(background, row, now_ms)
        self._message = self._read()
        if self._message:
            self.next_ns = self.start_ns + int((self._message[0][0] - self._first_ns) / self.speed)
        else:
            self.next_ns = None

    def _read(self) -> list[Row]:
        message: list[Row] = []
        for row in self._rows:
            message.append(row)
            if row[1] != DEPTH or row[3] & LAST:
                break
        return message

    def _apply(self, background: Background, row: Row, now_ms: int) -> None:
        _, kind, taker, flags, price, size, bid, ask, bid_size, ask_size = row
        grid = _Grid(background.market.listing)
        side = Side.BUY if taker >= 0 else Side.SELL
        if kind == TRADE:
            units = grid.price(price)
            background.trade_at(side, units, max(grid.quantity(size), background.market.listing.lot), now_ms)
            if not self.quoted:
                _model_touch(background, units, now_ms)
            return
        self.quoted = True
        if flags & SNAPSHOT:
            for each in Side:
                background.replace_side(each, (), now_ms)
        if kind == DEPTH:
            background.set_level(side, grid.price(price), grid.quantity(size), now_ms)
        else:
            for each, at, quantity in ((Side.BUY, bid, bid_size), (Side.SELL, ask, ask_size)):
                background.keep_only(each, grid.price(at), now_ms)
                background.set_level(each, grid.price(at), grid.quantity(quantity), now_ms)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Floats as units on the grid of a listing."""

    listing: Listing

    def price(self, price: float) -> int:
        return round(price * SCALE / self.listing.tick) * self.listing.tick

    def quantity(self, quantity: float) -> int:
        return round(quantity * SCALE / self.listing.lot) * self.listing.lot


def _rows(blocks: Iterable[Ticks]) -> Iterator[Row]:
    for block in blocks:
        if (block["kind"] == BAR).any():
            raise DataError("bars hold no flow of orders: name data of trades, quotes or depth")
        yield from zip(*(block[name].tolist() for name in _NAMES), strict=True)


def _model_touch(background: Background, price: int, now_ms: int) -> None:
    """A ladder one tick around the last trade, for data that tell of trades only."""
    listing = background.market.listing
    steps = range(1, _LADDER + 1)
    quantity = listing.lot * _LADDER_LOTS
    bids = [(price - k * listing.tick, quantity) for k in steps if price > k * listing.tick]
    background.replace_side(Side.BUY, bids, now_ms)
    background.replace_side(Side.SELL, [(price + k * listing.tick, quantity) for k in steps], now_ms)


def recorded_market(history: History, start_ns: int, speed: float) -> tuple[Listing, RecordedFlow]:
    """The instrument of `history`, and its flow from `start_ns` on; DataError if it holds no ticks to trade on."""
    flow = RecordedFlow(history.blocks(), start_ns, speed)
    if flow.next_ns is None:
        raise DataError("the data hold no trades, quotes or depth")
    return _listing(history.instrument, flow.first_price), flow


def _listing(instrument: Instrument, price: float) -> Listing:
    tick, lot = (_units(size) for size in (instrument.tick_size, instrument.lot_size))
    if tick * lot % SCALE:
        raise DataError(
            f"{instrument.symbol}: tick size {instrument.tick_size} times lot size {instrument.lot_size} is finer "
            "than the exchange counts (1e-8): give them coarser ones with `ztb data import`"
        )
    maker, taker = (max(0, int(fee * PPM)) for fee in (instrument.maker_fee, instrument.taker_fee))
    return Listing(
        base=instrument.base,
        quote=instrument.quote,
        tick=tick,
        lot=lot,
        min_notional=_units(instrument.min_notional),
        start_price=round(price * SCALE / tick) * tick,
        maker_ppm=maker,
        taker_ppm=taker,
    )


def _units(amount: Decimal) -> int:
    return int(amount * SCALE)
