"""What a venue takes for too small to trade. Kernel."""

from __future__ import annotations

from ztb.utils.kernel import kernel

_ROUNDING = 1e-12  # a product of whole lots may fall short of the decimal that it is


@kernel
def is_enough(quantity: float, price: float, min_quantity: float, min_notional: float) -> bool:
    """Whether an order of `quantity` (base currency) at `price` is no smaller than the venue takes.

    `min_quantity` base currency, `min_notional` quote currency; 0: the venue has no such limit.
    """
    return bool(quantity >= min_quantity * (1.0 - _ROUNDING) and quantity * price >= min_notional)
