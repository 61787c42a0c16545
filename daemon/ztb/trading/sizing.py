"""From a target exposure to an order: how many lots to buy or sell. Kernels.

Exposure is position value over equity. Lots are whole; a change smaller than `band` of equity, or one below
the venue's minimum, is left undone, except that a target of exactly 0 closes whatever can be sold.
"""

from __future__ import annotations

import numpy as np

from ztb.execution.filters import is_enough
from ztb.utils.kernel import kernel

TIMING_WAIT = 0
TIMING_PASSIVE = 1
TIMING_AGGRESSIVE = 2
TIMINGS = 3

_WHOLE = 1e-9  # lots: a quantity this close below a whole number of lots is one, rounded by float64
_ROUNDING = 4e-16  # relative: what a division of float64 may lose


@kernel
def whole_lots(quantity: float, lot_size: float) -> int:
    """The largest whole number of lots in `quantity` (base currency, >= 0)."""
    exact = quantity / lot_size
    return int(np.floor(exact * (1.0 + _ROUNDING) + _WHOLE))


@kernel
def order_lots(
    cash: float,
    position: float,
    mid: float,
    exposure: float,
    lot_size: float,
    min_quantity: float,
    min_notional: float,
    cost_fraction: float,
    band: float,
    borrow: int,
) -> int:
    """Signed lots that bring the position to `exposure`; 0 where nothing should be done.

    `cash`, `mid`, `min_notional` quote currency; `position`, `lot_size`, `min_quantity` base currency;
    `cost_fraction` is what a purchase may cost beyond the mid (fee, spread, slippage) and is kept back; `borrow` 1
    lets cash go below 0 (derivatives), 0 caps purchases at the cash there is.
    """
    equity = cash + position * mid
    if mid <= 0.0 or equity <= 0.0:
        return 0
    change = exposure * equity / mid - position
    if exposure == 0.0:
        change = -position
    elif abs(change) * mid < band * equity:
        return 0
    if change > 0.0 and borrow == 0:
        change = min(change, max(cash, 0.0) / (mid * (1.0 + cost_fraction)))
    lots = whole_lots(abs(change), lot_size)
    if not is_enough(lots * lot_size, mid, min_quantity, min_notional):
        return 0
    return lots if change > 0.0 else -lots
