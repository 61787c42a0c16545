"""The matching engine keeps its promises over any sequence of orders and cancels."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from ztb.testing.exchange.listing import BTCUSDT, SCALE, cost_of
from ztb.testing.exchange.orders import (
    OPEN,
    BalanceChange,
    ExchangeOrder,
    ExchangeOrderRequest,
    ExchangeOrderType,
    ExchangeTimeInForce,
    ExecutionReport,
    ExecutionType,
    Print,
    Refusal,
    Side,
)
from ztb.testing.exchange.venue import FEES, MAKERS, MatchingEngine

ACCOUNTS = ("ann", "bob", MAKERS)
MIDDLE = BTCUSDT.start_price
DEPOSITS = {"BTC": 2 * SCALE, "USDT": 100_000 * SCALE}
LOTS_OF_FIVE = 50

kinds = st.sampled_from(
    [
        (ExchangeOrderType.LIMIT, ExchangeTimeInForce.GTC),
        (ExchangeOrderType.LIMIT, ExchangeTimeInForce.GTC),
        (ExchangeOrderType.LIMIT, ExchangeTimeInForce.IOC),
        (ExchangeOrderType.LIMIT, ExchangeTimeInForce.FOK),
        (ExchangeOrderType.LIMIT_MAKER, ExchangeTimeInForce.GTC),
        (ExchangeOrderType.MARKET, ExchangeTimeInForce.GTC),
    ]
)
places = st.tuples(
    st.sampled_from(ACCOUNTS),
    st.sampled_from(list(Side)),
    kinds,
    st.integers(-4, 4),
    st.integers(1, 40),
    st.booleans(),
)
cancels = st.integers(0, 200)
commands = st.lists(st.one_of(places, places, places, cancels), max_size=60)


@dataclass
class Told:
    """What the facts alone say of orders and balances."""

    orders: dict[int, ExchangeOrder] = field(default_factory=dict)
    balances: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    prints: list[Print] = field(default_factory=list)

    def listen(self, venue: MatchingEngine) -> None:
        for fact in venue.take_facts():
            match fact:
                case Print():
                    self.prints.append(fact)
                case ExecutionReport():
                    self.orders[fact.order.id] = fact.order
                case BalanceChange():
                    self.balances |= {(fact.account, a): (free, locked) for a, free, locked in fact.balances}


def opened() -> MatchingEngine:
    venue = MatchingEngine.of([BTCUSDT])
    for account in ACCOUNTS:
        for asset, units in DEPOSITS.items():
            venue.accounts.deposit(account, asset, units)
    return venue


def request_of(command: tuple, number: int) -> ExchangeOrderRequest:
    account, side, (kind, force), offset, size, by_quote = command
    quantity = size * LOTS_OF_FIVE * BTCUSDT.lot
    price = MIDDLE + offset * BTCUSDT.tick
    if kind is not ExchangeOrderType.MARKET:
        return ExchangeOrderRequest(account, "BTCUSDT", f"c{number}", side, kind, force, price, quantity)
    if by_quote:
        return ExchangeOrderRequest(
            account, "BTCUSDT", f"c{number}", side, kind, force, 0, 0, cost_of(price, quantity)
        )
    return ExchangeOrderRequest(account, "BTCUSDT", f"c{number}", side, kind, force, 0, quantity)


def resting(venue: MatchingEngine) -> list[ExchangeOrder]:
    """Orders on the book, by time of arrival, read off the orders rather than the book."""
    return [order for order in venue.orders.values() if order.status in OPEN]


def expected_fills(venue: MatchingEngine, request: ExchangeOrderRequest) -> list[tuple[int, int, int]]:
    """A naive matcher: maker id, price, quantity, by price and then by arrival."""
    makers = [o for o in resting(venue) if o.request.side is request.side.opposite]
    makers = [o for o in makers if o.request.account != request.account]
    sign = 1 if request.side is Side.BUY else -1
    if request.type is not ExchangeOrderType.MARKET:
        makers = [o for o in makers if sign * o.request.price <= sign * request.price]
    fills, left, budget = [], request.quantity, request.quote_quantity
    for maker in sorted(makers, key=lambda o: (sign * o.request.price, o.id)):
        price = maker.request.price
        room = budget * SCALE // price // BTCUSDT.lot * BTCUSDT.lot if request.quote_quantity else left
        quantity = min(maker.remaining, room)
        if quantity:
            fills.append((maker.id, price, quantity))
        left -= quantity
        budget -= cost_of(price, quantity)
        if quantity < maker.remaining:
            break
    all_or_none = request.time_in_force is ExchangeTimeInForce.FOK
    return [] if all_or_none and sum(f[2] for f in fills) < request.quantity else fills


def apply(venue: MatchingEngine, told: Told, command: tuple | int, number: int) -> None:
    if isinstance(command, int):
        candidates = resting(venue)
        if candidates:
            venue.cancel(candidates[command % len(candidates)], number)
        told.listen(venue)
        return
    request = request_of(command, number)
    expected = expected_fills(venue, request)
    before = len(told.prints)
    try:
        venue.place(request, number)
    except Refusal:
        expected = []
    told.listen(venue)
    makers = [
        (p.seller_order if request.side is Side.BUY else p.buyer_order, p.price, p.quantity)
        for p in told.prints[before:]
    ]
    assert makers == expected


def check(venue: MatchingEngine, told: Told) -> None:
    accounts = venue.accounts
    for asset, units in DEPOSITS.items():
        assert accounts.total(asset) == units * len(ACCOUNTS)
    book = venue.markets["BTCUSDT"].book
    if book.bids.best is not None and book.asks.best is not None:
        assert book.bids.best < book.asks.best
    orders = resting(venue)
    for account in (*ACCOUNTS, FEES):
        for asset in DEPOSITS:
            balance = accounts.held[account][asset]
            assert balance.free >= 0
            side = Side.BUY if asset == "USDT" else Side.SELL
            held = [o for o in orders if (o.request.account, o.request.side) == (account, side)]
            needed = [
                cost_of(o.request.price, o.remaining) if side is Side.BUY else o.remaining for o in held
            ]
            assert [o.locked for o in held] == needed
            assert balance.locked == sum(needed)
    for side, book_side in ((Side.BUY, book.bids), (Side.SELL, book.asks)):
        here = [o for o in orders if o.request.side is side]
        totals: dict[int, int] = {}
        for order in here:
            totals[order.request.price] = totals.get(order.request.price, 0) + order.remaining
        assert book_side.totals == totals
        assert book_side.prices == sorted(totals)


def check_told(venue: MatchingEngine, told: Told) -> None:
    """The user stream alone leads to what a query answers."""
    for account in ("ann", "bob"):
        for order in venue.orders_of(account, "BTCUSDT"):
            assert told.orders[order.id] == order
        for asset in DEPOSITS:
            balance = venue.accounts.held[account][asset]
            if (account, asset) in told.balances:
                assert told.balances[account, asset] == (balance.free, balance.locked)
            else:
                assert (balance.free, balance.locked) == (DEPOSITS[asset], 0)
    assert [printed.id for printed in told.prints] == list(range(1, len(told.prints) + 1))


@settings(max_examples=150)
@given(commands)
def test_any_sequence_keeps_assets_priority_locks_and_the_users_picture(sequence: list) -> None:
    venue, told = opened(), Told()
    for number, command in enumerate(sequence):
        apply(venue, told, command, number)
        check(venue, told)
    check_told(venue, told)


@settings(max_examples=100)
@given(commands)
def test_fills_of_an_order_sum_to_what_it_says(sequence: list) -> None:
    venue, told = opened(), Told()
    for number, command in enumerate(sequence):
        apply(venue, told, command, number)
    for order in venue.orders.values():
        fills = [fill for fill in venue.fills if fill.order_id == order.id]
        if order.request.account != MAKERS:
            assert sum(fill.quantity for fill in fills) == order.filled
            assert sum(fill.quote for fill in fills) == order.spent


@settings(max_examples=100)
@given(commands)
def test_depth_differences_build_the_book(sequence: list) -> None:
    venue, told = opened(), Told()
    book = venue.markets["BTCUSDT"].book
    mirror: dict[tuple[Side, int], int] = {}
    expected_first = 1
    for number, command in enumerate(sequence):
        apply(venue, told, command, number)
        if number % 3 == 0:
            first, last, levels = book.take_changes()
            assert first == expected_first
            expected_first = last + 1
            mirror |= {(side, price): left for side, price, left in levels}
    mirror |= {(side, price): left for side, price, left in book.take_changes()[2]}
    whole = {(s, p): t for s in Side for p, t in book.of(s).totals.items()}
    assert {key: left for key, left in mirror.items() if left} == whole


def test_a_report_of_an_execution_comes_for_every_step() -> None:
    venue = opened()
    maker = ExchangeOrderRequest(
        "ann",
        "BTCUSDT",
        "m",
        Side.SELL,
        ExchangeOrderType.LIMIT,
        ExchangeTimeInForce.GTC,
        MIDDLE,
        SCALE // 10,
    )
    taker = ExchangeOrderRequest(
        "bob", "BTCUSDT", "t", Side.BUY, ExchangeOrderType.LIMIT, ExchangeTimeInForce.IOC, MIDDLE, SCALE // 5
    )
    venue.place(maker, 1)
    venue.place(taker, 2)
    reports = [fact for fact in venue.take_facts() if isinstance(fact, ExecutionReport)]
    assert [(r.order.request.account, r.execution) for r in reports] == [
        ("ann", ExecutionType.NEW),
        ("bob", ExecutionType.NEW),
        ("ann", ExecutionType.TRADE),
        ("bob", ExecutionType.TRADE),
        ("bob", ExecutionType.EXPIRED),
    ]
