"""What is traded: names, exact increments, and the venue's costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from ztb.errors import DataError


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol of one venue.

    `tick_size` is quote currency, `lot_size` base currency, both exact; `min_notional` is quote currency.
    Fees are fractions of notional. `short` says whether exposure may be below 0.
    """

    symbol: str
    base: str
    quote: str
    venue: str
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    spread_bps: float
    short: bool = False
    inferred: tuple[str, ...] = ()

    def price_ticks(self, price: float) -> int:
        """`price` as a whole number of tick sizes; DataError if it is no multiple."""
        return _whole(price, self.tick_size, f"{self.symbol}: price", "tick size")

    def lots(self, quantity: float) -> int:
        """`quantity` as a whole number of lot sizes; DataError if it is no multiple."""
        return _whole(quantity, self.lot_size, f"{self.symbol}: quantity", "lot size")


def _whole(value: float, increment: Decimal, what: str, name: str) -> int:
    exact = value / float(increment)
    whole = round(exact)
    if abs(exact - whole) > 1e-6 * max(1.0, abs(exact) * 1e-6):
        nearest = (increment * whole).quantize(increment, ROUND_HALF_EVEN)
        raise DataError(f"{what} {value!r} is no multiple of the {name} {increment} (nearest {nearest})")
    return whole
