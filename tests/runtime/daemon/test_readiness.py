"""A daemon on a market calls itself ready when it may trade: recovered, reconciled, past a first tick; or when it is halted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.stage import stage
from runtime.daemons import environment, make_daemon, running, start, until
from ztb.config import load_config
from ztb.control import Halt
from ztb.runtime.build.assembly import assemble
from ztb.runtime.build.compiling import compile_ahead
from ztb.runtime.daemon.daemon import Daemon
from ztb.telemetry.systemd import is_ready
from ztb.testing.virtual_time import run_virtual

AHEAD = Path(__file__).with_name("compiled_ahead.py")


def states(daemon: Daemon) -> tuple[str, bool, bool]:
    return daemon.snapshot().state, is_ready(daemon.snapshot()), daemon.ready.is_set()


STARTING, TRADING, HALTED = ("starting", False, False), ("trading", True, True), ("halted", True, True)


def test_before_the_first_reconciliation_live_is_starting_and_then_it_trades(tmp_path):
    async def run() -> None:
        async with stage(3, tmp_path) as it:
            it.inject("status", match="GET /api/v3/myTrades", status=503, count=0)
            async with it.running("live") as daemon:
                await asyncio.sleep(20.0)
                assert daemon.session.engine.progress.ticks > 0 and states(daemon) == STARTING
                it.gateway.clear_faults()
                await asyncio.sleep(20.0)
                assert states(daemon) == TRADING

    run_virtual(run())


async def test_history_alone_is_no_tick_on_a_market_and_a_halt_is_a_place_to_stay(write_bars, tmp_path):
    daemon, source = make_daemon(write_bars(100), tmp_path, "hold")
    session = daemon.session
    session.assembly = replace(session.assembly, live=True)
    session.engine.trade_from_ns = 2**62
    async with running(daemon, source) as run:
        await run.step(10)
        await asyncio.sleep(0.3)
        assert states(daemon) == STARTING
        session.engine.trade_from_ns = session.engine.progress.last_ts_ns + 1
        await run.step(1)
        await until(daemon.ready.is_set)
        assert states(daemon) == TRADING
        session.engine.trade_from_ns = 2**62
        await run.ask(Halt())
        assert states(daemon) == HALTED


@pytest.mark.parametrize(
    ("wanted", "live", "strategy", "where"),
    [
        ("auto", True, "ppo_online", "process"),
        ("auto", False, "ppo_online", "inline"),
        ("inline", True, "ppo_online", "inline"),
        ("off", True, "ppo_online", "off"),
    ],
)
def test_on_a_market_the_learner_has_a_process_of_its_own_unless_told_otherwise(
    wanted, live, strategy, where
):
    from runtime.venue.fake_account import INSTRUMENT

    config = load_config(None, {"online.learner": wanted, "strategy.name": strategy}, {}).config
    assert assemble(config, INSTRUMENT, None, 0, live).learner == where


@pytest.mark.parametrize("strategy", ["ppo_online"])
def test_nothing_is_compiled_once_a_session_on_a_market_has_begun(strategy, tmp_path):
    compile_ahead(
        load_config(None, {"strategy.name": strategy}, {}).config
    )  # where many tests share the disk
    done = subprocess.run(
        [sys.executable, AHEAD, str(tmp_path / "run"), strategy], env=environment(), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["fills"] > 0 and said["late"] == []


def test_terminated_while_it_compiles_it_ends_at_once_and_nothing_has_begun(tmp_path):
    config = {"market": {"symbol": "BTC/USDT", "venue": "binance", "allowed_hosts": ["127.0.0.1"]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    cache = tmp_path / "cache"
    process = start(
        "run", "--mode", "paper", "--config", "config.json", "--out", "run", cwd=tmp_path,
        NUMBA_CACHE_DIR=str(cache),
    )  # fmt: skip
    while not any(files for _, _, files in os.walk(cache)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == -signal.SIGTERM
    assert list((tmp_path / "run").iterdir()) == []
