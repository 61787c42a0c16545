"""Orders at a venue: sent once, asked for when unanswered, each fill booked once, ended after their last fill."""

from __future__ import annotations

import asyncio
import hashlib
from decimal import Decimal

import pytest
from ccxt.base import errors

from runtime.venue.fake_account import INSTRUMENT, PREFIX, Desk, FakeAccount, buy
from ztb.config import MarketSection
from ztb.execution.order_states import progress_after
from ztb.execution.orders import Filled, OrderRequest, OrderType, Rejected, TimeInForce
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.runtime.venue.client import patience_of, private_client
from ztb.runtime.venue.translation import fill_id, sending
from ztb.testing.virtual_time import run_virtual


async def running(desk: Desk, *steps) -> None:
    """Each step, a function or a number of seconds to wait, with the broker running beside."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(desk.gateway.run())
        for step in steps:
            if callable(step):
                step()
            await asyncio.sleep(step if isinstance(step, float) else 0.05)
        task.cancel()
    desk.collect()


def test_an_intent_is_durable_before_it_is_sent_under_an_id_that_follows_from_run_and_number():
    desk = Desk(FakeAccount())
    run_virtual(running(desk, lambda: desk.broker.submit(buy(7), 0)))
    assert desk.account.sent == [f"{PREFIX}7"] and desk.durable_calls == 1
    assert desk.kinds == ["Accepted"]


def test_nothing_is_at_the_venue_before_the_intent_is_on_disk():
    said: list[str] = []

    class Notes(FakeAccount):
        async def create_order(self, *given):
            said.append("sent")
            return await super().create_order(*given)

    async def durable() -> None:
        await asyncio.sleep(1.0)
        said.append("durable")

    desk = Desk(Notes(), durable=durable)
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), 0.5, lambda: said.append("a look"), 1.0))
    assert said == ["a look", "durable", "sent"]


def test_a_halt_that_comes_while_the_intent_is_written_still_keeps_the_order_back():
    async def durable() -> None:
        await asyncio.sleep(1.0)

    desk = Desk(FakeAccount(), durable=durable)
    halt = lambda: setattr(desk, "stopped", "halted")  # noqa: E731
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), 0.5, halt, 1.0))
    assert desk.account.sent == [] and [event.reason for event in desk.events] == ["halted"]


@pytest.mark.parametrize(
    "lost", [errors.RequestTimeout("late"), errors.ExchangeNotAvailable("503"), OSError("reset")]
)
def test_an_order_accepted_without_an_answer_is_found_by_its_id_and_never_sent_again(lost):
    account = FakeAccount(answers=[lost], hidden=2)
    desk = Desk(account)
    run_virtual(
        running(
            desk, lambda: desk.broker.submit(buy(1), 0), 3.0, lambda: account.trade("1", "0.01"),
            lambda: [desk.broker.table.traded(trade) for trade in account.trades],
        )
    )  # fmt: skip
    assert account.sent == [f"{PREFIX}1"] and len(account.orders) == 1
    assert desk.kinds == ["SubmitUnknown", "Accepted", "Filled"]


def test_an_order_that_never_arrived_is_given_up_only_when_the_venue_cannot_take_it_any_more():
    account = FakeAccount(answers=[errors.RequestTimeout("late")], before=True)
    desk = Desk(account, patience_s=5.0)
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), 4.0))
    assert desk.kinds == ["SubmitUnknown"]
    desk = Desk(FakeAccount(answers=[errors.RequestTimeout("late")], before=True), patience_s=5.0)
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), 8.0))
    assert desk.kinds == ["SubmitUnknown", "Rejected"] and len(desk.account.sent) == 1


@pytest.mark.parametrize(
    ("configured", "window_ms", "patience_s"), [({}, 5_000, 7.0), ({"options": {"recvWindow": 20_000}}, 20_000, 22.0)]
)  # fmt: skip
def test_an_unanswered_order_is_waited_for_as_long_as_ccxt_lets_the_venue_take_it(
    configured, window_ms, patience_s
):
    market = MarketSection(venue="binance", client=configured)
    secrets = {"ZTB_SECRET_EXCHANGE_API_KEY": "the key of it", "ZTB_SECRET_EXCHANGE_SECRET": "its secret"}
    client = private_client(market, secrets)
    assert client.options["recvWindow"] == window_ms
    assert patience_of(client, 1.0) == patience_s and patience_of(client, 60.0) == 60.0


class Late(FakeAccount):
    """What it says of an order is six seconds old when it is heard."""

    async def fetch_order(self, number, symbol, params):
        try:
            return await super().fetch_order(number, symbol, params)
        finally:
            await asyncio.sleep(6.0)


def test_an_order_that_came_while_the_answer_was_on_its_way_is_not_given_up():
    account = Late(answers=[errors.RequestTimeout("late")], before=True)
    desk = Desk(account, patience_s=5.0)

    def arrive():
        row = {"clientOrderId": f"{PREFIX}1", "status": "open", "amount": 0.01, "filled": 0.0, "side": "buy"}
        account.orders["1"] = row | {"id": "1", "price": None}

    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), 2.0, arrive, 20.0))
    assert desk.kinds == ["SubmitUnknown", "Accepted"]


@pytest.mark.parametrize(
    "refusal",
    [errors.InsufficientFunds("no"), errors.OrderImmediatelyFillable("no"), errors.RateLimitExceeded("no")],
)
def test_a_refusal_is_the_end_of_an_order(refusal):
    desk = Desk(FakeAccount(answers=[refusal], before=True))
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0)))
    assert desk.kinds == ["Rejected"] and desk.events[0].reason == type(refusal).__name__


def test_nothing_leaves_while_trading_is_halted_even_what_the_gate_let_through_before():
    desk = Desk(FakeAccount())
    desk.stopped = "halted"
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0)))
    assert desk.account.sent == [] and desk.events == [Rejected(1, desk.events[0].ts_ns, "halted")]


def test_a_fill_told_twice_counts_once_and_one_told_before_its_order_is_not_lost():
    account = FakeAccount()
    desk = Desk(account)
    table = desk.broker.table
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1, 3000), 0)))
    account.trade("1", "0.01")
    account.orders["2"] = {
        **account.orders["1"], "id": "2", "clientOrderId": f"{PREFIX}2", "filled": 0.0, "status": "open",
        "amount": 0.01,
    }  # fmt: skip
    account.trade("2", "0.01")
    for trade in account.trades * 3:
        table.traded(trade)
    desk.collect()
    assert desk.kinds == ["Accepted", "Filled"] and len(table.foreign) == 1
    table.add(buy(2))
    table.told(account.orders["2"], 0)
    desk.collect()
    assert desk.kinds == ["Accepted", "Filled", "Filled"] and not table.foreign
    assert [event.cumulative_lots for event in desk.events if isinstance(event, Filled)] == [1000, 1000]


def test_a_cancel_does_not_overtake_a_fill_that_came_before_it():
    account = FakeAccount()
    desk = Desk(account)
    run_virtual(
        running(
            desk, lambda: desk.broker.submit(buy(1, 3000), 0), lambda: account.trade("1", "0.01"),
            lambda: desk.broker.cancel(1, 0),
        )
    )  # fmt: skip
    assert desk.kinds == ["Accepted", "CancelRequested"]  # the venue said: cancelled, 1000 filled
    desk.broker.table.traded(account.trades[0])
    desk.collect()
    assert desk.kinds[2:] == ["Filled", "Cancelled"] and desk.events[-1].remaining_lots == 2000


def test_a_cancel_of_what_is_over_is_refused_and_every_step_is_legal():
    account = FakeAccount()
    desk = Desk(account)
    run_virtual(
        running(
            desk, lambda: desk.broker.submit(buy(1), 0), lambda: account.trade("1", "0.01"),
            lambda: desk.broker.cancel(1, 0), lambda: desk.broker.table.traded(account.trades[0]),
        )
    )  # fmt: skip
    assert desk.kinds == ["Accepted", "CancelRequested", "CancelRejected", "Filled"]
    from ztb.execution.order_states import OrderProgress, OrderState

    progress = OrderProgress(1, 1000)
    for event in desk.events:
        progress = progress_after(progress, event)
    assert progress.state is OrderState.FILLED


@pytest.mark.parametrize(
    "failure",
    [
        errors.ExchangeNotAvailable("503"),
        errors.RequestTimeout("late"),
        errors.AuthenticationError("no"),
        OSError(),
    ],
)
def test_a_cancel_that_fails_is_tried_until_the_order_is_over(failure):
    account = FakeAccount(deaf_to_cancels=[failure] * 12)
    desk = Desk(account)
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), lambda: desk.broker.cancel(1, 0), 12.0))
    assert not account.deaf_to_cancels and account.orders["1"]["status"] == "canceled"
    assert desk.kinds == ["Accepted", "CancelRequested", "Cancelled"]


def test_while_a_cancel_is_tried_again_orders_go_on_being_sent_and_asking_again_changes_nothing():
    account = FakeAccount(deaf_to_cancels=[errors.RequestTimeout("late")] * 1000)
    desk = Desk(account)
    run_virtual(
        running(
            desk, lambda: desk.broker.submit(buy(1), 0), lambda: desk.broker.cancel(1, 0), 2.0,
            lambda: desk.broker.submit(buy(2), 0), lambda: desk.broker.cancel(1, 0), 30.0,
        )
    )  # fmt: skip
    assert account.sent == [f"{PREFIX}1", f"{PREFIX}2"]
    assert 20 < 1000 - len(account.deaf_to_cancels) < 400  # one pursuit, not two


def test_where_the_venue_says_that_there_is_nothing_to_cancel_it_is_asked_what_became_of_the_order():
    account = FakeAccount()
    desk = Desk(account)
    run_virtual(
        running(
            desk, lambda: desk.broker.submit(buy(1), 0), lambda: account.trade("1", "0.01"),
            lambda: desk.broker.cancel(1, 0), 1.0,
        )
    )  # fmt: skip
    assert desk.broker.table.orders[1].over and desk.broker.table.owing == {1}


@pytest.mark.parametrize(
    ("fee", "currency", "cash", "position"),
    [
        ("0.6", "USDT", "99399.4", "1.01"),
        ("0.00001234", "BTC", "99400", "1.00998766"),
        ("0.1", "BNB", "99400", "1.01"),
    ],
)
def test_fees_are_booked_in_the_currency_they_were_taken_in(tmp_path, fee, currency, cash, position):
    from ztb.ledger.accounts import Account
    from ztb.ledger.journal import Journal

    account = FakeAccount()
    desk = Desk(account)
    exact = Account(INSTRUMENT, Decimal(100_000))
    exact.hold(Decimal(1))
    journal = Journal(tmp_path / "journal.sqlite")
    books = Bookkeeper(journal, exact, "test")
    books.intent(buy(1), 0, 0)
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0)))
    account.trade("1", "0.01", fee=fee, currency=currency)
    desk.broker.table.traded(account.trades[0])
    desk.collect()
    for event in desk.events:
        books.event(event, 1)
    journal.close()
    assert (exact.exact_cash, exact.exact_position) == (Decimal(cash), Decimal(position))
    assert float(exact.exact_cash) == pytest.approx(desk.broker.account["cash"].item(), rel=1e-12)
    assert float(exact.exact_position) == pytest.approx(desk.broker.account["position"].item(), rel=1e-12)


def test_orders_are_sent_in_the_venues_words():
    limit = OrderRequest(1, -1, 150, OrderType.LIMIT, 6_000_012, post_only=True)
    said = sending(limit, INSTRUMENT, "id", None)
    assert (said.type, said.side, said.amount, said.price) == ("limit", "sell", 0.0015, 60000.12)
    assert said.params == {"clientOrderId": "id", "postOnly": True}
    ioc = OrderRequest(1, 1, 150, OrderType.LIMIT, 6_000_012, TimeInForce.IOC)
    assert sending(ioc, INSTRUMENT, "id", None).params["timeInForce"] == "IOC"
    market = sending(buy(1), INSTRUMENT, "id", None)
    assert (market.type, market.price) == ("market", None)
    priced = sending(buy(1), INSTRUMENT, "id", 61_000.0)
    assert (priced.type, priced.price, priced.params["timeInForce"]) == ("limit", 61_000.0, "IOC")


def test_a_trade_id_that_is_no_number_has_one_all_the_same():
    assert fill_id({"id": "123"}) == 123
    assert fill_id({"id": "a-b"}) != fill_id({"id": "a-c"}) and 0 < fill_id({"id": "a-b"}) < 2**63
    digest = hashlib.sha256(b"a-b").digest()  # journals of before know trades by it
    assert fill_id({"id": "a-b"}) == int.from_bytes(digest[:7], "big")


TRADE = {
    "order": "1",
    "timestamp": 1_700_000_000_000,
    "side": "buy",
    "price": 60_000.0,
    "amount": 0.004,
    "cost": 240.0,
}


def filled_by(*trades: dict) -> tuple[Desk, list[Filled]]:
    desk = Desk(FakeAccount())
    order = desk.broker.table.add(buy(1))
    desk.broker.table.told({"id": "1", "clientOrderId": order.client_id, "status": "open"}, 77)
    for trade in trades:
        desk.broker.table.traded(trade)
    desk.collect()
    return desk, [event for event in desk.events if isinstance(event, Filled)]


def test_a_fill_without_an_id_counts_once_however_often_it_is_told():
    _, fills = filled_by(TRADE, dict(TRADE), {**TRADE, "timestamp": TRADE["timestamp"] + 1})
    assert [fill.lots for fill in fills] == [400, 400] and len({fill.fill_id for fill in fills}) == 2


def test_a_fill_without_a_price_is_booked_at_cost_over_quantity():
    _, fills = filled_by({**TRADE, "id": "5", "price": None})
    assert [fill.price_ticks for fill in fills] == [6_000_000]


def test_a_fill_without_price_and_cost_is_not_booked_and_ends_nothing():
    trade = {**TRADE, "id": "5", "price": None, "cost": None}
    desk, fills = filled_by(trade)
    assert fills == [] and list(desk.broker.table.foreign.values()) == [trade]


def test_a_fill_without_a_time_is_of_when_the_venue_last_spoke_of_its_order():
    _, fills = filled_by({**TRADE, "id": "5", "timestamp": None})
    assert [fill.ts_ns for fill in fills] == [77]
