"""The risk gate: the only way to any broker. Pure and synchronous: facts in, a verdict out.

An order passes if, with every open order filled at its worst and this one too, no limit is broken. Orders that
bring the position towards zero are exempt from the limits on new risk (exposure, losses, repetition), never
from those on the order itself (size, notional, price, stale data, rate).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated

import msgspec
from annotated_types import Ge, Gt, Le

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000


class RefusalReason(StrEnum):
    """Why an order was refused; `PASSED` if it was not. Journaled as is."""

    PASSED = "passed"
    HALTED = "halted"
    REDUCE_ONLY = "reduce_only"
    NO_MARKET = "no_market"
    ORDER_SIZE = "order_size"
    ORDER_NOTIONAL = "order_notional"
    EXPOSURE = "exposure"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    PRICE_BAND = "price_band"
    STALE_DATA = "stale_data"
    ORDER_RATE = "order_rate"
    ORDERS_PER_DAY = "orders_per_day"
    REPEATED_SIDE = "repeated_side"
    CROSSED_MARKET = "crossed_market"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Limits of one symbol. Fractions are of equity; 0 orders a day means none."""

    max_order_fraction: Annotated[float, Gt(0), Le(100)] = 1.0
    """Largest notional of one order over equity."""
    max_order_notional_quote: Annotated[float, Gt(0)] = 1e12
    """Largest notional of one order, quote currency."""
    max_exposure: Annotated[float, Gt(0), Le(100)] = 1.1
    """Largest value of the position over equity, should every open order fill."""
    max_daily_loss_fraction: Annotated[float, Gt(0), Le(1)] = 0.05
    """Of the equity at the day's start (UTC): beyond it only orders that reduce pass."""
    max_drawdown_fraction: Annotated[float, Gt(0), Le(1)] = 0.2
    """Of the highest equity so far: beyond it only orders that reduce pass."""
    price_band_fraction: Annotated[float, Gt(0), Le(1)] = 0.05
    """Furthest that an order's price may be from the mid."""
    max_data_age_ms: Annotated[int, Gt(0)] = 60_000
    """Oldest market data that an order may rest on."""
    max_orders_per_minute: Annotated[int, Ge(0)] = 60
    """Orders in any minute."""
    max_orders_per_day: Annotated[int, Ge(0)] = 5_000
    """Orders a day (UTC); 0: none at all."""
    max_repeated_side: Annotated[int, Ge(0)] = 200
    """Orders to the same side in a row."""


def unbounded(limits: RiskLimits) -> RiskLimits:
    """`limits` without those on losses: of accounts on paper that are to be watched whatever they lose."""
    return replace(limits, max_daily_loss_fraction=1.0, max_drawdown_fraction=1.0)


class Proposal(msgspec.Struct, frozen=True):
    """An order as the gate sees it: `quantity` > 0 base currency, `price` its limit, or the mid at market."""

    side: int
    quantity: float
    price: float


class OrderFacts(msgspec.Struct, frozen=True):
    """What is true when an order is proposed.

    `position` signed base currency; `open_buys`, `open_sells` unfilled base currency of open orders;
    `equity` and `mid` quote currency; `market_ts_ns` event time of the last tick, `now_ns` of the decision;
    `crossed` says that the best bid is above the best ask.
    """

    now_ns: int
    market_ts_ns: int
    mid: float
    position: float
    equity: float
    open_buys: float
    open_sells: float
    crossed: bool = False


@dataclass(slots=True)
class RiskMemory:
    """What the gate remembers between orders; saved with a run and restored after a crash.

    `holds`: why no new risk is taken just now, such as a stale stream or a clock that is off; whoever put a
    reason in takes it out again.
    """

    day: int = -1
    day_start_equity: float = 0.0
    peak_equity: float = 0.0
    orders_today: int = 0
    recent_orders_ns: deque[int] = field(default_factory=deque[int])
    last_side: int = 0
    repeated: int = 0
    halted: bool = False
    reduce_only: bool = False
    holds: set[str] = field(default_factory=set[str])


_ROUNDING = 1e-9
"""Relative: what float64 makes of a position that is a sum of fills. Without it, closing could be refused."""


def reducible(side: int, facts: OrderFacts) -> float:
    """Base currency that an order of `side` may trade, after every open one of that side, and only reduce."""
    held = -facts.position - facts.open_buys if side > 0 else facts.position - facts.open_sells
    return max(0.0, held)


def reduces(order: Proposal, facts: OrderFacts) -> bool:
    """Whether `order`, after every open order on its side, still brings the position towards zero."""
    return order.quantity <= reducible(order.side, facts) * (1.0 + _ROUNDING)


def too_large(quantity: float, facts: OrderFacts, limits: RiskLimits) -> bool:
    """Whether one order of `quantity` (base currency) is more than the share of equity that it may be."""
    return quantity * facts.mid > limits.max_order_fraction * facts.equity * (1.0 + _ROUNDING)


Check = Callable[[Proposal, OrderFacts, RiskMemory, RiskLimits], bool]
"""True if the order breaks the limit."""


def _order_size(order: Proposal, facts: OrderFacts, _memory: RiskMemory, limits: RiskLimits) -> bool:
    return too_large(order.quantity, facts, limits)


def _order_notional(order: Proposal, _facts: OrderFacts, _memory: RiskMemory, limits: RiskLimits) -> bool:
    return order.quantity * order.price > limits.max_order_notional_quote


def _exposure(order: Proposal, facts: OrderFacts, _memory: RiskMemory, limits: RiskLimits) -> bool:
    if order.side > 0:
        worst = facts.position + facts.open_buys + order.quantity
    else:
        worst = -facts.position + facts.open_sells + order.quantity
    return worst * facts.mid > limits.max_exposure * facts.equity


def _daily_loss(_order: Proposal, facts: OrderFacts, memory: RiskMemory, limits: RiskLimits) -> bool:
    return facts.equity < memory.day_start_equity * (1.0 - limits.max_daily_loss_fraction)


def _drawdown(_order: Proposal, facts: OrderFacts, memory: RiskMemory, limits: RiskLimits) -> bool:
    return facts.equity < memory.peak_equity * (1.0 - limits.max_drawdown_fraction)


def _price_band(order: Proposal, facts: OrderFacts, _memory: RiskMemory, limits: RiskLimits) -> bool:
    return abs(order.price - facts.mid) > limits.price_band_fraction * facts.mid


def _stale_data(_order: Proposal, facts: OrderFacts, _memory: RiskMemory, limits: RiskLimits) -> bool:
    return facts.now_ns - facts.market_ts_ns > limits.max_data_age_ms * 1_000_000


def _order_rate(_order: Proposal, _facts: OrderFacts, memory: RiskMemory, limits: RiskLimits) -> bool:
    return len(memory.recent_orders_ns) >= limits.max_orders_per_minute


def _orders_per_day(_order: Proposal, _facts: OrderFacts, memory: RiskMemory, limits: RiskLimits) -> bool:
    return memory.orders_today >= limits.max_orders_per_day


def _repeated_side(order: Proposal, _facts: OrderFacts, memory: RiskMemory, limits: RiskLimits) -> bool:
    return order.side == memory.last_side and memory.repeated >= limits.max_repeated_side


def _halted(_order: Proposal, _facts: OrderFacts, memory: RiskMemory, _limits: RiskLimits) -> bool:
    return memory.halted


def _no_market(_order: Proposal, facts: OrderFacts, _memory: RiskMemory, _limits: RiskLimits) -> bool:
    return not (facts.mid > 0.0 and facts.equity > 0.0)


ALWAYS: tuple[tuple[RefusalReason, Check], ...] = (
    (RefusalReason.HALTED, _halted),
    (RefusalReason.NO_MARKET, _no_market),
    (RefusalReason.ORDER_NOTIONAL, _order_notional),
    (RefusalReason.PRICE_BAND, _price_band),
    (RefusalReason.STALE_DATA, _stale_data),
    (RefusalReason.ORDER_RATE, _order_rate),
    (RefusalReason.ORDERS_PER_DAY, _orders_per_day),
)
"""Checks on every order, in order."""

NEW_RISK: tuple[tuple[RefusalReason, Check], ...] = (
    (RefusalReason.REDUCE_ONLY, lambda _o, _f, memory, _l: memory.reduce_only),
    (RefusalReason.HELD, lambda _o, _f, memory, _l: bool(memory.holds)),
    (RefusalReason.CROSSED_MARKET, lambda _o, facts, _m, _l: facts.crossed),
    (RefusalReason.ORDER_SIZE, _order_size),
    (RefusalReason.EXPOSURE, _exposure),
    (RefusalReason.DAILY_LOSS, _daily_loss),
    (RefusalReason.DRAWDOWN, _drawdown),
    (RefusalReason.REPEATED_SIDE, _repeated_side),
)
"""Checks on orders that do not bring the position towards zero, after `ALWAYS`."""


class RiskGate:
    """Holds the limits and the memory of one symbol's gate."""

    def __init__(self, limits: RiskLimits) -> None:
        self.limits = limits
        self.memory = RiskMemory()

    def mark(self, now_ns: int, equity: float) -> None:
        """Let time and equity (quote currency) reach the memory; called at every decision before any order."""
        memory = self.memory
        day = now_ns // DAY_NS
        if day != memory.day:
            memory.day, memory.day_start_equity, memory.orders_today = day, equity, 0
        memory.peak_equity = max(memory.peak_equity, equity)
        recent = memory.recent_orders_ns
        while recent and recent[0] <= now_ns - MINUTE_NS:
            recent.popleft()

    def check(self, order: Proposal, facts: OrderFacts) -> RefusalReason:
        """`RefusalReason.PASSED`, or the first limit that `order` breaks. Changes nothing."""
        memory, limits = self.memory, self.limits
        for reason, breaks in ALWAYS:
            if breaks(order, facts, memory, limits):
                return reason
        if reduces(order, facts):
            return RefusalReason.PASSED
        for reason, breaks in NEW_RISK:
            if breaks(order, facts, memory, limits):
                return reason
        return RefusalReason.PASSED

    def record(self, order: Proposal, now_ns: int) -> None:
        """Remember that `order` went to the broker."""
        memory = self.memory
        memory.recent_orders_ns.append(now_ns)
        memory.orders_today += 1
        memory.repeated = memory.repeated + 1 if order.side == memory.last_side else 1
        memory.last_side = order.side
