"""The flow of a lane, once for all who trade: observe, act, hear, advance. Kernels.

A lane is one account on shared ticks and features (`lane_state`); how it comes by orders is `lane_orders`'. Live
account, experts, environments, rollouts and the gate's shadows call these kernels; what they do not share is who draws
the actions, and whether a risk gate stands before the venue. Kernels come back to Python for what Python alone can do:
where somebody listens (`lane["told"]`) whatever happens is written to the log.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.execution.orders import PROTECTIVE_FROM, PROTECTIVE_SIDE
from ztb.execution.paper_state import ACCEPTED, CANCEL_REJECTED, CANCELLED, EXPIRED, FILLED, REJECTED
from ztb.execution.paper_stop import STOP, may_reach, move_stop
from ztb.execution.risk_gate import mark_risk, must_close
from ztb.execution.simulator import advance
from ztb.market.ticks import Ticks
from ztb.trading.bridge import LAST_EXPOSURE, LAST_TIMING, WORKING, begin_decision
from ztb.trading.lane_orders import OFFERING, follow_up, log_row, prepare_next
from ztb.trading.lane_state import REPORTED, SENT, Lanes, Own
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_WAIT
from ztb.utils.kernel import kernel

_ROOM = 8  # rows of the log that one report, and what is sent on it, may need


@kernel
def _place_of(own: Own, order_id: int) -> int:
    """The place of an order among those at work; -1 if it is not one."""
    for index in range(own.lane["working"]):
        if own.working[index]["order_id"] == order_id:
            return index
    return -1


@kernel
def _remove(own: Own, index: int) -> None:
    own.lane["working"] -= 1
    for later in range(index, own.lane["working"]):
        own.working[later] = own.working[later + 1]


@kernel
def hear(own: Own, kind: int, order_id: int, cumulative_lots: int) -> bool:
    """Take note of a report; whether none works any more, so that what is to follow may be sent (`follow_up`)."""
    if kind == REJECTED:
        own.lane["rejects"] += 1
    index = _place_of(own, order_id)
    if index < 0:
        return False
    entry = own.working[index]
    if kind == FILLED:
        entry["remaining"] = min(entry["remaining"], entry["lots"] - cumulative_lots)
    elif kind == CANCEL_REJECTED:
        entry["cancelling"] = 0
    if entry["remaining"] > 0 and kind not in (REJECTED, CANCELLED, EXPIRED):
        return False
    _remove(own, index)
    return bool(own.lane["working"] == 0)


@kernel
def _tell_of_stop(own: Own, entry: np.void) -> None:
    """A protective stop was reached, and is an order from now on."""
    row = own.log[log_row(own, SENT, entry["order_id"], entry["ts_ns"])]
    row["side"] = PROTECTIVE_SIDE
    row["lots"] = entry["lots"]
    row["order_type"] = STOP
    row["price_ticks"] = entry["price_ticks"]
    row["reduce_only"] = 1


@kernel
def _tell(own: Own, entry: np.void) -> None:
    row = own.log[log_row(own, REPORTED, entry["order_id"], entry["ts_ns"])]
    row["kind"] = entry["kind"]
    row["side"] = 0 if _place_of(own, entry["order_id"]) < 0 else entry["side"]
    row["lots"] = entry["lots"]
    row["price_ticks"] = entry["price_ticks"]
    row["reason"] = entry["reason"]
    row["fill_id"] = entry["fill_id"]
    row["maker"] = entry["maker"]
    row["cumulative_lots"] = entry["cumulative_lots"]
    row["amount"] = entry["amount"]


@kernel
def follow(own: Own) -> bool:
    """Take note of what became known; True if Python is to look at the log, or at an offer, and call again."""
    exchange, lane = own.exchange, own.lane
    while exchange["read"] < exchange["delivered"]:
        if lane["told"] == 1 and lane["logged"] + _ROOM > len(own.log):
            return True
        entry: Any = own.events[exchange["read"] % len(own.events)]
        kind, order_id = entry["kind"], entry["order_id"]
        known_ns = int(max(entry["ts_ns"], own.market["ts_ns"]))
        if lane["told"] == 1:
            if kind == ACCEPTED and order_id >= PROTECTIVE_FROM:
                _tell_of_stop(own, entry)
            _tell(own, entry)
        if kind == FILLED:
            move_stop(exchange, own.gate, own.account, own.market)
        entry["copies"] -= 1
        if entry["copies"] == 0 or kind == FILLED:  # a fill that is told twice is the same fill
            exchange["read"] += 1
        if not hear(own, kind, order_id, entry["cumulative_lots"]):
            continue
        if lane["guarded"] == 0:
            follow_up(own, known_ns)
        elif prepare_next(own, known_ns) == OFFERING:
            return True
    return False


@kernel
def _idle(ticks: Ticks, i0: int, i1: int, own: Own) -> bool:
    """True if nothing of ours can happen in rows [i0, i1)."""
    exchange, until_ns = own.exchange, ticks[i1 - 1]["ts_ns"]
    return bool(
        exchange["resting"] == 0
        and exchange["action_ns"] >= until_ns
        and exchange["report_ns"] > until_ns
        and not may_reach(exchange=exchange, view=own.market, ticks=ticks, i0=i0, i1=i1)
    )


@kernel
def live_rows(ticks: Ticks, i0: int, i1: int, own: Own) -> int:
    """Let rows [i0, i1) happen, one by one: `i1`, or -1 - i where Python is to look, and then to go on at row i."""
    i = i0
    if follow(own):
        return -1 - i
    while i < i1:
        i = advance(
            ticks=ticks,
            i0=i,
            i1=i1,
            exchange=own.exchange,
            orders=own.orders,
            events=own.events,
            view=own.market,
            account=own.account,
        )
        if follow(own):
            return -1 - i
    return i1


@kernel
def live_through(
    ticks: Ticks,
    i0: int,
    i1: int,
    market: NDArray[np.uint8],
    on_bars: int,
    own: Own,
    view_bytes: NDArray[np.uint8],
) -> None:
    """As `live_rows` for a lane that nobody listens to. `market` and `on_bars` are what it will have seen after them.

    While the lane has no order under way the rows cannot concern it, and what they show is taken as known.
    """
    i = i0
    while i < i1:
        if _idle(ticks, i, i1, own):
            see_market(market, on_bars, own.exchange, view_bytes)
            return
        i = advance(
            ticks=ticks,
            i0=i,
            i1=i1,
            exchange=own.exchange,
            orders=own.orders,
            events=own.events,
            view=own.market,
            account=own.account,
        )
        follow(own)


@kernel
def see_market(
    market: NDArray[np.uint8], on_bars: int, exchange: np.void, view_bytes: NDArray[np.uint8]
) -> None:
    """Show the exchange what is known of the market."""
    for b in range(len(market)):
        view_bytes[b] = market[b]
    exchange["on_bars"] = on_bars


@kernel
def observe(
    lanes: Lanes, i: int, features: NDArray[np.float32], ts_ns: int, observation: NDArray[np.float32]
) -> None:
    """Reward, facts and observation of lane `i` at a decision."""
    lot_size = lanes.exchange[i]["lot_size"]
    buys, sells = 0, 0
    for index in range(lanes.lane[i]["working"]):
        entry = lanes.working[i, index]
        if entry["side"] > 0:
            buys += entry["remaining"]
        else:
            sells += entry["remaining"]
    lanes.scalars[i, WORKING] = buys * lot_size - sells * lot_size
    begin_decision(
        account=lanes.account[i : i + 1],
        view=lanes.market[i : i + 1],
        reward=lanes.reward[i : i + 1],
        features=features,
        scalars=lanes.scalars[i],
        ts_ns=ts_ns,
        period_ns=lanes.lane[i]["period_ns"],
        observation=observation,
        facts=lanes.facts[i],
    )


@kernel
def choose(lanes: Lanes, i: int, action: NDArray[np.int64]) -> float:
    """Remember `action` (2,), a rung of the ladder and a timing, for the next observation; the exposure it asks for.

    While the position is to be closed, `action` is made to close it.
    """
    if must_close(lanes.gate[i]):
        for rung in range(len(lanes.ladder)):
            if lanes.ladder[rung] == 0.0:
                action[0] = rung
        action[1] = TIMING_AGGRESSIVE
    exposure = lanes.ladder[action[0]]
    lanes.scalars[i, LAST_EXPOSURE] = exposure
    lanes.scalars[i, LAST_TIMING] = action[1]
    return float(exposure)


@kernel
def mark(lanes: Lanes, i: int, ts_ns: int, equity: float) -> None:
    """The gate of lane `i`, if there is one, is told the time and its equity (quote currency), before anything is
    wanted; its stop at the paper exchange follows.
    """
    if lanes.lane[i]["gated"] == 1:
        mark_risk(lanes.gate[i], lanes.recent_ns[i], ts_ns, equity)
        if lanes.lane[i]["venue"] == 1:
            move_stop(lanes.exchange[i], lanes.gate[i], lanes.account[i], lanes.market[i])


@kernel
def aim(lanes: Lanes, i: int, exposure: float, timing: int) -> None:
    """The target of lane `i`, before it acts on it."""
    if timing != TIMING_WAIT:
        lanes.lane[i]["aim"] = exposure
