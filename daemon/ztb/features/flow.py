"""Trading and quoting as it comes: sums that decay exponentially in event time. Kernels on scalars.

Every sum exists for two horizons: fast, one period, and slow, SLOW periods; w = exp(-age / horizon). A trade
has side s (+1 a buyer took), quantity q and price P; a bar is one trade of its volume at (H + L + C) / 3,
with s = 2 buys / volume - 1, or 0 where the taker buys are not known. A gap in the data empties the sums.
"""

from __future__ import annotations

import math

from ztb.features.averages import NEAR_ZERO, contrast, ratio
from ztb.utils.kernel import kernel

SLOW = 8
"""Slow horizon in fast ones; a power of two, so that the slow decay gives the fast one by squaring."""


@kernel
def slow_decay(elapsed_ns: int, period_ns: int) -> float:
    """exp(-elapsed / slow horizon)."""
    return math.exp(-elapsed_ns / (SLOW * period_ns))


@kernel
def fast_decay(slow: float) -> float:
    """exp(-elapsed / fast horizon) from that of the slow one, SLOW times as long."""
    squared = slow * slow
    fourth = squared * squared
    return fourth * fourth


@kernel
def signed_share(signed: float, total: float) -> float:
    """The net share of what went one way, of everything; of traded quantity it is the trade imbalance.

    Formula: sum(w s q) / sum(w q)
    Unit: -1 (sellers took all) to 1 (buyers did)
    Source: Chordia, Roll and Subrahmanyam 2002, Order Imbalance, Liquidity, and Market Returns
    """
    return ratio(signed, total, NEAR_ZERO)


@kernel
def rate_change(fast: float, slow: float) -> float:
    """Recent rate of something against its usual rate.

    Formula: (a - b) / (a + b), a = sum(w_fast x) / fast horizon, b = sum(w_slow x) / slow horizon
    Unit: -1 (it stopped) to 1
    Source: Hawkes 1971, Spectra of Some Self-Exciting Point Processes (exponential kernel)
    """
    return contrast(SLOW * fast, slow)


@kernel
def vwap_deviation(price: float, notional: float, volume: float) -> float:
    """Distance of the mid from the volume-weighted average price.

    Formula: p / (sum(w q P) / sum(w q)) - 1
    Unit: fraction of price
    Source: Berkowitz, Logue and Noser 1988, The Total Cost of Transactions on the NYSE
    """
    return ratio(price * volume - notional, notional, NEAR_ZERO)


@kernel
def twap_deviation(price: float, average: float) -> float:
    """Distance of the mid from its time-weighted average.

    Formula: p / A - 1, A = integral of w(t) p(t) dt over horizon
    Unit: fraction of price
    Source: Muller et al. 1997, Volatilities of Different Time Resolutions (EMA operator in time)
    """
    return ratio(price - average, average, NEAR_ZERO)


@kernel
def spread_change(spread_bps: float, average: float) -> float:
    """Width of the touch against its time-weighted average.

    Formula: (S - A) / (S + A), A = integral of w(t) S(t) dt over the slow horizon
    Unit: -1 to 1
    Source: Foucault, Pagano and Roell 2013, Market Liquidity, ch. 2
    """
    return contrast(abs(spread_bps), abs(average))


@kernel
def tick_volatility(squares: float) -> float:
    """Movement of the mid from tick to tick.

    Formula: sqrt(sum(w d^2)), d = change of ln p at a tick
    Unit: log return
    Source: Andersen, Bollerslev, Diebold and Labys 2003, Modeling and Forecasting Realized Volatility
    """
    return math.sqrt(squares)
