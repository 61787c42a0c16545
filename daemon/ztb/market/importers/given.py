"""What the caller says of the data, and what becomes of a recording by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ztb.errors import DataError, UsageError
from ztb.market.instrument import Instrument
from ztb.market.symbols import Symbol, parse_symbol, unified_symbol
from ztb.market.venues import CONTRACT, INVERSE, LINEAR, SPOT, costs, min_notional, settled, venue_name


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller said; None: to be inferred."""

    symbol: str | None = None
    tick_size: Decimal | None = None
    lot_size: Decimal | None = None
    venue: str | None = None
    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None

    def inferred(self) -> tuple[str, ...]:
        """Names of the fields that nobody gave."""
        names = ("symbol", "venue", "tick_size", "lot_size", "maker_fee", "taker_fee")
        return (*(n for n in names if getattr(self, n) is None), "min_notional", "spread_bps")


def split_symbol(text: str) -> Symbol:
    """A symbol that somebody gave. UsageError where it cannot be cut."""
    symbol = parse_symbol(text)
    if symbol is None:
        raise UsageError(f"symbol {text!r}: base and quote cannot be told apart: write BASE/QUOTE")
    return symbol


def overridden(recorded: Instrument, given: Given, path: Path) -> Instrument:
    """The instrument of a recording, with what the caller says instead.

    DataError where that contradicts what is known since it was recorded; what was inferred then may be told now.
    """
    changed = _increments(_of_venue(_of_symbol(recorded, given, path), given, path), given, path)
    fees = {name: getattr(given, name) for name in ("maker_fee", "taker_fee")}
    return replace(changed, **{name: value for name, value in fees.items() if value is not None})


def _of_symbol(recorded: Instrument, given: Given, path: Path) -> Instrument:
    if given.symbol is None:
        return recorded
    symbol = split_symbol(given.symbol)
    kind = SPOT if not recorded.short else _kind(recorded)
    wanted = settled(recorded.venue, symbol.quote, symbol.market) if symbol.market else kind
    if symbol.pair == (recorded.base, recorded.quote) and wanted == kind:
        return recorded
    if "symbol" not in recorded.inferred or wanted != kind:
        raise _contradiction(path, recorded.symbol, given.symbol, "symbol")
    base, quote = symbol.pair
    return replace(recorded, symbol=unified_symbol(base, quote, kind), base=base, quote=quote)


def _kind(instrument: Instrument) -> str:
    settlement = instrument.symbol.partition(":")[2].split("-")[0]
    return INVERSE if settlement == instrument.base else LINEAR


def _of_venue(recorded: Instrument, given: Given, path: Path) -> Instrument:
    venue = recorded.venue if given.venue is None else venue_name(given.venue)
    if venue_name(recorded.venue) == venue:
        return recorded
    if "venue" not in recorded.inferred:
        raise _contradiction(path, recorded.venue, str(given.venue), "venue")
    kind = CONTRACT if recorded.short else SPOT
    rules = costs(venue, kind)
    changes: dict[str, Any] = {
        "maker_fee": rules.maker_fee, "taker_fee": rules.taker_fee, "spread_bps": rules.spread_bps,
        "min_notional": min_notional(venue, kind, recorded.quote),
    }  # fmt: skip
    inferred = {name: value for name, value in changes.items() if name in recorded.inferred}
    return replace(recorded, venue=venue, **inferred)


def _increments(recorded: Instrument, given: Given, path: Path) -> Instrument:
    tick = given.tick_size or recorded.tick_size
    if recorded.tick_size % tick:
        raise DataError(
            f"{path}: was recorded with prices in steps of {recorded.tick_size:f}, which are no multiples of "
            f"{tick:f}: leave out --tick-size (or market.tick_size)"
        )
    return replace(recorded, tick_size=tick, lot_size=given.lot_size or recorded.lot_size)


def _contradiction(path: Path, recorded: str, given: str, what: str) -> DataError:
    return DataError(
        f"{path}: was recorded as {recorded}, not as {given}: leave out --{what} (or market.{what}), or name "
        "other files"
    )
