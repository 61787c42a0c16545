"""Exact accounting: cash and position as whole numbers, from fills alone.

Money counts in units of `tick_size × lot_size / 10^k`, the exact value of one lot moving by one tick, refined
until a unit is at most 10⁻¹⁰ of quote currency; fees are rounded to the unit, half to even.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from ztb.market.instrument import Instrument

_FINEST = Decimal("1e-10")


def _share(amount: int, numerator: int, denominator: int) -> int:
    """`amount` times a fraction, rounded half to even."""
    whole, rest = divmod(amount * numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


class Account:
    """One symbol's exact account: `cash_units`, `lots`, `fees_units`, all int; see the module for the unit.

    `dust` is base currency beside the whole lots: what fees taken in base currency leave, below or above 0.
    """

    def __init__(self, instrument: Instrument, start_cash: Decimal) -> None:
        self.instrument = instrument
        value = instrument.tick_size * instrument.lot_size
        refine = 1
        while value / refine > _FINEST:
            refine *= 10
        self.unit = value / refine
        self._notional_units = refine
        self._fee_rates = {
            "maker": instrument.maker_fee.as_integer_ratio(),
            "taker": instrument.taker_fee.as_integer_ratio(),
        }
        self.cash_units = self._units(start_cash)
        self.lots = 0
        self.dust = Decimal(0)
        self.fees_units = 0
        self.fills = 0

    def _units(self, amount: Decimal) -> int:
        return int((amount / self.unit).to_integral_value(ROUND_HALF_EVEN))

    def fill(
        self, side: int, lots: int, price_ticks: int, liquidity: str, fee: Decimal | None = None
    ) -> None:
        """Book a fill: `side` +1 or -1, `liquidity` maker or taker; `fee` in quote currency if the venue said it."""
        notional = price_ticks * lots * self._notional_units
        charged = _share(notional, *self._fee_rates[liquidity]) if fee is None else self._units(fee)
        self.cash_units -= side * notional + charged
        self.lots += side * lots
        self.fees_units += charged
        self.fills += 1

    def base_fee(self, quantity: Decimal, price_ticks: int) -> None:
        """Book a fee that the venue took in base currency; in `fees` it counts at the price of its fill."""
        self.dust -= quantity
        self.fees_units += self._units(quantity * price_ticks * self.instrument.tick_size)

    def adopt(self, cash: Decimal, quantity: Decimal) -> None:
        """Book `cash` quote and `quantity` base currency that came or went without a fill of ours."""
        self.cash_units += self._units(cash)
        self.hold(self.exact_position + quantity)

    def hold(self, quantity: Decimal) -> None:
        """Have a position of `quantity` base currency, beside the cash."""
        self.lots = int(quantity / self.instrument.lot_size)
        self.dust = quantity - self.lots * self.instrument.lot_size

    @property
    def exact_cash(self) -> Decimal:
        """Quote currency."""
        return self.cash_units * self.unit

    @property
    def exact_position(self) -> Decimal:
        """Base currency, signed."""
        return self.lots * self.instrument.lot_size + self.dust

    def fund(self, amount: Decimal) -> None:
        """Book a funding payment, quote currency, positive if received."""
        self.cash_units += self._units(amount)

    @property
    def cash(self) -> float:
        """Quote currency."""
        return float(self.exact_cash)

    @property
    def fees(self) -> float:
        """Quote currency paid so far."""
        return float(self.fees_units * self.unit)

    @property
    def position(self) -> float:
        """Base currency, signed."""
        return float(self.exact_position)

    def equity(self, mid: float) -> float:
        """Cash plus position at `mid`, quote currency; exact until the last rounding to float64."""
        return float(self.exact_cash + self.exact_position * Decimal(mid))
