"""A lane as kernels: what `trading.lane` does around one paper exchange, without journal and risk gate.

One record a lane; the order flow is `trading.working`'s, the market `execution.simulator`'s. Arguments by name:
`exchange, orders, events, view, account` are one exchange's (see `execution.paper_state`), `lane` is a record
of LANE.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.execution.paper_state import CANCEL_REJECTED, CANCELLED, EXPIRED, FILLED, REJECTED
from ztb.execution.simulator import advance, cancel_order, submit_order
from ztb.market.ticks import Ticks
from ztb.trading.order_replacement import AWAIT, CANCEL, LIMIT, MARKET, SEND, order_replacement, own_touch
from ztb.trading.sizing import TIMING_PASSIVE, TIMING_WAIT, order_lots
from ztb.utils.kernel import kernel

LANE: np.dtype[np.void] = np.dtype(
    [
        ("key", "<i8"),  # of its episodes' random numbers
        ("episode", "<i8"),
        ("decision", "<i8"),  # the one it stands at
        ("last", "<i8"),  # the one that ends the episode
        ("costs", "<f8"),  # see order_lots
        ("band", "<f8"),
        ("orders", "<i8"),  # sent
        ("order_id", "<i8"),  # the working order
        ("remaining", "<i8"),  # signed lots of it that are unfilled, 0 if none works
        ("order_type", "<i8"),
        ("price_ticks", "<i8"),
        ("cancelling", "<i8"),
        ("next_exposure", "<f8"),  # what is to follow a cancelled order
        ("next_timing", "<i8"),  # TIMING_WAIT: nothing
    ]
)
_GTC = 0


@kernel
def _send(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, lane: np.void,
    lots: int, order_type: int, price: int, now_ns: int,
) -> None:  # fmt: skip
    lane["orders"] += 1
    lane["order_id"] = lane["orders"]
    lane["remaining"] = lots
    lane["order_type"] = order_type
    lane["price_ticks"] = price
    lane["cancelling"] = 0
    side = 1 if lots > 0 else -1
    post_only = 1 if order_type == LIMIT else 0
    submit_order(
        exchange,
        orders,
        events,
        lane["order_id"],
        side,
        abs(lots),
        order_type,
        price,
        _GTC,
        post_only,
        0,
        now_ns,
    )


@kernel
def act(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, account: np.void, lane: np.void,
    exposure: float, timing: int, now_ns: int,
) -> None:  # fmt: skip
    """Turn a target exposure into an order, or make way for one; `now_ns` is when it was chosen."""
    if timing == TIMING_WAIT:
        return
    lane["next_timing"] = TIMING_WAIT
    lots = order_lots(
        account["cash"], account["position"], view["mid"], exposure, exchange["lot_size"],
        exchange["min_notional"], lane["costs"], lane["band"], exchange["short"],
    )  # fmt: skip
    order_type, price = MARKET, 0
    if timing == TIMING_PASSIVE:
        order_type, price = LIMIT, own_touch(view["bid"], view["ask"], exchange["tick_size"], lots)
    move = order_replacement(
        lane["remaining"],
        lane["order_type"],
        lane["price_ticks"],
        lane["cancelling"],
        lots,
        order_type,
        price,
    )
    if move == SEND:
        _send(exchange, orders, events, lane, lots, order_type, price, now_ns)
    elif move == CANCEL:
        lane["cancelling"] = 1
        cancel_order(exchange, orders, events, lane["order_id"], now_ns)
    if lots != 0 and move in (CANCEL, AWAIT):
        lane["next_exposure"] = exposure
        lane["next_timing"] = timing


@kernel
def _follow(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, account: np.void, lane: np.void
) -> None:
    """Take note of what became known; what the last action wanted is sent once the order in its way is gone."""
    while exchange["read"] < exchange["delivered"]:
        entry = events[exchange["read"] % len(events)]
        exchange["read"] += 1
        if lane["remaining"] == 0 or entry["order_id"] != lane["order_id"]:
            continue
        kind, known_ns = entry["kind"], int(max(entry["ts_ns"], view["ts_ns"]))
        if kind == FILLED:
            lane["remaining"] -= entry["side"] * entry["lots"]
        elif kind == CANCEL_REJECTED:
            lane["cancelling"] = 0
        elif kind in (REJECTED, CANCELLED, EXPIRED):
            lane["remaining"] = 0
        if lane["remaining"] == 0:
            timing = lane["next_timing"]
            lane["next_timing"] = TIMING_WAIT
            act(exchange, orders, events, view, account, lane, lane["next_exposure"], timing, known_ns)


@kernel
def _idle(exchange: np.void, until_ns: int) -> bool:
    """Whether nothing of ours can happen before or at `until_ns`, whatever the market does."""
    return bool(
        exchange["resting"] == 0 and exchange["action_ns"] >= until_ns and exchange["report_ns"] > until_ns
    )


@kernel
def live_through(
    ticks: Ticks, i0: int, i1: int, market: NDArray[np.uint8], on_bars: int,
    exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, view_bytes: NDArray[np.uint8],
    account: np.void, lane: np.void,
) -> None:  # fmt: skip
    """Let rows [i0, i1) happen. `market` and `on_bars` are what the exchange will have seen after them.

    While the lane has no order under way the rows cannot concern it, and what they show is taken as known.
    """
    until_ns = ticks[i1 - 1]["ts_ns"]
    i = i0
    while i < i1:
        if _idle(exchange, until_ns):
            see_market(market, on_bars, exchange, view_bytes)
            return
        i = advance(ticks, i, i1, exchange, orders, events, view, account)
        _follow(exchange, orders, events, view, account, lane)


@kernel
def see_market(
    market: NDArray[np.uint8], on_bars: int, exchange: np.void, view_bytes: NDArray[np.uint8]
) -> None:
    """Show the exchange what a recording knows of the market."""
    for b in range(len(market)):
        view_bytes[b] = market[b]
    exchange["on_bars"] = on_bars
