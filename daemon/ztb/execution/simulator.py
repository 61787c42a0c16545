"""The paper exchange as kernels: submit, cancel, and the market going by. Every simulation calls these.

An order that arrives at time A meets the market as of the last row, or step of a bar's path, with time <= A:
it is handled before the first later one is applied. A report due at D is known after the first row with
time >= D.
"""

from __future__ import annotations

import numpy as np

from ztb.execution.latency import cancel_delay, submit_delay, submit_fault
from ztb.execution.liquidity import BAR_STEPS
from ztb.execution.order_table import finish, free_if_over, free_slot, plan_action, slot_due, slot_of
from ztb.execution.paper_state import (
    ALREADY_DONE,
    CANCEL_REJECTED,
    CANCELLED,
    DONE,
    FUNDED,
    IN_FLIGHT,
    NEVER,
    REJECTED,
    RESTING,
    SUBMIT_LOST,
    TOO_MANY_ORDERS,
    UNKNOWN_ORDER,
)
from ztb.execution.paper_stop import pass_stop, reaches, watch_stop
from ztb.execution.reports import deliver, report, report_order
from ztb.execution.resting import meet_quotes, meet_row_step, meet_row_trade
from ztb.execution.taking import arrive
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, TRADE
from ztb.market.view import apply_tick, see_price, see_volume
from ztb.utils.kernel import kernel

FUNDING_PERIOD_NS = 8 * 3_600_000_000_000


@kernel
def _answer(
    exchange: np.void, events: np.ndarray, kind: int, order_id: int, reason: int, now_ns: int
) -> None:
    """Answer at once what needs no venue to be known."""
    entry = events[
        report(
            exchange=exchange, events=events, kind=kind, order_id=order_id, nth=0, ts_ns=now_ns, due_ns=now_ns
        )
    ]
    entry["reason"] = reason


@kernel
def submit_order(
    exchange: np.void,
    orders: np.ndarray,
    events: np.ndarray,
    order_id: int,
    side: int,
    lots: int,
    order_type: int,
    price_ticks: int,
    time_in_force: int,
    post_only: int,
    reduce_only: int,
    now_ns: int,
) -> None:
    """Send an order on what was known at `now_ns`; it arrives after the feed's and the submit latency."""
    slot = free_slot(exchange, orders)
    if slot < 0:
        _answer(
            exchange=exchange,
            events=events,
            kind=REJECTED,
            order_id=order_id,
            reason=TOO_MANY_ORDERS,
            now_ns=now_ns,
        )
        return
    order = orders[slot]
    order["order_id"] = order_id
    order["sequence"] = exchange["sent"]
    order["status"] = IN_FLIGHT
    order["reported"] = 0
    order["side"] = side
    order["lots"] = lots
    order["remaining"] = lots
    order["known_remaining"] = lots
    order["order_type"] = order_type
    order["price_ticks"] = price_ticks
    order["time_in_force"] = time_in_force
    order["post_only"] = post_only
    order["reduce_only"] = reduce_only
    order["reports"] = 0
    order["fault"] = submit_fault(exchange, order_id)
    order["arrival_ns"] = now_ns + submit_delay(exchange, order_id)
    if order["fault"] == SUBMIT_LOST:
        order["arrival_ns"] = now_ns + exchange["lost_timeout_ns"]
    order["cancel_ns"] = NEVER
    exchange["sent"] += 1
    if exchange["funding_rate"] != 0.0 and exchange["funding_ns"] == NEVER:
        exchange["funding_ns"] = (now_ns // FUNDING_PERIOD_NS + 1) * FUNDING_PERIOD_NS
    plan_action(exchange, orders)


@kernel
def cancel_order(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, order_id: int, now_ns: int
) -> None:
    """Ask for the end of an order; a second request while one is under way changes nothing."""
    slot = slot_of(exchange, orders, order_id)
    if slot < 0:
        _answer(
            exchange=exchange,
            events=events,
            kind=CANCEL_REJECTED,
            order_id=order_id,
            reason=UNKNOWN_ORDER,
            now_ns=now_ns,
        )
    elif orders[slot]["cancel_ns"] == NEVER:
        orders[slot]["cancel_ns"] = now_ns + cancel_delay(exchange, order_id)
        orders[slot]["cancel_sequence"] = exchange["sent"]
        exchange["sent"] += 1
        plan_action(exchange, orders)


@kernel
def _cancel_arrives(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, slot: int, now_ns: int
) -> None:
    """A cancel takes what rests; one that comes before its order, or after its end, is refused."""
    order = orders[slot]
    order["cancel_ns"] = NEVER
    if order["status"] == RESTING:
        finish(exchange, orders, slot)
        report_order(exchange=exchange, orders=orders, events=events, slot=slot, kind=CANCELLED, ts_ns=now_ns)
        return
    entry = events[
        report_order(
            exchange=exchange, orders=orders, events=events, slot=slot, kind=CANCEL_REJECTED, ts_ns=now_ns
        )
    ]
    entry["reason"] = ALREADY_DONE if order["status"] == DONE else UNKNOWN_ORDER
    entry["last"] = 0
    free_if_over(exchange, orders, slot)


@kernel
def _fund(exchange: np.void, events: np.ndarray, view: np.void, now_ns: int) -> None:
    """Longs pay the rate on their notional to shorts (negative rates: receive)."""
    exchange["funding_ns"] = now_ns + FUNDING_PERIOD_NS
    position = exchange["position_lots"] * exchange["lot_size"]
    amount = -position * view["mid"] * exchange["funding_rate"]
    if amount != 0.0:
        exchange["cash"] += amount
        entry = events[
            report(
                exchange=exchange,
                events=events,
                kind=FUNDED,
                order_id=0,
                nth=now_ns // FUNDING_PERIOD_NS,
                ts_ns=now_ns,
                due_ns=now_ns,
            )
        ]
        entry["amount"] = amount


@kernel
def _act(exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, before_ns: int) -> None:
    """Everything that reaches the venue before `before_ns`, in order of time, then of sending."""
    while exchange["action_ns"] < before_ns:
        now_ns = exchange["action_ns"]
        slot = slot_due(exchange, orders, now_ns)
        if slot < 0:
            _fund(exchange, events, view, now_ns)
        elif orders[slot]["arrival_ns"] == now_ns:
            arrive(exchange, orders, events, view, slot, now_ns)
        else:
            _cancel_arrives(exchange, orders, events, slot, now_ns)
        plan_action(exchange, orders)


@kernel
def _path_price(tick: np.void, step: int) -> float:
    """A bar's price at `step` of its path: open, the nearer of high and low, the other, close."""
    if step == 0:
        return float(tick["open"])
    if step == BAR_STEPS - 1:
        return float(tick["price"])
    high_first = tick["high"] - tick["open"] <= tick["open"] - tick["low"]
    return float(tick["high"] if high_first == (step == 1) else tick["low"])


@kernel
def _see_bar(exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, tick: np.void) -> None:
    """Walk the bar's path at even times, each price with its part of the volume.

    The open comes after whatever happened at the very time of the bar's start, such as the last bar's close.
    """
    exchange["on_bars"] = 1
    size = exchange["bar_participation"] * tick["size"] / BAR_STEPS
    start = tick["ts_ns"] - tick["span_ns"]
    for step in range(BAR_STEPS):
        earliest = view["ts_ns"] + (1 if step == 0 else 0)
        ts_ns = min(max(start + step * tick["span_ns"] // (BAR_STEPS - 1), earliest), tick["ts_ns"])
        price = _path_price(tick, step)
        _act(exchange=exchange, orders=orders, events=events, view=view, before_ns=ts_ns)
        if step == BAR_STEPS - 1:
            see_volume(view, tick["size"])
        if exchange["stop_ticks"] > 0 and reaches(exchange, price):
            pass_stop(
                exchange=exchange,
                orders=orders,
                events=events,
                view=view,
                opens=step == 0,
                price=price,
                now_ns=ts_ns,
            )
        see_price(view, ts_ns, price, 0)
        if exchange["resting"] > 0:
            meet_row_step(
                exchange=exchange, orders=orders, events=events, price=price, size=size, now_ns=ts_ns
            )


@kernel
def _see_row(exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, tick: np.void) -> None:
    if exchange["action_ns"] < tick["ts_ns"]:
        _act(exchange=exchange, orders=orders, events=events, view=view, before_ns=tick["ts_ns"])
    apply_tick(view, tick)
    kind = tick["kind"]
    if kind == TRADE:
        exchange["on_bars"] = 0
    if exchange["stop_ticks"] > 0:
        watch_stop(
            exchange=exchange, orders=orders, events=events, view=view, kind=kind, now_ns=tick["ts_ns"]
        )
    if exchange["resting"] == 0:
        return
    if kind == TRADE:
        meet_row_trade(
            exchange=exchange,
            orders=orders,
            events=events,
            price=tick["price"],
            size=tick["size"],
            taker=tick["side"],
            now_ns=tick["ts_ns"],
        )
    elif view["quoted"] != 0 and (kind == QUOTE or (kind == DEPTH and tick["flags"] & LAST)):
        meet_quotes(exchange=exchange, orders=orders, events=events, view=view, now_ns=tick["ts_ns"])


@kernel
def advance(
    ticks: np.ndarray,
    i0: int,
    i1: int,
    exchange: np.void,
    orders: np.ndarray,
    events: np.ndarray,
    view: np.void,
    account: np.void,
) -> int:
    """Run rows [i0, i1); returns the row to run next: i1, or that after the first with reports."""
    for i in range(i0, i1):
        tick = ticks[i]
        if tick["kind"] == BAR:
            _see_bar(exchange, orders, events, view, tick)
        else:
            _see_row(exchange, orders, events, view, tick)
        if exchange["report_ns"] <= tick["ts_ns"]:
            deliver(exchange=exchange, orders=orders, events=events, account=account, ts_ns=tick["ts_ns"])
            return i + 1
    return i1
