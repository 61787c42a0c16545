"""The protective stop that the paper exchange keeps for an account, as a venue does. Kernels.

It takes no slot of the table while it waits: it follows what is held, and becomes an order at market, of a number of
its own, once the last price has come down to it. What then is left over is sold with the prices that follow.
"""

from __future__ import annotations

import numpy as np

from ztb.execution.filters import is_enough
from ztb.execution.liquidity import nearest_ticks, whole_lots
from ztb.execution.order_table import free_slot
from ztb.execution.orders import PROTECTIVE_FROM, PROTECTIVE_SIDE, OrderType
from ztb.execution.paper_state import ACCEPTED, IN_FLIGHT, NEVER, NONE
from ztb.execution.protection import floor_of, trigger_price
from ztb.execution.reports import report_order
from ztb.execution.taking import reserved, trade_or_rest
from ztb.market.ticks import BAR, TRADE
from ztb.market.view import see_price
from ztb.utils.kernel import kernel

_MARKET, STOP = int(OrderType.MARKET), int(OrderType.STOP)
_floor_of, _trigger_price = kernel(floor_of), kernel(trigger_price)


@kernel
def move_stop(exchange: np.void, gate: np.void, account: np.void, view: np.void) -> None:
    """Bring the stop to what the account is known to hold, as its gate's limits want it; only a long one has any.

    Its floor is counted as for a live account, see `Protection`: anew with each day, from flat, and where a new stop
    would sell at once.
    """
    lots = 0
    if exchange["keeps_stops"] == 1 and gate["stop_fraction"] > 0.0 and view["mid"] > 0.0:
        lots = whole_lots(exchange, max(0.0, account["position"]))
    if lots == 0:
        exchange["stop_ticks"] = 0
        exchange["stop_reference"] = 0.0
        return
    cash, position, mid = account["cash"], account["position"], view["mid"]
    equity, reference = cash + position * mid, gate["day_start_equity"]
    if reference != exchange["stop_reference"]:
        exchange["stop_floor"] = _floor_of(reference, equity, gate["stop_fraction"])
        exchange["stop_reference"] = reference
    elif exchange["stop_ticks"] == 0:
        exchange["stop_floor"] = min(
            exchange["stop_floor"], _floor_of(reference, equity, gate["stop_fraction"])
        )
    ticks = int(_trigger_price(exchange["stop_floor"], cash, position, mid) / exchange["tick_size"])
    exchange["stop_lots"] = lots
    exchange["stop_ticks"] = ticks if _would_be_taken(exchange, lots, ticks) else 0


@kernel
def _would_be_taken(exchange: np.void, lots: int, ticks: int) -> bool:
    quantity, price = lots * exchange["lot_size"], ticks * exchange["tick_size"]
    return bool(is_enough(quantity, price, exchange["min_quantity"], exchange["min_notional"]))


@kernel
def reaches(exchange: np.void, price: float) -> bool:
    """True if a last price of `price` lets the stop sell."""
    return bool(nearest_ticks(exchange, price) <= exchange["stop_ticks"])


@kernel
def may_reach(exchange: np.void, view: np.void, ticks: np.ndarray, i0: int, i1: int) -> bool:
    """True if a row of [i0, i1) may come down to a stop that stands."""
    if exchange["stop_ticks"] == 0:
        return False
    for i in range(i0, i1):
        tick = ticks[i]
        kind = tick["kind"]
        if kind == TRADE:
            lowest = tick["price"]
        elif kind == BAR:
            lowest = tick["low"]
        else:
            lowest = view["last"]  # 0 where there is none: the bid may be anywhere
        if reaches(exchange, lowest):
            return True
    return False


@kernel
def watch_stop(
    exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, kind: int, now_ns: int
) -> None:
    """A row has happened: a trade is a last price; where there are none, the bid is taken for it."""
    price = view["last"] if kind == TRADE else view["bid"]
    if (kind == TRADE or view["last"] == 0.0) and price > 0.0 and reaches(exchange, price):
        _sell(exchange, orders, events, view, now_ns)


@kernel
def pass_stop(
    exchange: np.void,
    orders: np.ndarray,
    events: np.ndarray,
    view: np.void,
    opens: bool,
    price: float,
    now_ns: int,
) -> None:
    """A bar's path comes down to `price`, by way of the stop's, unless the bar opens below that."""
    stop = exchange["stop_ticks"] * exchange["tick_size"]
    see_price(view, now_ns, price if opens or view["last"] <= stop else stop, 0)
    _sell(exchange, orders, events, view, now_ns)


@kernel
def _sell(exchange: np.void, orders: np.ndarray, events: np.ndarray, view: np.void, now_ns: int) -> None:
    """Sell what is held and not locked by another sell, at market, at once: it is there already."""
    locked, _ = reserved(exchange, orders, PROTECTIVE_SIDE)
    lots = int(min(exchange["stop_lots"], exchange["position_lots"] - locked))
    if lots <= 0 or not _would_be_taken(exchange, lots, exchange["stop_ticks"]):
        return
    slot = free_slot(exchange, orders)
    if slot < 0:
        return
    exchange["stops"] += 1
    order = orders[slot]
    order["order_id"] = PROTECTIVE_FROM + exchange["stops"]
    order["sequence"] = exchange["sent"]
    order["status"] = IN_FLIGHT
    order["reported"] = 0
    order["side"] = PROTECTIVE_SIDE
    order["lots"] = lots
    order["remaining"] = lots
    order["known_remaining"] = lots
    order["order_type"] = _MARKET
    order["price_ticks"] = exchange["stop_ticks"]
    order["time_in_force"] = 0
    order["post_only"] = 0
    order["reduce_only"] = 1
    order["fault"] = NONE
    order["reports"] = 0
    order["arrival_ns"] = NEVER
    order["cancel_ns"] = NEVER
    exchange["sent"] += 1
    entry = events[
        report_order(exchange=exchange, orders=orders, events=events, slot=slot, kind=ACCEPTED, ts_ns=now_ns)
    ]
    entry["price_ticks"] = exchange["stop_ticks"]
    entry["copies"] = 1
    trade_or_rest(exchange=exchange, orders=orders, events=events, view=view, slot=slot, now_ns=now_ns)
