"""The venue: books, accounts and orders of all symbols. Commands in, facts out; no I/O and no clock.

Also here: what a symbol's filters refuse.

Also here: all that the venue knows: its books and accounts, bars, and who may do what.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ztb.testing.exchange.accounts import Accounts
from ztb.testing.exchange.book import Book, Match, match
from ztb.testing.exchange.candles import Candles
from ztb.testing.exchange.listing import PPM, Listing, cost_of
from ztb.testing.exchange.orders import (
    OPEN,
    BalanceChange,
    ExchangeOrder,
    ExchangeOrderRequest,
    ExchangeOrderStatus,
    ExchangeOrderType,
    ExchangeTimeInForce,
    ExecutionReport,
    ExecutionType,
    Fact,
    Fill,
    Print,
    Refusal,
    Side,
    filter_failure,
)


def check_filters(listing: Listing, request: ExchangeOrderRequest, last_price: int) -> None:
    """Raise a Refusal that names the first filter which `request` breaks; `last_price` in units."""
    if request.type is ExchangeOrderType.STOP_LOSS:
        _check_stop(listing, request, last_price)
    elif request.type is not ExchangeOrderType.MARKET:
        _check_price(listing, request, last_price)
    if request.quote_quantity:
        _check_notional(listing, request.quote_quantity)
        return
    if not listing.least <= request.quantity <= listing.max_quantity or request.quantity % listing.lot:
        raise filter_failure("LOT_SIZE")
    price = last_price if request.type.at_market else request.price
    _check_notional(listing, cost_of(price, request.quantity))


def _check_stop(listing: Listing, request: ExchangeOrderRequest, last_price: int) -> None:
    if not listing.stops or request.side is Side.BUY:
        raise Refusal(-1116, "Invalid orderType.")
    price = request.stop_price
    if not listing.tick <= price <= listing.max_price or price % listing.tick:
        raise filter_failure("PRICE_FILTER")
    if price >= last_price:
        raise Refusal(-2010, "Stop price would trigger immediately.")


def _check_price(listing: Listing, request: ExchangeOrderRequest, last_price: int) -> None:
    price = request.price
    if not listing.tick <= price <= listing.max_price or price % listing.tick:
        raise filter_failure("PRICE_FILTER")
    too_high = request.side is Side.BUY and price > last_price * listing.band
    too_low = request.side is Side.SELL and price * listing.band < last_price
    if too_high or too_low:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _check_notional(listing: Listing, notional: int) -> None:
    if notional < listing.min_notional:
        raise filter_failure("NOTIONAL")


MAKERS, TAKERS, FEES = "makers", "takers", "fees"
HOUSE = frozenset({MAKERS, TAKERS, FEES})
"""Accounts of the venue's own flow: nobody is told of their orders, and closed ones are forgotten."""

_PRINTS_KEPT = 50_000


@dataclass(slots=True)
class Market:
    """One symbol: its book and what traded, newest last; stops that wait, by id."""

    listing: Listing
    last_price: int
    book: Book = field(default_factory=Book)
    prints: deque[Print] = field(default_factory=lambda: deque[Print](maxlen=_PRINTS_KEPT))
    trades: int = 0
    stops: dict[int, ExchangeOrder] = field(default_factory=dict[int, ExchangeOrder])


@dataclass(slots=True)
class MatchingEngine:
    """State of the whole venue. Every command takes its time in milliseconds and leaves facts to be taken."""

    markets: dict[str, Market]
    accounts: Accounts = field(default_factory=Accounts)
    orders: dict[int, ExchangeOrder] = field(default_factory=dict[int, ExchangeOrder])
    open_ids: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    fills: list[Fill] = field(default_factory=list[Fill])
    facts: list[Fact] = field(default_factory=list[Fact])
    last_order_id: int = 0

    @classmethod
    def of(cls, listings: Sequence[Listing]) -> MatchingEngine:
        """An empty venue."""
        return cls({listing.symbol: Market(listing, listing.start_price) for listing in listings})

    def market(self, symbol: str) -> Market:
        """The market of `symbol`; Refusal if there is none."""
        found = self.markets.get(symbol)
        if found is None:
            raise Refusal(-1121, "Invalid symbol.")
        return found

    def place(self, request: ExchangeOrderRequest, now_ms: int) -> ExchangeOrder:
        """Accept an order, trade what crosses, rest or expire what is left; Refusal changes nothing."""
        market = self.market(request.symbol)
        if request.account not in HOUSE:
            check_filters(market.listing, request, market.last_price)
        if (request.account, request.client_id) in self.open_ids:
            raise Refusal(-2010, "Duplicate order sent.")
        if request.type is ExchangeOrderType.STOP_LOSS:
            return self._place_stop(market, request, now_ms)
        found = match(market.book, request, market.listing.lot)
        if request.type is ExchangeOrderType.LIMIT_MAKER and (found.fills or found.prevented):
            raise Refusal(-2010, "ExchangeOrder would immediately match and take.")
        order = self._accept(market, request, found, now_ms)
        if request.time_in_force is not ExchangeTimeInForce.FOK or found.quantity == request.quantity:
            self._trade(market, order, found, now_ms)
        self._rest_or_expire(market, order, now_ms)
        self._trigger_stops(market, now_ms)
        self._tell_balances(now_ms)
        return order

    def _place_stop(self, market: Market, request: ExchangeOrderRequest, now_ms: int) -> ExchangeOrder:
        order = self._accept(market, request, Match(), now_ms)
        market.stops[order.id] = order
        self._tell_balances(now_ms)
        return order

    def _trigger_stops(self, market: Market, now_ms: int) -> None:
        """Stops that the last price has reached sell at market, first placed first; each may trigger more."""
        while reached := [o for o in market.stops.values() if market.last_price <= o.request.stop_price]:
            order = market.stops.pop(reached[0].id)
            order.waiting = False
            self._trade(market, order, match(market.book, order.request, market.listing.lot), now_ms)
            self._rest_or_expire(market, order, now_ms)

    def cancel(self, order: ExchangeOrder, now_ms: int, cancel_id: str = "") -> None:
        """Take an open order off the book, or a stop out of the row of those that wait."""
        self._leave_book(order)
        self._close(
            order=order,
            status=ExchangeOrderStatus.CANCELED,
            execution=ExecutionType.CANCELED,
            now_ms=now_ms,
            cancel_id=cancel_id,
        )
        self._tell_balances(now_ms)

    def find(
        self, account: str, symbol: str, order_id: int | None, client_id: str | None
    ) -> ExchangeOrder | None:
        """The order of `account` by its id or, newest first, by its client id."""
        self.market(symbol)
        for order in reversed(self.orders_of(account, symbol)):
            if order.id == order_id or (order_id is None and order.request.client_id == client_id):
                return order
        return None

    def orders_of(self, account: str, symbol: str | None) -> list[ExchangeOrder]:
        """All orders of `account` ever accepted, oldest first; of one symbol or of all."""
        return [
            order
            for order in self.orders.values()
            if order.request.account == account and symbol in (None, order.request.symbol)
        ]

    def open_orders(self, account: str, symbol: str | None) -> list[ExchangeOrder]:
        """Those that rest on a book."""
        return [order for order in self.orders_of(account, symbol) if order.status in OPEN]

    def take_facts(self) -> list[Fact]:
        """Facts since the last call, in order."""
        facts, self.facts = self.facts, []
        return facts

    def _accept(
        self, market: Market, request: ExchangeOrderRequest, found: Match, now_ms: int
    ) -> ExchangeOrder:
        asset, needed = _funds(market.listing, request, found)
        if self.accounts.free(request.account, asset) < needed:
            raise Refusal(-2010, "Account has insufficient balance for requested action.")
        self.accounts.lock(request.account, asset, needed)
        self.last_order_id += 1
        quantity = request.quantity or found.quantity
        waits = request.type is ExchangeOrderType.STOP_LOSS
        order = ExchangeOrder(
            id=self.last_order_id,
            request=request,
            quantity=quantity,
            created_ms=now_ms,
            updated_ms=now_ms,
            locked=needed,
            waiting=waits,
        )
        self.orders[order.id] = order
        self.open_ids[request.account, request.client_id] = order.id
        self._report(order, ExecutionType.NEW, now_ms)
        return order

    def _trade(self, market: Market, order: ExchangeOrder, found: Match, now_ms: int) -> None:
        for own in found.prevented:
            self._leave_book(own)
            self._close(own, ExchangeOrderStatus.EXPIRED_IN_MATCH, ExecutionType.TRADE_PREVENTION, now_ms)
        for maker, quantity in found.fills:
            self._fill_pair(market=market, taker=order, maker=maker, quantity=quantity, now_ms=now_ms)

    def _fill_pair(
        self, market: Market, taker: ExchangeOrder, maker: ExchangeOrder, quantity: int, now_ms: int
    ) -> None:
        """One trade, at the maker's price."""
        buyer, seller = (taker, maker) if taker.request.side is Side.BUY else (maker, taker)
        price = maker.request.price
        market.trades += 1
        market.last_price = price
        printed = Print(
            symbol=market.listing.symbol,
            id=market.trades,
            price=price,
            quantity=quantity,
            time_ms=now_ms,
            buyer_order=buyer.id,
            seller_order=seller.id,
            buyer_is_maker=buyer is maker,
        )
        market.prints.append(printed)
        self.facts.append(printed)
        market.book.of(maker.request.side).reduce(maker, quantity)
        market.book.touch(maker.request.side, price)
        self._settle(listing=market.listing, buyer=buyer, seller=seller, price=price, quantity=quantity)
        for order in (maker, taker):
            self._book_fill(market.listing, order, printed, order is maker)
        if maker.status is ExchangeOrderStatus.FILLED:
            market.book.of(maker.request.side).remove(maker)

    def _settle(
        self, listing: Listing, buyer: ExchangeOrder, seller: ExchangeOrder, price: int, quantity: int
    ) -> None:
        """Swap quote for base out of what both orders hold locked."""
        quote = cost_of(price, quantity)
        limit = price if buyer.request.type.at_market else buyer.request.price
        held = cost_of(limit, quantity)
        accounts, payer, deliverer = self.accounts, buyer.request.account, seller.request.account
        accounts.pay(payer, deliverer, listing.quote, quote)
        accounts.pay(deliverer, payer, listing.base, quantity)
        accounts.release(payer, listing.quote, held - quote)
        buyer.locked -= held
        seller.locked -= quantity

    def _book_fill(self, listing: Listing, order: ExchangeOrder, printed: Print, is_maker: bool) -> None:
        """Charge the fee, count the fill, report it."""
        request = order.request
        quote = cost_of(printed.price, printed.quantity)
        buys = request.side is Side.BUY
        asset, received = (listing.base, printed.quantity) if buys else (listing.quote, quote)
        commission = received * (listing.maker_ppm if is_maker else listing.taker_ppm) // PPM
        self.accounts.charge(request.account, FEES, asset, commission)
        order.filled += printed.quantity
        order.spent += quote
        order.updated_ms = printed.time_ms
        order.status = (
            ExchangeOrderStatus.FILLED if order.remaining == 0 else ExchangeOrderStatus.PARTIALLY_FILLED
        )
        fill = Fill(
            trade_id=printed.id,
            order_id=order.id,
            symbol=listing.symbol,
            account=request.account,
            side=request.side,
            price=printed.price,
            quantity=printed.quantity,
            quote=quote,
            commission=commission,
            commission_asset=asset,
            is_maker=is_maker,
            time_ms=printed.time_ms,
        )
        if request.account not in HOUSE:
            self.fills.append(fill)
        self._report(order, ExecutionType.TRADE, printed.time_ms, fill)
        if order.status is ExchangeOrderStatus.FILLED:
            self._finish(order)

    def _rest_or_expire(self, market: Market, order: ExchangeOrder, now_ms: int) -> None:
        if order.status is ExchangeOrderStatus.FILLED:
            return
        rests = order.request.time_in_force is ExchangeTimeInForce.GTC and not order.request.type.at_market
        if rests:
            market.book.of(order.request.side).add(order)
            market.book.touch(order.request.side, order.request.price)
        else:
            self._close(order, ExchangeOrderStatus.EXPIRED, ExecutionType.EXPIRED, now_ms)

    def _leave_book(self, order: ExchangeOrder) -> None:
        market = self.markets[order.request.symbol]
        if order.waiting:
            del market.stops[order.id]
            return
        book = market.book
        book.of(order.request.side).remove(order)
        book.touch(order.request.side, order.request.price)

    def _close(
        self,
        order: ExchangeOrder,
        status: ExchangeOrderStatus,
        execution: ExecutionType,
        now_ms: int,
        cancel_id: str = "",
    ) -> None:
        order.status = status
        order.updated_ms = now_ms
        self._finish(order)
        self._report(order, execution, now_ms, cancel_id=cancel_id)

    def _finish(self, order: ExchangeOrder) -> None:
        """An order that ends lets go what it still holds."""
        request = order.request
        listing = self.markets[request.symbol].listing
        asset = listing.quote if request.side is Side.BUY else listing.base
        self.accounts.release(request.account, asset, order.locked)
        order.locked, order.waiting = 0, False
        del self.open_ids[request.account, request.client_id]
        if request.account in HOUSE:
            del self.orders[order.id]

    def _report(
        self,
        order: ExchangeOrder,
        execution: ExecutionType,
        now_ms: int,
        fill: Fill | None = None,
        cancel_id: str = "",
    ) -> None:
        if order.request.account not in HOUSE:
            self.facts.append(
                ExecutionReport(
                    order=replace(order), execution=execution, time_ms=now_ms, fill=fill, cancel_id=cancel_id
                )
            )

    def _tell_balances(self, now_ms: int) -> None:
        for account, assets in self.accounts.take_touched().items():
            if account not in HOUSE:
                held = self.accounts.held[account]
                balances = tuple((asset, held[asset].free, held[asset].locked) for asset in assets)
                self.facts.append(BalanceChange(account, balances, now_ms))


def _funds(listing: Listing, request: ExchangeOrderRequest, found: Match) -> tuple[str, int]:
    """Asset and units that an order has to hold back."""
    if request.side is Side.SELL:
        return listing.base, request.quantity or found.quantity
    if request.type is ExchangeOrderType.MARKET:
        return listing.quote, found.cost
    return listing.quote, cost_of(request.price, request.quantity)


USER = "user"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key of the account `USER`, made up, and its rights."""

    key: str = "local-exchange-key"
    secret: str = "local-exchange-secret"
    withdrawals: bool = False


@dataclass(slots=True)
class State:
    """The venue, bars of each symbol by the minute, and the one key."""

    venue: MatchingEngine
    candles: dict[str, Candles]
    credentials: Credentials = field(default_factory=Credentials)

    @classmethod
    def of(cls, listings: Sequence[Listing], credentials: Credentials) -> State:
        """Nothing has happened yet."""
        candles = {listing.symbol: Candles() for listing in listings}
        return cls(MatchingEngine.of(listings), candles, credentials)
