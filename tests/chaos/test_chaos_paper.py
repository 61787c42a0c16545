"""Paper trading on a market that fails in every way: each trade reaches the engine once, and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from chaos.faults import clear
from chaos.recipe import Recipe
from chaos.stage import stage
from chaos.storm import MARKET_PAIRS, Drawn, Struck, storm
from chaos.truth import MARKET
from ztb.market.ticks import TRADE, Ticks
from ztb.runtime.daemon.daemon import Daemon
from ztb.testing.exchange.exchange import Exchange
from ztb.testing.exchange.listing import SCALE
from ztb.testing.virtual_time import run_virtual

_TO_RECOGNISE = 8
_UNTIL_SUBSCRIBED = 5  # trades
MOST_STORMS, PAIRS_EACH, AGAIN = 150, 6, 2

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


@dataclass(frozen=True)
class Heard:
    """Trades that the engine consumed, and the venue's.

    Of the venue's, `before` had happened when the engine began to listen, and `known` some seconds before its end.
    `stale`: streams that were not well again by then.
    """

    consumed: list[Trade]
    traded: list[Trade]
    before: int
    known: int
    stale: list[str]

    @property
    def first(self) -> int:
        """Which of the venue's trades was the first to be consumed."""
        some = self.consumed[:_TO_RECOGNISE]
        found = (i for i in range(self.known) if self.traded[i : i + _TO_RECOGNISE] == some)
        return next(found, self.known)


def chaos(recipe: Recipe, folder: Path, kinds: Iterator[str] | None = None) -> tuple[Heard, list[Drawn]]:
    """One run, and its storm, of faults of `kinds` if given."""
    seed = recipe.seed

    async def run() -> tuple[Heard, list[Drawn]]:
        async with stage(seed, folder) as it:
            async with it.running("paper", seed) as daemon:
                before = len(traded(it.exchange))
                consumed = overhear(daemon)
                await asyncio.sleep(5.0)
                drawn = await storm(it, [seed], 90.0 if kinds is None else 600.0, kinds, recipe.faults)
                clear(it)
                await asyncio.sleep(25.0)  # until every stream that is silent is known to be
                # A venue that has banned us lifts the ban after two minutes.
                async with asyncio.timeout(150.0):
                    while any(stream.stale for stream in daemon.streams()):  # noqa: ASYNC110 (nobody tells)
                        await asyncio.sleep(1.0)
                known = len(traded(it.exchange))
                await asyncio.sleep(3.0)
                stale = [stream.name for stream in daemon.streams() if stream.stale]
            return Heard(consumed, traded(it.exchange), before, known, stale), drawn

    return run_virtual(run(), recipe.schedule())


@pytest.mark.seeds(500, proof=range(500))
def test_a_storm_loses_no_trade_and_doubles_none(recipe: Recipe, tmp_path: Path) -> None:
    heard, _ = chaos(recipe, tmp_path / "run")
    check(heard)
    assert heard.known > heard.first + 300


def check(heard: Heard) -> None:
    assert heard.first <= heard.before + _UNTIL_SUBSCRIBED
    end = heard.first + len(heard.consumed)
    assert heard.consumed == heard.traded[heard.first : end]
    assert end >= heard.known > heard.first
    assert heard.stale == []


@pytest.mark.proof
def test_every_fault_of_a_market_strikes_and_every_pair_of_them_one_after_the_other(tmp_path: Path) -> None:
    """Of those that can strike where nothing is sent; each storm draws pairs that have not struck yet."""
    struck = Struck(wanted=MARKET_PAIRS)
    for seed in range(1000, 1000 + MOST_STORMS):
        if not struck.missing:
            break
        order = np.random.default_rng(seed).permutation(len(struck.missing))[:PAIRS_EACH]
        # Of requests there are few, but after an outage.
        kinds = [kind for place in order for kind in (*struck.missing[place], "disconnect")] * AGAIN
        heard, drawn = chaos(Recipe(seed), tmp_path / str(seed), iter(kinds))
        check(heard)
        struck.add(drawn)
        print(f"storms to seed {seed}: {struck}")
    assert struck.missing == []
