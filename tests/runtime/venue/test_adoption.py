"""After a mismatch that was looked into, an operator has the venue's figures taken over; the books are exact after it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from chaos.stage import WARM_S, Stage, stage
from chaos.truth import truth_of
from runtime.daemons import make_daemon, running, until
from runtime.venue.live_runs import ledger_of
from ztb.control import Adopt, Halt, Resume
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import NoteRow
from ztb.runtime.daemon.daemon import Daemon
from ztb.testing.exchange.listing import SCALE
from ztb.testing.exchange.venue import USER
from ztb.testing.virtual_time import run_virtual

OFTEN = {"execution.reconcile_every_s": 5.0}
MOVED_USDT, MOVED_BTC = 10_000, -0.25


def move_money(it: Stage) -> None:
    """Somebody deposits and withdraws, with no trade."""
    held = it.exchange.state.venue.accounts.held[USER]
    held["USDT"].free += MOVED_USDT * SCALE
    held["BTC"].free += round(MOVED_BTC * SCALE)


def assert_exact(it: Stage, daemon: Daemon, folder: Path) -> None:
    truth, account = truth_of(it.exchange), daemon.session.books.account
    assert (account.exact_cash, account.exact_position) == (truth.cash, truth.position)
    assert ledger_of(folder, account)[1] == (truth.cash, truth.position)


async def halted(daemon: Daemon) -> None:
    await until(lambda: daemon.snapshot().state == "halted" and not daemon.session.engine.live.working)


async def mismatched(it: Stage, daemon: Daemon) -> None:
    await asyncio.sleep(WARM_S)
    move_money(it)
    await halted(daemon)
    assert "ztb resume --adopt" in daemon.snapshot().because


def test_it_trades_on_from_the_venues_figures_and_so_does_the_next_start(tmp_path):
    async def run() -> None:
        async with stage(3, tmp_path, **OFTEN) as it:
            async with it.running("live") as daemon:
                await mismatched(it, daemon)
                await daemon.controls.execute(Resume(), "test")
                await halted(daemon)  # resuming alone helps nothing
                answer = await daemon.controls.execute(Adopt(), "test")
                assert answer.ok and "adopted +10000" in answer.message and "-0.25" in answer.message
                fills = daemon.session.books.account.fills
                await asyncio.sleep(30.0)
                assert daemon.snapshot().state == "trading" and daemon.session.books.account.fills > fills
                before = daemon.session.engine.progress
                await daemon.controls.execute(Halt(), "test")
                await halted(daemon)
                await asyncio.sleep(2.0)
                assert_exact(it, daemon, tmp_path)
            async with it.running("live") as again:
                after = again.session.engine.progress
                assert after.adopted == pytest.approx(before.adopted, rel=1e-12)
                assert again.session.start_equity == pytest.approx(daemon.session.start_equity, rel=1e-12)
                assert after.peak == pytest.approx(before.peak, rel=1e-9)
                await asyncio.sleep(10.0)
                assert_exact(it, again, tmp_path)

    run_virtual(run())


def test_what_came_is_no_profit_and_what_went_no_loss_and_the_journal_says_why(tmp_path):
    async def run() -> None:
        async with stage(3, tmp_path, **OFTEN) as it, it.running("live") as daemon:
            await mismatched(it, daemon)
            memory, progress = daemon.session.engine.live.gate.memory, daemon.session.engine.progress
            fallen, decisions = progress.max_drawdown, progress.decisions
            lost = 1.0 - daemon.session.engine.live.equity / memory.peak_equity
            price = daemon.session.engine.live.broker.view["mid"].item()
            await daemon.controls.execute(Adopt(), "an operator")
            came = MOVED_USDT + MOVED_BTC * price
            assert progress.adopted == pytest.approx(came, rel=1e-3) and abs(came) > 1_000
            assert daemon.snapshot().start_equity == daemon.session.opening.equity + progress.adopted
            assert 1.0 - daemon.session.engine.live.equity / memory.peak_equity == pytest.approx(
                lost, abs=1e-3
            )
            await until(lambda: progress.decisions >= decisions + 2)
            assert progress.max_drawdown == pytest.approx(fallen, abs=3e-3)

    run_virtual(run())
    reader = JournalReader(tmp_path / "journal.sqlite")
    [note] = reader.rows(NoteRow, "kind = 'adopted'")
    reader.close()
    evidence = json.loads(note.detail)["evidence"]
    assert evidence["asked by"] == "an operator" and evidence["venue"] != evidence["ledger"]


def test_while_it_trades_nothing_is_taken_over(tmp_path):
    async def run() -> None:
        async with stage(3, tmp_path, **OFTEN) as it, it.running("live") as daemon:
            await asyncio.sleep(WARM_S)
            answer = await daemon.controls.execute(Adopt(), "test")
            assert not answer.ok and answer.exit_code == 2 and "halt first" in answer.message

    run_virtual(run())


async def test_where_no_real_money_is_traded_there_is_nothing_to_adopt(write_bars, tmp_path):
    daemon, source = make_daemon(write_bars(100), tmp_path, "hold")
    async with running(daemon, source) as run:
        await run.ask(Halt())
        answer = await run.ask(Adopt())
        assert not answer.ok and "no real money" in answer.message
