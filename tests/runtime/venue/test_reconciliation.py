"""Books and venue agree to the last unit, or trading halts and the journal says why."""

from __future__ import annotations

import json
from decimal import Decimal

from runtime.venue.fake_account import INSTRUMENT, PREFIX, Desk, FakeAccount, buy
from ztb.execution.orders import Filled, OpenOrder
from ztb.ledger.accounts import Account
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import NoteRow
from ztb.runtime.venue.reconciliation import Reconciler
from ztb.testing.virtual_time import run_virtual


class Books:
    """A desk, an exact account that books its fills, and what a reconciler says of them."""

    def __init__(self, tmp_path, account: FakeAccount) -> None:
        self.desk = Desk(account)
        self.exact = Account(INSTRUMENT, Decimal(100_000))
        self.exact.hold(Decimal(1))
        self.journal = Journal(tmp_path / "journal.sqlite")
        self.halts: list[str] = []
        self.reconciler = Reconciler(
            self.desk.gateway, self.exact, self.journal, 5.0, 0, self.collect, self.halts.append
        )

    def collect(self) -> None:
        before = len(self.desk.events)
        self.desk.collect()
        for event in self.desk.events[before:]:
            if isinstance(event, Filled):
                order = self.desk.broker.table.orders[event.order_id].request
                self.exact.fill(order.side, event.lots, event.price_ticks, event.liquidity, event.fee)

    def mismatches(self) -> list[dict]:
        self.journal.close()
        return [json.loads(row.detail) for row in JournalReader(self.journal.path).rows(NoteRow)]


def left_open(account: FakeAccount, books: Books, order_id: int) -> None:
    """An order of before a restart, which the venue has."""
    account.orders[str(order_id)] = {
        "id": str(order_id), "clientOrderId": f"{PREFIX}{order_id}", "status": "open", "amount": 0.03, "filled": 0.0,
        "side": "buy",
    }  # fmt: skip
    books.desk.broker.resume([OpenOrder(buy(order_id, 3000), 3000)], {order_id: f"{PREFIX}{order_id}"}, set())


def test_fills_of_while_we_were_away_are_found_and_the_books_agree(tmp_path):
    account = FakeAccount()
    books = Books(tmp_path, account)
    left_open(account, books, 1)
    account.trade("1", "0.01")
    account.trade("1", "0.02", fee="1.2")

    async def restart() -> None:
        order = books.desk.broker.table.orders[1]
        await books.desk.gateway.look_at(order)
        await books.reconciler.reconcile()

    run_virtual(restart())
    assert books.desk.kinds == ["Accepted", "Filled", "Filled"] and not books.halts
    assert books.exact.exact_cash == account.quote and books.reconciler.done.is_set()


def test_a_balance_that_nobody_can_explain_halts_with_its_evidence(tmp_path):
    account = FakeAccount()
    books = Books(tmp_path, account)
    run_virtual(books.reconciler.reconcile())
    assert books.reconciler.done.is_set()
    account.base -= Decimal("0.00000001")
    run_virtual(books.reconciler.reconcile())
    assert len(books.halts) == 1 and not books.reconciler.done.is_set()
    found = books.mismatches()[-1]
    assert found["venue"]["position"] == "0.99999999" and found["ledger"]["position"] == "1.00000"


def test_a_mismatch_that_lasts_is_noted_once_and_one_that_changes_again(tmp_path):
    account = FakeAccount()
    books = Books(tmp_path, account)
    for lost in ("0.00000001", "0", "0", "0.00000001"):
        account.base -= Decimal(lost)
        run_virtual(books.reconciler.reconcile())
    assert len(books.halts) == 4, "somebody may have resumed meanwhile"
    assert [found["venue"]["position"] for found in books.mismatches()] == ["0.99999999", "0.99999998"]


def test_trades_that_were_taken_over_are_not_all_asked_for_again(tmp_path):
    account = FakeAccount()
    books = Books(tmp_path, account)
    left_open(account, books, 1)
    asked = []
    fetch = account.fetch_my_trades

    async def fetch_my_trades(symbol, since, limit):
        asked.append(since)
        return await fetch(symbol, since, limit)

    account.fetch_my_trades = fetch_my_trades
    account.trade("1", "0.01")
    newest_ms = account.trades[-1]["timestamp"]
    run_virtual(books.reconciler.reconcile())
    assert asked[0] == 0 and asked[-1] == max(0, newest_ms - 60_000)


def test_a_trade_of_somebody_else_on_the_account_is_named(tmp_path):
    account = FakeAccount()
    books = Books(tmp_path, account)
    account.orders["9"] = {
        "id": "9",
        "clientOrderId": "by hand",
        "status": "open",
        "amount": 1,
        "filled": 0,
        "side": "buy",
    }
    account.trade("9", "0.5")
    run_virtual(books.reconciler.reconcile())
    assert books.halts and books.mismatches()[-1]["foreign_trades"][0]["order"] == "9"


def test_an_order_without_an_answer_is_looked_for_before_its_fills_are_called_somebody_elses(tmp_path):
    account = FakeAccount()
    books = Books(tmp_path, account)
    left_open(account, books, 1)
    account.trade("1", "0.01")
    run_virtual(books.reconciler.reconcile())
    assert books.desk.kinds == ["Filled"] and not books.halts
    assert books.reconciler.done.is_set()


def test_while_the_venue_hides_an_order_of_ours_its_fills_halt_nothing_and_no_new_risk_is_taken(tmp_path):
    account = FakeAccount()
    books = Books(tmp_path, account)
    run_virtual(books.reconciler.reconcile())
    left_open(account, books, 1)
    account.trade("1", "0.01")
    account.hidden = 1000
    run_virtual(books.reconciler.reconcile())
    assert not books.halts and not books.reconciler.done.is_set()
    account.hidden = 0
    run_virtual(books.reconciler.reconcile())
    assert not books.halts and books.reconciler.done.is_set()


def test_a_balance_older_than_a_trade_that_the_stream_told_of_is_no_mismatch(tmp_path):
    account = FakeAccount()
    books = Books(tmp_path, account)
    left_open(account, books, 1)

    async def old_balance():
        before = {"total": {"USDT": float(account.quote), "BTC": float(account.base)}}
        account.trade("1", "0.001")
        books.desk.broker.table.traded(account.trades[-1])
        return before

    async def restart() -> None:
        await books.desk.gateway.look_at(books.desk.broker.table.orders[1])
        account.fetch_balance = old_balance
        await books.reconciler.reconcile()
        assert not books.reconciler.done.is_set()
        del account.fetch_balance
        await books.reconciler.reconcile()

    run_virtual(restart())
    assert books.halts == [] and books.reconciler.done.is_set()
