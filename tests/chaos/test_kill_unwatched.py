"""kill -9, and the market falls by a fifth while nobody is there: the stop bounds the loss, the books are equal again, and
no position is ever protected twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from chaos.books import Books, books_now
from chaos.stage import Stage, stage
from chaos.truth import Truth, truth_of
from runtime.daemons import until
from ztb.testing.exchange.listing import SCALE
from ztb.testing.exchange.orders import ExchangeOrder, ExchangeOrderType, Side
from ztb.testing.exchange.venue import USER
from ztb.testing.virtual_time import run_virtual

FRACTION, FALL = 0.05, 0.2
SLIPPAGE = 0.015  # what a stop at market gives away, and one that comes when the price has begun to fall
SETTINGS = {
    "risk.protective_stop_fraction": FRACTION, "execution.reconcile_every_s": 5.0,
    "market.warm_up_s": 60.0,  # it trades at once: the floor is no older than the first order
    # The next life is to hold something as well: what the fall before cost is no limit.
    "risk.max_daily_loss_fraction": 0.9, "risk.max_drawdown_fraction": 0.9,
}  # fmt: skip
_LATEST_S = (1.0, 22.0)  # after the first order or stop of a life
_FALL_S = 60.0
_BEFORE_S, _LATE_S = 0.7, 4.5  # an order sent right before a kill may reach the venue so much after it


@dataclass(frozen=True)
class Fallen:
    """One kill: the account's worth (quote currency) when it came, and after the fall, stopped or not."""

    before: float
    after: float
    naked: float  # what it would have been without a sale, had the fall filled the buys at work first
    truth: Truth
    books: Books


def worth(it: Stage) -> float:
    venue = it.exchange.state.venue
    held = venue.accounts.held[USER]
    cash, coins = (held[asset].free + held[asset].locked for asset in ("USDT", "BTC"))
    return (cash + coins * venue.markets["BTCUSDT"].last_price // SCALE) / SCALE


def coins(it: Stage) -> int:
    balance = it.exchange.state.venue.accounts.held[USER]["BTC"]
    return balance.free + balance.locked


def ours(it: Stage) -> list[ExchangeOrder]:
    return it.exchange.state.venue.orders_of(USER, "BTCUSDT")


def being_bought(it: Stage) -> int:
    """The coins that orders at work may still buy."""
    working = it.exchange.state.venue.open_orders(USER, "BTCUSDT")
    return sum(order.remaining for order in working if order.request.side is Side.BUY)


async def never_twice(it: Stage) -> None:
    """Until cancelled: all stops together sell no more than is held."""
    venue = it.exchange.state.venue
    while True:
        waiting = [
            o.remaining
            for o in venue.open_orders(USER, "BTCUSDT")
            if o.request.type is ExchangeOrderType.STOP_LOSS
        ]
        assert sum(waiting) <= coins(it)
        await asyncio.sleep(0.05)


async def killed(it: Stage, rng: np.random.Generator, seed: int) -> Fallen:
    """One life, its end, the fall, and the life after it."""
    before = naked = 0.0

    def at_death() -> None:
        nonlocal before, naked
        price = it.exchange.state.venue.markets["BTCUSDT"].last_price
        before, at_risk = worth(it), coins(it) + being_bought(it)
        naked = before - FALL * at_risk * price / SCALE / SCALE
        it.fall(FALL, _FALL_S)

    after_s, late_s = float(rng.uniform(0.0, rng.choice(_LATEST_S))), float(rng.uniform(0.0, _LATE_S))
    async with it.dying(seed, at_death=at_death):
        known = len(ours(it))
        await until(lambda: len(ours(it)) > known)
        if rng.random() < 0.5:
            it.loop.call_later(max(0.0, after_s - _BEFORE_S), it.venue.strays.append, late_s)
        await asyncio.sleep(after_s)
    await asyncio.sleep(_FALL_S + 10.0)
    after = worth(it)
    async with it.running("live", seed) as daemon:
        await asyncio.sleep(15.0)
        daemon.controls.latch("halted", "test", "a look")
        async with asyncio.timeout(60.0):
            while daemon.session.engine.live.working:  # noqa: ASYNC110 (what is waited for has no event)
                await asyncio.sleep(0.5)
        await asyncio.sleep(8.0)
        truth, books = truth_of(it.exchange), books_now(it.folder, daemon.session)
    daemon.switch.clear()
    return Fallen(before, after, naked, truth, books)


def lives(seed: int, kills: int, folder: Path) -> list[Fallen]:
    rng = np.random.default_rng(seed)

    async def run() -> list[Fallen]:
        async with stage(seed, folder, **SETTINGS) as it, asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(never_twice(it))
            found = [await killed(it, rng, seed) for _ in range(kills)]
            watching.cancel()
            return found

    return run_virtual(run(), seed)


PROOF = [pytest.param(seed, marks=pytest.mark.proof) for seed in range(200)]


@pytest.mark.parametrize("seed", [200, *PROOF])
def test_a_fall_of_a_fifth_while_it_is_dead_costs_what_the_stop_allows(seed: int, tmp_path: Path) -> None:
    first = 0.0
    for seen in lives(seed, 2, tmp_path / "run"):
        first = first or seen.before
        assert seen.after >= (1.0 - FRACTION) * (1.0 - SLIPPAGE) * min(first, seen.before)
        assert (seen.books.cash, seen.books.position) == (seen.truth.cash, seen.truth.position)
        assert seen.books.fills == seen.truth.fills
        assert seen.books.ends == seen.truth.ends
        assert seen.truth.repeated == [] and len(seen.truth.standing) <= 1
        assert seen.books.mismatches == 0
        kept, naked = seen.after / seen.before - 1.0, seen.naked / seen.before - 1.0
        print(f"seed {seed}: {kept:+.4f} of what it was worth when killed; without a stop {naked:+.4f}")
