"""The environment is the engine: the same ticks and actions give the same bits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from trading.markets import HOUR_NS, PERPETUAL, SPOT, bars, depth, quoted, trades
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_config import PaperConfig
from ztb.execution.paper_state import FILLED
from ztb.execution.risk import RiskLimits
from ztb.features import FeatureSet, Normaliser
from ztb.learning.service.base import Learning
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow, FillRow
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks
from ztb.runtime.engine import Engine
from ztb.trading.bridge import FACT_EQUITY
from ztb.trading.decision_clock import DecisionClock, Every
from ztb.trading.episodes import Episodes
from ztb.trading.floor import TradingFloor
from ztb.trading.lane import Lane
from ztb.trading.recording import record
from ztb.trading.settings import BridgeConfig
from ztb.trading.simulation import Simulation
from ztb.trading.strategy import Action, Moment

CASH = 10_000.0
SPOT_LADDER = (0.0, 0.25, 0.5, 0.75, 1.0)
WIDE = RiskLimits(
    max_order_fraction=100.0, max_exposure=100.0, max_daily_loss_fraction=1.0, max_drawdown_fraction=1.0,
    price_band_fraction=1.0, max_data_age_ms=10**9, max_orders_per_minute=10**6, max_orders_per_day=10**6,
    max_repeated_side=10**6,
)  # fmt: skip


@dataclass
class Scripted:
    """Plays `actions` (K, 2) in order."""

    actions: np.ndarray

    def decide(self, moment: Moment) -> Action:
        size, timing = self.actions[moment.decision].tolist()
        return Action(size, timing)


@dataclass
class Blocks:
    """Ticks as a source, in blocks of an odd size."""

    instrument: Instrument
    ticks: Ticks

    async def blocks(self) -> AsyncIterator[Ticks]:
        for start in range(0, len(self.ticks), 777):
            yield self.ticks[start : start + 777]


@dataclass
class Case:
    ticks: Ticks
    instrument: Instrument
    every: Every
    step: int
    paper: PaperConfig
    bridge: BridgeConfig

    @property
    def period_ns(self) -> int:
        return HOUR_NS if self.every is Every.BAR else 200_000_000

    def clock(self) -> DecisionClock:
        return DecisionClock(self.every, self.step)

    def simulation(self) -> Simulation:
        features = FeatureSet(self.instrument, self.period_ns)
        recording = record(
            self.ticks, self.instrument, self.period_ns, self.clock(), features, Normaliser(features.size)
        )
        return Simulation(recording, self.bridge, self.paper, CASH, Episodes(), 1)


async def through_engine(case: Case, actions: np.ndarray, seed: int, path: Any) -> tuple[Lane, JournalReader]:
    features = FeatureSet(case.instrument, case.period_ns)
    journal = Journal(path)
    books = Bookkeeper(journal, Account(case.instrument, Decimal(repr(CASH))), "0" * 32)
    floor = TradingFloor(case.instrument, case.bridge, features.size, case.period_ns, seed, 1)
    exchange = PaperExchange(case.instrument, case.paper, seed, CASH)
    lane = Lane(floor, exchange, WIDE, Scripted(actions), books)
    engine = Engine(
        features,
        Normaliser(features.size),
        case.clock(),
        lane,
        {},
        books,
        Learning(),
        case.instrument.symbol,
        0,
    )
    await engine.run(Blocks(case.instrument, case.ticks))
    journal.close()
    return lane, JournalReader(path)


def fills_since(simulation: Simulation, read: int) -> list[tuple[int, ...]]:
    events, now = simulation.lanes.events[0], int(simulation.lanes.exchange["read"][0])
    entries = [events[index % len(events)] for index in range(read, now)]
    names = ("order_id", "fill_id", "ts_ns", "side", "lots", "price_ticks", "maker")
    return [tuple(int(entry[name]) for name in names) for entry in entries if entry["kind"] == FILLED]


SLOW = PaperConfig(
    feed_latency_ms=50, submit_latency_ms=200, submit_jitter_ms=150, cancel_latency_ms=150, cancel_jitter_ms=140,
    ack_latency_ms=150, ack_jitter_ms=100, queue_model="proportional",
)  # fmt: skip
FAULTY = PaperConfig(
    submit_lost_probability=0.05, submit_rejected_probability=0.05, ack_lost_probability=0.05,
    lost_timeout_ms=300.0, funding_rate_per_8h=1e-4,
)  # fmt: skip
SHORT_LADDER = (-1.0, -0.5, 0.0, 0.5, 1.0)
RISKY = {"drawdown_weight": 0.5, "turnover_weight": 0.01}
CASES = {
    "bars": Case(bars(600), SPOT, Every.BAR, 0, PaperConfig(), BridgeConfig(SPOT_LADDER)),
    "bars, short, faults": Case(
        bars(600, 1), PERPETUAL, Every.BAR, 0, FAULTY,
        BridgeConfig(SHORT_LADDER, reward="differential_sharpe", **RISKY),
    ),
    "trades": Case(trades(12_000), SPOT, Every.TIME, 200_000_000, PaperConfig(), BridgeConfig(SPOT_LADDER)),
    "trades, every 3": Case(
        trades(4_000, 2), SPOT, Every.TICKS, 3, SLOW, BridgeConfig(SPOT_LADDER, reward="sortino", **RISKY)
    ),
    "depth": Case(
        depth(6_000, 4), PERPETUAL, Every.TIME, 200_000_000, PaperConfig(queue_model="proportional"),
        BridgeConfig(SHORT_LADDER),
    ),
    "quotes": Case(quoted(12_000, 3), PERPETUAL, Every.TIME, 200_000_000, SLOW, BridgeConfig(SHORT_LADDER)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_engine_and_environment_agree_bit_for_bit(name, tmp_path):
    case = CASES[name]
    simulation = case.simulation()
    simulation.reset(np.array([11]))
    seed = int(simulation.lanes.exchange["seed"][0])
    steps = simulation.recording.decisions - 1
    rng = np.random.default_rng(5)
    actions = rng.integers(0, (5, 3), (steps + 1, 2))
    lane, journal = asyncio.run(through_engine(case, actions, seed, tmp_path / "journal.sqlite"))
    rows = list(journal.rows(DecisionRow))
    assert len(rows) == steps + 1 > 300

    fills = []
    outcome = simulation.outcome
    for step, row in enumerate(rows):
        assert row.observation == outcome.observations[0].tobytes(), step
        assert row.equity == simulation.lanes.facts[0, FACT_EQUITY], step
        if step > 0:
            assert row.reward == outcome.rewards[0], step
        if step < steps:
            assert not outcome.truncated[0]
            read = int(simulation.lanes.exchange["read"][0])
            simulation.step(actions[step : step + 1])
            fills += fills_since(simulation, read)
    assert outcome.truncated[0] and not outcome.terminated[0]
    expected = [
        (f.order_id, f.fill_id, f.ts_ns, f.side, f.lots, f.price_ticks, int(f.liquidity == "maker"))
        for f in journal.rows(FillRow)
    ]
    assert fills == expected[: len(fills)] and len(fills) >= 50
    assert {fill[6] for fill in fills} == {0, 1}
    if len(fills) == len(expected):
        assert simulation.lanes.account[0].tobytes() == lane.broker.account[0].tobytes()
