"""Another venue's protocol, through the same paper daemon: nothing but the configuration differs."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

from market.live.kraken_server import KrakenServer
from runtime.daemons import until
from ztb.config import load_config
from ztb.ledger.run_directory import RunDirectory
from ztb.market.recording import RecordingReader
from ztb.market.ticks import DEPTH, QUOTE, TRADE, join_ticks
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon.daemon import DaemonOptions
from ztb.runtime.modes.paper import TradingRequest, paper_daemon


async def test_kraken_in_paper_mode_trades_and_misses_no_trade(tmp_path: Path):
    async with KrakenServer().running() as kraken:
        flags = {
            "market.venue": "kraken", "market.symbol": "BTC/USD", "market.allowed_hosts": ["127.0.0.1"],
            "market.client": {"urls": kraken.urls()}, "market.streams": ["trades", "quotes", "depth"],
            "market.warm_up_s": 30.0, "features.names": ["rsi_14"], "decision.every": "time",
            "decision.interval_ms": 100, "online.learner": "off", "strategy.name": "hold",
        }  # fmt: skip
        config = load_config(None, flags, {}).config
        directory = RunDirectory(tmp_path)
        daemon = await paper_daemon(
            TradingRequest(config, directory, 0), DaemonOptions("k", lambda: config), SystemClock()
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(daemon.run())
            async with asyncio.timeout(300):
                await until(lambda: daemon.session.books.account.fills > 0 and len(kraken.trades) > 60)
            told = daemon.snapshot()
            daemon.stop()
            summary = await running
    assert [(s.name, s.stale, s.reconnects) for s in told.streams] == [
        ("trades", False, 0), ("quotes", False, 0), ("depth", False, 0)
    ]  # fmt: skip
    assert told.recording and summary["symbol"] == "BTC/USD" and summary["fills"] > 0 and summary["gaps"] == 0
    reader = RecordingReader(tmp_path / "ticks" / "000001.ticks")
    instrument = reader.header().instrument
    assert (instrument.venue, instrument.tick_size, instrument.taker_fee) == (
        "kraken",
        Decimal("0.1"),
        Decimal("0.004"),
    )
    ticks = join_ticks([ticks for ticks, _ in reader.frames()])
    assert {TRADE, QUOTE, DEPTH} == set(ticks["kind"].tolist())
    sizes = ticks["size"][ticks["kind"] == TRADE].tolist()
    assert sizes == [trade["qty"] for trade in kraken.trades[: len(sizes)]] and len(sizes) > 50
