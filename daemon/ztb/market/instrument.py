"""Instruments: names, exact increments, and the venue's costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from ztb.errors import UsageError


def turnover_cost(taker_fee: float, spread_bps: float) -> float:
    """The cost of trading at once, as a fraction of what is traded: the taker's fee and half the spread."""
    return taker_fee + 0.5e-4 * spread_bps


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
        """The cost of taking, as a fraction of what is traded: its own fee, and half its typical spread."""
        return turnover_cost(float(self.taker_fee), self.spread_bps)

    def smallness(self, lots: int, ticks: int) -> str:
        """The reason in words why the venue takes no order of `lots` at `ticks`; "" if it is large enough."""
        quantity = lots * self.lot_size
        if quantity < self.min_quantity:
            return f"less than {self.min_quantity} {self.base}, the least of an order"
        if quantity * ticks * self.tick_size < self.min_notional:
            return f"worth less than {self.min_notional} {self.quote}, the least of an order"
        return ""

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
