"""Listings: the increments, limits and fees of a symbol.

Also here: exact amounts: integers of 1e-8 of an asset; prices are 1e-8 of quote currency for one unit of base.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SCALE = 10**8
_DECIMAL = re.compile(r"^(\d{1,20})(?:\.(\d{1,20}))?$")


def parse_amount(text: str) -> int:
    """`text`, a plain decimal number, in units; ValueError if it is none or finer than 1e-8."""
    found = _DECIMAL.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no decimal number")
    fraction = (found[2] or "").rstrip("0")
    if len(fraction) > 8:
        raise ValueError(f"{text!r} has more than 8 decimals")
    return int(found[1]) * SCALE + int(fraction.ljust(8, "0"))


def amount_text(units: int) -> str:
    """`units` as the venue writes them: eight decimals."""
    sign, units = ("-", -units) if units < 0 else ("", units)
    return f"{sign}{units // SCALE}.{units % SCALE:08d}"


def cost_of(price: int, quantity: int) -> int:
    """Quote units of `quantity` at `price`; exact on a listing's grid."""
    return price * quantity // SCALE


PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol. Prices and amounts in units (1e-8); fees in millionths of what is received.

    An order is of one lot and of `min_quantity` at least.
    `band` bounds limit prices: within 1 / `band` and `band` times the last price (PERCENT_PRICE_BY_SIDE). `stops`:
    whether stop orders are taken.
    """

    base: str
    quote: str
    tick: int
    lot: int
    min_notional: int
    start_price: int
    max_quantity: int = 9_000 * SCALE
    max_price: int = 1_000_000 * SCALE
    maker_ppm: int = 1_000
    taker_ppm: int = 1_000
    band: int = 5
    stops: bool = True
    min_quantity: int = 0

    def __post_init__(self) -> None:
        if self.tick * self.lot % SCALE:
            raise ValueError(f"{self.symbol}: tick times lot must be a multiple of 1e-8 of {self.quote}")

    @property
    def least(self) -> int:
        """The least quantity of an order."""
        return max(self.lot, self.min_quantity)

    @property
    def symbol(self) -> str:
        """The venue's name, such as BTCUSDT."""
        return self.base + self.quote


BTCUSDT = Listing("BTC", "USDT", parse_amount("0.01"), parse_amount("0.00001"), 5 * SCALE, 60_000 * SCALE)
ETHUSDT = Listing("ETH", "USDT", parse_amount("0.01"), parse_amount("0.0001"), 5 * SCALE, 3_000 * SCALE)
LTCUSDT = Listing("LTC", "USDT", parse_amount("0.01"), parse_amount("0.001"), 5 * SCALE, 80 * SCALE)
LISTINGS = (BTCUSDT, ETHUSDT, LTCUSDT)
