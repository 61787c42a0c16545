"""Killed at any moment, a live daemon finds its way back: no duplicate order, no lost fill, ledger equals venue."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import ccxt
import numpy as np
import pytest

from runtime.daemons import start, wait_for
from runtime.venue.live_runs import (
    ExchangeProcess,
    arm,
    assert_nowhere,
    instrument_at,
    ledger_of,
    secrets,
    venue_holds,
    write_config,
)
from ztb.commands.control import ask
from ztb.control import Status
from ztb.errors import ZtbError
from ztb.ledger.accounts import Account
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import NoteRow, OrderRow
from ztb.market.instrument import Instrument

KILLS = 10 if float(os.environ.get("ZTB_PROOF_SHARE", "1")) >= 1 else 1


def orders_so_far(folder) -> int:
    """What a running daemon says; -1 while it does not answer."""
    try:
        return int(ask(folder, Status()).detail.get("orders", -1))
    except ZtbError:
        return -1


def lives(folder, options) -> subprocess.Popen[str]:
    return start(
        "run", "--mode", "live", "--config", folder / "live.json", "--out", folder, "--json", cwd=folder,
        **secrets(options),
    )  # fmt: skip


def check(folder, instrument: Instrument, options) -> None:
    past, ledger = ledger_of(folder, Account(instrument, 0))
    assert ledger == venue_holds(options) and past.open_orders == []
    reader = JournalReader(folder / "journal.sqlite")
    ours = {row.client_id for row in reader.rows(OrderRow)}
    kinds = {row.kind for row in reader.rows(NoteRow)}
    reader.close()
    assert "mismatch" not in kinds
    at_venue = [row["clientOrderId"] for row in ccxt.binance(options).fetch_orders("BTC/USDT")]
    assert len(set(at_venue)) == len(at_venue)
    assert {name for name in at_venue if name.startswith("ztb")} <= ours


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(30))
def test_ledger_equals_venue_after_kills(seed, tmp_path):
    rng = np.random.default_rng(seed)
    exchange = ExchangeProcess(seed)
    try:
        options = exchange.options
        config = write_config(tmp_path, options)
        arm(tmp_path, config, options["apiKey"])
        sent = 0
        for _ in range(KILLS):
            process = lives(tmp_path, options)
            wait_for(lambda sent=sent: orders_so_far(tmp_path) > sent, process)
            sent = orders_so_far(tmp_path)
            time.sleep(float(rng.uniform(0.0, 2.0)))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        process = lives(tmp_path, options)
        wait_for(lambda: orders_so_far(tmp_path) >= 0, process)
        time.sleep(6.0)  # a reconciliation, and what was unknown is known
        process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert_nowhere(tmp_path, out + said, options["secret"])
        check(tmp_path, instrument_at(options), options)
    finally:
        exchange.close()
