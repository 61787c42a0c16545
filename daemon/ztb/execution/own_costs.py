"""Own costs: what our fills at a venue cost beyond what the paper exchange charges, so that it charges that too.

Of each fill that took, the implementation shortfall (Perold 1988, "The implementation shortfall: paper versus reality")
is the price beyond the mid at the decision, and the fees, as a fraction of notional. Less the touch at the decision and
the configured fee, it is what nobody has charged an account on paper: slippage, depth, latency, a dearer tier of fees.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ztb.execution.orders import Filled, OrderRequest, is_protective

_PRIOR = 8
"""Fills without any surplus that are thought to have been there before: a few bad ones say little."""
_LATEST = 64
"""Fills over which the mean is taken."""
_MOST = 2.0
"""Of what the paper exchange charges, by how much more it may be made to charge. Never less: luck is no discount."""
_STEP = 0.1
"""Of that too: a correction that changes less is not made."""


@dataclass(slots=True)
class OwnCosts:
    """A running mean. `charged`: what accounts on paper are charged for turnover at least, a fraction of it."""

    charged: float
    taker_fee: float
    fills: int = 0
    surplus: float = 0.0
    """The mean of what fills cost beyond the paper exchange's charge, a fraction of turnover; of `_PRIOR` at first."""
    correction: float = 0.0
    """What accounts on paper are to be charged more, a fraction of turnover."""
    _mid: float = 0.0
    _half_spread: float = 0.0
    _sent: dict[int, tuple[int, float, float]] = field(default_factory=dict[int, tuple[int, float, float]])

    def see(self, mid: float, half_spread: float) -> None:
        """Take the market at a decision, quote currency, by which the orders that follow are measured."""
        self._mid, self._half_spread = mid, half_spread

    def sent(self, order: OrderRequest) -> None:
        """An order is on its way."""
        if self._mid > 0.0 and not is_protective(order.order_id):
            self._sent[order.order_id] = order.side, self._mid, self._half_spread

    def filled(self, fill: Filled, price: float, fee_fraction: float) -> None:
        """One of our orders was filled at `price` (quote currency), which cost `fee_fraction` of its notional."""
        told = self._sent.get(fill.order_id)
        if told is None or fill.liquidity != "taker":
            return
        side, mid, half_spread = told
        shortfall = side * (price - mid) / mid + fee_fraction
        beyond = shortfall - half_spread / mid - self.taker_fee
        self.fills += 1
        self.surplus += (beyond - self.surplus) / min(self.fills + _PRIOR, _LATEST)

    def over(self, order_id: int) -> None:
        """An order has ended."""
        self._sent.pop(order_id, None)

    def corrects(self) -> bool:
        """True if the correction is another from now on."""
        wanted = min(max(self.surplus, 0.0), _MOST * self.charged)
        if abs(wanted - self.correction) < _STEP * self.charged:
            return False
        self.correction = wanted
        return True

    def detail(self) -> str:
        """The correction and what it rests on, as it is journaled."""
        told = {
            "correction": self.correction,
            "charged": self.charged,
            "surplus": self.surplus,
            "fills": self.fills,
        }
        return json.dumps(told, sort_keys=True)

    def recall(self, detail: str) -> None:
        """Go on from what was journaled last."""
        told = json.loads(detail)
        self.correction, self.surplus, self.fills = told["correction"], told["surplus"], told["fills"]
