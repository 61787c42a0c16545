"""Figures of the best prices and the levels behind them. Kernels on scalars and the book."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.features.averages import NEAR_ZERO, quantity, ratio
from ztb.utils.kernel import kernel

BASIS_POINTS = 1e4


@kernel
def spread(bid: float, ask: float) -> float:
    """Width of the touch; modelled where the venue sent no quotes.

    Formula: 10^4 (ask - bid) / mid
    Unit: basis points
    Source: Harris 2003, Trading and Exchanges, ch. 14
    """
    return ratio(BASIS_POINTS * (ask - bid), 0.5 * (ask + bid), NEAR_ZERO)


@kernel
def imbalance(bid_size: float, ask_size: float) -> float:
    """Weight of the bid against the ask, at the touch or over several levels.

    Formula: (qb - qa) / (qb + qa)
    Unit: -1 to 1
    Source: Cao, Hansch and Wang 2009, The Information Content of an Open Limit-Order Book, eq. 2
    """
    return ratio(bid_size - ask_size, bid_size + ask_size, NEAR_ZERO)


@kernel
def microprice(spread_bps: float, touch_imbalance: float) -> float:
    """Distance of the size-weighted mid from the mid.

    Formula: 10^4 ((qb ask + qa bid) / (qb + qa) - mid) / mid = spread * imbalance / 2
    Unit: basis points
    Source: Stoikov 2018, The Micro-Price, eq. 1 (weighted mid)
    """
    return 0.5 * spread_bps * touch_imbalance


@kernel
def order_flow(
    bid: float,
    bid_size: float,
    ask: float,
    ask_size: float,
    old_bid: float,
    old_bid_size: float,
    old_ask: float,
    old_ask_size: float,
) -> float:
    """Contribution of one change of the touch to the order flow imbalance; the features are its decayed mean.

    Formula: sum(w e) / sum(w |e|), e = [Pb >= Pb'] qb - [Pb <= Pb'] qb' - [Pa <= Pa'] qa + [Pa >= Pa'] qa',
    w = exp(-age / horizon)
    Unit: -1 to 1
    Source: Cont, Kukanov and Stoikov 2014, The Price Impact of Order Book Events, eq. 4
    """
    flow = 0.0
    if bid >= old_bid:
        flow += bid_size
    if bid <= old_bid:
        flow -= old_bid_size
    if ask <= old_ask:
        flow -= ask_size
    if ask >= old_ask:
        flow += old_ask_size
    return flow


@kernel
def level_sum(sizes: NDArray[np.float64], n: int) -> float:
    """Quantity of the first n levels of one side."""
    total = 0.0
    for level in range(n):
        total += quantity(sizes[level])
    return total
