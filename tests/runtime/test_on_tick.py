"""A strategy sees every tick with the features after it, and decides where it asks to."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import numpy as np
import pytest

from ztb.config import load_config
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
from ztb.strategies.loader import load_strategy
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
    """Asks for a decision at every 700th tick, and keeps all it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float, bytes]] = []
        self.moments: list[tuple[int, bytes]] = []

    def on_tick(self, tick: TickView) -> bool:
        self.seen.append((tick.ts_ns, tick.price, tick.features.tobytes()))
        return len(self.seen) % 700 == 0

    def decide(self, moment: Moment) -> Action:
        self.moments.append((moment.ts_ns, moment.features.tobytes()))
        return Action(int(moment.uniforms[0] * len(moment.ladder)))


def drive(tmp_path, watcher: Watcher, block: int) -> list[DecisionRow]:
    config = load_config(None, {"decision.interval_ms": 60_000}, {}).config
    assembly = assemble(config, INSTRUMENT, None, 0)
    features = assembly.features()
    journal = Journal(tmp_path / f"journal-{block}.sqlite")
    books = Bookkeeper(journal, Account(INSTRUMENT, D(10_000)), "0" * 32)
    live = assembly.lane(
        assembly.floor(features.size), load_strategy("hold"), None, assembly.exchange(10_000.0), books
    )
    live.strategy = watcher
    engine = Engine(
        features,
        assembly.normaliser(features.size),
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

    asyncio.run(consume())
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
    for moment_ns, raw in watcher.moments:
        assert raw == expected[times.index(moment_ns)].tobytes()


def test_blocks_change_no_decision(tmp_path):
    assert drive(tmp_path, Watcher(), 97) == drive(tmp_path, Watcher(), 4096)
