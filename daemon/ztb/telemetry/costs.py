"""Costs of trading, in four parts: fees, half the spread, slippage (walking the book), and latency."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ztb.ledger.records import FillRow
from ztb.telemetry.figures import KeyFigures, notional
from ztb.telemetry.run_data import RunData


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Fills' loss against the mid at their decision, quote currency, negative if better (Perold 1988).

    `spread`: half the venue's typical spread, paid by takers and earned by makers. `slippage`: what an order paid
    beyond its first fill's price. `latency`: how far that first price was from the touch expected at the decision,
    the market having moved while the order travelled or waited. The three add up to the shortfall.
    """

    spread: float = 0.0
    slippage: float = 0.0
    latency: float = 0.0

    def __add__(self, other: Shortfall) -> Shortfall:
        return Shortfall(
            self.spread + other.spread, self.slippage + other.slippage, self.latency + other.latency
        )

    @property
    def total(self) -> float:
        return self.spread + self.slippage + self.latency


@dataclass(frozen=True, slots=True)
class TradingCosts:
    """Quote currency. `before_costs` is the result without fees and shortfall; `share` of it that costs took, None
    unless it is positive."""

    fees: float
    shortfall: Shortfall
    maker_notional: float
    taker_notional: float
    result: float

    @property
    def traded(self) -> float:
        return self.maker_notional + self.taker_notional

    @property
    def total(self) -> float:
        return self.fees + self.shortfall.total

    @property
    def before_costs(self) -> float:
        return self.result + self.total

    @property
    def share(self) -> float | None:
        return self.total / self.before_costs if self.before_costs > 0 else None

    def basis_points(self, amount: float) -> float | None:
        """`amount` per quote currency traded, in 1e-4."""
        return amount / self.traded * 1e4 if self.traded > 0 else None


def costs(run: RunData, figures: KeyFigures) -> TradingCosts:
    """The costs of all fills."""
    traded = notional(run)
    maker = np.array([fill.liquidity == "maker" for fill in run.fills], np.bool_)
    return TradingCosts(
        fees=figures.fees,
        shortfall=_shortfall(run),
        maker_notional=float(traded[maker].sum()),
        taker_notional=float(traded[~maker].sum()),
        result=figures.end_equity - figures.start_equity,
    )


def _shortfall(run: RunData) -> Shortfall:
    """Of all fills whose decision is known."""
    fills_of: defaultdict[int, list[FillRow]] = defaultdict(list)
    for fill in run.fills:
        fills_of[fill.order_id].append(fill)
    mid_of = dict(zip(run.decisions.number.tolist(), run.decisions.mid.tolist(), strict=True))
    half_spread = float(run.manifest.get("instrument", {}).get("spread_bps", 0.0)) / 2e4
    total = Shortfall()
    for order in run.orders:
        mid, fills = mid_of.get(order.decision), fills_of[order.order_id]
        if mid is not None and fills:
            total += _of_order(fills, mid, half_spread * mid)
    return total


def _of_order(fills: list[FillRow], mid: float, half_spread: float) -> Shortfall:
    first = float(fills[0].price)
    total = Shortfall()
    for fill in fills:
        quantity, price = float(fill.quantity), float(fill.price)
        crossed = half_spread if fill.liquidity == "taker" else -half_spread
        touch = mid + fill.side * crossed
        total += Shortfall(
            spread=crossed * quantity,
            slippage=fill.side * (price - first) * quantity,
            latency=fill.side * (first - touch) * quantity,
        )
    return total
