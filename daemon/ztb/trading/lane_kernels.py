"""The flow of a lane, once for all who trade: observe, act, risk gate, order, advance. Kernels.

A lane is one account on shared ticks and features. At most one order works at a time, or two where one order turned
the position: an order that is not what is wanted any more is cancelled first, and its replacement is sized and sent
when the venue has confirmed, so that both can never fill. Live account, experts, environments, rollouts and the gate's
shadows call these kernels; what they do not share is who draws the actions, and whether a risk gate stands before the
venue.

Kernels come back to Python for what Python alone can do. Where the venue is another's (`lane["venue"]` is 0), orders
and cancels are written to the log and not sent; where somebody listens (`lane["told"]`), so is whatever happens; where
somebody is to be asked before each order (`lane["guarded"]`), `prepare` and `offer` take the place of `act`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.execution.account import ACCOUNT
from ztb.execution.paper import new_orders
from ztb.execution.paper_state import CANCEL_REJECTED, CANCELLED, EXPIRED, FILLED, REJECTED, REPORT
from ztb.execution.risk import (
    GATE,
    PASSED,
    OrderFacts,
    Proposal,
    check_order,
    mark_risk,
    record_order,
    reducible,
    too_large,
)
from ztb.execution.simulator import advance, cancel_order, submit_order
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks
from ztb.market.view import new_view
from ztb.trading.bridge import (
    FACTS,
    LAST_EXPOSURE,
    LAST_TIMING,
    SCALARS,
    WORKING,
    begin_decision,
    order_towards,
    purchase_costs,
)
from ztb.trading.order_replacement import CANCEL, KEEP, LIMIT, order_replacement
from ztb.trading.rewards import new_reward
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_WAIT, whole_lots
from ztb.utils.kernel import inlined_kernel, kernel

LANE: np.dtype[np.void] = np.dtype(
    [
        # an episode's, see `episodes`
        ("key", "<i8"),  # of its random numbers
        ("episode", "<i8"),
        ("decision", "<i8"),  # the one it stands at
        ("last", "<i8"),  # the one that ends the episode
        # how it trades
        ("period_ns", "<i8"),
        ("costs", "<f8"),  # see order_lots
        ("band", "<f8"),
        ("gated", "<i8"),  # whether a risk gate stands before the venue
        ("venue", "<i8"),  # whether the venue is the paper exchange beside it
        ("told", "<i8"),  # whether somebody listens
        ("guarded", "<i8"),  # whether somebody is to be asked before each order
        ("in_step", "<i8"),  # whether it has seen the market from the first tick on, as others in step
        ("flattening", "<i8"),  # whether the position is closed whatever is wanted
        # where it stands
        ("orders", "<i8"),  # the last order's id
        ("working", "<i8"),  # orders that may still fill
        ("next_exposure", "<f8"),  # what is to follow a cancelled order
        ("next_timing", "<i8"),  # TIMING_WAIT: nothing
        ("aim", "<f8"),  # the exposure that it last wanted: waiting changes nothing
        ("rejects", "<i8"),
        ("logged", "<i8"),  # rows of the log
        ("stopped", "<i8"),  # the row to go on at once Python has looked, below 0: none
        # what is prepared to be offered to the gate, one after the other
        ("offers", "<i8"),  # left
        ("offer_lots", "<i8", (2,)),
        ("offer_reduces", "<i8", (2,)),
        ("offer_side", "<i8"),
        ("offer_type", "<i8"),
        ("offer_price", "<i8"),
        ("offer_ns", "<i8"),
        ("offered_lots", "<i8"),  # of the first of two
    ]
)

ORDER_AT_WORK: np.dtype[np.void] = np.dtype(
    [
        ("order_id", "<i8"),
        ("side", "<i8"),
        ("lots", "<i8"),
        ("remaining", "<i8"),  # lots that may still fill
        ("order_type", "<i8"),
        ("price_ticks", "<i8"),
        ("time_in_force", "<i8"),
        ("post_only", "<i8"),
        ("reduce_only", "<i8"),
        ("cancelling", "<i8"),  # its end was asked for
    ]
)
MOST_AT_WORK = 8
"""Two of a lane's own; others may be left from an earlier start."""

LOGGED: np.dtype[np.void] = np.dtype(
    [
        ("what", "<i8"),  # REPORTED, SENT, REFUSED or CANCEL_ASKED
        ("kind", "<i8"),  # of a report: see paper_state
        ("order_id", "<i8"),
        ("ts_ns", "<i8"),
        ("side", "<i8"),
        ("lots", "<i8"),
        ("order_type", "<i8"),
        ("price_ticks", "<i8"),
        ("reduce_only", "<i8"),
        ("reason", "<i8"),  # of a refusal: see execution.risk; of a report: see paper_state
        ("fill_id", "<i8"),
        ("maker", "<i8"),
        ("cumulative_lots", "<i8"),
        ("price", "<f8"),  # of a refusal, quote currency
        ("amount", "<f8"),  # of funding, quote currency
    ]
)
REPORTED, SENT, REFUSED, CANCEL_ASKED = range(4)
LOG_ROWS = 64
_ROOM = 8  # rows that one report, and what is sent on it, may need
_GTC = 0

NO_ORDER, REPLACING, OFFERING = -1, -2, -3
"""Verdicts beside the gate's: nothing is to be done, an order stands in the way, offers are prepared."""


class Lanes(NamedTuple):
    """The memory of N lanes side by side."""

    ladder: NDArray[np.float64]
    """(R,) target exposures"""
    exchange: NDArray[np.void]
    """(N,) EXCHANGE"""
    orders: NDArray[np.void]
    """(N, S) ORDER"""
    events: NDArray[np.void]
    """(N, E) REPORT"""
    market: NDArray[np.void]
    """(N,) VIEW, and its bytes (N, …)"""
    market_bytes: NDArray[np.uint8]
    account: NDArray[np.void]
    """(N,) ACCOUNT"""
    lane: NDArray[np.void]
    """(N,) LANE"""
    working: NDArray[np.void]
    """(N, W) ORDER_AT_WORK, oldest first"""
    gate: NDArray[np.void]
    """(N,) GATE"""
    recent_ns: NDArray[np.int64]
    """(N, M) times of the last orders, see execution.risk"""
    log: NDArray[np.void]
    """(N, L) LOGGED"""
    reward: NDArray[np.void]
    """(N,) REWARD"""
    scalars: NDArray[np.float64]
    """(N, SCALARS) working, last exposure, last timing"""
    facts: NDArray[np.float64]
    """(N, FACTS) see ztb.trading.bridge"""


class LaneSizes(NamedTuple):
    """Room of each lane: orders at the venue, reports of it, rows of the log, orders that the gate remembers."""

    orders: int
    reports: int
    log: int
    recent: int


def new_lanes(
    instrument: Instrument,
    bridge: BridgeConfig,
    exchange: NDArray[np.void],
    period_ns: int,
    n: int,
    sizes: LaneSizes,
) -> Lanes:
    """Memory of `n` lanes before their first tick, each with an exchange like `exchange` (1,)."""
    view, lane = np.repeat(new_view(instrument), n), np.zeros(n, LANE)
    lane["period_ns"], lane["venue"], lane["band"] = period_ns, 1, bridge.band_fraction
    lane["costs"] = purchase_costs(instrument, bridge)
    reward = new_reward(bridge)
    return Lanes(
        ladder=np.array(bridge.ladder, np.float64),
        exchange=np.repeat(exchange, n),
        orders=np.tile(new_orders(sizes.orders), (n, 1)),
        events=np.zeros((n, sizes.reports), REPORT),
        market=view,
        market_bytes=view.view(np.uint8).reshape(n, -1),
        account=np.zeros(n, ACCOUNT),
        lane=lane,
        working=np.zeros((n, MOST_AT_WORK), ORDER_AT_WORK),
        gate=np.zeros(n, GATE),
        recent_ns=np.zeros((n, sizes.recent), np.int64),
        log=np.zeros((n, sizes.log), LOGGED),
        reward=np.repeat(reward, n),
        scalars=np.zeros((n, SCALARS)),
        facts=np.zeros((n, FACTS)),
    )


class Own(NamedTuple):
    """One lane's memory, for kernels alone."""

    exchange: np.void
    orders: NDArray[np.void]
    events: NDArray[np.void]
    market: np.void
    account: np.void
    lane: np.void
    working: NDArray[np.void]
    gate: np.void
    recent_ns: NDArray[np.int64]
    log: NDArray[np.void]


@inlined_kernel
def own_of(lanes: Lanes, i: int) -> Own:
    """The memory of lane `i`."""
    return Own(
        lanes.exchange[i], lanes.orders[i], lanes.events[i], lanes.market[i], lanes.account[i], lanes.lane[i],
        lanes.working[i], lanes.gate[i], lanes.recent_ns[i], lanes.log[i],
    )  # fmt: skip


class Order(NamedTuple):
    """What is wanted: unsigned `lots`, 0 for nothing; `price_ticks` of a limit order."""

    side: int
    lots: int
    order_type: int
    price_ticks: int


@kernel
def _log(own: Own, what: int, order_id: int, ts_ns: int) -> int:
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
    entry = own.working[lane["working"]]
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
        row = own.log[_log(own, SENT, lane["orders"], now_ns)]
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
def _closing_lots(own: Own, order: Order, facts: OrderFacts) -> int:
    """Lots of an order that turns the position that close it; 0: it does not turn it, or that is too little."""
    lot_size = own.exchange["lot_size"]
    lots = int(whole_lots(reducible(order.side, facts), lot_size))
    if lots >= order.lots or lots * lot_size * facts.mid <= own.exchange["min_notional"]:
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
        _log(own, CANCEL_ASKED, entry["order_id"], now_ns)


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
    tradable = proposal.quantity * facts.mid >= own.exchange["min_notional"]
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
        terms["tick_size"], terms["lot_size"], terms["min_notional"], lane["costs"], lane["band"], terms["short"],
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
        row = own.log[_log(own, REFUSED, 0, facts.now_ns)]
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
def _place_of(own: Own, order_id: int) -> int:
    """Where an order stands among those at work; -1 if it does not."""
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
def _tell(own: Own, entry: np.void) -> None:
    row = own.log[_log(own, REPORTED, entry["order_id"], entry["ts_ns"])]
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
def prepare_next(own: Own, known_ns: int) -> int:
    """As `prepare`, for what the last decision wanted, now that the order in its way is gone."""
    timing: int = own.lane["next_timing"]
    own.lane["next_timing"] = TIMING_WAIT
    return int(prepare(own, own.lane["next_exposure"], timing, known_ns))


@kernel
def _follow_up(own: Own, known_ns: int) -> None:
    if prepare_next(own, known_ns) == OFFERING:
        while own.lane["offers"] > 0:
            offer(own)


@kernel
def follow(own: Own) -> bool:
    """Take note of what became known; True if Python is to look at the log, or at an offer, and call again."""
    exchange, lane = own.exchange, own.lane
    while exchange["read"] < exchange["delivered"]:
        if lane["told"] == 1 and lane["logged"] + _ROOM > len(own.log):
            return True
        entry = own.events[exchange["read"] % len(own.events)]
        kind, order_id, known_ns = (
            entry["kind"],
            entry["order_id"],
            int(max(entry["ts_ns"], own.market["ts_ns"])),
        )
        if lane["told"] == 1:
            _tell(own, entry)
        entry["copies"] -= 1
        if entry["copies"] == 0 or kind == FILLED:  # a fill that is told twice is the same fill
            exchange["read"] += 1
        if not hear(own, kind, order_id, entry["cumulative_lots"]):
            continue
        if lane["guarded"] == 0:
            _follow_up(own, known_ns)
        elif prepare_next(own, known_ns) == OFFERING:
            return True
    return False


@kernel
def _idle(exchange: np.void, until_ns: int) -> bool:
    """Whether nothing of ours can happen before or at `until_ns`, whatever the market does."""
    return bool(
        exchange["resting"] == 0 and exchange["action_ns"] >= until_ns and exchange["report_ns"] > until_ns
    )


@kernel
def live_rows(ticks: Ticks, i0: int, i1: int, own: Own) -> int:
    """Let rows [i0, i1) happen, one by one: `i1`, or -1 - i where Python is to look, and then to go on at row i."""
    i = i0
    if follow(own):
        return -1 - i
    while i < i1:
        i = advance(ticks, i, i1, own.exchange, own.orders, own.events, own.market, own.account)
        if follow(own):
            return -1 - i
    return i1


@kernel
def live_through(
    ticks: Ticks, i0: int, i1: int, market: NDArray[np.uint8], on_bars: int, own: Own,
    view_bytes: NDArray[np.uint8],
) -> None:  # fmt: skip
    """As `live_rows` for a lane that nobody listens to. `market` and `on_bars` are what it will have seen after them.

    While the lane has no order under way the rows cannot concern it, and what they show is taken as known.
    """
    until_ns = ticks[i1 - 1]["ts_ns"]
    i = i0
    while i < i1:
        if _idle(own.exchange, until_ns):
            see_market(market, on_bars, own.exchange, view_bytes)
            return
        i = advance(ticks, i, i1, own.exchange, own.orders, own.events, own.market, own.account)
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
        lanes.account[i : i + 1], lanes.market[i : i + 1], lanes.reward[i : i + 1], features, lanes.scalars[i],
        ts_ns, lanes.lane[i]["period_ns"], observation, lanes.facts[i],
    )  # fmt: skip


@kernel
def choose(lanes: Lanes, i: int, action: NDArray[np.int64]) -> float:
    """Remember `action` (2,), a rung of the ladder and a timing, for the next observation; the exposure it asks for.

    While the position is to be closed, `action` is made to close it.
    """
    if lanes.lane[i]["flattening"] == 1:
        for rung in range(len(lanes.ladder)):
            if lanes.ladder[rung] == 0.0:
                action[0] = rung
        action[1] = TIMING_AGGRESSIVE
    exposure = lanes.ladder[action[0]]
    lanes.scalars[i, LAST_EXPOSURE] = exposure
    lanes.scalars[i, LAST_TIMING] = action[1]
    return float(exposure)


@kernel
def aim(lanes: Lanes, i: int, exposure: float, timing: int, ts_ns: int, equity: float) -> None:
    """What lane `i` wants, before it acts on it; the gate is told the time and its equity (quote currency)."""
    if timing != TIMING_WAIT:
        lanes.lane[i]["aim"] = exposure
    if lanes.lane[i]["gated"] == 1:
        mark_risk(lanes.gate[i], lanes.recent_ns[i], ts_ns, equity)
