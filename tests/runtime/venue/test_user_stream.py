"""The account's streams: made anew when they fail, end or are deaf, and what was missed is asked for at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import structlog.testing
from ccxt.base import errors

from chaos.stage import WARM_S, stage
from chaos.truth import truth_of
from runtime.daemons import until
from runtime.venue.fake_account import INSTRUMENT, PREFIX, Wall, buy
from ztb.market.live.rest import Backoff
from ztb.runtime.venue.orders import OrderTable
from ztb.runtime.venue.user_stream import UserStream
from ztb.testing.virtual_time import run_virtual


class FakeSocket:
    def __init__(self) -> None:
        self.isConnected = True
        self.rejections: dict[str, Exception] = {}


class FakeStreams:
    """A client on which trades and orders come as a test says them; an exception said is raised."""

    id = "fake"

    def __init__(self, has=("watchMyTrades", "watchOrders")) -> None:
        self.has = dict.fromkeys(has, True)
        self.socket = FakeSocket()
        self.clients = {"wss://fake": self.socket}
        self.trades: asyncio.Queue = asyncio.Queue()
        self.orders: asyncio.Queue = asyncio.Queue()
        self.closed = False

    async def _next(self, queue):
        said = await queue.get()
        if isinstance(said, BaseException):
            raise said
        return [said]

    async def watch_my_trades(self, symbol):
        return await self._next(self.trades)

    async def watch_orders(self, symbol):
        return await self._next(self.orders)

    async def close(self):
        self.closed = True


class Listening:
    """A stream that runs, the clients that it made, how often it asked for a reconciliation, and how
    many events there were whenever it told that there are."""

    def __init__(self, has=("watchMyTrades", "watchOrders")) -> None:
        self.has = has
        self.made: list[FakeStreams] = []
        self.asked = 0
        self.heard: list[int] = []
        self.table = OrderTable(INSTRUMENT, PREFIX)
        backoff = Backoff(0.25, 30.0, lambda: 0.0)
        self.stream = UserStream(
            self._make, "BTC/USDT", self.table, Wall(), backoff, self._hear, self._ask
        )  # fmt: skip

    def _make(self) -> FakeStreams:
        self.made.append(FakeStreams(self.has))
        return self.made[-1]

    def _ask(self) -> None:
        self.asked += 1

    def _hear(self) -> None:
        self.heard.append(len(self.table.events))

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.table.events]


@asynccontextmanager
async def listening(**options):
    it = Listening(**options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(it.stream.run())
        await asyncio.sleep(2.0)
        yield it
        task.cancel()


def trade(number: int, order: str = "1") -> dict:
    return {
        "id": str(number), "order": order, "timestamp": 1_700_000_000_000, "amount": 0.01, "price": 60_000.0,
        "fee": {"cost": 0.0, "currency": "USDT"},
    }  # fmt: skip


def test_orders_and_trades_reach_the_table():
    async def run() -> None:
        async with listening() as it:
            it.table.add(buy(1))
            it.made[0].orders.put_nowait({"id": "1", "clientOrderId": f"{PREFIX}1", "status": "open"})
            it.made[0].trades.put_nowait(trade(7))
            await asyncio.sleep(0.1)
            assert it.kinds == ["Accepted", "Filled"] and it.asked == 1 and it.stream.reconnects == 0

    run_virtual(run())


def test_trades_without_ids_are_asked_for_and_a_stream_that_brings_them_is_not_deaf():
    async def run() -> None:
        async with listening() as it:
            it.table.add(buy(1))
            it.made[0].orders.put_nowait({"id": "1", "clientOrderId": f"{PREFIX}1", "status": "open"})
            await asyncio.sleep(6.0)
            asked = it.asked
            it.stream.missed(7)
            it.made[0].trades.put_nowait({**trade(7), "id": None})
            await asyncio.sleep(0.1)
            assert it.kinds == ["Accepted"] and it.asked == asked + 1
            it.table.traded(trade(7))  # as REST has it
            it.stream.missed(7)
            await asyncio.sleep(30.0)
            assert it.kinds == ["Accepted", "Filled"] and it.stream.reconnects == 0

    run_virtual(run())


def test_what_was_before_it_listens_is_asked_for_only_once_it_listens():
    async def run() -> None:
        it = Listening()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(it.stream.run())
            await asyncio.sleep(0.0)
            it.made[0].socket.isConnected = False
            await asyncio.sleep(60.0)
            assert it.asked == 0
            it.made[0].socket.isConnected = True
            await asyncio.sleep(1.3)
            assert it.asked == 1
            task.cancel()

    run_virtual(run())


@pytest.mark.parametrize("fault", [errors.NetworkError("cut"), OSError("reset"), asyncio.CancelledError()])
def test_a_stream_that_fails_is_made_anew_and_what_it_missed_is_asked_for(fault):
    async def run() -> None:
        async with listening() as it:
            it.made[0].trades.put_nowait(fault)
            await asyncio.sleep(0.0)
            await asyncio.sleep(0.01)
            assert it.asked == 2 and it.made[0].closed
            await asyncio.sleep(1.6)
            assert it.asked == 3 and it.stream.reconnects == 1 and not it.made[1].closed

    run_virtual(run())


def test_a_subscription_that_the_venue_ended_is_made_anew_though_ccxt_tells_nobody():
    async def run() -> None:
        async with listening() as it:
            it.made[0].socket.rejections["spot"] = errors.ExchangeError("event stream terminated")
            await asyncio.sleep(0.7)
            assert it.stream.reconnects == 1 and len(it.made) == 2

    run_virtual(run())


def test_a_stream_that_does_not_bring_what_rest_knows_is_deaf_and_made_anew():
    async def run() -> None:
        async with listening() as it:
            it.stream.missed(7)  # of before it listened: not its fault
            await asyncio.sleep(10.0)
            assert it.stream.reconnects == 0
            it.stream.missed(8)
            await asyncio.sleep(1.0)
            it.made[0].trades.put_nowait(trade(8))  # it was only late
            await asyncio.sleep(10.0)
            assert it.stream.reconnects == 0
            it.stream.missed(9)
            await asyncio.sleep(4.0)
            assert it.stream.reconnects == 1

    run_virtual(run())


def test_a_venue_without_a_stream_of_trades_is_not_blamed_for_them():
    async def run() -> None:
        async with listening(has=("watchOrders",)) as it:
            await asyncio.sleep(10.0)
            it.stream.missed(7)
            await asyncio.sleep(10.0)
            assert it.stream.reconnects == 0

    run_virtual(run())


def test_waits_between_faults_grow_and_shrink_once_a_connection_holds():
    async def run() -> None:
        async with listening() as it:
            for made in range(1, 7):
                it.made[-1].trades.put_nowait(errors.NetworkError("cut"))
                await until(lambda made=made: len(it.made) > made)
            loop = asyncio.get_running_loop()
            assert loop.time() > 2.0 + 0.125 * (2**6 - 1)
            await asyncio.sleep(2.0)
            began_s = loop.time()
            it.made[-1].trades.put_nowait(errors.NetworkError("cut"))
            await until(lambda: len(it.made) == 8)
            assert loop.time() - began_s < 0.3

    run_virtual(run())


@pytest.mark.parametrize(("after_s", "asked"), [(0.9, 0), (1.1, 1)])
def test_it_listens_a_second_after_it_is_connected(after_s, asked):
    async def run() -> None:
        it = Listening()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(it.stream.run())
            await asyncio.sleep(after_s)
            assert it.asked == asked
            task.cancel()
        assert it.made[0].closed

    run_virtual(run())


@pytest.mark.parametrize("connected", [[], [True, False], [False, True]])
def test_it_does_not_listen_while_a_connection_is_missing(connected):
    async def run() -> None:
        it = Listening()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(it.stream.run())
            await asyncio.sleep(0.0)
            sockets = [FakeSocket() for _ in connected]
            for socket, there in zip(sockets, connected, strict=True):
                socket.isConnected = there
            it.made[0].clients = dict(enumerate(sockets))  # type: ignore[arg-type]
            await asyncio.sleep(30.0)
            assert it.asked == 0
            it.made[0].clients = {"wss://fake": it.made[0].socket}
            await asyncio.sleep(1.3)
            assert it.asked == 1
            task.cancel()

    run_virtual(run())


@pytest.mark.parametrize(("listening_s", "blamed"), [(4.8, False), (5.2, True)])
def test_only_what_rest_tells_five_seconds_after_it_listens_is_owed(listening_s, blamed):
    async def run() -> None:
        async with listening() as it:  # two seconds, of which it listens one
            await asyncio.sleep(listening_s - 1.0)
            it.stream.missed(7)
            await asyncio.sleep(10.0)
            assert it.stream.reconnects == blamed

    run_virtual(run())


def test_a_trade_that_is_owed_may_be_three_seconds_late():
    async def run() -> None:
        async with listening() as it:
            await asyncio.sleep(10.0)
            it.stream.missed(7)
            await asyncio.sleep(2.95)
            assert it.stream.reconnects == 0
            await asyncio.sleep(0.3)
            assert it.stream.reconnects == 1 and it.made[0].closed
            it.stream.missed(8)  # nobody listens
            await asyncio.sleep(4.5)
            assert it.stream.reconnects == 1  # and what was owed by the one before is forgotten

    run_virtual(run())


def test_whoever_collects_is_told_after_each_message():
    async def run() -> None:
        async with listening() as it:
            it.table.add(buy(1))
            it.made[0].orders.put_nowait({"id": "1", "clientOrderId": f"{PREFIX}1", "status": "open"})
            await asyncio.sleep(0.1)
            assert it.heard == [1]
            it.made[0].trades.put_nowait(trade(7))
            await asyncio.sleep(0.1)
            assert it.heard == [1, 2]
            assert it.table.orders[1].seen_ns == Wall().now_ns()

    run_virtual(run())


@pytest.mark.parametrize(
    ("has", "fault_of", "read"),
    [(("watchMyTrades",), "trades", ["trades"]), (("watchOrders",), "orders", ["orders"]), ((), None, [])],
)
def test_it_reads_what_the_venue_has(has, fault_of, read):
    async def run() -> None:
        async with listening(has=has) as it:
            waiting = [name for name in ("trades", "orders") if getattr(it.made[0], name)._getters]
            assert waiting == read and it.asked == 1
            if fault_of is not None:
                getattr(it.made[0], fault_of).put_nowait(errors.NetworkError("cut"))
                await asyncio.sleep(0.3)
                assert it.stream.reconnects == 1

    run_virtual(run())


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (errors.NetworkError("cut"), "NetworkError: cut"), (asyncio.CancelledError(), "the connection was closed"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)  # fmt: skip
def test_the_log_says_why_a_stream_failed(fault, said):
    async def run() -> list:
        with structlog.testing.capture_logs() as logs:
            async with listening() as it:
                it.made[0].orders.put_nowait(fault)
                await asyncio.sleep(0.1)
        return logs

    assert [(log["event"], log["reasons"]) for log in run_virtual(run())] == [("user_stream_failed", [said])]


def test_what_a_socket_was_refused_and_what_is_owed_are_said_too():
    async def run() -> list:
        with structlog.testing.capture_logs() as logs:
            async with listening() as it:
                it.made[0].socket.rejections["spot"] = errors.ExchangeError("terminated")
                await asyncio.sleep(12.0)
                it.stream.missed(7)
                await asyncio.sleep(4.0)
        return logs

    reasons = [log["reasons"] for log in run_virtual(run())]
    assert reasons == [["ExchangeError: terminated"], ["a trade that REST knows has not come"]]


@pytest.mark.parametrize("fault", ["end_session", "disconnect", "malform"])
def test_fills_are_known_within_seconds_whatever_became_of_the_user_stream(tmp_path, fault):
    """Where only the next reconciliation would tell of them, that would be minutes later."""

    async def run() -> float:
        settings = {"execution.reconcile_every_s": 300.0}
        async with stage(3, tmp_path, **settings) as it, it.running("live") as daemon:
            books = daemon.session.books
            await asyncio.sleep(WARM_S)
            details = {"malform": {"match": "user"}}.get(fault, {})
            it.inject(fault, **details)
            known, late_s = {}, 0.0
            began = len(truth_of(it.exchange).fills)
            for _ in range(200):
                await asyncio.sleep(0.1)
                known.setdefault(len(truth_of(it.exchange).fills), it.loop.time())
                waiting = [s for fills, s in known.items() if fills > books.account.fills]
                late_s = max([late_s, *(it.loop.time() - s for s in waiting)])
            assert len(truth_of(it.exchange).fills) > began + 5
            return late_s

    assert run_virtual(run()) < 6.0
