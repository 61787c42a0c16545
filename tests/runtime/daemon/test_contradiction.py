"""A program that contradicts itself ends, with its evidence; the next start looks at the books anew, flattens and halts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from chaos.stage import WARM_S, Stage, stage
from chaos.truth import truth_of
from runtime.daemons import make_daemon, running, until
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import NoteRow
from ztb.runtime.daemon.daemon import Daemon
from ztb.runtime.daemon.kill_switch import KillSwitch, Latch
from ztb.testing.exchange.listing import SCALE
from ztb.testing.exchange.venue import USER
from ztb.testing.virtual_time import run_virtual

WARM = 70


def notes(folder: Path) -> dict[str, str]:
    reader = JournalReader(folder / "journal.sqlite")
    found = {row.kind: row.detail for row in reader.rows(NoteRow)}
    reader.close()
    return found


def contradict(daemon: Daemon) -> None:
    """Let the trading account say what the ledger does not."""
    daemon.session.engine.live.broker.account["cash"] += 1.0


async def test_it_ends_at_once_with_a_latch_and_a_note_that_say_why(write_bars, tmp_path):
    daemon, source = make_daemon(write_bars(300), tmp_path, "hold")
    with pytest.raises(ExceptionGroup):
        async with running(daemon, source) as run:
            await run.step(WARM + 5)
            contradict(daemon)
            source.all()
            await asyncio.sleep(60.0)
    latch = KillSwitch(tmp_path).latch
    assert latch.stop == "flattening" and "disagree" in latch.reason
    said = notes(tmp_path)
    assert "disagree" in json.loads(said["contradiction"])["reason"] and said["end"].startswith("failed")


async def test_a_halt_that_was_latched_before_stays_a_halt(write_bars, tmp_path):
    KillSwitch(tmp_path).set(Latch("halted", 1, "test", "by hand"))
    daemon, source = make_daemon(write_bars(300), tmp_path, "hold")
    with pytest.raises(ExceptionGroup):
        async with running(daemon, source) as run:
            await run.step(WARM)
            contradict(daemon)
            source.all()
            await asyncio.sleep(60.0)
    assert KillSwitch(tmp_path).latch.reason == "by hand" and "contradiction" in notes(tmp_path)


def traded(it: Stage) -> int:
    """Orders that the venue was ever given, but for stops: what is held while halted is protected all the same."""
    return sum(not order.request.stop_price for order in it.exchange.state.venue.orders_of(USER, "BTCUSDT"))


async def _contradicted(it: Stage) -> None:
    """A live daemon that held something has ended with a contradiction."""
    with pytest.raises(ExceptionGroup):
        async with it.running("live") as daemon:
            await asyncio.sleep(WARM_S)
            await until(lambda: daemon.session.books.account.lots > 0)
            contradict(daemon)
            await asyncio.sleep(60.0)


def test_where_the_venue_bears_the_books_out_the_next_start_flattens_and_halts(tmp_path):
    async def run() -> None:
        async with stage(3, tmp_path) as it:
            await _contradicted(it)
            async with it.running("live") as daemon:
                await asyncio.sleep(20.0)
                assert daemon.snapshot().state == "halted" and "disagree" in daemon.snapshot().because
                assert (
                    daemon.session.books.account.exact_position < daemon.session.assembly.instrument.lot_size
                )
                truth, account = truth_of(it.exchange), daemon.session.books.account
                assert (account.exact_cash, account.exact_position) == (truth.cash, truth.position)

    run_virtual(run())
    assert "mismatch" not in notes(tmp_path)


def test_where_the_venue_does_not_the_next_start_halts_with_its_evidence_and_sends_nothing(tmp_path):
    async def run() -> None:
        async with stage(3, tmp_path) as it:
            await _contradicted(it)
            it.exchange.state.venue.accounts.held[USER]["USDT"].free += SCALE
            taken = traded(it)
            async with it.running("live") as daemon:
                await asyncio.sleep(20.0)
                assert daemon.snapshot().state == "halted"
                assert "the venue holds" in daemon.snapshot().because
            assert traded(it) == taken

    run_virtual(run())
    assert "mismatch" in notes(tmp_path)
