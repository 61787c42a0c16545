"""What is listed: the increments, limits and fees of a symbol."""

from __future__ import annotations

from dataclasses import dataclass

from ztb.testing.exchange.units import SCALE, parse_amount

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol. Prices and amounts in units (1e-8); fees in millionths of what is received.

    `band` bounds limit prices: within 1 / `band` and `band` times the last price (PERCENT_PRICE_BY_SIDE).
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

    def __post_init__(self) -> None:
        if self.tick * self.lot % SCALE:
            raise ValueError(f"{self.symbol}: tick times lot must be a multiple of 1e-8 of {self.quote}")

    @property
    def symbol(self) -> str:
        """The venue's name, such as BTCUSDT."""
        return self.base + self.quote


BTCUSDT = Listing("BTC", "USDT", parse_amount("0.01"), parse_amount("0.00001"), 5 * SCALE, 60_000 * SCALE)
ETHUSDT = Listing("ETH", "USDT", parse_amount("0.01"), parse_amount("0.0001"), 5 * SCALE, 3_000 * SCALE)
LTCUSDT = Listing("LTC", "USDT", parse_amount("0.01"), parse_amount("0.001"), 5 * SCALE, 80 * SCALE)
LISTINGS = (BTCUSDT, ETHUSDT, LTCUSDT)
