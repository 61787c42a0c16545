"""SIGKILL in the middle of a fall by a fifth, real processes and sockets: the watchdog and the stop bound what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chaos.killing import Nursery, Trader, inject, until, venue_process
from chaos.test_kill import look
from chaos.truth import orders_told
from ztb.control import Resume

FRACTION, FALL, FALL_S = 0.05, 0.2, 60.0
SLIPPAGE = 0.015  # as in `test_kill_unwatched.py`
_WATCHDOG_S = 8.0  # until it has done its imports and its work, on a busy machine


def price(trader: Trader) -> float:
    return float(trader.client.public_get_ticker_price({"symbol": "BTCUSDT"})["price"])


def holdings(trader: Trader) -> tuple[float, float]:
    """Quote currency, and what the coins are worth in it."""
    rows = trader.client.private_get_account()["balances"]
    held = {row["asset"]: float(row["free"]) + float(row["locked"]) for row in rows}
    return held["USDT"], held["BTC"] * price(trader)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(6))
def test_killed_while_the_market_falls_it_loses_what_the_stop_allows(
    seed: int, tmp_path: Path, nursery: Nursery
) -> None:
    rng = np.random.default_rng(seed)
    with venue_process(seed) as options:
        trader = Trader(
            tmp_path / "run", options, nursery, protective_stop_fraction=FRACTION,
            max_daily_loss_fraction=0.9, max_drawdown_fraction=0.9,
        )  # fmt: skip
        try:
            trader.start()
            trader.ready_s()
            until(lambda: len(orders_told(trader.client)) > 0, "an order")
            time.sleep(rng.uniform(2.0, 6.0))
            first = sum(holdings(trader))
            inject(options, kind="fall", fraction=FALL, seconds=FALL_S)
            fallen_s = rng.uniform(0.0, FALL_S / 4)
            time.sleep(fallen_s)
            trader.kill()
            cash, coins = holdings(trader)
            time.sleep(FALL_S + _WATCHDOG_S)
            after = sum(holdings(trader))
            trader.start()
            ready_s = trader.ready_s()
            trader.ask(Resume())
            rest = look(trader, ready_s)
        finally:
            trader.leave()
    before = cash + coins
    left = 1.0 - (1.0 - FALL) ** (1.0 - fallen_s / FALL_S)
    kept, naked = after / before - 1.0, -left * coins / before
    print(f"seed {seed}: {kept:+.4f} of what it was worth when killed; without a stop {naked:+.4f}")
    assert after >= (1.0 - FRACTION) * (1.0 - SLIPPAGE) * min(first, before)
    assert (rest.books.cash, rest.books.position) == (rest.truth.cash, rest.truth.position)
    assert rest.books.fills == rest.truth.fills and rest.books.ends == rest.truth.ends
    assert rest.truth.repeated == [] and len(rest.truth.standing) <= 1 and rest.books.mismatches == 0
