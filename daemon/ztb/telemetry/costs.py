"""What trading cost: fees, and how far from the mid of the decision the fills were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ztb.telemetry.figures import KeyFigures, notional
from ztb.telemetry.run_data import RunData


@dataclass(frozen=True, slots=True)
class TradingCosts:
    """Quote currency. `slippage` is what fills were worse than the mid at their decision, negative if better.

    `before_costs` is the result without fees and slippage; `share` of it that costs took, None unless positive.
    """

    fees: float
    maker_notional: float
    taker_notional: float
    slippage: float
    result: float

    @property
    def traded(self) -> float:
        return self.maker_notional + self.taker_notional

    @property
    def before_costs(self) -> float:
        return self.result + self.fees + self.slippage

    @property
    def share(self) -> float | None:
        return (self.fees + self.slippage) / self.before_costs if self.before_costs > 0 else None

    def basis_points(self, amount: float) -> float | None:
        """`amount` per quote currency traded, in 1e-4."""
        return amount / self.traded * 1e4 if self.traded > 0 else None


def costs(run: RunData, figures: KeyFigures) -> TradingCosts:
    """The costs of all fills."""
    traded = notional(run)
    maker = np.array([fill.liquidity == "maker" for fill in run.fills], np.bool_)
    return TradingCosts(
        fees=figures.fees,
        maker_notional=float(traded[maker].sum()),
        taker_notional=float(traded[~maker].sum()),
        slippage=_slippage(run),
        result=figures.end_equity - figures.start_equity,
    )


def _slippage(run: RunData) -> float:
    """Implementation shortfall of what was filled (Perold 1988): price against the mid when it was decided."""
    decision_of = {order.order_id: order.decision for order in run.orders}
    mid_of = dict(zip(run.decisions.number.tolist(), run.decisions.mid.tolist(), strict=True))
    total = 0.0
    for fill in run.fills:
        mid = mid_of.get(decision_of.get(fill.order_id, -1))
        if mid is not None:
            total += fill.side * (float(fill.price) - mid) * float(fill.quantity)
    return total
