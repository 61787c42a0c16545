"""The instrument as the venue's own market table describes it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ztb.errors import ConfigError
from ztb.market.instrument import Instrument
from ztb.market.live.client import Row, VenueClient
from ztb.market.venues import LINEAR, SPOT, costs, min_notional

_TICK_SIZE = 4  # ccxt's precision modes
_DECIMAL_PLACES = 2
_SIGNIFICANT_DIGITS = 3
# Where a venue tells digits, not an increment, the increment moves with the price: the finest is taken, and ccxt rounds
# what is sent.
_FINEST = Decimal("1e-8")


def instrument_of(client: VenueClient, symbol: str) -> Instrument:
    """The instrument `symbol` of a client whose markets are loaded.

    ConfigError if the venue has no such market, or one that cannot be traded here.
    """
    market = client.markets.get(symbol)
    if market is None:
        raise ConfigError(f"market.symbol {symbol!r}: {client.id} has no such market; write it as BASE/QUOTE")
    if market.get("active") is False:
        raise ConfigError(
            f"market.symbol {symbol!r}: {client.id} does not trade it at present: choose another market"
        )
    if market.get("inverse") or market.get("option"):
        raise ConfigError(f"market.symbol {symbol!r}: inverse contracts and options cannot be traded here")
    kind = LINEAR if market.get("contract") else SPOT
    rules, precision = costs(client.id, kind), market.get("precision") or {}
    notional = _limit(market, "cost")
    return Instrument(
        symbol=symbol,
        base=str(market["base"]),
        quote=str(market["quote"]),
        venue=client.id,
        tick_size=_increment(precision.get("price"), client, symbol, "price"),
        lot_size=_increment(precision.get("amount"), client, symbol, "amount") * contract_size(market),
        min_notional=min_notional(client.id, kind, str(market["quote"])) if notional is None else notional,
        maker_fee=_fee(market, "maker", rules.maker_fee),
        taker_fee=_fee(market, "taker", rules.taker_fee),
        spread_bps=rules.spread_bps,
        short=bool(market.get("contract")),
        min_quantity=(_limit(market, "amount") or Decimal(0)) * contract_size(market),
        inferred=tuple(name for name in ("maker", "taker") if market.get(name) is None),
    )


def refuse_contracts(instrument: Instrument) -> None:
    """ConfigError for a market of contracts, which live mode cannot trade: its quantities are contracts, its account
    holds none of the coin."""
    if instrument.short:
        raise ConfigError(
            f"market.symbol {instrument.symbol!r}: live mode trades spot alone, and this is a market of contracts of "
            f"{instrument.venue}: trade {instrument.base}/{instrument.quote}, or run it on paper"
        )


def contract_size(market: Row) -> Decimal:
    """Base currency in one unit of the venue's quantities: 1 on spot."""
    size = market.get("contractSize") if market.get("contract") else None
    return Decimal(1) if size is None else _exact(size)


def _exact(value: Any) -> Decimal:
    return Decimal(repr(value) if isinstance(value, float) else str(value))


def _increment(value: Any, client: VenueClient, symbol: str, what: str) -> Decimal:
    if value is None or client.precisionMode not in (_TICK_SIZE, _DECIMAL_PLACES, _SIGNIFICANT_DIGITS):
        raise ConfigError(
            f"{client.id}: does not say the {what} increment of {symbol}: choose another market"
        )
    if client.precisionMode == _SIGNIFICANT_DIGITS:
        return _FINEST
    exact = _exact(value)
    if client.precisionMode == _DECIMAL_PLACES:
        return Decimal(1).scaleb(-int(exact))
    if exact <= 0:
        raise ConfigError(
            f"{client.id}: says that the {what} increment of {symbol} is {exact:f}: choose another market"
        )
    return exact.normalize()


def _limit(market: Row, what: str) -> Decimal | None:
    least = ((market.get("limits") or {}).get(what) or {}).get("min")
    return None if least is None else _exact(least)


def _fee(market: Row, side: str, otherwise: Decimal) -> Decimal:
    """What the venue says. A rebate is not counted on."""
    fee = market.get(side)
    return otherwise if fee is None else max(_exact(fee), Decimal(0))
