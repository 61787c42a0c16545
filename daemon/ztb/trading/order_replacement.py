"""Replacement of the one order that may work at a time, given what is wanted now. Kernels, and their verdicts.

An order that is not what is wanted any more is cancelled first, and its replacement is sized and sent when the
venue has confirmed, so that both can never fill.
"""

from __future__ import annotations

import numpy as np

from ztb.utils.kernel import kernel

NOTHING, SEND, KEEP, CANCEL, AWAIT = range(5)
"""Do nothing; send what is wanted; the working order is what is wanted; cancel it; its cancel is under way."""

MARKET, LIMIT = 0, 1


@kernel
def own_touch(bid: float, ask: float, tick_size: float, side: int) -> int:
    """The best price of our own side of the market, in ticks, rounded away from the other side."""
    if side > 0:
        return int(np.floor(bid / tick_size + 1e-6))
    return int(np.ceil(ask / tick_size - 1e-6))


@kernel
def order_replacement(
    working: int,
    working_type: int,
    working_price: int,
    cancelling: int,
    lots: int,
    order_type: int,
    price: int,
) -> int:
    """The verdict on `lots` wanted while `working` are unfilled: both signed, 0 for none; prices in ticks."""
    if working == 0:
        return SEND if lots != 0 else NOTHING
    if cancelling:
        return AWAIT
    if lots == working and order_type == working_type and price == working_price:
        return KEEP
    return CANCEL
