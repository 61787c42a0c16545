"""What a set of files is a history of: one instrument of one venue, inferred where it is not given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar

from ztb.errors import DataError, UsageError
from ztb.market.importers.increments import infer_lot_size, infer_tick_size
from ztb.market.importers.stream import Probe
from ztb.market.instrument import Instrument
from ztb.market.ticks import join_ticks
from ztb.market.venues import (
    is_perpetual,
    known,
    min_notional,
    split_symbol,
    symbol_in_name,
    unified_symbol,
    venue_in_path,
    venue_name,
)

_T = TypeVar("_T")
UNKNOWN_PAIR = ("BASE", "QUOTE")
"""Base and quote where nothing tells them."""
FINEST_LOT = Decimal("1e-8")


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


def venue_of(found: Probe) -> str | None:
    """The venue that a file's content, else its name or folder, else its layout tells."""
    facts = found.facts
    if facts.venue is not None:
        return venue_name(facts.venue)
    return venue_in_path(facts.path.parts[-2:], facts.layout_venue)


def pair_of(found: Probe) -> tuple[str, str] | None:
    """(base, quote) that a file's content, else its name tells."""
    inside = found.facts.symbol
    return split_symbol(inside) if inside else symbol_in_name(found.facts.path.name)


def select(probes: Sequence[Probe], given: Given) -> list[Probe]:
    """The files of one symbol and one venue; DataError if there are several and nobody chose."""
    pair = None if given.symbol is None else _split(given.symbol)
    chosen = _choose(list(probes), pair_of, pair, "symbols", "--symbol")
    venue = None if given.venue is None else venue_name(given.venue)
    return _choose(chosen, venue_of, venue, "venues", "--venue")


def _split(symbol: str) -> tuple[str, str]:
    pair = split_symbol(symbol)
    if pair is None:
        raise UsageError(f"symbol {symbol!r}: base and quote cannot be told apart: write BASE/QUOTE")
    return pair


def _choose(
    probes: list[Probe], told: Callable[[Probe], _T | None], wanted: _T | None, what: str, option: str
) -> list[Probe]:
    values = [told(p) for p in probes]
    if wanted is not None and wanted in values:
        return [p for p, value in zip(probes, values, strict=True) if value == wanted]
    named = {value: p for p, value in zip(probes, values, strict=True) if value is not None}
    if len(named) > 1:
        files = ", ".join(f"{_spelled(value)} ({p.facts.path.name})" for value, p in named.items())
        raise DataError(f"the files are of several {what}: {files}: choose one with {option}")
    return probes


def _spelled(value: object) -> str:
    return "/".join(value) if isinstance(value, tuple) else str(value)


def describe(firsts: Sequence[Probe], given: Given) -> Instrument:
    """The instrument of streams whose first files are `firsts`; increments come from their prefixes alone."""
    recorded = firsts[0].facts.instrument
    if recorded is not None:
        return _overridden(recorded, given)
    venue = venue_name(given.venue) if given.venue else venue_of(firsts[0]) or "unknown"
    base, quote = _pair(firsts, given)
    rules = known(venue)
    perpetual = rules.short or _perpetual(firsts, given)
    return Instrument(
        symbol=unified_symbol(base, quote, perpetual, rules.inverse),
        base=base,
        quote=quote,
        venue=venue,
        tick_size=given.tick_size or min(infer_tick_size(p.prefix) for p in firsts),
        lot_size=given.lot_size or _lot_size(firsts, venue),
        min_notional=min_notional(venue, quote),
        maker_fee=rules.maker_fee if given.maker_fee is None else given.maker_fee,
        taker_fee=rules.taker_fee if given.taker_fee is None else given.taker_fee,
        spread_bps=rules.spread_bps,
        short=perpetual,
        inferred=given.inferred(),
    )


def unknown(instrument: Instrument) -> Iterator[str]:
    """What neither the data nor the caller tells, and what is assumed for it."""
    if (instrument.base, instrument.quote) == UNKNOWN_PAIR:
        yield "nothing tells the symbol: give it with --symbol"
    if instrument.venue == "unknown":
        yield "nothing tells the venue, so a dear one is assumed: name it with --venue, or its fees"


def _pair(firsts: Sequence[Probe], given: Given) -> tuple[str, str]:
    if given.symbol is not None:
        return _split(given.symbol)
    pairs = [pair for pair in map(pair_of, firsts) if pair is not None]
    return pairs[0] if pairs else UNKNOWN_PAIR


def _perpetual(firsts: Sequence[Probe], given: Given) -> bool:
    if given.symbol is not None:
        return is_perpetual(given.symbol)
    return any(is_perpetual(p.facts.symbol or p.facts.path.name) for p in firsts)


def _lot_size(firsts: Sequence[Probe], venue: str) -> Decimal:
    """Quantities tell it, save where they are sums that somebody rounded, or contracts."""
    rules = known(venue)
    if rules.inverse:
        return rules.lot_size or FINEST_LOT
    if rules.lot_size is not None and all(p.bars for p in firsts):
        return rules.lot_size
    return infer_lot_size(join_ticks([p.prefix for p in firsts]))


def _overridden(recorded: Instrument, given: Given) -> Instrument:
    """A recording's own instrument, with what the caller says instead."""
    changes: dict[str, Any] = {
        name: getattr(given, name)
        for name in ("tick_size", "lot_size", "maker_fee", "taker_fee")
        if getattr(given, name) is not None
    }
    return replace(recorded, **changes)
