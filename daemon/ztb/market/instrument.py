"""What is traded: names, exact increments, and the venue's costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from ztb.errors import UsageError


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol of one venue.

    `tick_size` is quote currency, `lot_size` base currency, both exact; an order is of `min_notional` (quote
    currency) and `min_quantity` (base currency) at least.
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
    min_quantity: Decimal = Decimal(0)

    @property
    def turnover_cost(self) -> float:
        """What trading at once costs, as a fraction of what is traded: the taker's fee and half the spread."""
        return float(self.taker_fee) + 0.5e-4 * self.spread_bps

    def nearest_ticks(self, price: Decimal) -> int:
        """The whole number of tick sizes that is nearest to `price`."""
        return _nearest(price, self.tick_size)

    def nearest_lots(self, quantity: Decimal) -> int:
        """The whole number of lot sizes that is nearest to `quantity`."""
        return _nearest(quantity, self.lot_size)


def _nearest(value: Decimal, increment: Decimal) -> int:
    return int((value / increment).to_integral_value(ROUND_HALF_EVEN))


def parse_increment(text: str, name: str) -> Decimal:
    """An exact decimal above 0, as a person gives it under `name`. UsageError for anything else."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"{name} {text!r}: not a decimal number, such as 0.01") from None
    if not number.is_finite() or number <= 0:
        raise UsageError(f"{name} {text!r}: must be above 0")
    return number
