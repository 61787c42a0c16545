"""A restart goes on where the journal ends: money, orders, risk memory, figures and generations."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from runtime.daemons import Gated, running, until
from ztb.config import load_config
from ztb.errors import ConfigError
from ztb.ledger.capital import Opening
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow, FillRow, GenerationRow, MarkRow, OrderRow, UpdateRow
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.build.context import initial_policy
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.daemon.observers import configured_observers
from ztb.runtime.modes.replay import ReplayRequest, open_data, replay_context
from ztb.runtime.recovery.past import read_past
from ztb.runtime.session import Session
from ztb.runtime.sources.history import HistorySource
from ztb.telemetry.web.server import WebObserver

WARM = 70


def life(data: Path, out: Path, strategy: str, **settings) -> tuple[Daemon, Gated]:
    """A daemon on paper in `out`, gone on with if it was there; its source begins at the first bar again."""
    flags = {key.replace("__", "."): value for key, value in settings.items()} | {"strategy.name": strategy}
    config = load_config(None, flags, {}).config
    request = ReplayRequest(config, (data,), seed=0)
    history = open_data(request)
    out.mkdir(exist_ok=True)
    past = read_past(out / "journal.sqlite")
    directory = RunDirectory(out)
    context = replay_context(request, history, directory, lambda _name, _done: None)
    context = replace(
        context,
        mode="paper",
        initial_policy=initial_policy(context.assembly, None, directory=directory, past=past),
        past=past,
        opening=Opening(Decimal(10_000)),
        trade_from_ns=past.last_ts_ns + 1 if past and past.orders else 0,
        paced=False,
        guard=context.broadcast.before_order,
    )
    session = Session.open(context)
    source = Gated(HistorySource(history, 1))
    return Daemon(session, source, SystemClock(), DaemonOptions("test", lambda: config)), source


def rows(folder: Path, record):
    reader = JournalReader(folder / "journal.sqlite")
    found = list(reader.rows(record))
    reader.close()
    return found


async def test_money_numbers_and_risk_memory_go_on(write_bars, tmp_path):
    data = write_bars(400)
    daemon, source = life(data, tmp_path / "run", "random_walk")
    async with running(daemon, source) as run:
        await run.step(WARM + 40)
    first = daemon.session
    again, source = life(data, tmp_path / "run", "random_walk")
    second = again.session
    before, after = first.books.account, second.books.account
    assert (before.cash_units, before.lots, before.fees_units) == (
        after.cash_units,
        after.lots,
        after.fees_units,
    )
    assert first.engine.live.broker.account["cash"].item() == pytest.approx(
        second.engine.live.broker.account["cash"].item(), rel=1e-12
    )
    left, found = first.engine.live.gate.memory, second.engine.live.gate.memory
    assert (left.day, left.peak_equity, left.day_start_equity) == (
        found.day,
        found.peak_equity,
        found.day_start_equity,
    )
    assert (left.last_side, left.repeated) == (found.last_side, found.repeated)
    figures = (
        "decisions", "return_sum", "return_square_sum", "peak", "max_drawdown", "last_equity", "equity_sum",
    )  # fmt: skip
    assert first.engine.progress.return_square_sum > 0.0
    for name in figures:
        assert getattr(second.engine.progress, name) == getattr(first.engine.progress, name), name
    async with running(again, source) as run:
        await run.step(WARM + 90)
    decisions = [row.decision for row in rows(tmp_path / "run", DecisionRow)]
    assert decisions == list(range(len(decisions))) and len(decisions) > first.engine.progress.decisions + 30
    orders = [row.order_id for row in rows(tmp_path / "run", OrderRow)]
    assert orders == list(range(1, len(orders) + 1))


async def test_what_grows_with_the_months_does_not_stay_in_memory_once_it_runs(write_bars, tmp_path):
    data = write_bars(400)
    daemon, source = life(data, tmp_path / "run", "random_walk")
    async with running(daemon, source) as run:
        await run.step(WARM + 40)
    again, source = life(data, tmp_path / "run", "random_walk")
    past = again.session.context.past
    assert past is not None and past.orders and past.booked and len(past.marks.rows) > 1
    async with running(again, source) as run:
        await run.step(WARM + 45)
        assert (past.orders, past.booked, len(past.marks.rows)) == ([], [], 1)


@pytest.mark.parametrize("at_start", ["adopt", "cancel"])
async def test_an_order_left_open_meets_what_traded_meanwhile_or_is_cancelled(write_bars, tmp_path, at_start):
    data = write_bars(400)
    settings = {"execution__orders_at_start": at_start, "execution__orders_at_stop": "leave"}
    daemon, source = life(data, tmp_path / "run", "hold", **settings)
    async with running(daemon, source) as run:
        while not daemon.session.engine.live.working:
            await run.step(1)  # the order is on its way: the next bar fills it
    assert daemon.session.books.account.fills == 0
    again, source = life(data, tmp_path / "run", "flat", **settings)
    assert bool(again.session.engine.live.working) is (at_start == "adopt")
    async with running(again, source) as run:
        await run.step(daemon.session.engine.progress.ticks + 1)
        await asyncio.sleep(0.01)
    assert again.session.books.account.fills == (1 if at_start == "adopt" else 0)


async def test_after_a_start_that_was_killed_before_its_first_row_generation_0_is_made_and_journaled(
    write_bars, tmp_path
):
    (tmp_path / "run").mkdir()
    Journal(tmp_path / "run" / "journal.sqlite").close()
    daemon, source = life(write_bars(400), tmp_path / "run", "ppo_online")
    async with running(daemon, source) as run:
        await run.step(WARM)
    events = [(row.generation, row.event) for row in rows(tmp_path / "run", GenerationRow)]
    assert events == [(0, "made"), (0, "promoted")]
    assert daemon.session.store is not None and daemon.session.store.saved[0] == 0


async def test_a_restart_with_other_features_is_refused_and_does_not_trade_with_a_policy_of_chance(
    write_bars, tmp_path
):
    data = write_bars(400)
    daemon, source = life(data, tmp_path / "run", "ppo_online", features__names=["rsi_14"])
    async with running(daemon, source) as run:
        await run.step(WARM)
    with pytest.raises(
        ConfigError, match=r"made for feature schema.*: the names or formulas of the features differ"
    ):
        life(data, tmp_path / "run", "ppo_online", features__names=["return_1"])


async def test_the_generation_that_served_serves_again(write_bars, tmp_path):
    data = write_bars(400)
    settings = {
        "online__update_every_decisions": 16, "checkpoint__interval_updates": 1, "ppo__num_envs": 4,
        "ppo__num_steps": 4,
    }  # fmt: skip
    daemon, source = life(data, tmp_path / "run", "ppo_online", **settings)
    async with running(daemon, source) as run:
        await run.step(WARM + 60)
    made = daemon.session.lineage.made
    assert made >= 2
    told = daemon.snapshot()
    assert told.learner is not None and told.learner.alive
    assert told.learner.updates == daemon.session.engine.learning.updates >= 3 and told.learner.waiting < 16
    assert told.checkpoints >= 2 and told.last_save_ms is not None and told.last_save_ms > 0.0
    again, source = life(data, tmp_path / "run", "ppo_online", **settings)
    assert again.session.policy.info.sha256 == daemon.session.policy.info.sha256
    assert again.session.policy.info.number == daemon.session.policy.info.number
    async with running(again, source) as run:
        await run.step(WARM + 120)
    numbers = [row.generation for row in rows(tmp_path / "run", GenerationRow) if row.event == "made"]
    assert numbers == list(range(len(numbers))) and len(numbers) > made
    updates = [row.number for row in rows(tmp_path / "run", UpdateRow)]
    assert (
        updates == list(range(1, len(updates) + 1)) and len(updates) > daemon.session.engine.learning.updates
    )


async def test_the_page_and_the_status_begin_where_they_ended(write_bars, tmp_path):
    data = write_bars(400)
    settings = {"telemetry__web_listen": "127.0.0.1:0"}
    daemon, source = life(data, tmp_path / "run", "random_walk", **settings)
    async with running(daemon, source) as run:
        await run.step(WARM + 60)
    again, source = life(data, tmp_path / "run", "random_walk", **settings)
    config = again.session.assembly.config
    observers = configured_observers(config, "test", again.session, SystemClock(), {})
    again.watch(observers)
    async with running(again, source) as run:
        page = observers[-1]
        assert isinstance(page, WebObserver)
        await until(lambda: bool(page.addresses))
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"http://127.0.0.1:{page.addresses[0][1]}/live") as viewer:
                shown = await viewer.receive_json(timeout=30)
        await run.step(WARM + 90)
    marks, fills = rows(tmp_path / "run", MarkRow), rows(tmp_path / "run", FillRow)
    before = daemon.session
    seen = before.engine.progress.decisions
    assert [row[0] for row in shown["history"]["marks"]] == [row.ts_ns / 1e9 for row in marks[:seen]]
    assert len(shown["history"]["fills"]) == before.books.account.fills > 0
    assert len(fills) > before.books.account.fills
    assert shown["snapshot"]["fills"] == before.books.account.fills
