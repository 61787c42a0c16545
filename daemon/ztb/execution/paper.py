"""The paper exchange: the one simulator of replay, paper mode and the environments, as an object.

Everything happens in the kernels of `simulator`; here are its settings, its arrays and its events.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError, InvariantError
from ztb.execution.account import new_account
from ztb.execution.order_table import slot_of
from ztb.execution.orders import (
    Accepted,
    Cancelled,
    CancelRejected,
    Expired,
    Filled,
    Funded,
    Liquidity,
    OpenOrder,
    OrderEvent,
    OrderRequest,
    OrderType,
    Rejected,
    TimeInForce,
)
from ztb.execution.paper_config import PaperConfig
from ztb.execution.paper_state import EXCHANGE, FREE, NEVER, ORDER, REPORT, RejectReason, ReportKind
from ztb.execution.simulator import advance, cancel_order, submit_order
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks, empty_ticks, plain_ticks
from ztb.market.venues import keeps_stops
from ztb.market.view import new_view
from ztb.utils.kernel import entry, kernel

MAX_OPEN_ORDERS = 64
MAX_REPORTS = 1024
_NS_PER_MS = 1_000_000
_KINDS = tuple(ReportKind)
_COPIES = list(REPORT.fields or ()).index("copies")


def new_exchange(
    instrument: Instrument, config: PaperConfig, seed: int, start_cash: float
) -> NDArray[np.void]:
    """The state of an exchange before the first tick, shape (1,), dtype EXCHANGE."""
    state = np.zeros(1, EXCHANGE)
    exchange = state[0]
    for name in ("tick_size", "lot_size", "min_notional", "min_quantity", "maker_fee", "taker_fee", "short"):
        exchange[name] = float(getattr(instrument, name))
    exchange["keeps_stops"] = keeps_stops(instrument.venue) and not instrument.short
    for name in ("feed", "submit", "ack", "cancel"):
        mean, jitter = getattr(config, f"{name}_latency_ms"), getattr(config, f"{name}_jitter_ms")
        exchange[f"{name}_ns"] = (mean * _NS_PER_MS, jitter * _NS_PER_MS)
    for name in ("level_typical_sizes", "level_spacing_spreads", "walk_levels", "bar_participation"):
        exchange[name] = getattr(config, name)
    exchange["seed"] = seed
    exchange["proportional_queue"] = config.queue_model == "proportional"
    exchange["impact_half_life_ns"] = config.impact_half_life_ms * _NS_PER_MS
    exchange["lost_timeout_ns"] = config.lost_timeout_ms * _NS_PER_MS
    exchange["submit_lost"] = config.submit_lost_probability
    exchange["submit_rejected"] = config.submit_rejected_probability
    exchange["ack_lost"] = config.ack_lost_probability
    exchange["duplicated"] = config.duplicate_probability
    exchange["funding_rate"] = config.funding_rate_per_8h
    exchange["cash"] = start_cash
    for name in ("action_ns", "report_ns", "funding_ns", "sell_ticks"):
        exchange[name] = NEVER
    return state


def new_orders(slots: int = MAX_OPEN_ORDERS) -> NDArray[np.void]:
    """An empty table of open orders, shape (slots,), dtype ORDER."""
    orders = np.zeros(slots, ORDER)
    orders["arrival_ns"] = orders["cancel_ns"] = NEVER
    return orders


def new_reports(entries: int = MAX_REPORTS) -> NDArray[np.void]:
    """An empty ring of reports, shape (entries,), dtype REPORT: more than twice as many as order slots."""
    return np.zeros(entries, REPORT)


def _reason(code: int) -> str:
    return RejectReason(code).name.lower()


def order_event(
    kind: int,
    order_id: int,
    ts_ns: int,
    reason: int,
    lots: int,
    price_ticks: int,
    fill_id: int,
    maker: int,
    cumulative_lots: int,
    amount: float,
) -> OrderEvent:
    """The fact that a report stands for: see REPORT."""
    found = _KINDS[kind]
    match found:
        case ReportKind.ACCEPTED:
            return Accepted(order_id, ts_ns)
        case ReportKind.FILLED:
            liquidity: Liquidity = "maker" if maker else "taker"
            return Filled(order_id, ts_ns, fill_id, lots, price_ticks, liquidity, cumulative_lots)
        case ReportKind.CANCELLED:
            return Cancelled(order_id, ts_ns, lots)
        case ReportKind.REJECTED:
            return Rejected(order_id, ts_ns, _reason(reason))
        case ReportKind.CANCEL_REJECTED:
            return CancelRejected(order_id, ts_ns, _reason(reason))
        case ReportKind.EXPIRED:
            return Expired(order_id, ts_ns, lots)
        case ReportKind.FUNDED:
            return Funded(ts_ns, amount)
        case _:
            assert_never(found)


def _event(report: list[int], amount: float) -> OrderEvent:
    """The fact that one entry of the ring stands for: its integers in the order of REPORT, and its amount."""
    kind, order_id, _, ts_ns, _, _, reason, _, lots, price_ticks, fill_id, maker, done, *_ = report
    return order_event(
        kind=kind,
        order_id=order_id,
        ts_ns=ts_ns,
        reason=reason,
        lots=lots,
        price_ticks=price_ticks,
        fill_id=fill_id,
        maker=maker,
        cumulative_lots=done,
        amount=amount,
    )


def _open_order(order: np.void) -> OpenOrder:
    request = OrderRequest(
        order_id=int(order["order_id"]),
        side=int(order["side"]),
        lots=int(order["lots"]),
        order_type=OrderType(int(order["order_type"])),
        price_ticks=int(order["price_ticks"]),
        time_in_force=TimeInForce(int(order["time_in_force"])),
        post_only=bool(order["post_only"]),
        reduce_only=bool(order["reduce_only"]),
    )
    return OpenOrder(request, int(order["known_remaining"]))


@kernel
def _advance(
    ticks: Ticks,
    i0: int,
    i1: int,
    exchange: np.ndarray,
    orders: np.ndarray,
    events: np.ndarray,
    view: np.ndarray,
    account: np.ndarray,
) -> int:
    return advance(
        ticks=ticks,
        i0=i0,
        i1=i1,
        exchange=exchange[0],
        orders=orders,
        events=events,
        view=view[0],
        account=account[0],
    )


@kernel
def _submit(
    exchange: np.ndarray,
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
) -> bool:
    """Send an order; True if it was sent: not if an open one has its id."""
    if slot_of(exchange[0], orders, order_id) >= 0:
        return False
    submit_order(
        exchange=exchange[0],
        orders=orders,
        events=events,
        order_id=order_id,
        side=side,
        lots=lots,
        order_type=order_type,
        price_ticks=price_ticks,
        time_in_force=time_in_force,
        post_only=post_only,
        reduce_only=reduce_only,
        now_ns=now_ns,
    )
    return True


@kernel
def _cancel(exchange: np.ndarray, orders: np.ndarray, events: np.ndarray, order_id: int, now_ns: int) -> None:
    cancel_order(exchange=exchange[0], orders=orders, events=events, order_id=order_id, now_ns=now_ns)


class PaperExchange:
    """One simulated venue account of `instrument`, starting with `start_cash` quote currency.

    `view` is the market and `account` what reports have told of ours: arrays of shape (1,) that the kernels
    change. Every draw is a function of `seed` and the order's id.
    """

    def __init__(self, instrument: Instrument, config: PaperConfig, seed: int, start_cash: float) -> None:
        self.instrument = instrument
        self.view = new_view(instrument)
        self.account = new_account(start_cash)
        self.exchange = new_exchange(instrument, config, seed, start_cash)
        self.orders = new_orders()
        self.reports = new_reports()
        self._look()
        self._block = empty_ticks(0)

    def _look(self) -> None:
        """Views of fields, and the compiled code itself, save most of a call that finds nothing new."""
        self._integers = self.reports.view(np.int64).reshape(MAX_REPORTS, -1)
        self._amounts = self.reports["amount"]
        self._delivered, self._read = self.exchange["delivered"], self.exchange["read"]
        self._overflowed = self.exchange["overflowed"]
        self._market = self.exchange, self.orders, self.reports, self.view, self.account

    def move(
        self,
        exchange: NDArray[np.void],
        orders: NDArray[np.void],
        reports: NDArray[np.void],
        view: NDArray[np.void],
        account: NDArray[np.void],
    ) -> None:
        """Keep everything that changes in these arrays from now on."""
        for there, here in zip((exchange, orders, reports, view, account), self._market, strict=True):
            there[:] = here
        self.exchange, self.orders, self.reports, self.view, self.account = (
            exchange,
            orders,
            reports,
            view,
            account,
        )
        self._look()

    @cached_property
    def _entry(self) -> Any:
        """Compiled when it is called first: an exchange that moves to a trading floor never calls it."""
        return entry(_advance, self._block, 0, 0, *self._market)

    def submit(self, order: OrderRequest, now_ns: int) -> None:
        """Send `order`, decided on at `now_ns`. InvariantError if an open order has its id."""
        sent = _submit(
            exchange=self.exchange,
            orders=self.orders,
            events=self.reports,
            order_id=order.order_id,
            side=order.side,
            lots=order.lots,
            order_type=int(order.order_type),
            price_ticks=order.price_ticks,
            time_in_force=int(order.time_in_force),
            post_only=int(order.post_only),
            reduce_only=int(order.reduce_only),
            now_ns=now_ns,
        )
        if not sent:
            raise InvariantError(f"order {order.order_id} was submitted twice")

    def cancel(self, order_id: int, now_ns: int) -> None:
        """Ask for the end of an order, decided on at `now_ns`; the answer is an event."""
        _cancel(
            exchange=self.exchange, orders=self.orders, events=self.reports, order_id=order_id, now_ns=now_ns
        )

    def advance(self, ticks: Ticks, i0: int, i1: int) -> int:
        """Run rows [i0, i1) of `ticks`; returns the row to run next: i1, or that after the first with events.

        InvariantError if events were left uncollected until there was no room for more.
        """
        if ticks is not self._block:
            self._block = plain_ticks(ticks)
        row: int = self._entry(self._block, i0, i1, *self._market)
        if self._overflowed.item():
            raise InvariantError(f"{MAX_REPORTS} order events were not collected: call events()")
        return row

    def events(self) -> list[OrderEvent]:
        """Events that became known since the last call, in the order they happened; injected duplicates included."""
        collected: list[OrderEvent] = []
        read, delivered = self._read.item(), self._delivered.item()
        if read == delivered:
            return collected
        for index in range(read, delivered):
            report: list[int] = self._integers[index % MAX_REPORTS].tolist()
            event = _event(report, self._amounts.item(index % MAX_REPORTS))
            collected.extend([event] * report[_COPIES])
        self._read[0] = delivered
        return collected

    def resume(self, lots: int, fills: int, stops: int) -> None:
        """Go on after a restart, from the account as it is now: its cash, `lots` of it held, `fills` made before, and
        `stops` reached.
        """
        self.exchange["cash"] = self.account["cash"]
        self.exchange["position_lots"] = lots
        self.exchange["fills"] = fills
        self.exchange["stops"] = stops

    def _open_slots(self) -> NDArray[np.void]:
        known_open = (self.orders["status"] != FREE) & (self.orders["reported"] == 0)
        slots: NDArray[np.void] = self.orders[known_open]
        return slots

    def open_orders(self) -> list[OpenOrder]:
        """Orders that may still fill as far as is known, first submitted first."""
        slots = self._open_slots()
        return [_open_order(order) for order in slots[np.argsort(slots["sequence"])]]

    def open_lots(self, side: int) -> int:
        """Lots that open orders of `side` may still fill."""
        slots = self._open_slots()
        return int(slots["known_remaining"][slots["side"] == side].sum())

    def _arrays(self) -> dict[str, NDArray[np.void]]:
        return {
            "exchange": self.exchange,
            "orders": self.orders,
            "reports": self.reports,
            "view": self.view,
            "account": self.account,
        }

    def state(self) -> dict[str, NDArray[np.void]]:
        """Copies of everything that changes; `load_state` continues from them bit for bit."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def load_state(self, state: dict[str, NDArray[np.void]]) -> None:
        """Continue from `state`, a `state()` of an exchange of this layout; DataError if it is of another."""
        for name, array in self._arrays().items():
            if name not in state or state[name].dtype != array.dtype or state[name].shape != array.shape:
                raise DataError(
                    f"paper exchange: {name!r} in the saved state has another layout; start afresh"
                )
        for name, array in self._arrays().items():
            array[:] = state[name]
