"""A halt ends every order at the venue, however often the venue does not answer, and over a restart."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from chaos.stage import WARM_S, Stage, stage
from runtime.daemons import until
from ztb.execution.orders import OrderRequest, OrderType
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import OrderRow
from ztb.runtime.daemon.daemon import Daemon
from ztb.runtime.daemon.kill_switch import KillSwitch, Latch
from ztb.runtime.guards import NOT_ARMED
from ztb.testing.exchange.faults import Fault, FaultKind
from ztb.testing.exchange.orders import ExchangeOrder, ExchangeOrderType
from ztb.testing.exchange.venue import USER
from ztb.testing.virtual_time import run_virtual

SEED = 1


def decided(orders: list[ExchangeOrder]) -> int:
    """How many of them a decision asked for: a halt lets the protective stop stand."""
    return sum(order.request.type is not ExchangeOrderType.STOP_LOSS for order in orders)


def open_at_venue(it: Stage) -> int:
    return decided(it.exchange.state.venue.open_orders(USER, "BTCUSDT"))


def taken_by_venue(it: Stage) -> int:
    return decided(it.exchange.state.venue.orders_of(USER, "BTCUSDT"))


async def an_order_that_rests(it: Stage, daemon: Daemon) -> None:
    """Wait until the venue has an open order, and the daemon knows that it has."""
    await asyncio.sleep(WARM_S)
    table = daemon.session.engine.live.broker.table
    await until(lambda: open_at_venue(it) > 0 and bool(table.working) and table.working[-1].accepted)


def test_a_halt_cancels_until_the_venue_obeys_and_no_order_leaves_after_it(tmp_path):
    async def run() -> None:
        async with stage(SEED, tmp_path) as it, it.running("live") as daemon:
            await an_order_that_rests(it, daemon)
            deaf = it.gateway.inject(Fault(FaultKind.STATUS, "DELETE /api/v3/order", count=8))
            taken = taken_by_venue(it)
            daemon.controls.latch("halted", "test", "")
            await asyncio.sleep(30.0)
            assert deaf.happened > 1 and open_at_venue(it) == 0
            assert not daemon.session.engine.live.working and taken_by_venue(it) == taken

    run_virtual(run())


def test_a_daemon_that_starts_halted_cancels_what_an_earlier_one_left_open(tmp_path):
    async def run() -> None:
        leave = {"execution.orders_at_stop": "leave", "execution.orders_at_start": "adopt"}
        async with stage(SEED, tmp_path, **leave) as it:
            async with it.running("live") as daemon:
                await an_order_that_rests(it, daemon)
            assert open_at_venue(it) == 1
            KillSwitch(tmp_path).set(Latch("halted", 0, "test", "while it was down"))
            async with it.running("live") as daemon:
                await asyncio.sleep(10.0)
                assert daemon.snapshot().state == "halted" and open_at_venue(it) == 0
                assert not daemon.session.engine.live.working

    run_virtual(run())
    reader = JournalReader(tmp_path / "journal.sqlite")
    numbers = [row.order_id for row in reader.rows(OrderRow)]
    reader.close()
    assert len(numbers) == len(set(numbers))


def test_a_buy_that_waited_for_its_turn_is_not_sent_once_disarmed(tmp_path):
    buy = OrderRequest(order_id=9_000, side=1, lots=1000, order_type=OrderType.MARKET)
    sell = msgspec.structs.replace(buy, side=-1)

    async def run() -> None:
        async with stage(SEED, tmp_path) as it, it.running("live") as daemon:
            await asyncio.sleep(WARM_S)
            stopped = cast(Any, daemon.account)._stopped
            assert stopped(buy) == stopped(sell) == ""
            daemon.account.disarm()
            assert (stopped(buy), stopped(sell)) == (NOT_ARMED, "")

    run_virtual(run())
