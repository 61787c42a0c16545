"""Paper trading on a market that fails in every way: each trade reaches the engine once, and in order."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from chaos.faults import clear
from chaos.stage import stage
from chaos.storm import storm
from chaos.truth import MARKET
from ztb.market.ticks import TRADE, Ticks
from ztb.runtime.daemon import Daemon
from ztb.testing.exchange.exchange import Exchange
from ztb.testing.exchange.units import SCALE
from ztb.testing.virtual_time import run_virtual

Trade = tuple[int, int]
"""Price and quantity, units."""


def overhear(daemon: Daemon) -> list[Trade]:
    """Every trade that the engine consumes from now on."""
    engine, trades = daemon.session.engine, list[Trade]()
    consume = engine.consume

    async def listening(ticks: Ticks) -> None:
        rows = ticks[ticks["kind"] == TRADE]
        trades.extend(
            (round(price * SCALE), round(size * SCALE))
            for price, size in zip(rows["price"].tolist(), rows["size"].tolist(), strict=True)
        )
        await consume(ticks)

    engine.consume = listening  # type: ignore[method-assign]
    return trades


def traded(exchange: Exchange) -> list[Trade]:
    """Every trade of the venue so far."""
    return [(each.price, each.quantity) for each in exchange.state.venue.market(MARKET).prints]


def chaos(seed: int, folder: Path) -> int:
    """One run; how many trades were consumed."""
    rng = np.random.default_rng(seed)

    async def run() -> int:
        async with stage(seed, folder) as it:
            async with it.running("paper", seed) as daemon:
                before = len(traded(it.exchange))
                consumed = overhear(daemon)
                await asyncio.sleep(20.0)
                await storm(it, rng, 90.0)
                clear(it)
                # A venue that has banned us lifts the ban after two minutes.
                await asyncio.sleep(150.0)
                known = len(traded(it.exchange))
                await asyncio.sleep(3.0)
                assert not any(stream.stale for stream in daemon.streams())
            first = next(i for i in range(before + 20) if traded(it.exchange)[i : i + 3] == consumed[:3])
            assert first <= before + 5 and len(consumed) >= known - first
            assert consumed == list(islice(traded(it.exchange), first, first + len(consumed)))
            return len(consumed)

    return run_virtual(run())


@pytest.mark.parametrize("seed", [1])
def test_a_storm_loses_no_trade_and_doubles_none(seed: int, tmp_path: Path) -> None:
    assert chaos(seed, tmp_path / "run") > 300


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(1000))
def test_any_storm_loses_no_trade_and_doubles_none(seed: int, tmp_path: Path) -> None:
    chaos(seed, tmp_path / "run")
