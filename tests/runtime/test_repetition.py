"""A paper session on the local exchange, repeated from what it recorded: every decision bit for bit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runtime.daemons import until
from ztb.commands.replay import repeat_run
from ztb.config import load_config
from ztb.control import Promote
from ztb.errors import DataError
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import DecisionRow
from ztb.ledger.run_directory import RunDirectory
from ztb.market.history import open_history
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon import Daemon, DaemonOptions
from ztb.runtime.repetition import KeptSwaps, read_recorded
from ztb.runtime.trading import TradingRequest, paper_daemon
from ztb.testing.exchange.local import LocalExchange

FLAGS: dict[str, Any] = {
    "market.venue": "binance", "market.symbol": "BTC/USDT", "market.allowed_hosts": ["127.0.0.1"],
    "market.streams": ["trades", "quotes", "depth"], "market.warm_up_s": 60.0, "features.names": ["rsi_14"],
    "decision.every": "time", "decision.interval_ms": 150, "online.learner": "inline",
    "online.update_every_decisions": 8, "checkpoint.interval_updates": 1,
}  # fmt: skip


async def trade(folder: Path, swaps: bool) -> None:
    """A session of some thirty decisions; a generation made on the way is promoted by hand, then the first again."""
    async with LocalExchange(seed=5) as exchange:
        options = exchange.ccxt_options()
        client = {key: options[key] for key in ("urls", "options")}
        config = load_config(None, {**FLAGS, "market.client": client}, {}).config
        request = TradingRequest(config, RunDirectory(folder), 0)
        daemon = await paper_daemon(request, DaemonOptions("test", lambda: config), SystemClock())
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(daemon.run())
            await _steer(daemon, swaps)
            daemon.stop()
            await running


async def _steer(daemon: Daemon, swaps: bool) -> None:
    session = daemon.session
    async with asyncio.timeout(300):
        await until(lambda: session.lineage.made >= 2)
        if swaps:
            assert (await daemon.controls.execute(Promote(1), "test")).ok
            await _decide(daemon, 8)
            assert (await daemon.controls.execute(Promote(0), "test")).ok
        await _decide(daemon, 8)


async def _decide(daemon: Daemon, more: int) -> None:
    wanted = daemon.session.engine.progress.decisions + more
    await until(lambda: daemon.session.engine.progress.decisions >= wanted)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper") / "run"
    folder.mkdir()
    asyncio.run(trade(folder, swaps=True))
    return folder


def test_a_recorded_session_is_repeated_bit_for_bit_with_its_swaps(session, tmp_path, capsys):
    reader = JournalReader(session / "journal.sqlite")
    served = [row.generation for row in reader.rows(DecisionRow, "verdict != 'halted'")]
    reader.close()
    assert {0, 1} <= set(served) and served[-1] == 0 and len(served) >= 25
    assert repeat_run(session, tmp_path / "again", as_json=False) == 0
    assert (
        f"{len(read_recorded(RunDirectory(session)).decisions)} decisions repeated" in capsys.readouterr().out
    )
    assert len(served) - len(read_recorded(RunDirectory(session)).decisions) <= 3


def test_a_repetition_without_the_swaps_is_found_out(session, tmp_path, monkeypatch):
    def stay(self: KeptSwaps, number: int) -> None:
        """Serve the first generation throughout."""

    monkeypatch.setattr(KeptSwaps, "_prepare", stay)
    with pytest.raises(DataError, match="differs in decisions"):
        repeat_run(session, tmp_path / "again", as_json=True)


def test_the_recorded_ticks_are_a_history_like_any_other(session):
    history = open_history([session / "ticks"])
    rows = sum(len(block) for block in history.blocks())
    assert rows > 100 and history.instrument.symbol == "BTC/USDT" and history.report.bad == 0


def test_a_session_that_was_not_recorded_says_so(session, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("run.json", "journal.sqlite"):
        (bare / name).write_bytes((session / name).read_bytes())
    with pytest.raises(DataError, match="ticks were not recorded"):
        read_recorded(RunDirectory(bare))
