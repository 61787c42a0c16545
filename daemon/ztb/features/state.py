"""Everything a feature set remembers: one record, saved and restored as bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.features.registry import FEATURES, SHIPPED, columns
from ztb.features.trend import RING
from ztb.market.instrument import Instrument
from ztb.market.view import VIEW, new_view

N_SHIPPED = len(SHIPPED)

FAST_SUMS, SLOW_SUMS, N_HORIZONS = 0, 1, 2
(TICKS, VOLUME, SIGNED, NOTIONAL, ORDER_FLOW, ORDER_FLOW_SIZE, SQUARES) = range(7)
"""Places in a row of `sums`, one row a horizon: see ztb.features.flow."""
N_SUMS = 7

(LOG_OPEN, OPEN, HIGH, LOW, BAR_VOLUME) = range(5)
"""Places in `bar`, the bucket in progress."""

_AVERAGES = (
    "ema_12", "ema_26", "ema_32", "macd_signal", "gain", "loss", "range", "variance_8", "variance_32",
    "parkinson", "garman_klass", "falls", "neighbours", "products", "cubes",
    "money", "money_volume", "last_return",
)  # fmt: skip
"""Running averages over completed buckets."""

STATE: np.dtype[np.void] = np.dtype(
    [
        ("period_ns", "<i8"),
        ("ts_ns", "<i8"),  # of the last row that counted
        ("gap", "<i8"),  # 1 while a gap was flagged and no row has counted since
        ("elapsed_ns", "<i8"),  # what the decays below are for
        ("decay_fast", "<f8"),
        ("decay_slow", "<f8"),
        ("price", "<f8"),
        ("log_price", "<f8"),
        ("spread", "<f8"),
        ("buckets", "<i8"),  # completed
        ("bucket_open", "<i8"),  # 1 while one is in progress
        ("bucket_end", "<i8"),  # ns
        ("bar", "<f8", (5,)),
        ("close", "<f8", (RING,)),
        ("log_close", "<f8", (RING,)),
        ("high", "<f8", (RING,)),
        ("low", "<f8", (RING,)),
        *((name, "<f8") for name in _AVERAGES),
        ("mean_16", "<f8"),
        ("deviation_16", "<f8"),
        ("mean_64", "<f8"),
        ("deviation_64", "<f8"),
        ("low_16", "<f8"),
        ("high_16", "<f8"),
        ("high_64", "<f8"),
        ("touch", "<f8", (4,)),  # bid, its quantity, ask, its quantity when the order flow was last counted
        ("depth_imbalance", "<f8"),
        ("sums", "<f8", (N_HORIZONS, N_SUMS)),
        ("average_price", "<f8"),
        ("average_spread", "<f8"),
        ("all", "<f8", (N_SHIPPED,)),  # every shipped feature
        ("selected", "<i8"),
        ("column", "<i8", (N_SHIPPED,)),
        ("warm_up", "<i8", (N_SHIPPED,)),
        ("view", VIEW),
    ]
)

State = NDArray[np.void]
"""Shape (1,), dtype STATE."""


def new_state(instrument: Instrument, period_ns: int, names: tuple[str, ...]) -> State:
    """The state before the first tick, for buckets of `period_ns` and the shipped features `names`."""
    state = np.zeros(1, STATE)
    chosen = columns(names)
    state["period_ns"] = period_ns
    state["selected"] = len(chosen)
    state["column"][0, : len(chosen)] = chosen
    state["warm_up"][0, : len(chosen)] = [FEATURES[place].warm_up for place in chosen]
    state["low_16"] = np.inf
    state["view"] = new_view(instrument)
    return state
