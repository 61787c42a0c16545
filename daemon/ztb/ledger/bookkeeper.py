"""Turns what the live lane does into journal rows and exact accounting."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import TYPE_CHECKING

from ztb.errors import InvariantError
from ztb.execution.order_states import TERMINAL, OrderProgress, progress_after
from ztb.execution.orders import (
    PROTECTIVE_SIDE,
    Filled,
    Funded,
    OrderEvent,
    OrderRequest,
    is_protective,
)
from ztb.execution.risk import RefusalReason
from ztb.ledger.accounts import Account
from ztb.ledger.journal import Journal
from ztb.ledger.records import FillRow, OrderEventRow, OrderRow, RefusalRow

if TYPE_CHECKING:
    from ztb.execution.own_costs import OwnCosts
    from ztb.execution.risk_gate import Proposal

_TOLERANCE = 1e-9
_ENDED_REMEMBERED = 256
BASE_FEE, OTHER_FEE = "base_fee", "other_fee"
"""Events of an order that say what its next fill cost beyond quote currency: `remaining_lots` is its price in
ticks, `reason` the amount."""


def client_prefix(run_id: str) -> str:
    """The prefix of the client ids of a run's orders; the order's number follows."""
    return f"ztb{run_id[:12]}-"


class Bookkeeper:
    """Listens to one lane. `generation` is the one that serves; the engine keeps it up to date.

    Every report takes its order a legal step further (`execution.order_states`) or raises InvariantError.
    """

    def __init__(
        self, journal: Journal, account: Account, run_id: str, own_costs: OwnCosts | None = None
    ) -> None:
        """`own_costs` is told of orders and fills."""
        self.journal = journal
        self.own_costs = own_costs
        self.account = account
        self.generation = 0
        self.orders = 0
        self.rejects = 0
        self.refusals = 0
        self.progress: dict[int, OrderProgress] = {}
        self._client_prefix = client_prefix(run_id)
        self._ended: deque[int] = deque()

    def intent(self, order: OrderRequest, decision: int, ts_ns: int) -> None:
        """An order is about to be sent: write it down first. `orders` counts those that decisions asked for."""
        self.orders += not is_protective(order.order_id)
        if self.own_costs is not None:
            self.own_costs.sent(order)
        self.expect(order)
        self.journal.append(
            OrderRow(
                order_id=order.order_id,
                client_id=f"{self._client_prefix}{order.order_id}",
                decision=decision,
                generation=self.generation,
                ts_ns=ts_ns,
                side=order.side,
                lots=order.lots,
                order_type=order.order_type.name.lower(),
                price_ticks=order.price_ticks,
                time_in_force=order.time_in_force.name,
                post_only=order.post_only,
                reduce_only=order.reduce_only,
            )
        )

    def expect(self, order: OrderRequest) -> None:
        """Reports on `order` are to come."""
        self.progress[order.order_id] = OrderProgress(order.order_id, order.lots)

    def refusal(self, order: Proposal, lots: int, reason: RefusalReason, decision: int, ts_ns: int) -> None:
        """The gate refused an order."""
        self.refusals += 1
        self.journal.append(
            RefusalRow(
                decision=decision,
                ts_ns=ts_ns,
                reason=str(reason),
                side=order.side,
                lots=lots,
                price=order.price,
            )
        )

    def event(self, event: OrderEvent, side: int) -> None:
        """The venue reported; fills are booked exactly. `side`: of the order, 0 if it is not one of ours that works."""
        self._step(event)
        if isinstance(event, Filled):
            self._fill(event, side)
            return
        if isinstance(event, Funded):
            self.account.fund(Decimal(repr(event.amount)))
        kind = type(event).__name__.lower()
        self.rejects += kind == "rejected"
        reason = repr(event.amount) if isinstance(event, Funded) else getattr(event, "reason", None)
        self.journal.append(
            OrderEventRow(
                order_id=getattr(event, "order_id", 0),
                ts_ns=event.ts_ns,
                event=kind,
                remaining_lots=getattr(event, "remaining_lots", None),
                reason=reason,
            )
        )

    def _step(self, event: OrderEvent) -> None:
        """One step of an order's life; of those that ended, the last few are remembered for late words."""
        before = None if isinstance(event, Funded) else self.progress.get(event.order_id)
        if before is None:
            return
        after = progress_after(before, event)
        self.progress[before.order_id] = after
        if after.state in TERMINAL and before.state not in TERMINAL:
            if self.own_costs is not None:
                self.own_costs.over(before.order_id)
            self._ended.append(before.order_id)
            if len(self._ended) > _ENDED_REMEMBERED:
                del self.progress[self._ended.popleft()]

    def _fill(self, event: Filled, side: int) -> None:
        if is_protective(event.order_id):
            side = PROTECTIVE_SIDE
        if side == 0:
            raise InvariantError(
                f"fill {event.fill_id} of order {event.order_id}, which is not ours or long done"
            )
        account, instrument = self.account, self.account.instrument
        before = account.fees_units
        account.fill(side, event.lots, event.price_ticks, liquidity=event.liquidity, fee=event.fee)
        fee = (account.fees_units - before) * account.unit
        self._other_fees(event)
        if self.own_costs is not None:
            price = event.price_ticks * float(instrument.tick_size)
            notional = price * event.lots * float(instrument.lot_size)
            paid = float(fee) + float(event.base_fee) * price
            self.own_costs.filled(event, price, paid / notional)
        self.journal.append(
            FillRow(
                order_id=event.order_id,
                fill_id=event.fill_id,
                ts_ns=event.ts_ns,
                side=side,
                lots=event.lots,
                price_ticks=event.price_ticks,
                price=str(event.price_ticks * instrument.tick_size),
                quantity=str(event.lots * instrument.lot_size),
                liquidity=event.liquidity,
                fee=f"{fee:f}",
            )
        )

    def _other_fees(self, event: Filled) -> None:
        """Fees in other currencies than the quote's, rows of their own before the fill's."""
        if event.base_fee:
            self.account.base_fee(event.base_fee, event.price_ticks)
            self._fee_row(event, BASE_FEE, f"{event.base_fee:f}")
        if event.other_fee:
            self._fee_row(event, OTHER_FEE, event.other_fee)

    def _fee_row(self, event: Filled, kind: str, amount: str) -> None:
        self.journal.append(
            OrderEventRow(
                order_id=event.order_id,
                ts_ns=event.ts_ns,
                event=kind,
                remaining_lots=event.price_ticks,
                reason=amount,
            )
        )

    def agree(self, cash: float, position: float, equity: float) -> None:
        """InvariantError unless the float64 account equals the exact one to 1e-9 of equity."""
        scale = max(abs(equity), 1e-300)
        mid = (equity - cash) / position if position else 0.0
        exact_cash, exact_position = self.account.cash, self.account.position
        apart = abs(exact_cash - cash) + abs(exact_position - position) * mid
        if apart > _TOLERANCE * scale:
            raise InvariantError(
                f"the ledger ({exact_cash!r} cash, {exact_position!r} position) and the trading account "
                f"({cash!r}, {position!r}) disagree by {apart:.3g}"
            )
