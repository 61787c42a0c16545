"""Live trading while everything goes wrong: nothing is sent twice, no fill is lost, the books agree to the last unit."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from chaos.books import Books, books_of
from chaos.faults import clear
from chaos.recipe import Failure, Recipe, hold
from chaos.stage import WARM_S, Stage, stage
from chaos.storm import Drawn, Struck, storm
from chaos.truth import Truth, truth_of
from ztb.runtime.daemon.daemon import Daemon
from ztb.testing.virtual_time import Schedule, run_virtual

_SETTLING_S = 120.0
MOST_STORMS, PAIRS_EACH = 60, 10


async def settle(it: Stage, daemon: Daemon) -> None:
    """Nothing goes wrong any more, nothing new is sent, and there is time to find out what became of everything."""
    clear(it)
    await asyncio.sleep(20.0)
    daemon.controls.latch("halted", "test", "the end")
    async with asyncio.timeout(_SETTLING_S):
        while daemon.session.engine.live.working:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(1.0)
    await asyncio.sleep(15.0)


Told = tuple[Truth, Books, list[Drawn]]
"""What the venue says after a run, what we say, and its storm."""


def chaos(
    recipe: Recipe,
    folder: Path,
    kinds: Iterator[str] | None = None,
    schedule: Schedule | None = None,
    numbers: list[int] | None = None,
) -> Told:
    """One run, with faults of `kinds` if given; `numbers` gets those of its faults."""
    seed = recipe.seed

    async def run() -> Told:
        async with stage(seed, folder, **{"execution.reconcile_every_s": 5.0}) as it:
            async with it.running("live", seed) as daemon:
                await asyncio.sleep(WARM_S)
                seconds = 90.0 if kinds is None else 600.0
                drawn = await storm(it, [seed], seconds, kinds, recipe.faults, numbers)
                await settle(it, daemon)
            return truth_of(it.exchange), books_of(folder, daemon.session.books.account), drawn

    return run_virtual(run(), schedule or recipe.schedule())


def wrong(recipe: Recipe, folder: Path) -> Failure | None:
    schedule, numbers = recipe.schedule(keep=True), list[int]()
    try:
        truth, books, _ = chaos(recipe, folder / str(uuid4()), None, schedule, numbers)
        check(truth, books)
    except Exception:
        return Failure(traceback.format_exc(), numbers, schedule.taken)
    return None


@pytest.mark.seeds(500, proof=range(500))
def test_a_storm_leaves_the_books_as_the_venue_has_them(recipe: Recipe, shrink: bool, tmp_path: Path) -> None:
    hold(recipe, lambda tried: wrong(tried, tmp_path), shrink)


def check(truth: Truth, books: Books) -> None:
    assert (books.cash, books.position) == (truth.cash, truth.position)
    assert books.fills == truth.fills != []
    assert books.ends == truth.ends != {}
    assert truth.repeated == []
    assert len(truth.standing) <= 1
    assert books.mismatches == 0


@pytest.mark.proof
def test_every_fault_strikes_and_every_pair_of_them_one_after_the_other(tmp_path: Path) -> None:
    """Each storm draws pairs that have not struck yet."""
    struck = Struck()
    for seed in range(1000, 1000 + MOST_STORMS):
        if not struck.missing:
            break
        order = np.random.default_rng(seed).permutation(len(struck.missing))[:PAIRS_EACH]
        kinds = [kind for place in order for kind in struck.missing[place]]
        truth, books, drawn = chaos(Recipe(seed), tmp_path / str(seed), iter(kinds))
        check(truth, books)
        struck.add(drawn)
        print(f"storms to seed {seed}: {struck}")
    assert struck.missing == []
