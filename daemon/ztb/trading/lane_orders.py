"""From a target exposure to an order at the venue, by way of the risk gate. Kernels on one lane's memory.

At most one order works at a time, or two where one order turned the position. One that is not what is wanted any more
is cancelled first, and its replacement is sized and sent when the venue has confirmed, so that both can never fill.
Where the venue is another's (`lane["venue"]` is 0), orders and cancels are written to the log and not sent; where
somebody is to be asked before each order (`lane["guarded"]`), `prepare` and `offer` take the place of `act`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ztb.execution.filters import is_enough
from ztb.execution.risk_gate import (
    PASSED,
    OrderFacts,
    Proposal,
    check_order,
    record_order,
    reducible,
    too_large,
)
from ztb.execution.simulator import cancel_order, submit_order
from ztb.trading.bridge import order_towards
from ztb.trading.lane_state import CANCEL_ASKED, REFUSED, SENT, Own
from ztb.trading.order_replacement import CANCEL, KEEP, LIMIT, order_replacement
from ztb.trading.sizing import TIMING_WAIT, whole_lots
from ztb.utils.kernel import kernel

_GTC = 0

NO_ORDER, REPLACING, OFFERING = -1, -2, -3
"""Verdicts beside the gate's: nothing is to be done, an order stands in the way, offers are prepared."""


class Order(NamedTuple):
    """What is wanted: unsigned `lots`, 0 for nothing; `price_ticks` of a limit order."""

    side: int
    lots: int
    order_type: int
    price_ticks: int


@kernel
def log_row(own: Own, what: int, order_id: int, ts_ns: int) -> int:
    """A new row of the log, of which the caller fills in the rest: its index."""
    index = int(own.lane["logged"])
    own.lane["logged"] = index + 1
    row = own.log[index]
    row["what"] = what
    row["order_id"] = order_id
    row["ts_ns"] = ts_ns
    return index


@kernel
def _send(own: Own, order: Order, reduce_only: int, now_ns: int) -> None:
    """Write the order down, and send it if the venue is ours."""
    lane = own.lane
    lane["orders"] += 1
    entry: Any = own.working[lane["working"]]
    lane["working"] += 1
    entry["order_id"] = lane["orders"]
    entry["side"] = order.side
    entry["lots"] = order.lots
    entry["remaining"] = order.lots
    entry["order_type"] = order.order_type
    entry["price_ticks"] = order.price_ticks
    entry["time_in_force"] = _GTC
    entry["post_only"] = 1 if order.order_type == LIMIT else 0
    entry["reduce_only"] = reduce_only
    entry["cancelling"] = 0
    if lane["told"] == 1:
        row = own.log[log_row(own, SENT, lane["orders"], now_ns)]
        row["side"] = order.side
        row["lots"] = order.lots
        row["order_type"] = order.order_type
        row["price_ticks"] = order.price_ticks
        row["reduce_only"] = reduce_only
    if lane["venue"] == 1:
        submit_order(
            own.exchange, own.orders, own.events, lane["orders"], order.side, order.lots, order.order_type,
            order.price_ticks, _GTC, entry["post_only"], reduce_only, now_ns,
        )  # fmt: skip


@kernel
def _proposal(own: Own, order: Order, lots: int, mid: float) -> Proposal:
    price = order.price_ticks * own.exchange["tick_size"] if order.order_type == LIMIT else mid
    return Proposal(int(order.side), float(lots * own.exchange["lot_size"]), float(price))


@kernel
def _facts(own: Own, now_ns: int, open_buys: float, open_sells: float) -> OrderFacts:
    account, view = own.account, own.market
    mid = float(view["mid"])
    position = float(account["position"])
    equity = float(account["cash"] + position * mid)
    crossed = bool(view["bid"] > view["ask"])
    return OrderFacts(
        int(now_ns), int(view["ts_ns"]), mid, position, equity, float(open_buys), float(open_sells), crossed
    )


@kernel
def _is_enough(own: Own, quantity: float, price: float) -> bool:
    terms = own.exchange
    return bool(is_enough(quantity, price, terms["min_quantity"], terms["min_notional"]))


@kernel
def _closing_lots(own: Own, order: Order, facts: OrderFacts) -> int:
    """Lots of an order that turns the position that close it; 0: it does not turn it, or that is too little."""
    lot_size = own.exchange["lot_size"]
    lots = int(whole_lots(reducible(order.side, facts), lot_size))
    if lots >= order.lots or not _is_enough(own, lots * lot_size, facts.mid):
        return 0
    return lots


@kernel
def _cancel(own: Own, index: int, now_ns: int) -> None:
    entry = own.working[index]
    if entry["cancelling"] == 1:
        return
    entry["cancelling"] = 1
    if own.lane["venue"] == 1:
        cancel_order(own.exchange, own.orders, own.events, entry["order_id"], now_ns)
    else:
        log_row(own, CANCEL_ASKED, entry["order_id"], now_ns)


@kernel
def cancel_all(own: Own, now_ns: int) -> None:
    """Ask for the end of every order that works, and forget what was to replace it."""
    own.lane["next_timing"] = TIMING_WAIT
    for index in range(own.lane["working"]):
        _cancel(own, index, now_ns)


@kernel
def _make_way(own: Own, order: Order, exposure: float, timing: int, now_ns: int) -> int:
    """Keep the working order if it is what is wanted; otherwise cancel it and remember what is."""
    for index in range(own.lane["working"]):
        entry = own.working[index]
        move = order_replacement(
            entry["side"] * entry["remaining"], entry["order_type"], entry["price_ticks"], entry["cancelling"],
            order.side * order.lots, order.order_type, order.price_ticks,
        )  # fmt: skip
        if move == KEEP:
            return NO_ORDER
        if move == CANCEL:
            _cancel(own, index, now_ns)
    if order.lots > 0:
        own.lane["next_exposure"] = exposure
        own.lane["next_timing"] = timing
    return REPLACING


@kernel
def _prepare_turn(own: Own, order: Order, closing: int, facts: OrderFacts) -> None:
    """Prepare an order that turns the position and is too large for one as two: what closes it, and what opens anew.

    Both at once: waiting for the first to be filled costs a bar. The gate takes the first for filled at its worst.
    Who comes first at the venue is open, so that only a closing order that goes alone is bound to reduce.
    """
    lane = own.lane
    opening = order.lots - closing
    after = _after(own, order, closing, facts)
    proposal = _proposal(own, order, opening, facts.mid)
    tradable = _is_enough(own, proposal.quantity, facts.mid)
    together = tradable and check_order(own.gate, proposal, after) == PASSED
    lane["offers"] = 2 if tradable else 1
    lane["offer_lots"][0] = closing
    lane["offer_reduces"][0] = 0 if together else 1
    lane["offer_lots"][1] = opening
    lane["offer_reduces"][1] = 0


@kernel
def _after(own: Own, order: Order, sent_lots: int, facts: OrderFacts) -> OrderFacts:
    """`facts` with `sent_lots` of the order's side open beside what is."""
    sent = sent_lots * own.exchange["lot_size"]
    buys, sells = facts.open_buys, facts.open_sells
    if order.side > 0:
        buys += sent
    else:
        sells += sent
    return OrderFacts(
        facts.now_ns, facts.market_ts_ns, facts.mid, facts.position, facts.equity, buys, sells, facts.crossed
    )


@kernel
def prepare(own: Own, exposure: float, timing: int, now_ns: int) -> int:
    """What leads to a target exposure: NO_ORDER, REPLACING, or OFFERING one or two orders, see `offer`.

    `now_ns` is when the target was chosen.
    """
    lane = own.lane
    lane["offers"] = 0
    if timing == TIMING_WAIT:
        return NO_ORDER
    lane["next_timing"] = TIMING_WAIT
    account, view, terms = own.account, own.market, own.exchange
    side, lots, order_type, price = order_towards(
        account["cash"], account["position"], view["mid"], view["bid"], view["ask"], exposure, timing,
        terms["tick_size"], terms["lot_size"], terms["min_quantity"], terms["min_notional"], lane["costs"],
        lane["band"], terms["short"],
    )  # fmt: skip
    order = Order(side, lots, order_type, price)
    if lane["working"] > 0:
        return int(_make_way(own, order, exposure, timing, now_ns))
    if lots == 0:
        return NO_ORDER
    lane["offers"] = 1
    lane["offered_lots"] = 0
    lane["offer_side"] = side
    lane["offer_type"] = order_type
    lane["offer_price"] = price
    lane["offer_ns"] = now_ns
    lane["offer_lots"][0] = lots
    lane["offer_reduces"][0] = 0
    if lane["gated"] == 1:
        facts = _facts(own, now_ns, 0.0, 0.0)
        closing = _closing_lots(own, order, facts)
        if closing > 0 and too_large(lots * own.exchange["lot_size"], facts, own.gate):
            _prepare_turn(own, order, closing, facts)
    return OFFERING


@kernel
def offer(own: Own) -> int:
    """Send what the gate lets pass of the next order prepared: all, or of one that would turn the position the part
    that closes it. The gate's reason; where it is no pass, nothing more is offered.
    """
    lane = own.lane
    nth = 1 if lane["offered_lots"] > 0 else 0
    lots: int = lane["offer_lots"][nth]
    order = Order(int(lane["offer_side"]), lots, int(lane["offer_type"]), int(lane["offer_price"]))
    lane["offers"] -= 1
    now_ns: int = lane["offer_ns"]
    if lane["gated"] == 0:
        _send(own, order, 0, now_ns)
        return PASSED
    facts = _after(own, order, lane["offered_lots"], _facts(own, now_ns, 0.0, 0.0))
    lane["offered_lots"] = lots
    reason: int = _offer(own, order, lane["offer_reduces"][nth], facts)
    if reason != PASSED:
        lane["offers"] = 0
    return reason


@kernel
def _offer(own: Own, order: Order, reduce_only: int, facts: OrderFacts) -> int:
    proposal = _proposal(own, order, order.lots, facts.mid)
    reason = int(check_order(own.gate, proposal, facts))
    if reason == PASSED:
        record_order(own.gate, own.recent_ns, order.side, facts.now_ns)
        _send(own, order, reduce_only, facts.now_ns)
        return reason
    if own.lane["told"] == 1:
        row = own.log[log_row(own, REFUSED, 0, facts.now_ns)]
        row["side"] = order.side
        row["lots"] = order.lots
        row["reason"] = reason
        row["price"] = proposal.price
    closing = _closing_lots(own, order, facts)
    if closing > 0 and check_order(own.gate, _proposal(own, order, closing, facts.mid), facts) == PASSED:
        record_order(own.gate, own.recent_ns, order.side, facts.now_ns)
        _send(own, Order(order.side, closing, order.order_type, order.price_ticks), 1, facts.now_ns)
    return reason


@kernel
def act(own: Own, exposure: float, timing: int, now_ns: int) -> int:
    """Turn a target exposure into an order, or make way for one; the gate's reason, NO_ORDER or REPLACING."""
    verdict: int = prepare(own, exposure, timing, now_ns)
    if verdict == OFFERING:
        verdict = offer(own)
        while own.lane["offers"] > 0:
            offer(own)
    return verdict


@kernel
def prepare_next(own: Own, known_ns: int) -> int:
    """As `prepare`, for what the last decision wanted, now that the order in its way is gone."""
    timing: int = own.lane["next_timing"]
    own.lane["next_timing"] = TIMING_WAIT
    return int(prepare(own, own.lane["next_exposure"], timing, known_ns))


@kernel
def follow_up(own: Own, known_ns: int) -> None:
    """As `act`, for what the last decision wanted."""
    if prepare_next(own, known_ns) == OFFERING:
        while own.lane["offers"] > 0:
            offer(own)
