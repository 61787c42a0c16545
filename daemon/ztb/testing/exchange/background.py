"""The venue's own flow: levels that others quote, and orders that take from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ztb.testing.exchange.listing import SCALE
from ztb.testing.exchange.orders import (
    OPEN,
    ExchangeOrder,
    ExchangeOrderRequest,
    ExchangeOrderType,
    ExchangeTimeInForce,
    Side,
)
from ztb.testing.exchange.venue import MAKERS, TAKERS, Market, MatchingEngine

_ENDLESS = 10**9 * SCALE


@dataclass(slots=True)
class Background:
    """Quotes and takes on one market, for accounts that never run dry."""

    venue: MatchingEngine
    market: Market
    quoted: dict[tuple[Side, int], list[ExchangeOrder]] = field(
        default_factory=dict[tuple[Side, int], list[ExchangeOrder]]
    )
    sent: int = 0

    def __post_init__(self) -> None:
        listing = self.market.listing
        for account in (MAKERS, TAKERS):
            for asset in (listing.base, listing.quote):
                self.venue.accounts.deposit(account, asset, _ENDLESS)

    def set_level(self, side: Side, price: int, quantity: int, now_ms: int) -> None:
        """Others quote `quantity` at `price`: what joins queues last, what leaves was last."""
        orders = self._orders(side, price)
        missing = quantity - sum(order.remaining for order in orders)
        while orders and (missing < 0 or (missing > 0 and self._is_last(orders[-1]))):
            last = orders.pop()
            self.venue.cancel(last, now_ms)
            missing += last.remaining
        if missing > 0:
            order = self._send(
                account=MAKERS,
                side=side,
                price=price,
                quantity=missing,
                force=ExchangeTimeInForce.GTC,
                now_ms=now_ms,
            )
            if order.status in OPEN:
                orders.append(order)
        if orders:
            self.quoted[side, price] = orders

    def quantity(self, side: Side, price: int) -> int:
        """The quantity that the background still quotes at `price`, in base units."""
        orders = self.quoted.get((side, price), [])
        return sum(order.remaining for order in orders if order.status in OPEN)

    def take(self, side: Side, quantity: int, limit: int, now_ms: int) -> None:
        """Somebody takes up to `quantity`, as far as `limit`."""
        self._send(
            account=TAKERS,
            side=side,
            price=limit,
            quantity=quantity,
            force=ExchangeTimeInForce.IOC,
            now_ms=now_ms,
        )

    def trade_at(self, side: Side, price: int, quantity: int, now_ms: int) -> None:
        """A trade that was recorded: `side` took `quantity` at `price`.

        It proves that nobody of the background quoted better. Own orders that were ahead trade first; what the
        book cannot fill is joined to the end of the level, so that all of `quantity` trades.
        """
        passive = side.opposite
        self.keep_only(passive, worse_than=price, now_ms=now_ms)
        book_side = self.market.book.of(passive)
        reached = sum(book_side.totals[level] for level in book_side.by_priority(price))
        if reached < quantity:
            missing = quantity - reached
            self.set_level(passive, price, self.quantity(passive, price) + missing, now_ms)
        self.take(side, quantity, price, now_ms)

    def keep_only(self, side: Side, worse_than: int, now_ms: int) -> None:
        """The background leaves all levels of `side` better than `worse_than`."""
        for price in list(self.market.book.of(side).by_priority(worse_than)):
            if price != worse_than and (side, price) in self.quoted:
                self.set_level(side, price, 0, now_ms)

    def replace_side(self, side: Side, levels: Iterable[tuple[int, int]], now_ms: int) -> None:
        """`levels` (price, quantity) are all that the background quotes on `side`."""
        wanted = dict(levels)
        for quoted_side, price in list(self.quoted):
            if quoted_side is side and price not in wanted:
                self.set_level(side, price, 0, now_ms)
        for price, quantity in wanted.items():
            if self.quantity(side, price) != quantity:
                self.set_level(side, price, quantity, now_ms)

    def _orders(self, side: Side, price: int) -> list[ExchangeOrder]:
        found = self.quoted.pop((side, price), [])
        return [order for order in found if order.status in OPEN]

    def _is_last(self, order: ExchangeOrder) -> bool:
        """True if nobody queues behind `order`: it can grow by taking its place anew."""
        request = order.request
        return next(reversed(self.market.book.of(request.side).levels[request.price])) == order.id

    def _send(
        self, account: str, side: Side, price: int, quantity: int, force: ExchangeTimeInForce, now_ms: int
    ) -> ExchangeOrder:
        self.sent += 1
        request = ExchangeOrderRequest(
            account=account,
            symbol=self.market.listing.symbol,
            client_id=f"{self.market.listing.symbol}{self.sent}",
            side=side,
            type=ExchangeOrderType.LIMIT,
            time_in_force=force,
            price=price,
            quantity=quantity,
        )
        return self.venue.place(request, now_ms)
