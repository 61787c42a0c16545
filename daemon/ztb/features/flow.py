"""Trading and quoting as it comes: sums that decay exponentially in event time. Kernels on scalars.

Every sum exists for two horizons: fast, one period, and slow, SLOW periods; w = exp(-age / horizon). A trade has
side s (+1 a buyer took), quantity q and price P; a bar is one trade of its volume at (H + L + C) / 3, of which
the taker buys are known or s = 0. A gap in the data empties the sums.
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
    """What went one way, as a share of everything; of traded quantity it is the trade imbalance.

    Formula: sum(w s q) / sum(w q)
    Unit: -1 (sellers took all) to 1 (buyers did)
    Source: Chordia, Roll and Subrahmanyam 2002, Order Imbalance, Liquidity, and Market Returns
    """
    return ratio(signed, total, NEAR_ZERO)


@kernel
def signed_count_share(signed: float, total: float) -> float:
    """Trade imbalance by number, so that one large trade does not outweigh many.

    Formula: sum(w s) / sum(w)
    Unit: -1 to 1
    Source: Chordia, Roll and Subrahmanyam 2002 (OIBNUM)
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
def trade_size_change(
    fast_volume: float, fast_trades: float, slow_volume: float, slow_trades: float
) -> float:
    """Recent mean quantity of a trade against the usual one.

    Formula: (a - b) / (a + b), a = sum(w_fast q) / sum(w_fast), b = sum(w_slow q) / sum(w_slow)
    Unit: -1 to 1
    Source: Easley and O'Hara 1987, Price, Trade Size, and Information in Securities Markets
    """
    return contrast(ratio(fast_volume, fast_trades, NEAR_ZERO), ratio(slow_volume, slow_trades, NEAR_ZERO))


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


@kernel
def tick_trend(changes: float, squares: float, ticks: float) -> float:
    """Net movement of the mid, as a share of what its ticks would give if all went one way.

    Formula: sum(w d) / sqrt(sum(w d^2) sum(w)), d = change of ln p at a tick
    Unit: -1 to 1 (Cauchy-Schwarz)
    Source: Kaufman 1995, Smarter Trading (efficiency ratio), in squares
    """
    return ratio(changes, math.sqrt(squares * ticks), NEAR_ZERO)
