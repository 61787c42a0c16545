"""SIGKILL, real processes and sockets, and from that moment the market falls by a fifth: the stop bounds what it costs.

`test_kill_unwatched.py` has hundreds of these on virtual time; here are a dozen with a real watchdog. Half of them are
killed as soon as the first stop stands: what has been told by then is all that the watchdog will ever know.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from chaos.killing import Nursery, Trader, inject, until, venue_process
from chaos.test_kill import Rest, look
from chaos.test_kill_unwatched import FALL, FRACTION, SLIPPAGE
from chaos.truth import orders_told, protects
from ztb.control import Resume

AT_ONCE = 4  # that fall at the same time, each at a venue of its own
_FALL_S = 60.0
_LATEST_S = (0.2, 5.0)  # after the first stop, of even seeds and of odd ones


@dataclass(frozen=True)
class Fallen:
    """A kill: the account's worth (quote currency) before its first order, at the kill, and after the fall."""

    first: float
    before: float
    after: float
    coins: float  # their share in what it was worth at the kill
    rest: Rest


def worth(trader: Trader) -> tuple[float, float]:
    """Of the account, quote currency, and of its coins alone."""
    rows = trader.client.private_get_account()["balances"]
    held = {row["asset"]: float(row["free"]) + float(row["locked"]) for row in rows}
    coins = held["BTC"] * float(trader.client.public_get_ticker_price({"symbol": "BTCUSDT"})["price"])
    return held["USDT"] + coins, coins


def stands(trader: Trader) -> bool:
    """Whether a stop does."""
    return any(
        protects(order["clientOrderId"]) and order["status"] == "NEW" for order in orders_told(trader.client)
    )


def fallen(seed: int, folder: Path, nursery: Nursery) -> Fallen:
    """One life, its end, the fall, and the life after it."""
    rng = np.random.default_rng(seed)
    with venue_process(seed) as options:
        trader = Trader(
            folder / str(seed), options, nursery, protective_stop_fraction=FRACTION,
            max_daily_loss_fraction=0.9, max_drawdown_fraction=0.9,
        )  # fmt: skip
        try:
            first, _ = worth(trader)
            trader.start()
            trader.ready_s()
            until(lambda: stands(trader), "a stop")
            time.sleep(rng.uniform(0.0, _LATEST_S[seed % 2]))
            trader.kill()
            inject(options, kind="fall", fraction=FALL, seconds=_FALL_S)
            before, coins = worth(trader)
            time.sleep(_FALL_S + 5.0)
            after, _ = worth(trader)
            trader.start()
            ready_s = trader.ready_s()
            trader.ask(Resume())
            return Fallen(first, before, after, coins / before, look(trader, ready_s))
        finally:
            trader.leave()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.mark.proof
@pytest.mark.parametrize("batch", range(3))
def test_who_is_killed_loses_what_the_stop_allows(batch: int, tmp_path: Path, nursery: Nursery) -> None:
    seeds = range(AT_ONCE * batch, AT_ONCE * (batch + 1))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        lives = list(threads.map(partial(fallen, folder=tmp_path, nursery=nursery), seeds))
    for seed, seen in zip(seeds, lives, strict=True):
        kept, naked = seen.after / seen.before - 1.0, -FALL * seen.coins
        print(f"seed {seed}: {kept:+.4f} of what it was worth when killed; without a stop {naked:+.4f}")
        assert seen.after >= (1.0 - FRACTION) * (1.0 - SLIPPAGE) * min(seen.first, seen.before)
        truth, books = seen.rest.truth, seen.rest.books
        assert (books.cash, books.position) == (truth.cash, truth.position)
        assert books.fills == truth.fills and books.ends == truth.ends
        assert truth.repeated == [] and len(truth.standing) <= 1 and books.mismatches == 0
