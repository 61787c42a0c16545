"""Books and venue agree to the last unit, or trading halts and the journal says why."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from ccxt.base import errors

from runtime.venue.fake_account import INSTRUMENT, PREFIX, Desk, FakeAccount, buy
from ztb.errors import UsageError, VenueError
from ztb.execution.orders import Filled, OpenOrder
from ztb.ledger.accounts import Account
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import NoteRow
from ztb.runtime.venue.reconciliation import Balances, Reconciler
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


class Paged(FakeAccount):
    """Gives the oldest 500 trades from a time on, as venues do, and notes what it was asked for and when."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.since: list[int] = []
        self.balances_s: list[float] = []

    async def fetch_my_trades(self, symbol, since=None, limit=None):
        assert symbol == "BTC/USDT" and limit == 500
        self.since.append(since)
        found = sorted(await super().fetch_my_trades(symbol, since), key=lambda trade: trade["timestamp"])
        return found[:limit]

    async def fetch_balance(self):
        self.balances_s.append(asyncio.get_running_loop().time())
        return await super().fetch_balance()

    def history(self, *times_ms: int) -> None:
        """Trades of somebody else, of nothing."""
        for number, at in enumerate(times_ms):
            self.trades.append(
                {"id": str(10_000 + number), "order": "x", "timestamp": at, "amount": 0.0, "price": 1.0}
            )


@pytest.mark.parametrize(
    "times_ms",
    [
        range(200_000, 201_200),
        [*range(200_000, 200_400), *[200_400] * 200, *range(200_401, 200_700)],
        [*[200_000] * 499, 200_100],
        [],
    ],
)
def test_every_trade_is_taken_over_page_by_page_and_those_of_the_last_minute_again(tmp_path, times_ms):
    account = Paged()
    account.history(*times_ms)
    books = Books(tmp_path, account)
    run_virtual(books.reconciler.catch_up())
    assert len(books.desk.broker.table.foreign) == len(times_ms)
    newest_ms = max([0, *times_ms])
    account.since.clear()
    run_virtual(books.reconciler.catch_up())
    assert account.since[0] == max(0, newest_ms - 60_000) and len(account.since) < 10


def test_a_page_of_one_moment_does_not_hold_it_up_for_ever(tmp_path):
    account = Paged()
    account.history(*[200_000] * 700)
    books = Books(tmp_path, account)
    run_virtual(books.reconciler.catch_up())
    assert len(books.desk.broker.table.foreign) == 500, "no venue can be asked for the rest"


def test_who_wants_to_know_hears_of_each_trade_of_which_this_was_the_first_news(tmp_path):
    account = FakeAccount()
    books = Books(tmp_path, account)
    missed: list[int] = []
    books.reconciler = Reconciler(
        books.desk.gateway,
        books.exact,
        books.journal,
        5.0,
        0,
        books.collect,
        books.halts.append,
        missed.append,
    )
    left_open(account, books, 1)
    account.trade("1", "0.01")
    account.trade("1", "0.01")

    async def go() -> None:
        await books.desk.gateway.look_at(books.desk.broker.table.orders[1])
        books.desk.broker.table.traded(account.trades[0])  # the stream was first
        await books.reconciler.reconcile()
        await books.reconciler.reconcile()

    run_virtual(go())
    assert missed == [1001] and books.reconciler.rounds == 2


def test_books_that_differ_are_compared_four_times_half_a_second_apart_before_it_is_said(tmp_path):
    account = Paged(base=Decimal(2))
    books = Books(tmp_path, account)
    agreed: list[bool] = []

    def halt(reason: str) -> None:
        agreed.append(books.reconciler.done.is_set())
        books.halts.append(reason)

    books.reconciler = Reconciler(books.desk.gateway, books.exact, books.journal, 5.0, 0, books.collect, halt)
    books.reconciler.done.set()  # as the comparison before had it
    run_virtual(books.reconciler.reconcile())
    assert agreed == [False], "who halts finds that nothing is agreed"
    first, *later = account.balances_s
    assert [at - first for at in later] == pytest.approx([0.5, 1.0, 1.5])
    assert len(books.halts) == 1 and books.reconciler.rounds == 0
    halt = books.halts[0]
    assert "the venue holds 100000.0 and 2.0, our books say 100000.0000000000 and 1.00000;" in halt
    assert "0 trades are not ours" in halt and "`ztb resume --adopt`" in halt


def test_what_is_found_out_between_two_looks_is_no_mismatch(tmp_path):
    account = Paged(base=Decimal(2))
    books = Books(tmp_path, account)

    async def go() -> None:
        comparing = asyncio.ensure_future(books.reconciler.reconcile())
        await asyncio.sleep(1.2)
        account.base = Decimal(1)
        await comparing

    run_virtual(go())
    assert books.halts == [] and books.reconciler.done.is_set() and books.reconciler.rounds == 1


def test_the_evidence_is_both_sides_the_latest_foreign_trades_and_what_is_open(tmp_path):
    account = Paged()
    account.history(*range(100, 130))
    books = Books(tmp_path, account)
    books.desk.broker.table.add(buy(7))
    run_virtual(books.reconciler.catch_up())
    told = books.reconciler.evidence(Balances(Decimal("5.50"), Decimal("1e-8")))
    assert told["venue"] == {"cash": "5.50", "position": "0.00000001"}
    assert (told["ledger"]["cash"].rstrip("0"), told["ledger"]["position"]) == ("100000.", "1.00000")
    assert [trade["timestamp"] for trade in told["foreign_trades"]] == list(range(110, 130))
    assert told["foreign_trades"][-1] == {
        "id": "10029", "order": "x", "timestamp": 129, "side": None, "price": 1.0, "amount": 0.0,
    }  # fmt: skip
    assert told["open_orders"] == [f"{PREFIX}7"]


async def going(books: Books, *steps: Any) -> None:
    """Each step, a function or seconds to wait, with the reconciler running beside."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(books.reconciler.run())
        for step in steps:
            if callable(step):
                step()
            else:
                await asyncio.sleep(step)
        task.cancel()


def test_it_compares_every_so_often_and_at_once_when_it_is_wanted(tmp_path):
    books = Books(tmp_path, Paged())
    seen: list[int] = []
    look = lambda: seen.append(books.reconciler.rounds)  # noqa: E731
    run_virtual(
        going(books, 0.1, look, 4.8, look, 0.2, look, 2.0, books.reconciler.wanted.set, 0.1, look, 4.0, look)
    )
    assert seen == [1, 1, 2, 3, 3]


def test_what_is_wanted_during_a_comparison_has_another_follow_at_once(tmp_path):
    account = Paged()
    books = Books(tmp_path, account)
    balance = account.fetch_balance

    async def slow():
        await asyncio.sleep(1.0)
        return await balance()

    account.fetch_balance = slow
    seen: list[int] = []
    look = lambda: seen.append(books.reconciler.rounds)  # noqa: E731
    run_virtual(going(books, 0.5, books.reconciler.wanted.set, 1.0, look, 1.0, look, 2.0, look))
    assert seen == [1, 2, 2]


def test_a_venue_that_does_not_answer_is_asked_again_at_once_and_nothing_is_agreed_meanwhile(tmp_path):
    account = Paged()
    books = Books(tmp_path, account)
    seen: list[bool] = []
    look = lambda: seen.append(books.reconciler.done.is_set())  # noqa: E731

    async def silent():
        raise errors.NetworkError("no answer")

    def break_off() -> None:
        account.fetch_balance = silent

    def mend() -> None:
        del account.fetch_balance

    run_virtual(going(books, 0.1, look, break_off, 6.0, look, mend, 0.7, look))
    assert seen == [True, False, True] and books.halts == []


def test_a_fill_that_is_late_is_looked_for_after_a_second_and_not_only_at_the_next_round(tmp_path):
    account = Paged()
    books = Books(tmp_path, account)
    table = books.desk.broker.table

    def end() -> None:
        order = table.add(buy(1))
        table.told({"id": "1", "clientOrderId": order.client_id, "status": "closed", "filled": 0.01}, 0)
        account.orders["1"] = {"id": "1", "clientOrderId": order.client_id, "status": "closed", "amount": 0.01,
                               "filled": 0.0, "side": "buy"}  # fmt: skip
        account.trade("1", "0.01")

    seen: list[bool] = []
    look = lambda: seen.append(table.orders[1].done)  # noqa: E731
    run_virtual(going(books, 0.5, end, 1.0, look, 1.2, look))
    assert seen == [False, True] and books.exact.exact_position == Decimal("1.01")


def test_settled_balances_are_told_once_nothing_works_and_nobody_trades(tmp_path):
    account = Paged()
    books = Books(tmp_path, account)
    assert run_virtual(books.reconciler.settled()) == Balances(Decimal(100_000), Decimal(1))
    left_open(account, books, 1)
    with pytest.raises(UsageError, match="orders are still open at the venue"):
        run_virtual(books.reconciler.settled())
    account.orders["1"]["status"] = "canceled"
    run_virtual(books.reconciler.settled())
    assert len(account.balances_s) == 3


def test_while_somebody_trades_on_no_balance_is_settled(tmp_path):
    account = Paged()
    books = Books(tmp_path, account)
    balance = account.fetch_balance

    async def traded_on():
        account.history(*range(1, 2 + len(account.trades)))
        account.trades[-1]["id"] = str(20_000 + len(account.trades))
        return await balance()

    account.fetch_balance = traded_on
    with pytest.raises(VenueError, match="somebody trades on the account"):
        run_virtual(books.reconciler.settled())
    first = account.balances_s[0]
    assert [at - first for at in account.balances_s] == pytest.approx([0.0, 0.5, 1.0, 1.5])


def test_what_trades_while_its_order_is_looked_at_is_known_at_the_end(tmp_path):
    account = FakeAccount()
    books = Books(tmp_path, account)
    left_open(account, books, 1)
    look = account.fetch_order

    async def fetch_order(*given: Any) -> Any:
        account.trade("1", "0.01")
        return await look(*given)

    account.fetch_order = fetch_order
    run_virtual(books.reconciler.catch_up())
    assert books.exact.exact_position == Decimal("1.01")


def test_two_comparisons_at_once_are_one_after_the_other(tmp_path):
    account = Paged()
    books = Books(tmp_path, account)
    inside: list[int] = [0, 0]
    balance = account.fetch_balance

    async def slow():
        inside[0] += 1
        inside[1] = max(inside)
        await asyncio.sleep(1.0)
        inside[0] -= 1
        return await balance()

    account.fetch_balance = slow

    async def both() -> None:
        await asyncio.gather(
            books.reconciler.reconcile(), books.reconciler.reconcile(), books.reconciler.settled()
        )

    run_virtual(both())
    assert inside == [0, 1]
