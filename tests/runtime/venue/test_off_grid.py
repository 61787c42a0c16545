"""What a venue trades off its own grid never ends the daemon, and cash and position are what the venue says."""

from __future__ import annotations

import itertools
import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.venue.fake_account import INSTRUMENT, PREFIX, Wall
from runtime.venue.live_runs import ledger_of
from ztb.execution.orders import OrderRequest, OrderType
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.capital import Opening
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import OrderEventRow
from ztb.runtime.venue.broker import VenueBroker
from ztb.runtime.venue.orders import OrderTable

CASH = Decimal(100_000)
prices = st.decimals("59000", "61000", places=5)
amounts = st.decimals("0.00000001", "0.05", places=8)
fees = st.tuples(st.decimals("0", "0.01", places=8), st.sampled_from(["USDT", "BTC", "BNB"]))
sides = st.sampled_from([1, -1])


class Books:
    """Orders of a venue, booked into a journal in `folder`, an exact account and a float64 one."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "journal.sqlite")
        self.journal.append(Opening(CASH, Decimal(1), 60_000.0).note(1))
        self.account = Account(INSTRUMENT, CASH)
        self.account.hold(Decimal(1))
        self.broker = VenueBroker(INSTRUMENT, PREFIX, Wall(), lambda: None)
        self.broker.account["cash"], self.broker.account["position"] = float(CASH), 1.0
        self.books = Bookkeeper(self.journal, self.account, "test")

    @property
    def table(self) -> OrderTable:
        return self.broker.table

    def order(self, number: int, side: int, amount: Decimal) -> None:
        request = OrderRequest(number, side, INSTRUMENT.nearest_lots(amount) + 1, OrderType.MARKET)
        self.books.intent(request, 0, 1)
        self.table.add(request)
        self.table.told({"id": str(number), "clientOrderId": f"{PREFIX}{number}", "status": "open"}, 1)

    def end(self, number: int, amount: Decimal) -> None:
        row = {
            "id": str(number),
            "clientOrderId": f"{PREFIX}{number}",
            "status": "canceled",
            "filled": float(amount),
        }
        self.table.told(row, 2)

    def collect(self) -> None:
        for event in self.broker.events():
            order = self.table.orders[event.order_id].request
            self.books.event(event, order.side)


def trade(number: int, order: int, amount: Decimal, price: Decimal, fee: Decimal, currency: str) -> dict:
    return {
        "id": str(number), "order": str(order), "timestamp": 2, "amount": float(amount), "price": float(price),
        "fee": {"cost": float(fee), "currency": currency},
    }  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(sides, st.lists(st.tuples(amounts, prices, fees), min_size=1, max_size=4)), max_size=4)
)
def test_cash_and_position_are_the_venues_and_orders_end_now_and_after_a_restart(orders):
    with tempfile.TemporaryDirectory() as place:
        books = Books(Path(place))
        cash, position, count = CASH, Decimal(1), itertools.count(1)
        for number, (side, trades) in enumerate(orders, 1):
            total = sum(amount for amount, _, _ in trades)
            books.order(number, side, total)
            for amount, price, (fee, currency) in trades:
                books.table.traded(trade(next(count), number, amount, price, fee, currency))
                cash -= side * amount * price + (fee if currency == "USDT" else 0)
                position += side * amount - (fee if currency == "BTC" else 0)
            books.end(number, total)
            books.collect()
        assert not books.table.open
        account = books.account
        assert abs(account.exact_cash - cash) <= next(count) * account.unit
        assert account.exact_position == position
        books.books.agree(
            books.broker.account["cash"].item(), books.broker.account["position"].item(), float(CASH)
        )
        books.journal.close()
        assert ledger_of(Path(place), account)[1] == (account.exact_cash, account.exact_position)


def test_a_trade_off_the_grid_says_so_in_the_journal_and_costs_what_it_cost(tmp_path):
    books = Books(tmp_path)
    books.order(1, 1, Decimal("0.01"))
    books.table.traded(trade(1, 1, Decimal("0.010004"), Decimal("60000.0049"), Decimal(0), "USDT"))
    books.collect()
    books.journal.close()
    reader = JournalReader(tmp_path / "journal.sqlite")
    said = {row.event: row.reason for row in reader.rows(OrderEventRow)}
    reader.close()
    assert said["other_fee"] == "off the grid: 0.010004 at 60000.0049"
    assert books.account.exact_cash == CASH - Decimal("0.010004") * Decimal("60000.0049")
    assert books.account.fees == float(Decimal("0.0049") * Decimal("0.010004"))


def test_quantities_that_only_together_make_a_lot_end_their_order(tmp_path):
    books = Books(tmp_path)
    books.order(1, 1, Decimal("0.00002"))
    for number in range(1, 6):
        books.table.traded(trade(number, 1, Decimal("0.000004"), Decimal(60_000), Decimal(0), "USDT"))
    books.end(1, Decimal("0.00002"))
    books.collect()
    books.journal.close()
    assert not books.table.open and books.account.lots == 100_002 and books.account.dust == 0
