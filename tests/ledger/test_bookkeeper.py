"""Each thing a lane does becomes the rows it should, is counted where it should be, and is booked exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from ztb.errors import InvariantError
from ztb.execution.orders import (
    PROTECTIVE_FROM,
    Accepted,
    Cancelled,
    CancelRejected,
    Filled,
    Funded,
    OrderRequest,
    OrderType,
    Rejected,
    TimeInForce,
)
from ztb.execution.risk import RefusalReason
from ztb.execution.risk_gate import Proposal
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.records import FillRow, OrderEventRow, OrderRow, Record, RefusalRow
from ztb.market.instrument import Instrument

D = Decimal
INSTRUMENT = Instrument(
    "BTC/USD", "BTC", "USD", "test", D("0.01"), D("0.001"), D(1), D("0.001"), D("0.002"), 1.0
)
RUN = "a-run-of-a-long-name"


@dataclass
class Journal:
    rows: list[Record] = field(default_factory=list)

    def append(self, row: Record) -> None:
        self.rows.append(row)


@dataclass
class OwnCosts:
    """Notes what it is told."""

    told: list[tuple[object, ...]] = field(default_factory=list)

    def sent(self, order: OrderRequest) -> None:
        self.told.append(("sent", order.order_id))

    def over(self, order_id: int) -> None:
        self.told.append(("over", order_id))

    def filled(self, event: Filled, price: float, fee: float) -> None:
        self.told.append(("filled", event.fill_id, price, fee))


class Desk:
    def __init__(self) -> None:
        self.journal, self.costs = Journal(), OwnCosts()
        self.account = Account(INSTRUMENT, D(1000))
        self.books = Bookkeeper(self.journal, self.account, RUN, self.costs)  # type: ignore[arg-type]


def order(number: int, lots: int = 10) -> OrderRequest:
    return OrderRequest(number, 1, lots, OrderType.LIMIT, 5000, TimeInForce.GTC, post_only=True)


def filled(number: int, lots: int, cumulative: int, **more: object) -> Filled:
    return Filled(number, 20, 100 + cumulative, lots, 5000, "taker", cumulative, **more)  # type: ignore[arg-type]


def test_a_new_book_counts_from_nothing_and_one_that_nobody_prices_books_the_same():
    desk = Desk()
    assert (desk.books.orders, desk.books.rejects, desk.books.refusals, desk.books.generation) == (0, 0, 0, 0)
    alone = Bookkeeper(desk.journal, desk.account, RUN)  # type: ignore[arg-type]
    alone.intent(order(1), 3, 10)
    alone.event(filled(1, 10, 10), 1)
    assert desk.costs.told == [] and desk.account.lots == 10


def test_an_intent_is_a_row_with_the_generation_that_serves_and_an_id_of_the_run():
    desk = Desk()
    desk.books.generation = 7
    desk.books.intent(order(3), 5, 10)
    assert desk.journal.rows == [
        OrderRow(3, "ztba-run-of-a-l-3", 5, 7, 10, 1, 10, "limit", 5000, "GTC", True, False)
    ]
    assert desk.books.orders == 1 and desk.costs.told == [("sent", 3)]
    desk.books.intent(order(PROTECTIVE_FROM), 5, 10)  # no decision asked for it
    assert desk.books.orders == 1 and len(desk.journal.rows) == 2


def test_a_refusal_is_counted_and_told():
    desk = Desk()
    desk.books.refusal(Proposal(-1, 0.004, 50.0), 4, RefusalReason.EXPOSURE, 5, 10)
    assert desk.journal.rows == [RefusalRow(5, 10, "exposure", -1, 4, 50.0)] and desk.books.refusals == 1


def test_a_fill_is_booked_told_and_ends_its_order():
    desk = Desk()
    desk.books.intent(order(1), 5, 10)
    desk.books.event(filled(1, 4, 4), 1)
    assert (desk.account.lots, desk.account.exact_cash) == (4, D(1000) - D("0.2") - D("0.0004"))
    assert desk.journal.rows[1] == FillRow(1, 104, 20, 1, 4, 5000, "50.00", "0.004", "taker", "0.0004000000")
    assert desk.costs.told[1:] == [("filled", 104, 50.0, pytest.approx(0.002))]
    desk.books.event(filled(1, 6, 10), 1)
    assert ("over", 1) in desk.costs.told and desk.account.lots == 10 and desk.account.fills == 2


def test_fees_in_other_currencies_come_before_their_fill_and_count_what_they_are_worth():
    desk = Desk()
    desk.books.intent(order(1), 5, 10)
    desk.books.event(filled(1, 4, 4, fee=D(0), base_fee=D("0.00001"), other_fee="0.01 BNB"), 1)
    base, other, fill = desk.journal.rows[1:]
    assert base == OrderEventRow(1, 20, "base_fee", 5000, "0.00001")
    assert other == OrderEventRow(1, 20, "other_fee", 5000, "0.01 BNB")
    assert isinstance(fill, FillRow) and D(fill.fee) == 0
    assert desk.account.exact_position == D("0.004") - D("0.00001") and desk.account.fees == 0.0005
    assert desk.costs.told[1] == ("filled", 104, 50.0, pytest.approx(0.0005 / 0.2))


def test_a_protective_stop_sells_whoever_says_otherwise_and_a_fill_of_nobodys_order_is_an_error():
    desk = Desk()
    desk.books.event(filled(PROTECTIVE_FROM, 4, 4), 0)
    assert desk.account.lots == -4
    with pytest.raises(InvariantError, match="fill 104 of order 9, which is not ours or long done"):
        desk.books.event(filled(9, 4, 4), 0)


def test_other_reports_are_rows_of_their_own():
    desk = Desk()
    for number in (1, 2):
        desk.books.intent(order(number), 5, 10)
    desk.books.event(Accepted(1, 11), 1)
    desk.books.event(Cancelled(1, 12, 10), 1)
    desk.books.event(Rejected(2, 13, "no"), 1)
    desk.books.event(Funded(14, -0.25), 0)
    assert desk.journal.rows[2:] == [
        OrderEventRow(1, 11, "accepted", None, None),
        OrderEventRow(1, 12, "cancelled", 10, None),
        OrderEventRow(2, 13, "rejected", None, "no"),
        OrderEventRow(0, 14, "funded", None, "-0.25"),
    ]
    assert desk.books.rejects == 1 and desk.account.exact_cash == D("999.75")
    assert desk.costs.told == [("sent", 1), ("sent", 2), ("over", 1), ("over", 2)]


def test_an_order_that_ended_is_remembered_for_late_words_but_not_for_ever():
    desk = Desk()
    for number in range(1, 259):
        desk.books.intent(order(number), 5, 10)
        desk.books.event(Cancelled(number, 12, 10), 1)
        desk.books.event(CancelRejected(number, 13, "late"), 1)
    assert sorted(desk.books.progress) == list(range(3, 259))
    with pytest.raises(InvariantError, match="cannot be"):
        desk.books.event(Accepted(3, 14), 1)
    desk.books.event(Accepted(1, 14), 1)  # long forgotten


@pytest.mark.parametrize(
    ("cash", "position", "agrees"),
    [
        (1000.0, 0.0, True), (1000.0 + 0.9e-6, 0.0, True), (1000.0 + 1.1e-6, 0.0, False),
        (1000.0 - 1.1e-6, 0.0, False), (1000.0, 1e-8, True), (1000.0, 3e-8, False), (1000.0, -3e-8, False),
    ],
)  # fmt: skip
def test_the_books_agree_to_a_billionth_of_equity(cash, position, agrees):
    books = Desk().books
    equity = cash + position * 50.0
    if agrees:
        books.agree(cash, position, equity)
    else:
        with pytest.raises(InvariantError, match=r"disagree by 1\.\de-06"):
            books.agree(cash, position, equity)
