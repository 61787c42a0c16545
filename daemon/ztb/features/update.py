"""One row into the state: cheap, and without a transcendental function where time and price stand still.

A DEPTH message counts once, at its LAST row. A row flagged GAP keeps the return over the gap, while the sums and
averages that decay in time start again: nobody knows what would have entered them.
"""

from __future__ import annotations

import math

import numpy as np

from ztb.features import flow, touch
from ztb.features.averages import quantity, sane
from ztb.features.bucket import close_bucket, extend_bucket, open_bucket
from ztb.features.state import (
    BAR_VOLUME,
    FAST_SUMS,
    HIGH,
    LOG_OPEN,
    LOW,
    N_HORIZONS,
    N_SUMS,
    NOTIONAL,
    OPEN,
    ORDER_FLOW,
    ORDER_FLOW_SIZE,
    SIGNED,
    SLOW_SUMS,
    SQUARES,
    TICKS,
    VOLUME,
)
from ztb.market.ticks import BAR, DEPTH, GAP, LAST, TRADE
from ztb.market.view import apply_tick
from ztb.utils.kernel import kernel

DEPTH_LEVELS = 5


@kernel
def _restart(state: np.void) -> None:
    """Forget decaying sums, averages in time and the last touch: at the first row, and after a gap."""
    state["gap"] = 0
    state["average_price"] = 0.0
    state["touch"][0] = 0.0
    for horizon in range(N_HORIZONS):
        for place in range(N_SUMS):
            state["sums"][horizon, place] = 0.0


@kernel
def _decay(state: np.void, elapsed_ns: int) -> None:
    """Let `elapsed_ns` pass over everything that decays; factors are kept for the next equal span."""
    if elapsed_ns != state["elapsed_ns"]:
        state["elapsed_ns"] = elapsed_ns
        state["decay_slow"] = flow.slow_decay(elapsed_ns, state["period_ns"])
        state["decay_fast"] = flow.fast_decay(state["decay_slow"])
    fast, slow = state["decay_fast"], state["decay_slow"]
    sums = state["sums"]
    for place in range(N_SUMS):
        sums[FAST_SUMS, place] *= fast
        sums[SLOW_SUMS, place] *= slow
    state["average_price"] += (1.0 - slow) * (state["price"] - state["average_price"])
    state["average_spread"] += (1.0 - slow) * (state["spread"] - state["average_spread"])


@kernel
def _see_price(state: np.void, price: float) -> None:
    """A new mid: its log once, its change into the sums."""
    sums = state["sums"]
    if price != state["price"]:
        log_price = math.log(price)
        change = log_price - state["log_price"] if state["price"] > 0.0 else 0.0
        for horizon in range(N_HORIZONS):
            sums[horizon, SQUARES] += change * change
        state["price"] = price
        state["log_price"] = log_price
    for horizon in range(N_HORIZONS):
        sums[horizon, TICKS] += 1.0


@kernel
def _see_trade(state: np.void, price: float, size: float, side: float) -> None:
    """Something was traded; `side` is the taker's, in between for a bar of both."""
    if not (size > 0.0 and sane(price)):
        return
    state["bar"][BAR_VOLUME] += size
    sums = state["sums"]
    for horizon in range(N_HORIZONS):
        sums[horizon, VOLUME] += size
        sums[horizon, SIGNED] += side * size
        sums[horizon, NOTIONAL] += size * price


@kernel
def _see_touch(state: np.void) -> None:
    """The venue's quotes may have changed: the order flow event since they were last seen."""
    view, old, sums = state["view"], state["touch"], state["sums"]
    if view["quoted"] == 0 or not (sane(view["bid"]) and sane(view["ask"])):
        return
    bid, ask = view["bid"], view["ask"]
    bid_size, ask_size = quantity(view["bid_size"]), quantity(view["ask_size"])
    if old[0] > 0.0:
        event = touch.order_flow(
            bid=bid,
            bid_size=bid_size,
            ask=ask,
            ask_size=ask_size,
            old_bid=old[0],
            old_bid_size=old[1],
            old_ask=old[2],
            old_ask_size=old[3],
        )
        for horizon in range(N_HORIZONS):
            sums[horizon, ORDER_FLOW] += event
            sums[horizon, ORDER_FLOW_SIZE] += abs(event)
    old[0], old[1], old[2], old[3] = bid, bid_size, ask, ask_size


@kernel
def _see_depth(state: np.void) -> None:
    """The weight of the first levels, once a depth message is complete."""
    book = state["view"]["book"]
    bids = touch.level_sum(book["bid_size"], min(DEPTH_LEVELS, book["bids"]))
    asks = touch.level_sum(book["ask_size"], min(DEPTH_LEVELS, book["asks"]))
    state["depth_imbalance"] = touch.imbalance(bids, asks)


@kernel
def _see_bar(state: np.void, tick: np.void) -> None:
    """A whole bucket in one row."""
    close = state["price"]
    bar = state["bar"]
    open_ = tick["open"] if sane(tick["open"]) else close
    high = tick["high"] if sane(tick["high"]) else close
    low = tick["low"] if sane(tick["low"]) else close
    open_bucket(state)
    bar[OPEN] = open_
    bar[LOG_OPEN] = math.log(open_)
    bar[HIGH] = max(open_, high, close)
    bar[LOW] = min(open_, low, close)
    size = quantity(tick["size"])
    bought = tick["buy_volume"]
    side = 2.0 * bought / size - 1.0 if 0.0 <= bought <= size and size > 0.0 else 0.0
    _see_trade(state, (bar[HIGH] + bar[LOW] + close) / 3.0, size, side)
    close_bucket(state)


@kernel
def _pass_time(state: np.void, ts_ns: int) -> None:
    """Time up to `ts_ns` passes before what happens there."""
    elapsed_ns = max(0, ts_ns - state["ts_ns"])
    if state["gap"] != 0 or state["price"] == 0.0:
        _restart(state)
    elif elapsed_ns > 0:
        _decay(state, elapsed_ns)
    state["ts_ns"] = max(ts_ns, state["ts_ns"])


@kernel
def update(state: np.void, tick: np.void) -> None:
    """Take one row into the state."""
    view = state["view"]
    kind = tick["kind"]
    apply_tick(view, tick)
    if tick["flags"] & GAP:
        state["gap"] = 1
    if (kind == DEPTH and tick["flags"] & LAST == 0) or not sane(view["mid"]):
        return
    if state["bucket_open"] != 0 and (kind == BAR or tick["ts_ns"] >= state["bucket_end"]):
        close_bucket(state)
    _pass_time(state, tick["ts_ns"])
    _see_price(state, view["mid"])
    state["spread"] = touch.spread(view["bid"], view["ask"])
    if state["average_price"] == 0.0:
        state["average_price"] = state["price"]
        state["average_spread"] = state["spread"]
    if kind == BAR:
        _see_bar(state, tick)
        return
    if state["bucket_open"] == 0:
        open_bucket(state)
    extend_bucket(state)
    if kind == TRADE:
        _see_trade(state, tick["price"], quantity(tick["size"]), float(tick["side"]))
        return
    _see_touch(state)
    if kind == DEPTH:
        _see_depth(state)
