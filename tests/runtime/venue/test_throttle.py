"""Orders wait for orders alone, and their connections are open before they leave."""

from __future__ import annotations

import asyncio

import aiohttp
import ccxt.pro
import pytest
from ccxt.base import errors

from chaos.stage import stage
from runtime.venue.fake_account import Desk, FakeAccount, buy
from ztb.runtime.venue.throttle import OrdersFirst, as_order, keep_warm, warm
from ztb.testing.exchange.faults import Fault, FaultKind
from ztb.testing.exchange.local import LocalExchange
from ztb.testing.virtual_time import run_virtual

BUCKET = {"refillRate": 1 / 50, "cost": 1}  # Binance spot's: 20 units of cost a second


async def _at(throttle, cost: float, order: bool, sent: list[tuple[str, float]]) -> None:
    if order:
        with as_order():
            await throttle(cost)
    else:
        await throttle(cost)
    sent.append(("order" if order else "question", round(asyncio.get_running_loop().time(), 6)))


def test_an_order_does_not_wait_behind_questions_that_wait_already():
    sent: list[tuple[str, float]] = []

    async def ask() -> None:
        throttle = OrdersFirst(BUCKET)
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(_at(throttle, 4.0, False, sent))
            await asyncio.sleep(0.5)
            group.create_task(_at(throttle, 0.2, True, sent))
            group.create_task(_at(throttle, 0.2, True, sent))

    run_virtual(ask())
    began = sent[0][1]
    orders = [at - began for kind, at in sent if kind == "order"]
    assert orders == pytest.approx([0.5, 0.5])
    # One unit was saved up; ten come back a second: each question of 4 waits until what is owed is paid.
    assert [at - began for kind, at in sent if kind == "question"] == pytest.approx([0.0, 0.3, 0.7, 1.1, 1.5])


@pytest.mark.parametrize("order", [True, False])
def test_neither_budget_is_ever_beyond_half_of_the_venues_rate_and_what_it_saved_up(order):
    sent: list[tuple[str, float]] = []

    async def ask() -> None:
        throttle = OrdersFirst(BUCKET)
        await asyncio.sleep(100.0)  # a long silence saves up no more than a moment of it
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(_at(throttle, 1.0, order, sent))

    run_virtual(ask())
    moments = [at for _, at in sent]
    saved = 5 if order else 1
    for i, first in enumerate(moments):
        for j in range(i, 100):
            assert j - i <= 10.0 * (moments[j] - first) + saved + 1e-6


def test_what_comes_back_while_nobody_asks_is_there_for_the_next_order():
    sent: list[tuple[str, float]] = []

    async def ask() -> None:
        throttle = OrdersFirst(BUCKET)
        for _ in range(20):
            await _at(throttle, 1.0, True, sent)
            await asyncio.sleep(0.1)

    run_virtual(ask())
    assert [at for _, at in sent] == pytest.approx([sent[0][1] + 0.1 * i for i in range(20)])


def test_what_is_no_order_any_more_waits_as_a_question_at_the_cost_of_one_and_who_need_not_wait_does_not():
    async def ask() -> None:
        throttle = OrdersFirst(BUCKET | {"cost": 3})
        turned: list[bool] = []
        loop = asyncio.get_running_loop()
        loop.call_soon(turned.append, True)
        with as_order():
            await throttle()
        await throttle()
        assert not turned
        began = loop.time()
        await throttle()
        assert loop.time() - began == pytest.approx((3 - 1) / 10)

    run_virtual(ask())


class Watching(FakeAccount):
    """Tells whether each of its calls came as an order."""

    def __init__(self) -> None:
        super().__init__()
        self.throttle = OrdersFirst({"refillRate": 1e-9, "cost": 1})  # whoever is no order waits for ever
        self.waited: list[str] = []

    async def create_order(self, *arguments):
        await self.throttle(1.0)
        return await super().create_order(*arguments)

    async def cancel_order(self, *arguments):
        await self.throttle(1.0)
        self.waited.append("cancel")
        return await super().cancel_order(*arguments)


def test_orders_and_cancels_of_the_broker_go_by_the_budget_for_orders():
    account = Watching()
    desk = Desk(account)

    async def trade() -> None:
        for _ in range(2):
            await account.throttle(1.0)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(desk.gateway.run())
            question = group.create_task(account.throttle(1.0))
            await asyncio.sleep(0.1)
            desk.broker.submit(buy(1), 0)
            await asyncio.sleep(0.1)
            desk.broker.cancel(1, 0)
            await asyncio.sleep(0.1)
            assert not question.done()
            question.cancel()
            running.cancel()

    run_virtual(trade())
    assert account.sent and account.waited == ["cancel"]


async def test_orders_after_a_pause_open_no_connection_of_their_own():
    opened = 0

    async def count(_session, _context, _parameters) -> None:
        nonlocal opened
        opened += 1

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(count)
    async with LocalExchange(seed=1) as exchange, aiohttp.ClientSession(trace_configs=[trace]) as session:
        client = ccxt.pro.binance({**exchange.ccxt_options(), "session": session})
        client.throttler = OrdersFirst(client.tokenBucket)
        await client.load_markets()
        await warm(client)
        before = opened
        orders = (client.create_order("BTC/USDT", "market", "buy", 0.001) for _ in range(2))
        await asyncio.gather(*orders)
        assert before >= 2 and opened == before
        await client.close()


@pytest.mark.parametrize(
    "fault", [OSError("no route"), errors.RequestTimeout("late"), KeyError("serverTime")]
)
def test_a_venue_that_does_not_answer_or_answers_nonsense_ends_nothing(fault):
    calls: list[int] = []

    class Dead:
        async def fetch_time(self):
            calls.append(1)
            raise fault

    asyncio.run(warm(Dead()))
    assert len(calls) == 2


@pytest.mark.parametrize("tells", [True, False])
def test_connections_are_used_before_they_are_closed_for_being_idle_where_a_venue_tells_its_time(tells):
    asked: list[float] = []

    class Venue:
        def __init__(self) -> None:
            self.has = {"fetchTime": tells}

        async def fetch_time(self):
            asked.append(asyncio.get_running_loop().time())

    async def beats() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(keep_warm(Venue()), 60.0)

    run_virtual(beats())
    gaps = [b - a for a, b in zip(asked[::2], asked[2::2], strict=False)]
    assert bool(asked) is tells and all(5.0 < gap < 15.0 for gap in gaps)
    assert asked[::2] == asked[1::2] and len(gaps) == (5 if tells else 0)


def test_a_live_account_keeps_its_connections_open_while_nothing_is_ordered(tmp_path):
    asked: dict[str, int] = {}

    async def go(mode: str) -> None:
        async with stage(3, tmp_path / mode, **{"strategy.name": "flat"}) as it, it.running(mode):
            times = it.gateway.inject(Fault(FaultKind.SLOW, match="GET /api/v3/time", after=10**9))
            await asyncio.sleep(60.0)
            asked[mode] = times.seen

    for mode in ("live", "paper"):
        run_virtual(go(mode))
    assert asked["live"] - asked["paper"] >= 2 * 60.0 / 15.0, asked
