"""Decisions that are made without Python are those that are made one by one, and so is the journal of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from runtime.lenient import LENIENT
from trading.markets import HOUR_NS, PERPETUAL, SPOT, bars, quoted
from ztb.config import load_config
from ztb.errors import StrategyError
from ztb.execution.orders import is_protective
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_config import PaperConfig
from ztb.execution.risk import RiskLimits, unbounded
from ztb.features import FeatureSet, Normaliser
from ztb.learning.generations import GenerationInfo, ServedPolicy
from ztb.learning.service.base import Learning
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import RECORDS, FillRow, NoteRow, RefusalRow
from ztb.ledger.run_directory import create_run_directory
from ztb.market.instrument import Instrument
from ztb.market.ticks import GAP, Ticks
from ztb.runtime.decision_log import RunProgress
from ztb.runtime.engine import Engine
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.trading.decision_clock import DecisionClock, Every
from ztb.trading.floor import TradingFloor
from ztb.trading.kernel_rule import MOMENT, KernelRule, choice
from ztb.trading.lane import Lane
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.weights import NetworkShape, initial_weights
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMINGS
from ztb.trading.strategy import Action, Moment

CASH = 10_000.0
LADDER = (0.0, 0.25, 0.5, 0.75, 1.0)
NAMES = ("return_1", "return_2", "volatility_8")
LATE = PaperConfig(
    submit_latency_ms=150, submit_jitter_ms=100, cancel_latency_ms=120, ack_latency_ms=90, duplicate_probability=0.2,
    submit_rejected_probability=0.05, ack_lost_probability=0.05, lost_timeout_ms=300.0,
)  # fmt: skip
TIGHT = RiskLimits(
    max_order_fraction=0.6, max_daily_loss_fraction=0.01, max_drawdown_fraction=0.05, max_orders_per_day=10**6
)

STOPS = replace(SPOT, venue="binance")
STOPPED = RiskLimits(
    max_daily_loss_fraction=1.0, max_drawdown_fraction=1.0, protective_stop_fraction=0.004, max_orders_per_day=10**6
)  # fmt: skip


def _swings(state: Any, moment: Any, features: Any, ladder: Any) -> int:
    """By all timings to all rungs, and where to depends on all that a rule is told."""
    state[0] += 1.0
    wild = int(state[0]) + (1 if features[0] > 0.0 else 0) + (1 if moment[0]["mid"] > state[1] else 0)
    state[1] = moment[0]["mid"]
    late = 1 if moment[0]["uniforms"][1] > 0.5 else 0
    return choice((wild * 3 + late) % len(ladder), (int(state[0]) + late) % 3)


def _astray(state: Any, moment: Any, features: Any, ladder: Any) -> int:
    return choice(0, 0) if moment[0]["decision"] < 40 else 10**6


@dataclass
class Follows:
    """A strategy that kernels decide for."""

    follows: Any

    def decide(self, moment: Moment) -> Action:
        raise AssertionError("nobody is asked")


class InPython:
    """`_swings` as a strategy that is asked."""

    def __init__(self) -> None:
        self._state = np.zeros(2)

    def decide(self, moment: Moment) -> Action:
        row = np.zeros(1, MOMENT)
        row["mid"], row["uniforms"] = moment.mid, moment.uniforms
        assert moment.feature("return_1") == moment.features[0]
        return Action(*divmod(_swings(self._state, row, moment.features, moment.ladder), TIMINGS))


@dataclass
class Blocks:
    instrument: Instrument
    ticks: Ticks
    rows: int

    async def blocks(self) -> AsyncIterator[Ticks]:
        for start in range(0, len(self.ticks), self.rows):
            yield self.ticks[start : start + self.rows]


@dataclass
class Ran:
    progress: RunProgress
    rows: list[Any]
    digest: str
    steps: int
    learning: list[str] = field(default_factory=list)


@dataclass
class Case:
    ticks: Ticks
    instrument: Instrument
    clock: tuple[Every, int]
    follows: Any
    forecast: bool = False
    rows: int = 777
    limits: RiskLimits = TIGHT

    async def run(self, path: Path, packs: bool) -> Ran:
        """Without packs every decision is a step of its own."""
        period_ns = HOUR_NS if self.clock[0] is Every.BAR else 200_000_000
        features = FeatureSet(self.instrument, period_ns, NAMES)
        normaliser = Normaliser.with_forecast(3, 1e-3) if self.forecast else Normaliser(3)
        width = normaliser.width
        journal = Journal(path, packs=packs)
        books = Bookkeeper(journal, Account(self.instrument, Decimal(repr(CASH))), "0" * 32)
        shape = NetworkShape(width + ACCOUNT_SIZE, (len(LADDER), TIMINGS), (8,), False)
        floor = TradingFloor(
            self.instrument,
            BridgeConfig(LADDER),
            width,
            period_ns,
            3,
            2,
            shape if self.forecast else None,
            NAMES,
        )
        made = self.follows(shape) if self.forecast else self.follows()
        strategy = made if hasattr(made, "decide") else Follows(made)
        live = Lane(floor, PaperExchange(self.instrument, LATE, 3, CASH), self.limits, strategy, books)
        hold = Lane(
            floor, PaperExchange(self.instrument, LATE, 3, CASH), unbounded(TIGHT), Follows(Action(4))
        )
        engine = Engine(
            features=features, normaliser=normaliser, clock=DecisionClock(*self.clock), live=live, shadows={"hold": hold},
            books=books, learning=Learning(), symbol=self.instrument.symbol, trade_from_ns=0,
        )  # fmt: skip
        steps = spied(engine)
        try:
            await engine.run(Blocks(self.instrument, self.ticks, self.rows))
        finally:
            journal.close()
        reader = JournalReader(path)
        rows = sorted((row for record in RECORDS for row in reader.numbered(record)), key=lambda row: row[0])
        assert reader.sha256() == journal.sha256()
        return Ran(engine.progress, rows, journal.sha256(), len(steps), [repr(engine.helping.comparisons())])


def gappy(ticks: Ticks) -> Ticks:
    ticks["flags"][::97] |= GAP
    return ticks


def policy(shape: NetworkShape) -> ServedPolicy:
    return ServedPolicy(shape, GenerationInfo(0, None, initial_weights(shape, 5), "0"), True)


CASES = {
    "a rule on bars": Case(gappy(bars(1500)), SPOT, (Every.BAR, 0), lambda: KernelRule(_swings, np.zeros(2))),
    "a rule on quotes": Case(
        gappy(quoted(20_000)), SPOT, (Every.TIME, 200_000_000), lambda: KernelRule(_swings, np.zeros(2))
    ),
    "a rule in Python": Case(gappy(quoted(20_000, 3)), SPOT, (Every.TIME, 200_000_000), InPython),
    "a policy that is told a forecast": Case(
        gappy(bars(1500, 1)), PERPETUAL, (Every.BAR, 0), policy, forecast=True
    ),
    "a stop on bars": Case(
        gappy(bars(1500, 4)), STOPS, (Every.BAR, 0), lambda: KernelRule(_swings, np.zeros(2)), limits=STOPPED
    ),
    "a stop on quotes": Case(
        gappy(quoted(20_000, 5)),
        STOPS,
        (Every.TIME, 200_000_000),
        lambda: KernelRule(_swings, np.zeros(2)),
        limits=replace(STOPPED, protective_stop_fraction=2e-4),
    ),
    "every third tick": Case(
        quoted(6_000, 2), SPOT, (Every.TICKS, 3), lambda: KernelRule(_swings, np.zeros(2)), rows=50
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_stretches_and_steps_are_the_same_run(name, tmp_path):
    case = CASES[name]
    stretches = await case.run(tmp_path / "stretches.sqlite", packs=True)
    steps = await case.run(tmp_path / "steps.sqlite", packs=False)
    assert stretches.rows == steps.rows
    assert stretches.digest == steps.digest
    assert stretches.progress == steps.progress
    assert stretches.learning == steps.learning
    assert steps.steps >= steps.progress.decisions > 400
    assert stretches.steps < steps.steps - 0.9 * steps.progress.decisions
    happened = {type(row): row for _, row in steps.rows}
    assert {FillRow, RefusalRow, NoteRow} <= happened.keys() or name == "every third tick" or "stop" in name
    sold = {row.order_id for _, row in steps.rows if isinstance(row, FillRow) and is_protective(row.order_id)}
    assert (len(sold) > 5) == ("stop" in name)


class Raises:
    def decide(self, moment: Moment) -> Action:
        return Action(0) if moment.decision < 40 else Action(1 // 0)


class Astray:
    def decide(self, moment: Moment) -> Action:
        return Action(0) if moment.decision < 40 else Action(10**6)


@pytest.mark.parametrize("follows", [lambda: KernelRule(_astray, np.zeros(1)), Astray, Raises])
async def test_who_answers_what_is_no_choice_ends_both_alike(follows, tmp_path):
    case = Case(bars(500), SPOT, (Every.BAR, 0), follows)
    found, said = [], []
    for packs in (True, False):
        path = tmp_path / f"{packs}.sqlite"
        with pytest.raises(StrategyError, match=r"decision 40\)") as raised:
            await case.run(path, packs=packs)
        reader = JournalReader(path)
        found.append(sorted(row for record in RECORDS for row in map(repr, reader.numbered(record))))
        said.append(str(raised.value))
    assert found[0] == found[1] and said[0] == said[1]
    assert (follows is Raises) is (f"{__file__}:" in said[0] and "ZeroDivisionError" in said[0])


async def test_what_ends_the_program_is_not_the_strategys_error(tmp_path):
    class Interrupted:
        def decide(self, moment: Moment) -> Action:
            if moment.decision < 40:
                return Action(0)
            raise KeyboardInterrupt

    case = Case(bars(500), SPOT, (Every.BAR, 0), Interrupted)
    for packs in (True, False):
        with pytest.raises(KeyboardInterrupt):
            await case.run(tmp_path / f"{packs}.sqlite", packs=packs)


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"allocation.by": "none", "strategy.sample": True},
        {"allocation.by": "none", "strategy.sample": True, "gate.alarm_drawdown_fraction": 1e-3},
    ],
    ids=["experts lead the account", "the policy trades it", "alarms roll back"],
)
def test_a_replay_that_learns_in_step_is_the_same_in_stretches(flags, write_bars, tmp_path):
    asked = LENIENT | {"online.update_every_decisions": 128, "gate.probation_decisions": 96} | flags
    request = ReplayRequest(load_config(None, asked, {}).config, (write_bars(1100),), 0)
    ran = []
    for name, unasked in (("stretches", Engine._unasked), ("steps", lambda _engine, _rows: 0)):
        with patch.object(Engine, "_unasked", unasked):
            made = Replay.over(request, open_data(request), create_run_directory(tmp_path / name, "replay"))
            steps = spied(made.engine)
            summary = asyncio.run(run_to_end(made))
        rows = {
            key: value
            for key, value in summary.items()
            if key not in ("ticks_per_s", "peak_rss_mb", "duration_s")
        }
        ran.append((rows, len(steps)))
    (stretches, few), (steps, many) = ran
    assert stretches == steps
    assert steps["generations"]["promoted"] > 0 and steps["updates"] >= 6
    assert few < many - 0.8 * steps["decisions"]
    assert (steps["generations"]["rolled_back"] > 0) is ("gate.alarm_drawdown_fraction" in flags)


def spied(engine: Engine) -> list[int]:
    """The rows at which `engine` takes a step."""
    taken, found = engine._take_step, []

    def step(ticks: Ticks, i: int, n: int) -> int:
        found.append(i)
        return taken(ticks, i, n)

    engine._take_step = step  # type: ignore[method-assign]
    return found
