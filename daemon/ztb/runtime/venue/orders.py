"""Our orders at a venue: a table that turns what the venue says into events, each fact once.

Fills come from the venue's trades alone, by their unique ids; an order ends once as many lots as the venue says
were filled have been seen in trades, so that a cancel never overtakes a fill.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from ztb.execution.order_states import TERMINAL, OrderProgress, progress_after, progress_of_open
from ztb.execution.orders import (
    Accepted,
    Cancelled,
    CancelRejected,
    CancelRequested,
    Expired,
    Filled,
    OpenOrder,
    OrderEvent,
    OrderRequest,
    Rejected,
    SubmitUnknown,
    is_protective,
)
from ztb.market.instrument import Instrument
from ztb.market.live.client import Row
from ztb.runtime.venue.translation import fill_id, filled, price_of

_ENDED_REMEMBERED = 512
_OVER = frozenset({"closed", "expired", "rejected", "canceled", "cancelled", "canceling"})


@dataclass(slots=True)
class VenueOrder:
    """One order, driven by its events alone (`take`): its life is `progress`, as the table of `execution.order_states`
    has it.

    `accepted`: the venue is known to have it; `unknown`: no answer came to its sending. `ended` is what the venue said
    of its end, with the lots it had filled by then; `cancel_wanted`: a cancel waits until we know that the venue has
    the order; `ending`: it is being cancelled, again if need be. `seen_ns`: when the venue last said something of it.
    """

    request: OrderRequest
    client_id: str
    progress: OrderProgress
    venue_id: str | None = None
    accepted: bool = False
    unknown: bool = False
    cancel_wanted: bool = False
    ending: bool = False
    filled: Decimal = Decimal(0)  # base currency, exactly
    seen_ns: int = 0
    ended: tuple[str, int] | None = None

    @property
    def order_id(self) -> int:
        return self.request.order_id

    @property
    def filled_lots(self) -> int:
        return self.progress.filled_lots

    @property
    def done(self) -> bool:
        """True if its life is over, as everybody has been told."""
        return self.progress.state in TERMINAL

    @property
    def remaining_lots(self) -> int:
        """Lots that no fill is known of."""
        return self.request.lots - self.filled_lots

    @property
    def over(self) -> bool:
        """True if it can fill no more, though there may be fills that we have not heard of."""
        return self.done or self.ended is not None

    @property
    def end_is_due(self) -> bool:
        """True if the venue has said that it is over, and every fill before that is known."""
        return not self.done and self.ended is not None and self.filled_lots >= self.ended[1]

    def take(self, event: OrderEvent) -> None:
        """Live through `event`. InvariantError: the table has no such step."""
        self.progress = progress_after(self.progress, event)
        match event:
            case Accepted() | Filled():
                self.accepted, self.unknown = True, False
            case SubmitUnknown():
                self.unknown = True
            case _:
                pass

    def heard_of(self, row: Row, now_ns: int) -> bool:
        """Note that the venue tells of it; True where that tells the venue's id for it first."""
        self.seen_ns = now_ns
        if row.get("id") is None or self.venue_id is not None:
            return False
        self.venue_id = str(row["id"])
        return True

    def want_cancel(self) -> bool:
        """A cancel is to be sent; True if it can be now. Where it is unknown whether the venue has it, it waits."""
        self.cancel_wanted = self.unknown
        return not (self.over or self.unknown or self.ending)


@dataclass(slots=True)
class OrderTable:
    """Our orders, by number, and what the venue says of them. `ours` says which client ids are of this run."""

    instrument: Instrument
    prefix: str
    orders: dict[int, VenueOrder] = field(default_factory=dict[int, VenueOrder])
    events: deque[OrderEvent] = field(default_factory=deque[OrderEvent])
    trades: set[int] = field(default_factory=set[int])
    foreign: dict[int, Row] = field(default_factory=dict[int, Row])
    """Trades of orders that are not ours, or not known to be ours yet, by id."""
    _open: dict[int, VenueOrder] = field(default_factory=dict[int, VenueOrder])
    _ended: deque[int] = field(default_factory=deque[int])

    def add(self, request: OrderRequest) -> VenueOrder:
        """An order that is about to be sent."""
        progress = OrderProgress(request.order_id, request.lots)
        order = VenueOrder(request, f"{self.prefix}{request.order_id}", progress)
        self._enter(order)
        return order

    def resume(self, left: OpenOrder, client_id: str) -> None:
        """An order of before a restart, whose outcome is to be asked for."""
        filled = (left.request.lots - left.remaining_lots) * self.instrument.lot_size
        order = VenueOrder(left.request, client_id, progress_of_open(left), unknown=True, filled=filled)
        self._enter(order)

    def _enter(self, order: VenueOrder) -> None:
        self.orders[order.order_id] = self._open[order.order_id] = order

    @property
    def open(self) -> list[VenueOrder]:
        """Orders that are not known to be over."""
        return list(self._open.values())

    @property
    def working(self) -> list[VenueOrder]:
        """Those of them that decisions asked for; the others are protective stops."""
        return [order for order in self.open if not is_protective(order.order_id)]

    @property
    def owing(self) -> set[int]:
        """Orders that are over, but for fills that the venue has not told yet."""
        return {order.order_id for order in self._open.values() if order.over}

    @property
    def known(self) -> int:
        """The number of trades of the account that are known."""
        return len(self.trades) + len(self.foreign)

    def by_client_id(self, client_id: str | None) -> VenueOrder | None:
        number = (client_id or "").removeprefix(self.prefix)
        if not (client_id or "").startswith(self.prefix) or not number.isdecimal():
            return None
        return self.orders.get(int(number))

    def told(self, row: Row, now_ns: int) -> None:
        """The venue's word on an order, ccxt's structure; one that is not ours changes nothing."""
        order = self.by_client_id(row.get("clientOrderId")) or self._by_venue_id(row.get("id"))
        if order is None or order.done:
            return
        if order.heard_of(row, now_ns):
            self._claim(order)
        status = row.get("status")
        if status == "rejected" and not order.accepted:
            self.refused(order, "venue", now_ns)
            return
        if not order.accepted:
            self._happened(order, Accepted(order.order_id, now_ns))
        # Without the quantity filled nobody knows yet which fills to wait for.
        if status in _OVER and row.get("filled") is not None:
            order.ended = str(status), self.instrument.nearest_lots(Decimal(str(row["filled"])))
            self._end(order, now_ns)

    def traded(self, trade: Row) -> None:
        """One of the account's trades. Told twice, it counts once. One without a price cannot be booked: it is left
        among the foreign, and reconciliation says so."""
        number = fill_id(trade)
        if number in self.trades or number in self.foreign:
            return
        order, price = self._by_venue_id(trade.get("order")), price_of(trade)
        if order is None or price is None:
            self.foreign[number] = trade
            return
        self._fill(order, trade, price)

    def refused(self, order: VenueOrder, reason: str, now_ns: int) -> None:
        """The order never was at the venue, or was turned away."""
        if not order.done:
            self._happened(order, Rejected(order.order_id, now_ns, reason))

    def lost_sight(self, order: VenueOrder, reason: str, now_ns: int) -> None:
        """No answer came to the sending."""
        if not order.unknown and not order.accepted:
            self._happened(order, SubmitUnknown(order.order_id, now_ns, reason))

    def cancel_asked(self, order_id: int, now_ns: int) -> VenueOrder | None:
        """A cancel is to be sent; None, and the answer at once, where there is nothing to cancel."""
        order = self.orders.get(order_id)
        if order is None or order.done:
            self.events.append(CancelRejected(order_id, now_ns, "already_done"))
            return None
        self._happened(order, CancelRequested(order_id, now_ns))
        return order

    def cancel_refused(self, order: VenueOrder, reason: str, now_ns: int) -> None:
        """The venue would not cancel."""
        if not order.done:
            self._happened(order, CancelRejected(order.order_id, now_ns, reason))

    def _by_venue_id(self, venue_id: object) -> VenueOrder | None:
        if venue_id is None:
            return None
        return next((o for o in self.orders.values() if o.venue_id == str(venue_id)), None)

    def _claim(self, order: VenueOrder) -> None:
        """Trades that came before we knew the venue's id of their order."""
        for number, trade in sorted(self.foreign.items()):
            price = price_of(trade)
            if str(trade.get("order")) == order.venue_id and price is not None:
                del self.foreign[number]
                self._fill(order, trade, price)

    def _fill(self, order: VenueOrder, trade: Row, price: Decimal) -> None:
        fill: Filled = filled(
            trade=trade,
            price=price,
            order=order.request,
            before=order.filled,
            instrument=self.instrument,
            seen_ns=order.seen_ns,
        )
        self.trades.add(fill.fill_id)
        order.filled += Decimal(str(trade["amount"]))
        self._happened(order, fill)
        self._end(order, fill.ts_ns)

    def _end(self, order: VenueOrder, now_ns: int) -> None:
        """The order's end, once every fill before it is known."""
        if not order.end_is_due or order.ended is None:
            return
        kind, lots = order.ended
        if lots >= order.request.lots:
            return
        remaining = order.remaining_lots
        made = Expired if kind in ("expired", "closed") else Cancelled
        self._happened(order, made(order.order_id, now_ns, remaining))

    def _happened(self, order: VenueOrder, event: OrderEvent) -> None:
        """Let `order` live through `event`, and tell it."""
        was_done = order.done
        order.take(event)
        self.events.append(event)
        if order.done and not was_done:
            self._open.pop(order.order_id, None)
            self._ended.append(order.order_id)
            if len(self._ended) > _ENDED_REMEMBERED:
                self.orders.pop(self._ended.popleft(), None)
