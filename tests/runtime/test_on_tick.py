"""A strategy sees every tick with the features after it, and decides where it asks to."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from ztb.config import load_config
from ztb.errors import StrategyError
from ztb.execution.risk import RiskLimits
from ztb.learning.service.base import Learning
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow
from ztb.market.instrument import Instrument
from ztb.market.ticks import TRADE, Ticks, empty_ticks
from ztb.runtime.build.assembly import assemble
from ztb.runtime.engine import Engine
from ztb.trading.lane import Lane
from ztb.trading.strategy import Action, Moment, TickView

D = Decimal
INSTRUMENT = Instrument(
    "BTC/USD", "BTC", "USD", "t", D("0.01"), D("0.0001"), D("1"), D("0.001"), D("0.001"), 1.0
)
N = 6000


def trades(seed: int = 0) -> Ticks:
    rng = np.random.default_rng(seed)
    ticks = empty_ticks(N)
    ticks["kind"] = TRADE
    ticks["ts_ns"] = 1_600_000_000_000_000_000 + np.cumsum(rng.integers(1, 2_000_000_000, N))
    ticks["price"] = np.round(100 * np.exp(np.cumsum(rng.normal(0, 1e-4, N))), 2)
    ticks["size"] = rng.integers(1, 100, N) / 1e4
    ticks["side"] = rng.choice([-1, 1], N)
    return ticks


class Watcher:
    """Asks for a decision at every 700th tick, and keeps all it saw; raises at the tick `until`."""

    def __init__(self, until: int = N) -> None:
        self._until = until
        self.seen: list[tuple[int, float, bytes]] = []
        self.moments: list[tuple[int, bytes]] = []

    def on_tick(self, tick: TickView) -> bool:
        if len(self.seen) == self._until:
            raise KeyError("until")
        self.seen.append((tick.ts_ns, tick.price, tick.features.tobytes()))
        return len(self.seen) % 700 == 0

    def decide(self, moment: Moment) -> Action:
        assert moment.ts_ns == self.seen[-1][0] and moment.features.tobytes() == self.seen[-1][2]
        self.moments.append((moment.ts_ns, moment.features.tobytes()))
        return Action(int(moment.uniforms[0] * len(moment.ladder)))


def drive(
    tmp_path: Path,
    watcher: Watcher,
    block: int,
    packs: bool = True,
    clock: tuple[str, int] = ("time", 60_000),
) -> list[DecisionRow]:
    """Without packs every decision is a step of its own."""
    every = {
        "decision.every": clock[0],
        f"decision.{'ticks' if clock[0] == 'ticks' else 'interval_ms'}": clock[1],
    }
    assembly = assemble(load_config(None, every, {}).config, INSTRUMENT, None, 0)
    features = assembly.features()
    normaliser = assembly.normaliser(features.size)
    journal = Journal(tmp_path / f"journal-{block}-{packs}.sqlite", packs=packs)
    books = Bookkeeper(journal, Account(INSTRUMENT, D(10_000)), "0" * 32)
    live = Lane(
        assembly.floor(normaliser.width, features.names),
        assembly.exchange(10_000.0),
        RiskLimits(),
        watcher,
        books,
    )
    engine = Engine(
        features,
        normaliser,
        assembly.clock(),
        live,
        {},
        books,
        Learning(),
        "BTC/USD",
        0,
    )

    async def consume() -> None:
        ticks = trades()
        for start in range(0, N, block):
            await engine.consume(ticks[start : start + block])

    try:
        asyncio.run(consume())
    finally:
        journal.close()
    return list(JournalReader(journal.path).rows(DecisionRow))


@pytest.mark.parametrize("block", [257, N])
def test_every_tick_is_seen_once_in_order_with_its_own_features(tmp_path, block):
    watcher = Watcher()
    rows = drive(tmp_path, watcher, block)
    ticks = trades()
    features = assemble(
        load_config(None, {"decision.interval_ms": 60_000}, {}).config, INSTRUMENT, None, 0
    ).features()
    expected = features.batch(ticks)
    assert [seen[:2] for seen in watcher.seen] == list(
        zip(ticks["ts_ns"].tolist(), ticks["price"].tolist(), strict=True)
    )
    assert [seen[2] for seen in watcher.seen] == [row.tobytes() for row in expected]
    times = ticks["ts_ns"].tolist()
    asked = {times[i] for i in range(699, N, 700)} - {t for t in times if t < rows[0].ts_ns}
    assert asked <= {row.ts_ns for row in rows}
    assert [moment_ns for moment_ns, _ in watcher.moments] == [row.ts_ns for row in rows]
    for moment_ns, raw in watcher.moments:
        assert raw == expected[times.index(moment_ns)].tobytes()


def test_blocks_change_no_decision(tmp_path):
    assert drive(tmp_path, Watcher(), 97) == drive(tmp_path, Watcher(), 4096)


@pytest.mark.parametrize("clock", [("time", 60_000), ("ticks", 50)])
@pytest.mark.parametrize("block", [97, 4096])
def test_stretches_and_steps_are_the_same_run(tmp_path, block, clock):
    stretches, steps = Watcher(), Watcher()
    with patch.object(Engine, "_run_stretch", autospec=True, side_effect=Engine._run_stretch) as runs:
        rows = drive(tmp_path, stretches, block, clock=clock)
        assert runs.call_count > 0
        few = runs.call_count
        assert rows == drive(tmp_path, steps, block, packs=False, clock=clock)
        assert runs.call_count == few < len(rows) // 3 or block == 97
    assert stretches.seen == steps.seen and stretches.moments == steps.moments and len(steps.moments) > 30


def test_what_on_tick_raises_ends_both_alike(tmp_path):
    found = []
    for packs in (True, False):
        watcher = Watcher(until=5000)
        with pytest.raises(
            StrategyError, match=rf"{__file__}:\d+: the strategy raised KeyError: 'until' \(in on_tick"
        ):
            drive(tmp_path, watcher, 4096, packs=packs)
        found.append(list(JournalReader(tmp_path / f"journal-4096-{packs}.sqlite").rows(DecisionRow)))
    assert found[0] == found[1] and len(found[0]) > 20
