"""Live against the local exchange, ccxt unmodified: the venue's account and our ledger agree to the last unit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import ccxt
import pytest

from runtime.daemons import until
from runtime.venue.live_runs import (
    assert_nowhere,
    ledger_of,
    make_live,
    secrets,
    settings,
    trading,
    venue_holds,
    write_config,
)
from ztb.control import Disarm, Flatten
from ztb.errors import ConfigError
from ztb.execution.orders import PROTECTIVE_FROM, is_protective
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import FillRow, NoteRow, OrderEventRow, OrderRow
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon.daemon import DaemonOptions
from ztb.runtime.modes.live import live_daemon
from ztb.runtime.modes.paper import TradingRequest
from ztb.testing.exchange.local import LocalExchange
from ztb.testing.exchange.venue import Credentials

ORDERS = 12


def rows(folder: Path, record, where=""):
    reader = JournalReader(folder / "journal.sqlite")
    found = list(reader.rows(record, where))
    reader.close()
    return found


async def check_agreement(daemon, folder, options) -> None:
    account = daemon.session.books.account
    venue = await asyncio.to_thread(venue_holds, options)
    assert venue == (account.exact_cash, account.exact_position)
    past, ledger = ledger_of(folder, account)
    assert ledger == venue and past.open_orders == []
    assert "mismatch" not in {row.kind for row in rows(folder, NoteRow)}


async def test_it_trades_and_venue_and_ledger_agree_over_a_restart(tmp_path):
    async with LocalExchange(seed=1) as exchange:
        options = exchange.ccxt_options()
        async with trading(await make_live(tmp_path, options)) as daemon:
            await until(lambda: daemon.session.books.orders >= ORDERS)
        await check_agreement(daemon, tmp_path, options)
        orders = daemon.session.books.orders
        async with trading(await make_live(tmp_path, options)) as again:
            await until(lambda: again.session.books.orders >= orders + 4)
        await check_agreement(again, tmp_path, options)
    ordered = [row.order_id for row in rows(tmp_path, OrderRow)]
    numbers = [number for number in ordered if not is_protective(number)]
    assert numbers == list(range(1, len(numbers) + 1))
    stops = [number - PROTECTIVE_FROM for number in ordered if is_protective(number)]
    assert stops == list(range(1, len(stops) + 1)) != []
    assert len({row.client_id for row in rows(tmp_path, OrderRow)}) == len(ordered)


async def test_answers_lost_after_accepting_make_no_duplicate_order_and_lose_no_fill(tmp_path, capsys):
    async with LocalExchange(seed=2) as exchange:
        options = exchange.ccxt_options()
        exchange.inject("status", match="POST /api/v3/order", accepted=True, count=3, after=2, status=503)
        exchange.inject("reset", match="POST /api/v3/order", accepted=True, count=2, after=7)
        async with trading(await make_live(tmp_path, options)) as daemon:
            await until(lambda: daemon.session.books.orders >= ORDERS)
        await check_agreement(daemon, tmp_path, options)
    unknown = {row.order_id for row in rows(tmp_path, OrderEventRow, "event = 'submitunknown'")}
    assert len(unknown) >= 3
    status = repr(daemon.snapshot())
    assert_nowhere(tmp_path, "".join(capsys.readouterr()) + status, options["secret"])


def assert_nothing_left_to_sell(daemon) -> None:
    """What is left, whole lots and what fees in base currency left of one, is less than the venue's smallest order."""
    account, mid = daemon.session.books.account, daemon.session.engine.live.broker.view["mid"].item()
    instrument = account.instrument
    left = account.exact_position // instrument.lot_size * instrument.lot_size
    assert account.exact_position >= 0 and float(left) * mid < instrument.min_notional


async def test_flatten_sells_what_can_be_sold_and_halts(tmp_path):
    async with LocalExchange(seed=3) as exchange:
        options = exchange.ccxt_options()
        async with trading(await make_live(tmp_path, options, strategy={"name": "hold"})) as daemon:
            account, lane = daemon.session.books.account, daemon.session.engine.live
            bought = account.lots
            await until(lambda: account.lots > bought and not lane.working)
            await daemon.controls.execute(Flatten(), "test")
            await until(lambda: daemon.snapshot().state == "halted")
            assert account.fills > 1
            assert_nothing_left_to_sell(daemon)
        await check_agreement(daemon, tmp_path, options)


async def test_flatten_sells_what_a_buy_on_its_way_brings(tmp_path):
    async with LocalExchange(seed=3) as exchange:
        options = exchange.ccxt_options()
        slow = exchange.inject("slow", match="POST /api/v3/order", seconds=1.0)
        exchange.inject("delay", match="user", seconds=2.0, count=4)
        risk = {**settings(options)["risk"], "protective_stop_fraction": 0}  # the buy is the first order
        async with trading(
            await make_live(tmp_path, options, strategy={"name": "hold"}, risk=risk)
        ) as daemon:
            await until(lambda: slow.happened == 1)
            await daemon.controls.execute(Flatten(), "test")
            assert [order.request.side for order in daemon.session.engine.live.working] == [1]
            await until(lambda: daemon.snapshot().state == "halted")
            assert_nothing_left_to_sell(daemon)
        await check_agreement(daemon, tmp_path, options)
    assert 1 in {row.order_id for row in rows(tmp_path, OrderEventRow, "event = 'cancelrequested'")}
    assert 1 in {row.order_id for row in rows(tmp_path, FillRow)}, "the cancel came too late"


async def test_disarming_ends_the_permission_and_new_risk_at_once(tmp_path):
    async with LocalExchange(seed=3) as exchange:
        async with trading(await make_live(tmp_path, exchange.ccxt_options())) as daemon:
            await until(lambda: daemon.session.engine.progress.decisions > 2)
            assert (await daemon.controls.execute(Disarm(), "test")).ok
            assert "not armed" in daemon.session.engine.live.gate.memory.permission.holds
    assert not (tmp_path / "arming.json").exists()


async def test_money_that_moved_without_us_halts(tmp_path):
    async with LocalExchange(seed=4) as exchange:
        options = exchange.ccxt_options()
        async with trading(await make_live(tmp_path, options)) as daemon:
            await until(lambda: daemon.session.books.orders >= 2)
            client = ccxt.binance(options)
            await asyncio.to_thread(client.create_order, "BTC/USDT", "market", "buy", 0.01)
            await until(lambda: daemon.snapshot().state == "halted")
        assert "mismatch" in {row.kind for row in rows(tmp_path, NoteRow)}


async def test_in_a_sandbox_which_cannot_tell_the_keys_rights_it_trades_and_says_so(tmp_path):
    async with LocalExchange(seed=6, credentials=Credentials(withdrawals=True)) as exchange:
        options = exchange.ccxt_options()
        market = {**settings(options)["market"], "sandbox": True}
        async with trading(await make_live(tmp_path, options, market=market)) as daemon:
            await until(lambda: daemon.session.books.orders >= 1)
            alerts = daemon.snapshot().alerts
    assert [alert.severity for alert in alerts if alert.key == "key_rights_unknown"] == ["warning"]


async def test_without_arming_or_with_a_key_that_may_withdraw_it_does_not_start(tmp_path):
    async with LocalExchange(seed=5, credentials=Credentials(withdrawals=True)) as exchange:
        options = exchange.ccxt_options()
        with pytest.raises(ConfigError, match="may withdraw"):
            await make_live(tmp_path / "armed", options)
        config = write_config(tmp_path, options)
        request = TradingRequest(config, RunDirectory(tmp_path), 0)
        with pytest.raises(ConfigError, match="not armed"):
            await live_daemon(request, DaemonOptions("test", lambda: config), SystemClock(), secrets(options))
