"""The gateway and its broker: what is asked of the venue, in which order, how often, and who is told of what."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest
from ccxt.base import errors

from runtime.venue.fake_account import INSTRUMENT, PREFIX, Desk, FakeAccount, Wall, buy
from runtime.venue.test_venue_broker import running
from trading.markets import trades
from ztb.execution.account import new_account
from ztb.execution.orders import CancelRequested, Filled, OpenOrder
from ztb.market.live.rest import Backoff, Rest
from ztb.runtime.venue import throttle
from ztb.runtime.venue.broker import CancelCommand, ProtectCommand, SubmitCommand, VenueBroker
from ztb.runtime.venue.gateway import GatewayCallbacks, OrderGateway
from ztb.testing.virtual_time import run_virtual


class Noting(FakeAccount):
    """Notes each request: its kind, whether it is counted as an order, and when it came."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.asked: list[tuple[str, bool, float]] = []
        self.prices: list[float | None] = []
        self.silent = 0  # requests about an order that get no answer

    def note(self, kind: str) -> None:
        now_s = asyncio.get_running_loop().time()
        self.asked.append((kind, throttle._is_order.get(), round(now_s, 3)))

    async def create_order(self, symbol, kind, side, amount, price, params):
        self.note("create")
        self.prices.append(price)
        assert symbol == "BTC/USDT"
        return await super().create_order(symbol, kind, side, amount, price, params)

    async def cancel_order(self, number, symbol, params):
        self.note("cancel")
        assert symbol == "BTC/USDT" and params["clientOrderId"].startswith(PREFIX)
        return await super().cancel_order(number, symbol, params)

    async def fetch_order(self, number, symbol, params):
        self.note("fetch")
        assert symbol == "BTC/USDT" and params["clientOrderId"].startswith(PREFIX)
        if self.silent:
            self.silent -= 1
            raise errors.NetworkError("no answer")
        return await super().fetch_order(number, symbol, params)

    def kinds(self) -> list[str]:
        return [kind for kind, *_ in self.asked]


class Protection:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    async def make_way(self, order: Any, gateway: Any) -> None:
        self.told.append(("make way", order.order_id))

    async def follow(self, gateway: Any) -> None:
        self.told.append(("follow", None))


class Counter(Desk):
    """A desk that also keeps what it was warned of, and whom the protection let through."""

    def __init__(self, account: FakeAccount, patience_s: float = 5.0) -> None:
        super().__init__(account, patience_s)
        self.warnings: list[tuple[str, str]] = []
        self.heard = 0
        self.heard_s = 0.0
        self.protection = Protection()
        rest = Rest(account, lambda: Backoff(0.01, 0.02, lambda: 0.5))  # type: ignore[arg-type]
        callbacks = GatewayCallbacks(
            self._durable, lambda _order: self.stopped, self._hear, lambda *told: self.warnings.append(told)
        )
        self.gateway = OrderGateway(
            self.broker,
            account,
            rest,
            patience_s,
            callbacks,
            self.protection,  # type: ignore[arg-type]
        )

    def _hear(self) -> None:
        assert self.broker.table.events
        self.heard += 1
        self.heard_s = round(asyncio.get_running_loop().time(), 3)
        self.collect()


def lost(number: int, **more: Any) -> Noting:
    """An account that took an order and said nothing."""
    return Noting(answers=[errors.RequestTimeout("late")], **more)


def test_orders_and_cancels_are_counted_as_such_and_questions_are_not():
    account = lost(1)
    desk = Counter(account)
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), 1.0, lambda: desk.broker.cancel(1, 0)))
    assert [(kind, order) for kind, order, _ in account.asked] == [
        ("create", True), ("fetch", False), ("cancel", True),
    ]  # fmt: skip


def test_what_was_left_open_before_a_start_is_asked_for_first():
    account = Noting()
    desk = Counter(account)
    asyncio.run(
        account.create_order("BTC/USDT", "market", "buy", 0.01, None, {"clientOrderId": f"{PREFIX}4"})
    )
    account.asked.clear()
    left = [OpenOrder(buy(4), 700)]
    desk.broker.resume(left, {4: f"{PREFIX}4"}, {8, 9})
    assert desk.broker.table.trades == {8, 9} and desk.broker.table.orders[4].client_id == f"{PREFIX}4"
    run_virtual(running(desk, lambda: desk.broker.submit(buy(5), 0), 2.0))
    assert account.kinds().count("fetch") == 1 and desk.kinds == ["Accepted", "Accepted"]


def test_who_looks_at_an_order_hears_whether_the_venue_knows_it():
    desk = Counter(lost(1))
    order = desk.broker.table.add(buy(1))
    assert run_virtual(desk.gateway.look_at(order)) is False
    run_virtual(desk.gateway.send(order))
    assert run_virtual(desk.gateway.look_at(order)) is True and order.accepted


def test_an_order_is_asked_for_twice_a_second_until_the_venue_knows_it_and_not_after():
    account = lost(1, hidden=4)
    desk = Counter(account, patience_s=60.0)
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), 20.0))
    asked = [at for kind, _, at in account.asked if kind == "fetch"]
    assert [round(at - asked[0], 2) for at in asked] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert desk.kinds == ["SubmitUnknown", "Accepted"] and desk.events[0].reason == "RequestTimeout"


def test_the_last_question_is_asked_when_patience_is_over_and_not_before():
    account = lost(1, before=True)
    desk = Counter(account, patience_s=2.0)
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), 20.0))
    asked = [at for kind, _, at in account.asked if kind == "fetch"]
    assert [round(at - asked[0], 2) for at in asked] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert desk.events[-1].reason == "never_arrived" and desk.heard == 2


def test_a_venue_that_answers_nothing_is_asked_on_and_the_trouble_is_told():
    account = lost(1)
    account.silent = 11  # five tries are one question
    desk = Counter(account, patience_s=0.1)
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), 20.0))
    assert [key for key, _ in desk.warnings] == ["order_unknown"] * 2
    assert all(text.startswith("order 1: fake: NetworkError") for _, text in desk.warnings)
    assert desk.kinds == ["SubmitUnknown", "Accepted"]


def test_a_cancel_waits_until_it_is_known_whether_the_venue_has_the_order():
    account = lost(1, hidden=3)
    desk = Counter(account, patience_s=60.0)
    submit, cancel = lambda: desk.broker.submit(buy(1), 0), lambda: desk.broker.cancel(1, 0)
    run_virtual(running(desk, submit, cancel, 10.0))
    assert account.kinds() == ["create", *["fetch"] * 4, "cancel"]
    assert desk.kinds == ["SubmitUnknown", "CancelRequested", "Accepted", "Cancelled"]


def test_a_cancel_of_an_order_that_never_arrived_is_not_sent():
    account = lost(1, before=True)
    desk = Counter(account, patience_s=1.0)
    submit, cancel = lambda: desk.broker.submit(buy(1), 0), lambda: desk.broker.cancel(1, 0)
    run_virtual(running(desk, submit, cancel, 10.0))
    assert "cancel" not in account.kinds() and desk.kinds == ["SubmitUnknown", "CancelRequested", "Rejected"]


def test_a_venue_that_does_not_know_the_order_to_cancel_is_asked_for_it_until_it_is_over():
    """The order is filled already, and its trade is told late."""
    account = Noting()
    desk = Counter(account)
    run_virtual(
        running(
            desk, lambda: desk.broker.submit(buy(1), 0), lambda: account.trade("1", "0.01"),
            lambda: setattr(account, "hidden", 1), lambda: desk.broker.cancel(1, 0), 3.0,
        )
    )  # fmt: skip
    assert account.kinds() == ["create", "cancel", "cancel", "fetch"]
    assert desk.kinds == ["Accepted", "CancelRequested", "CancelRejected"]
    assert desk.events[-1].reason == "unknown_order" and desk.broker.table.orders[1].over
    assert not desk.broker.table.orders[1].ending and desk.warnings == []


def test_a_cancel_that_fails_is_told_with_its_order_and_tried_twice_a_second():
    account = Noting(deaf_to_cancels=[errors.AuthenticationError("no")] * 3)
    desk = Counter(account)
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), lambda: desk.broker.cancel(1, 0), 5.0))
    assert [key for key, _ in desk.warnings] == ["cancel_failed"] * 3
    assert (
        desk.warnings[0][1] == "order 1: AuthenticationError" and "order 1: fake: no" in desk.warnings[1][1]
    )
    asked = [at for kind, _, at in account.asked if kind == "cancel"]
    assert [round(at - asked[0], 2) for at in asked] == [0.0, 0.0, 0.5, 1.0]
    assert desk.heard_s == asked[-1], "its end is told at once"
    assert desk.kinds == ["Accepted", "CancelRequested", "Cancelled"]


def test_while_an_order_is_being_ended_another_cancel_of_it_asks_nothing():
    account = Noting(deaf_to_cancels=[errors.AuthenticationError("no")] * 3)
    desk = Counter(account)
    cancel = lambda: desk.broker.cancel(1, 0)  # noqa: E731
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), cancel, cancel, 5.0))
    assert account.kinds().count("cancel") == 4


@pytest.mark.parametrize(("side", "wants", "price"), [(1, True, 102.0), (-1, True, None), (1, False, None)])
def test_a_purchase_at_market_has_a_price_two_in_a_hundred_above_where_the_venue_wants_one(
    side, wants, price
):
    account = Noting(options={"createMarketBuyOrderRequiresPrice": wants})
    desk = Counter(account)
    desk.broker.view["ask"] = 100.0
    order = msgspec.structs.replace(buy(1), side=side)
    run_virtual(running(desk, lambda: desk.broker.submit(order, 0)))
    assert account.prices == [price if price is None else pytest.approx(price)]


def test_an_answer_that_does_not_name_our_id_is_about_the_order_that_was_asked_for():
    class Nameless(Noting):
        async def create_order(self, *given):
            return {**await super().create_order(*given), "clientOrderId": None}

        async def cancel_order(self, *given):
            return {**await super().cancel_order(*given), "clientOrderId": "somebody's"}

    desk = Counter(Nameless())
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), lambda: desk.broker.cancel(1, 0)))
    assert desk.kinds == ["Accepted", "CancelRequested", "Cancelled"]
    assert desk.events[-1].ts_ns == Wall().now_ns()


def test_the_stop_makes_way_for_an_order_that_may_go_and_follows_when_it_is_asked_to():
    desk = Counter(Noting())

    def stop() -> None:
        desk.stopped = "halted"

    run_virtual(
        running(
            desk, lambda: desk.broker.submit(buy(1), 0), desk.broker.protect, stop,
            lambda: desk.broker.submit(buy(2), 0),
        )
    )  # fmt: skip
    assert desk.protection.told == [("make way", 1), ("follow", None)]
    assert desk.kinds == ["Accepted", "Rejected"] and desk.heard == 2


def test_without_stops_a_look_at_them_is_nothing():
    desk = Desk(Noting())
    run_virtual(running(desk, desk.broker.protect, lambda: desk.broker.submit(buy(1), 0)))
    assert desk.kinds == ["Accepted"]


def test_what_is_ended_for_another_order_is_asked_for_as_any_other_and_not_twice():
    account = Noting(deaf_to_cancels=[errors.RequestTimeout("late")])
    desk = Counter(account)

    def end() -> None:
        order = desk.broker.table.orders[1]
        group.append(asyncio.ensure_future(desk.gateway.end(order)))

    group: list[Any] = []
    run_virtual(running(desk, lambda: desk.broker.submit(buy(1), 0), end, 3.0, end))
    assert desk.kinds == ["Accepted", "CancelRequested", "Cancelled", "CancelRejected"]
    assert account.kinds().count("cancel") == 2


def test_before_it_runs_an_order_is_sent_and_nothing_is_asked_beside():
    """As the stop is, whose order is sent on the way of another."""
    account = lost(1)
    desk = Counter(account)
    order = desk.broker.table.add(buy(1))
    run_virtual(desk.gateway.send(order))
    assert account.kinds() == ["create"] and order.unknown


# --- the broker -------------------------------------------------------------------------------------------------------


class Venue(VenueBroker):
    """A broker that counts how often it was about to collect."""

    def __init__(self) -> None:
        self.collections = 0
        super().__init__(INSTRUMENT, PREFIX, Wall(), self._note)
        self.account["cash"] = 1e5

    def _note(self) -> None:
        self.collections += 1


async def waiting(broker: VenueBroker) -> list[Any]:
    """Every command that waits, taken."""
    found: list[Any] = []
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.0):
                found.append(await broker.next_command())
    return found


async def test_commands_wait_in_the_order_in_which_they_were_given():
    broker = Venue()
    broker.submit(buy(1), 0)
    broker.cancel(1, 7)
    broker.submit(buy(2), 0)
    first, cancel, second = await waiting(broker)
    assert isinstance(first, SubmitCommand) and isinstance(cancel, CancelCommand)
    assert first.order is cancel.order is broker.table.orders[1] and second.order.order_id == 2
    assert list(broker.table.events) == [CancelRequested(1, 7)]
    broker.cancel(9, 8)
    assert await waiting(broker) == []  # there is nothing to cancel, which is told at once


async def test_the_stop_is_looked_at_once_however_often_that_was_asked_for():
    broker = Venue()
    for _ in range(2):
        for _ in range(3):
            broker.protect()
        assert await waiting(broker) == [ProtectCommand()]


@pytest.mark.parametrize("side", [1, -1])
async def test_fills_enter_the_account_as_they_are_collected_and_have_the_stop_looked_at(side):
    broker = Venue()
    assert broker.events() == [] and broker.collections == 0
    order = broker.table.add(msgspec.structs.replace(buy(1), side=side))
    broker.table.told({"id": "51", "clientOrderId": order.client_id, "status": "open"}, 5)
    assert [type(event).__name__ for event in broker.events()] == ["Accepted"] and await waiting(broker) == []
    for number in (1, 2):
        broker.table.traded(
            {"id": str(number), "order": "51", "timestamp": 5, "amount": 0.001, "price": 60_000.0,
             "fee": {"cost": 0.5, "currency": "USDT"}}
        )  # fmt: skip
    assert broker.account["position"].item() == 0.0
    assert all(isinstance(event, Filled) for event in broker.events()) and broker.collections == 2
    assert broker.account["position"].item() == pytest.approx(side * 0.002)
    assert broker.account["cash"].item() == pytest.approx(1e5 - side * 120.0 - 1.0)
    assert await waiting(broker) == [ProtectCommand()] and not broker.table.events


def test_an_account_elsewhere_begins_with_nothing():
    assert (
        new_account(0.0).tobytes() == VenueBroker(INSTRUMENT, PREFIX, Wall(), lambda: None).account.tobytes()
    )


def test_the_market_goes_by_row_for_row():
    broker, ticks = Venue(), trades(30)
    assert broker.advance(ticks, 0, 10) == 10
    assert (broker.view["last"].item(), broker.view["ts_ns"].item()) == (ticks["price"][9], ticks["ts_ns"][9])
    assert broker.advance(ticks, 10, 12) == 12 and broker.view["last"].item() == ticks["price"][11]
    other = trades(30, seed=2)
    broker.advance(other, 0, 1)
    assert broker.view["last"].item() == other["price"][0] and broker.now_ns() == Wall().now_ns()
