"""The identity of a set of files: one instrument of one venue, inferred where it is not given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import TypeVar

from ztb.errors import DataError
from ztb.market.importers.given import Given, overridden, split_symbol
from ztb.market.importers.increments import FINEST_LOT, Grid, infer_lot_size, infer_tick_size
from ztb.market.importers.stream import Probe
from ztb.market.instrument import Instrument
from ztb.market.symbols import Symbol, parse_symbol, symbol_in_name, unified_symbol
from ztb.market.ticks import join_ticks
from ztb.market.venues import (
    COIN_MARGINED,
    CONTRACT,
    INVERSE,
    LINEAR,
    NAMES,
    SPOT,
    VENUES,
    Unit,
    VenueCosts,
    contract_unit,
    costs,
    market_in_venue,
    min_notional,
    settled,
    venue_in_path,
    venue_name,
)

_T = TypeVar("_T")
_TARDIS_CONTRACTS = ("bybit", "phemex", "ftx")
_COIN_MARGINED = re.compile(r"(?<![A-Za-z0-9])[A-Z0-9]{2,}USD_(PERP|\d{6})(?![A-Za-z0-9])")
UNKNOWN_PAIR = ("BASE", "QUOTE")
"""Base and quote where nothing tells them."""


def _spelled_venue(found: Probe) -> str | None:
    facts = found.facts
    return (
        facts.venue if facts.venue is not None else venue_in_path(facts.path.parts[-2:], facts.layout_venue)
    )


def venue_of(found: Probe) -> str | None:
    """The venue that a file's content, else its name or folder, else its layout tells."""
    spelled = _spelled_venue(found)
    venue = None if spelled is None else venue_name(spelled)
    return COIN_MARGINED if _is_coin_margined(found, venue) else venue


def _is_coin_margined(found: Probe, venue: str | None) -> bool:
    """True if the symbol is spelled as Binance alone spells contracts that pay in coins: `BTCUSD_PERP`."""
    text = found.facts.symbol or found.facts.path.name
    return (venue or COIN_MARGINED).startswith("binance") and bool(_COIN_MARGINED.search(text))


def pair_of(found: Probe) -> tuple[str, str] | None:
    """(base, quote) that a file's content, else its name tells."""
    symbol = _symbol_of(found)
    return None if symbol is None else symbol.pair


def _symbol_of(found: Probe) -> Symbol | None:
    inside, binance = found.facts.symbol, venue_of(found) in ("binance", "binanceusdm")
    told = parse_symbol(inside, binance=binance) if inside else None
    if told is not None:
        return told
    named = symbol_in_name(found.facts.path.name, NAMES, binance=binance)
    # Rows may name the coin alone.
    return named if named is None or not inside or inside.upper() == named.base else None


def _market_told(found: Probe) -> str | None:
    """The kind of market that a file's rows, layout, symbol, venue or name tells."""
    facts, symbol, venue = found.facts, _symbol_of(found), _spelled_venue(found)
    if facts.layout.startswith("Tardis") and facts.venue in _TARDIS_CONTRACTS:
        return CONTRACT
    return (
        facts.market
        or (symbol and symbol.market)
        or (market_in_venue(venue) if venue else None)
        or (CONTRACT if "-futures." in facts.path.name else None)
    )


def select(probes: Sequence[Probe], given: Given) -> list[Probe]:
    """The files of one symbol and one venue; DataError if there are several and nobody chose, or none is of it."""
    pair = None if given.symbol is None else split_symbol(given.symbol).pair
    chosen = _choose(probes=list(probes), told=pair_of, wanted=pair, what="symbols", option="--symbol")
    for found in chosen:
        inside = pair_of(found) if found.facts.symbol and found.facts.instrument is None else None
        if (
            pair is not None
            and inside is not None
            and inside[0] != pair[0]
            and "".join(inside) != "".join(pair)
        ):
            raise DataError(
                f"{found.facts.path}: its rows are of {found.facts.symbol}, not of {given.symbol}: leave out "
                "--symbol (or market.symbol), or name other files"
            )
    venue = None if given.venue is None else venue_name(given.venue)
    chosen = _choose(probes=chosen, told=venue_of, wanted=venue, what="venues", option="--venue")
    for found in chosen:
        told = found.facts.venue if found.facts.instrument is None else None
        if venue is not None and told is not None and venue_name(told) != venue:
            raise DataError(
                f"{found.facts.path}: its rows are of {told}, not of {given.venue}: leave out --venue (or "
                "market.venue), or name other files"
            )
    return chosen


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
        return overridden(recorded, given, firsts[0].facts.path)
    venue = venue_name(given.venue) if given.venue else venue_of(firsts[0]) or "unknown"
    base, quote = _pair(firsts, given)
    market = market_of(firsts, given, venue, quote)
    rules = costs(venue, market)
    return Instrument(
        symbol=unified_symbol(base, quote, market),
        base=base,
        quote=quote,
        venue=venue,
        tick_size=given.tick_size or min(price_grid(p).increment for p in firsts),
        lot_size=given.lot_size or _lot_size(firsts, rules, market),
        min_notional=min_notional(venue, market, quote),
        maker_fee=rules.maker_fee if given.maker_fee is None else given.maker_fee,
        taker_fee=rules.taker_fee if given.taker_fee is None else given.taker_fee,
        spread_bps=rules.spread_bps,
        short=market != SPOT,
        inferred=given.inferred(),
    )


def price_grid(found: Probe) -> Grid:
    """The grid of a file's prices, from its prefix."""
    return infer_tick_size(found.prefix)


def market_of(firsts: Sequence[Probe], given: Given, venue: str, quote: str) -> str:
    """SPOT, LINEAR or INVERSE: as the caller's symbol or venue says, else as the files tell, else as the venue has."""
    asked = (
        (given.symbol and split_symbol(given.symbol).market)
        or (given.venue and market_in_venue(given.venue))
        or None
    )
    told = asked or next((market for market in map(_market_told, firsts) if market), None)
    return settled(venue, quote, told)


def unit_of(first: Probe, instrument: Instrument) -> Unit:
    """The unit of a stream's quantities. DataError if that are contracts whose size is not known here."""
    facts, venue = first.facts, venue_of(first) or instrument.venue
    if facts.coins or facts.instrument is not None or not instrument.short:
        return Unit()
    if "-futures." in facts.path.name and first.bars:
        return Unit()  # freqtrade keeps what ccxt tells, which is coins
    settlement = instrument.symbol.partition(":")[2].split("-")[0]
    unit = contract_unit(venue, INVERSE if settlement == instrument.base else LINEAR, instrument.base)
    if unit is None:
        raise DataError(
            f"{facts.path}: its quantities are contracts, and how many {instrument.base} one is at {venue} is not "
            "known here: export the volume in coins too, such as volCcy or homeNotional"
        )
    return unit


def notes(firsts: Sequence[Probe], instrument: Instrument, given: Given) -> Iterator[str]:
    """Notes on what neither data nor caller tells, or not both alike, and what is assumed for it."""
    if (instrument.base, instrument.quote) == UNKNOWN_PAIR:
        yield "nothing tells the symbol: give it with --symbol"
    if instrument.venue == "unknown":
        yield "nothing tells the venue, so a dear one is assumed: name it with --venue, or its fees"
    elif instrument.venue not in VENUES and {"maker_fee", "taker_fee"} <= set(instrument.inferred):
        yield f"what {instrument.venue} costs is not known here, so that dear fees are assumed: give its fees"
    for found in firsts:
        yield from _notes_of(found, instrument, given)


def _notes_of(found: Probe, instrument: Instrument, given: Given) -> Iterator[str]:
    name, pair, unit = found.facts.path.name, pair_of(found), unit_of(found, instrument)
    if given.symbol is not None and pair is not None and pair != (instrument.base, instrument.quote):
        yield f"{name}: is taken for {instrument.symbol} as was asked for, though it seems to be of {'/'.join(pair)}"
    venue = venue_of(found)
    if given.venue is not None and venue is not None and venue != instrument.venue:
        yield f"{name}: is taken for {instrument.venue}'s as was asked for, though it seems to be of {venue}"
    if given.tick_size is None and found.facts.instrument is None and not price_grid(found).binds:
        yield (
            f"{name}: its prices have no grid, so that no tick size can be told: they are rounded to "
            f"{instrument.tick_size:f}; give one with --tick-size"
        )
    if not unit.plain:
        what = f"{unit.quotes:g} {instrument.quote}" if unit.quotes else f"{unit.coins:g} {instrument.base}"
        yield f"{name}: its quantities are taken for contracts of {what}"
    if re.search(r"-(mark|index|premiumIndex)(\.|Klines|PriceKlines)|-markPrice", name):
        yield f"{name}: mark or index prices, at which nobody traded"
    if re.match(r"DAT_(ASCII|MT|NT|MS|XLSX)_", name):
        yield f"{name}: times are taken for UTC, though HistData's are New York's winter time, five hours behind it"


def _pair(firsts: Sequence[Probe], given: Given) -> tuple[str, str]:
    if given.symbol is not None:
        return split_symbol(given.symbol).pair
    pairs = [pair for pair in map(pair_of, firsts) if pair is not None]
    return pairs[0] if pairs else UNKNOWN_PAIR


def _lot_size(firsts: Sequence[Probe], rules: VenueCosts, market: str) -> Decimal:
    """Quantities tell it, save where they are sums that somebody rounded, or contracts."""
    if market == INVERSE or any(p.facts.coins for p in firsts):
        return rules.lot_size or FINEST_LOT
    if rules.lot_size is not None and all(p.bars for p in firsts):
        return rules.lot_size
    return infer_lot_size(join_ticks([p.prefix for p in firsts])).increment
