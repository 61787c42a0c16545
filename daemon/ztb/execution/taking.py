"""An order arrives at the venue: it is refused, takes what it can, rests, or expires. Kernels."""

from __future__ import annotations

import numpy as np

from ztb.execution.fills import fill
from ztb.execution.filters import is_enough
from ztb.execution.latency import ack_is_lost
from ztb.execution.liquidity import (
    consume,
    consumed,
    level,
    limit_of,
    resting_size,
    taker_ticks,
    whole_lots,
)
from ztb.execution.order_table import finish, plan_prices
from ztb.execution.paper_state import (
    ACCEPTED,
    EXPIRED,
    INSUFFICIENT_BALANCE,
    MIN_NOTIONAL,
    NEVER,
    NO_MARKET,
    NONE,
    POST_ONLY_TYPE,
    PRICE,
    QUANTITY,
    REDUCE_ONLY,
    REJECTED,
    RESTING,
    WOULD_CROSS,
)
from ztb.execution.reports import has_room, report_order
from ztb.utils.kernel import kernel

_MARKET, _LIMIT = 0, 1
_GTC, _IOC, _FOK = 0, 1, 2


@kernel
def expire(exchange: np.void, orders: np.ndarray, events: np.ndarray, slot: int, now_ns: int) -> None:
    finish(exchange, orders, slot)
    report_order(exchange=exchange, orders=orders, events=events, slot=slot, kind=EXPIRED, ts_ns=now_ns)


@kernel
def reject(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, slot: int, reason: int, now_ns: int
) -> None:
    finish(exchange, orders, slot)
    entry = events[
        report_order(exchange=exchange, orders=orders, events=events, slot=slot, kind=REJECTED, ts_ns=now_ns)
    ]
    entry["reason"] = reason


@kernel
def reducible(exchange: np.void, order: np.void) -> int:
    """Lots the order may still trade: all that remain, or the opposite position if it only reduces."""
    if order["reduce_only"] == 0:
        return int(order["remaining"])
    return int(min(order["remaining"], max(0, -order["side"] * exchange["position_lots"])))


@kernel
def walk(
    exchange: np.void,
    orders: np.ndarray,
    events: np.ndarray,
    view: np.void,
    slot: int,
    now_ns: int,
    commit: int,
) -> tuple[int, float]:
    """Take level by level up to the order's limit: (lots, their cost in quote). Trades if `commit` is 1."""
    order = orders[slot]
    side = order["side"]
    limit = limit_of(side, order["order_type"], order["price_ticks"])
    wanted = reducible(exchange, order)
    gone = consumed(exchange, side, now_ns)
    taken, cost = 0, 0.0
    for depth in range(exchange["walk_levels"]):
        price, size = level(exchange, view, side, depth)
        ticks = taker_ticks(exchange, side, price)
        if taken == wanted or size <= 0.0 or ticks <= 0 or side * ticks > side * limit:
            break
        lots = min(wanted - taken, whole_lots(exchange, max(0.0, size - gone)))
        gone = max(0.0, gone - size)
        if lots > 0 and commit == 1 and not has_room(exchange, orders, events):
            break
        if lots > 0 and commit == 1:
            fill(
                exchange=exchange,
                orders=orders,
                events=events,
                slot=slot,
                lots=lots,
                price_ticks=ticks,
                maker=0,
                now_ns=now_ns,
            )
        taken += lots
        cost += (ticks * exchange["tick_size"]) * (lots * exchange["lot_size"])
    return taken, cost


@kernel
def _crosses(exchange: np.void, view: np.void, order: np.void) -> bool:
    side = order["side"]
    touch = taker_ticks(exchange, side, view["ask"] if side > 0 else view["bid"])
    return bool(side * order["price_ticks"] >= side * touch)


@kernel
def _malformed(exchange: np.void, view: np.void, order: np.void) -> int:
    limited = order["order_type"] == _LIMIT
    if order["lots"] < 1 or (order["side"] != 1 and order["side"] != -1):
        return QUANTITY
    if limited and order["price_ticks"] < 1:
        return PRICE
    if view["mid"] <= 0.0:
        return NO_MARKET
    price = order["price_ticks"] * exchange["tick_size"] if limited else view["mid"]
    quantity = order["lots"] * exchange["lot_size"]
    if not is_enough(quantity, price, exchange["min_quantity"], exchange["min_notional"]):
        return MIN_NOTIONAL if is_enough(quantity, price, exchange["min_quantity"], 0.0) else QUANTITY
    return NONE


@kernel
def _misplaced(exchange: np.void, view: np.void, order: np.void) -> int:
    if order["reduce_only"] == 1 and reducible(exchange, order) == 0:
        return REDUCE_ONLY
    if order["post_only"] == 0:
        return NONE
    if order["order_type"] == _MARKET or order["time_in_force"] != _GTC:
        return POST_ONLY_TYPE
    return WOULD_CROSS if _crosses(exchange, view, order) else NONE


@kernel
def reserved(exchange: np.void, orders: np.ndarray, side: int) -> tuple[int, float]:
    """(lots, quote currency) that our resting orders of `side` lay claim to."""
    lots, cost = 0, 0.0
    for slot in range(exchange["used"]):
        order = orders[slot]
        if order["status"] == RESTING and order["side"] == side:
            lots += order["remaining"]
            price = order["price_ticks"] * exchange["tick_size"]
            cost += price * (order["remaining"] * exchange["lot_size"]) * (1.0 + exchange["maker_fee"])
    return lots, cost


@kernel
def _unaffordable(exchange: np.void, orders: np.ndarray, order: np.void, lots: int, cost: float) -> bool:
    """True if a spot account lacks what the order sells, or the cash for what it buys, now or later."""
    if exchange["short"] == 1:
        return False
    held_lots, held_cost = reserved(exchange, orders, order["side"])
    if order["side"] < 0:
        return bool(order["remaining"] > exchange["position_lots"] - held_lots)
    total = cost * (1.0 + exchange["taker_fee"])
    if order["order_type"] == _LIMIT and order["time_in_force"] == _GTC:
        later = (order["remaining"] - lots) * exchange["lot_size"]
        total += order["price_ticks"] * exchange["tick_size"] * later * (1.0 + exchange["maker_fee"])
    return bool(total > exchange["cash"] - held_cost)


@kernel
def _rest(exchange: np.void, orders: np.ndarray, view: np.void, slot: int) -> None:
    order = orders[slot]
    order["status"] = RESTING
    order["level"] = resting_size(exchange, view, order["side"], order["price_ticks"])
    order["ahead"] = order["level"]
    order["level_traded"] = 0.0
    plan_prices(exchange, orders)


@kernel
def trade_or_rest(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, slot: int, now_ns: int
) -> None:
    """Take what the order of `slot` can; what remains rests, or expires."""
    order = orders[slot]
    lots, _ = walk(
        exchange=exchange, orders=orders, events=events, view=view, slot=slot, now_ns=now_ns, commit=1
    )
    consume(exchange, order["side"], lots * exchange["lot_size"], now_ns)
    if order["remaining"] == 0:
        return
    rests = order["order_type"] == _LIMIT and order["time_in_force"] == _GTC
    if rests and reducible(exchange, order) > 0:
        _rest(exchange, orders, view, slot)
    else:
        expire(exchange, orders, events, slot, now_ns)


@kernel
def arrive(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, slot: int, now_ns: int
) -> None:
    """The order of `slot` reaches the venue and meets the market as it is."""
    order = orders[slot]
    order["arrival_ns"] = NEVER
    reason = order["fault"]
    if reason == NONE:
        reason = _malformed(exchange, view, order)
    if reason == NONE:
        reason = _misplaced(exchange, view, order)
    lots, cost = 0, 0.0
    if reason == NONE:
        lots, cost = walk(
            exchange=exchange, orders=orders, events=events, view=view, slot=slot, now_ns=now_ns, commit=0
        )
        if _unaffordable(exchange, orders, order, lots, cost):
            reason = INSUFFICIENT_BALANCE
    if reason != NONE:
        reject(exchange, orders, events, slot, reason, now_ns)
        return
    if not ack_is_lost(exchange, order["order_id"]):
        report_order(exchange=exchange, orders=orders, events=events, slot=slot, kind=ACCEPTED, ts_ns=now_ns)
    if order["time_in_force"] == _FOK and lots < order["remaining"]:
        expire(exchange, orders, events, slot, now_ns)
    else:
        trade_or_rest(exchange, orders, events, view, slot, now_ns)
