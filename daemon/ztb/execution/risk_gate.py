"""The risk gate: the only way to any broker. Pure and synchronous: facts in, a verdict out. Kernels, and their memory.

An order passes if, with every open order filled at its worst and this one too, no limit is broken. Orders that
bring the position towards zero are exempt from the limits on new risk (exposure, losses, repetition), never
from those on the order itself (size, notional, price, stale data, rate).
"""

from __future__ import annotations

from dataclasses import fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.execution.permission import Permission
from ztb.execution.risk import (
    DAY_NS,
    FLAT_SHARE,
    FREEZE_SHARE,
    MINUTE_NS,
    MOST_A_MINUTE,
    MS_NS,
    REDUCE_SHARE,
    RefusalReason,
    RiskLimits,
    Rung,
)
from ztb.utils.kernel import kernel

BY_NUMBER = tuple(RefusalReason)
"""Reasons by the number that kernels know them by."""
# Kernels read plain integers: an enum's member costs compile time.
(
    PASSED, HALTED, REDUCE_ONLY, NO_MARKET, ORDER_SIZE, ORDER_NOTIONAL, EXPOSURE, DAILY_LOSS, DRAWDOWN, PRICE_BAND,
    STALE_DATA, ORDER_RATE, ORDERS_PER_DAY, REPEATED_SIDE, CROSSED_MARKET, HELD,
) = range(len(BY_NUMBER))  # fmt: skip

# What follows from another limit where it is not given is no limit on orders.
_LIMITS = {limit.name: type(limit.default) for limit in fields(RiskLimits) if limit.default is not None}
GATE: np.dtype[np.void] = np.dtype(
    [
        *((name, "<f8" if kind is float else "<i8") for name, kind in _LIMITS.items()),
        ("stop_fraction", "<f8"),
        # the memory, see RiskMemory
        ("day", "<i8"),
        ("day_start_equity", "<f8"),
        ("peak_equity", "<f8"),
        ("orders_today", "<i8"),
        ("last_side", "<i8"),
        ("repeated", "<i8"),
        ("halted", "<i8"),
        ("reduce_only", "<i8"),
        ("flattening", "<i8"),  # whether the position is closed whatever is wanted
        ("daily_loss_rung", "<i8"),  # how far down each limit on losses, see Rung, ...
        ("daily_loss_since_ns", "<i8"),  # ... since when
        ("drawdown_rung", "<i8"),
        ("drawdown_since_ns", "<i8"),
        ("held", "<i8"),  # for how many reasons no new risk is taken
        ("recent", "<i8"),  # orders of the last minute, ...
        ("oldest", "<i8"),  # ... whose times are a ring that begins here
    ]
)
_FOREVER = 2**43  # of what is counted in milliseconds: 279 years
_FREE, _FROZEN, _REDUCES, _FLAT = map(int, Rung)


class Proposal(NamedTuple):
    """An order as the gate sees it: `quantity` > 0 base currency, `price` its limit, or the mid at market."""

    side: int
    quantity: float
    price: float


class OrderFacts(NamedTuple):
    """Facts true when an order is proposed.

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


_ROUNDING = 1e-9
"""Relative: what float64 makes of a position that is a sum of fills. Without it, closing could be refused."""


@kernel
def reducible(side: int, facts: OrderFacts) -> float:
    """Base currency that an order of `side` may trade, after every open one of that side, and only reduce."""
    held = -facts.position - facts.open_buys if side > 0 else facts.position - facts.open_sells
    return float(max(0.0, held))


@kernel
def reduces(order: Proposal, facts: OrderFacts) -> bool:
    """True if `order`, after every open order on its side, still brings the position towards zero."""
    return bool(order.quantity <= reducible(order.side, facts) * (1.0 + _ROUNDING))


@kernel
def too_large(quantity: float, facts: OrderFacts, gate: np.void) -> bool:
    """True if one order of `quantity` (base currency) is more than the share of equity that it may be."""
    return bool(quantity * facts.mid > gate["max_order_fraction"] * facts.equity * (1.0 + _ROUNDING))


@kernel
def _breaks_exposure(gate: np.void, order: Proposal, facts: OrderFacts) -> bool:
    if order.side > 0:
        worst = facts.position + facts.open_buys + order.quantity
    else:
        worst = -facts.position + facts.open_sells + order.quantity
    return bool(worst * facts.mid > gate["max_exposure"] * facts.equity)


@kernel
def _order_itself(gate: np.void, order: Proposal, facts: OrderFacts) -> int:
    """Checks on every order, in order."""
    if gate["halted"] == 1:
        return HALTED
    if not (facts.mid > 0.0 and facts.equity > 0.0):
        return NO_MARKET
    if order.quantity * order.price > gate["max_order_notional_quote"]:
        return ORDER_NOTIONAL
    if abs(order.price - facts.mid) > gate["price_band_fraction"] * facts.mid:
        return PRICE_BAND
    if facts.now_ns - facts.market_ts_ns > gate["max_data_age_ms"] * MS_NS:
        return STALE_DATA
    if gate["recent"] >= gate["max_orders_per_minute"]:
        return ORDER_RATE
    if gate["orders_today"] >= gate["max_orders_per_day"]:
        return ORDERS_PER_DAY
    return PASSED


@kernel
def _new_risk(gate: np.void, order: Proposal, facts: OrderFacts) -> int:
    """Checks on orders that do not bring the position towards zero."""
    if gate["reduce_only"] == 1:
        return REDUCE_ONLY
    if gate["held"] > 0:
        return HELD
    if facts.crossed:
        return CROSSED_MARKET
    if too_large(order.quantity, facts, gate):
        return ORDER_SIZE
    if _breaks_exposure(gate, order, facts):
        return EXPOSURE
    least = gate["day_start_equity"] * (1.0 - gate["max_daily_loss_fraction"])
    if facts.equity < least or gate["daily_loss_rung"] >= _REDUCES:
        return DAILY_LOSS
    least = gate["peak_equity"] * (1.0 - gate["max_drawdown_fraction"])
    if facts.equity < least or gate["drawdown_rung"] >= _REDUCES:
        return DRAWDOWN
    if order.side == gate["last_side"] and gate["repeated"] >= gate["max_repeated_side"]:
        return REPEATED_SIDE
    return PASSED


@kernel
def check_order(gate: np.void, order: Proposal, facts: OrderFacts) -> int:
    """`PASSED`, or the number of the first limit that `order` breaks. Changes nothing."""
    reason: int = _order_itself(gate, order, facts)
    if reason != PASSED or reduces(order, facts):
        return reason
    return int(_new_risk(gate, order, facts))


@kernel
def _rung_of(before: float, equity: float, limit: float) -> int:
    """The rung reached on a limit that allows to lose the fraction `limit` of `before`; a limit of 1 is none."""
    if limit >= 1.0 or before <= 0.0:
        return _FREE
    lost = 1.0 - equity / before
    if lost > FLAT_SHARE * limit:
        return _FLAT
    if lost > REDUCE_SHARE * limit:
        return _REDUCES
    return _FROZEN if lost > FREEZE_SHARE * limit else _FREE


@kernel
def must_close(gate: np.void) -> bool:
    """True if the position is to be closed whatever is wanted: on demand, or by a limit on losses."""
    return bool(gate["flattening"] == 1 or gate["daily_loss_rung"] == _FLAT or gate["drawdown_rung"] == _FLAT)


@kernel
def mark_risk(gate: np.void, recent_ns: NDArray[np.int64], now_ns: int, equity: float) -> None:
    """Let time and equity (quote currency) reach the memory; called at every decision before any order."""
    day = now_ns // DAY_NS
    if day != gate["day"]:
        gate["day"] = day
        gate["day_start_equity"] = equity
        gate["orders_today"] = 0
        gate["daily_loss_rung"] = _FREE
    gate["peak_equity"] = max(gate["peak_equity"], equity)
    rung = _rung_of(gate["day_start_equity"], equity, gate["max_daily_loss_fraction"])
    if rung > gate["daily_loss_rung"]:
        gate["daily_loss_rung"] = rung
        gate["daily_loss_since_ns"] = now_ns
    rung = _rung_of(gate["peak_equity"], equity, gate["max_drawdown_fraction"])
    if rung > gate["drawdown_rung"]:
        gate["drawdown_rung"] = rung
        gate["drawdown_since_ns"] = now_ns
    while gate["recent"] > 0 and recent_ns[gate["oldest"]] <= now_ns - MINUTE_NS:
        gate["oldest"] = (gate["oldest"] + 1) % len(recent_ns)
        gate["recent"] -= 1


@kernel
def record_order(gate: np.void, recent_ns: NDArray[np.int64], side: int, now_ns: int) -> None:
    """Remember that an order of `side` went to the broker."""
    if gate["recent"] == len(recent_ns):
        gate["oldest"] = (gate["oldest"] + 1) % len(recent_ns)
        gate["recent"] -= 1
    recent_ns[(gate["oldest"] + gate["recent"]) % len(recent_ns)] = now_ns
    gate["recent"] += 1
    gate["orders_today"] += 1
    gate["repeated"] = gate["repeated"] + 1 if side == gate["last_side"] else 1
    gate["last_side"] = side


# From Python, kernels get arrays: a record passes only between kernels.
@kernel
def _check(gate: NDArray[np.void], order: Proposal, facts: OrderFacts) -> int:
    return int(check_order(gate[0], order, facts))


@kernel
def _mark(gate: NDArray[np.void], recent_ns: NDArray[np.int64], now_ns: int, equity: float) -> None:
    mark_risk(gate[0], recent_ns, now_ns, equity)


@kernel
def _record(gate: NDArray[np.void], recent_ns: NDArray[np.int64], side: int, now_ns: int) -> None:
    record_order(gate[0], recent_ns, side, now_ns)


class LossLimit(NamedTuple):
    """The rung an account has reached on a limit on losses, and since when (event time)."""

    rung: Rung
    since_ns: int


class RiskMemory:
    """The gate's memory between orders; saved with a run and restored after a crash.

    `row`: of GATE, shape (1,). `daily_loss` is over at the end of the UTC day, `drawdown` when an operator says so.
    """

    __slots__ = (
        "__weakref__",
        "_permission",
        "row",
    )  # a figure set under a name that is none of these is an error

    def __init__(self, row: NDArray[np.void]) -> None:
        self.row = row
        row["day"] = -1
        self._permission = Permission()
        self._permission.obeyed_by(self)

    @property
    def permission(self) -> Permission:
        """The latitude that others give."""
        return self._permission

    @permission.setter
    def permission(self, permission: Permission) -> None:
        self._permission.no_longer_obeyed_by(self)
        self._permission = permission
        permission.obeyed_by(self)

    @property
    def daily_loss(self) -> LossLimit:
        """Of the day's first equity."""
        return LossLimit(Rung(int(self.row["daily_loss_rung"][0])), int(self.row["daily_loss_since_ns"][0]))

    @property
    def drawdown(self) -> LossLimit:
        """Of the highest equity."""
        return LossLimit(Rung(int(self.row["drawdown_rung"][0])), int(self.row["drawdown_since_ns"][0]))

    @property
    def rung(self) -> Rung:
        """The lowest that either limit on losses has come to."""
        return max(self.daily_loss.rung, self.drawdown.rung)

    @property
    def day_start_equity(self) -> float:
        """Quote currency, at the first decision of the present UTC day."""
        return float(self.row["day_start_equity"][0])

    @property
    def peak_equity(self) -> float:
        """Quote currency, the highest marked."""
        return float(self.row["peak_equity"][0])

    @property
    def day(self) -> int:
        """The present UTC day since 1970; -1 before the first decision."""
        return int(self.row["day"][0])

    @property
    def orders_today(self) -> int:
        return int(self.row["orders_today"][0])

    @property
    def last_side(self) -> int:
        """Of the last order; 0 before the first."""
        return int(self.row["last_side"][0])

    @property
    def repeated(self) -> int:
        """Orders of that side in a row."""
        return int(self.row["repeated"][0])

    @property
    def orders_this_minute(self) -> int:
        """Sent in the minute before the last decision, and since."""
        return int(self.row["recent"][0])

    def adopted(self, value: float) -> None:
        """Equity was changed by `value` quote currency that nothing earned."""
        self.row["day_start_equity"] += value
        self.row["peak_equity"] += value


class RiskGate:
    """Holds the limits and the memory of one symbol's gate."""

    def __init__(self, limits: RiskLimits) -> None:
        self.row = np.zeros(1, GATE)
        self.recent_ns = np.zeros(MOST_A_MINUTE, np.int64)
        self.memory = RiskMemory(self.row)
        self.limits = limits

    @property
    def limits(self) -> RiskLimits:
        return self._limits

    @limits.setter
    def limits(self, limits: RiskLimits) -> None:
        self._limits = limits
        for name, kind in _LIMITS.items():
            limit = getattr(limits, name)
            self.row[name] = limit if kind is float else min(limit, _FOREVER)
        self.row["stop_fraction"] = limits.stop_fraction

    def move(self, row: NDArray[np.void], recent_ns: NDArray[np.int64]) -> None:
        """Keep limits and memory in `row` (1,) GATE and `recent_ns` from now on."""
        row[:] = self.row
        if self.memory.orders_this_minute:
            recent_ns[:] = self.recent_ns
        self.row = self.memory.row = row
        self.recent_ns = recent_ns

    def mark(self, now_ns: int, equity: float) -> None:
        """Take in the equity (quote currency) at `now_ns`: peak, day and limits on losses follow it."""
        _mark(self.row, self.recent_ns, now_ns, equity)

    def lift(self, equity: float) -> None:
        """Count losses anew from `equity` (quote currency), because an operator says so; drawdowns too."""
        self.row["day_start_equity"] = self.row["peak_equity"] = equity
        self.row["daily_loss_rung"] = self.row["drawdown_rung"] = Rung.FREE

    def check(self, order: Proposal, facts: OrderFacts) -> RefusalReason:
        """`RefusalReason.PASSED`, or the first limit that `order` breaks. Changes nothing."""
        return BY_NUMBER[_check(self.row, order, facts)]

    def record(self, side: int, now_ns: int) -> None:
        """Remember that an order of `side` went to the broker."""
        _record(self.row, self.recent_ns, side, now_ns)
