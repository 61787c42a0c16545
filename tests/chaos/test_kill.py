"""kill -9 at any moment: after recovery nothing was sent twice, no fill is lost, ledger and venue agree."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from chaos.books import check_account, check_journal
from chaos.killing import Trader, inject, venue_process
from chaos.truth import truth_told
from ztb.control import Resume
from ztb.ledger.accounts import Account
from ztb.market.instrument import Instrument
from ztb.runtime.recovery import read_past

READY_S = 5.0
"""From the end of the imports to trading again."""

_CENT = Decimal("0.01")
_BTC_USDT = Instrument(
    "BTC/USDT", "BTC", "USDT", "binance", _CENT, Decimal("0.00001"), Decimal(5), Decimal(0), Decimal(0), 0.0
)


def ledger(folder: Path) -> Account:
    """The account as the journal alone tells it."""
    past = read_past(folder / "journal.sqlite")
    assert past is not None and past.opening is not None
    account = Account(_BTC_USDT, past.opening.cash)
    account.hold(past.opening.position)
    for booked in past.booked:
        fill = booked.fill
        account.fill(booked.side, fill.lots, fill.price_ticks, fill.liquidity, fill.fee)
        account.base_fee(fill.base_fee, fill.price_ticks)
    return account


def check(trader: Trader) -> int:
    """The daemon rests: its books against the venue's; how many orders the venue took so far."""
    trader.halt()
    time.sleep(0.5)  # the journal is on disk a fifth of a second later
    truth = truth_told(trader.client)
    check_account(truth, ledger(trader.folder))
    check_journal(truth, trader.folder)
    return len(truth.orders)


def kill_and_recover(seed: int, folder: Path, kills: int) -> int:
    """Kill a daemon `kills` times; how many orders the venue took."""
    rng = np.random.default_rng(seed)
    with venue_process(seed) as options:
        trader = Trader(folder, options)
        try:
            for _ in range(kills):
                trader.start()
                if rng.random() < 0.2:
                    time.sleep(rng.uniform(0.0, 2.0))  # before it trades
                else:
                    assert trader.ready_s() <= READY_S
                    check(trader)
                    if rng.random() < 0.5:
                        inject(options, kind="slow", match="POST /api/v3/order", seconds=0.3, count=3)
                    trader.ask(Resume())
                    time.sleep(rng.uniform(0.0, 4.0))
                trader.kill()
            trader.start()
            assert trader.ready_s() <= READY_S
            orders = check(trader)
            assert trader.end()["status"] == "stopped"
        finally:
            trader.leave()
    return orders


def test_kills_leave_the_books_as_the_venue_has_them(tmp_path: Path) -> None:
    assert kill_and_recover(5, tmp_path / "run", 1) > 0


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(100))
def test_three_hundred_kills_leave_the_books_as_the_venue_has_them(seed: int, tmp_path: Path) -> None:
    kill_and_recover(seed, tmp_path / "run", 3)
