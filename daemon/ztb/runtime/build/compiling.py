"""Compiles what a session on a market calls, before it connects: a first start compiles for a minute.

Once there is a loop, that minute would be one in which it obeys no signal and reads no stream.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np

from ztb.config import Config
from ztb.execution.account import new_account
from ztb.execution.fills import book, show_price
from ztb.execution.orders import Filled, Rejected
from ztb.execution.risk_gate import OrderFacts, Proposal
from ztb.features.forecast import Foreseen
from ztb.learning.alarms import Alarms
from ztb.learning.allocation import Allocator
from ztb.learning.benchmarks import BenchmarkTracker
from ztb.learning.gate.evidence import log_mixture
from ztb.learning.generations import Lineage
from ztb.learning.service.initial_policy import random_origin
from ztb.learning.settings import AllocationConfig
from ztb.market.instrument import Instrument
from ztb.market.ticks import TRADE, Ticks, empty_ticks
from ztb.market.view import new_view
from ztb.runtime.build.assembly import Assembly, assemble
from ztb.runtime.build.learning_setup import serve
from ztb.runtime.venue.broker import MarketViewBroker
from ztb.trading.lane import Lane
from ztb.trading.lane_group import LaneGroup
from ztb.trading.strategy import Action, Moment, StrategyContext, WarmsUp

MADE_UP = Instrument(
    symbol="BASE/QUOTE",
    base="BASE",
    quote="QUOTE",
    venue="nowhere",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    min_notional=Decimal(5),
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
    spread_bps=1.0,
    short=True,
)
_CASH, PRICE, _SIZE = 10_000.0, 100.0, 1.0
MINUTE_NS = 60_000_000_000
_DECISIONS = 4  # each timing, and what becomes of its orders


class _EveryTiming:
    """Stands in for the strategy, which must not take what is made up for a market."""

    def __init__(self, context: StrategyContext) -> None:
        self._rungs = len(context.ladder)

    def decide(self, moment: Moment) -> Action:
        return Action(moment.decision % self._rungs, moment.decision % 3)


def compile_ahead(config: Config) -> None:
    """Call once whatever a session of `config` calls on a market. ConfigError where there can be none."""
    bar_ns = MINUTE_NS if config.market.streams == ("bars",) else None
    assembly = assemble(config, MADE_UP, bar_ns, 0)
    _trade(replace(assembly, strategy=replace(assembly.strategy, make=_EveryTiming)))
    MarketViewBroker(MADE_UP)
    book(
        new_account(_CASH),
        MADE_UP,
        1,
        Filled(order_id=1, ts_ns=0, fill_id=1, lots=1, price_ticks=1, liquidity="taker", cumulative_lots=1),
    )
    show_price(new_view(MADE_UP), 0, PRICE)
    Alarms(config.gate, 1.0)
    BenchmarkTracker().follow_all(np.full(1, _CASH), {})
    _weigh()


def _weigh() -> None:
    """A decision of one expert, and what a gate makes of nothing."""
    allocator = Allocator(AllocationConfig())
    allocator.add("expert")
    foreseen = Foreseen(mid=PRICE, forecast=0.0, deviation=1.0, change=0.0, cost=0.0)
    allocator.follow({"expert": _CASH}, _CASH, foreseen, {"expert": 0.0})
    log_mixture(0.0, 0.0)


def _trade(assembly: Assembly) -> None:
    """A few decisions on a price that stands still."""
    features = assembly.features()
    normaliser, clock = assembly.normaliser(features.size), assembly.clock()
    policy = None
    if assembly.strategy.learns:
        shape = assembly.shape(normaliser.width)
        chance = random_origin(shape, 0, assembly.strategy.network, assembly.config.ppo.orthogonal_init)
        policy = serve(assembly, shape, Lineage(), chance)
    floor = assembly.floor(normaliser.width, features.names)
    lane = assembly.lane(floor, assembly.strategy, policy, assembly.exchange(_CASH), guard=lambda _gate: None)
    rules = assembly.rules() if assembly.allocates else []
    beside = [assembly.lane(floor, file, None, assembly.exchange(_CASH)) for file in rules]
    for strategy in (each.strategy for each in beside):
        if isinstance(strategy, WarmsUp):
            strategy.warm_up(0, PRICE)
    alone = LaneGroup([lane, *beside])
    ticks = made_up_ticks(features.warm_up + _DECISIONS, assembly.period_ns)
    normal = np.zeros(normaliser.width, np.float32)
    features.batch(ticks[:1])
    for i in range(1, len(ticks)):
        clock.find_due(ticks, i, i + 1)
        features.advance(ticks, i, i + 1)
        alone.advance(ticks, i, i + 1)
        normaliser.update(features.values, PRICE)
        if i >= len(ticks) - _DECISIONS:
            normaliser.apply(features.values, normal)
            number = i + _DECISIONS - len(ticks)
            alone.decide(int(ticks["ts_ns"][i]), number, features.values, normal)
    _step_in(lane, int(ticks["ts_ns"][-1]))


def _step_in(lane: Lane, ts_ns: int) -> None:
    """Do what happens only where somebody steps in, a venue speaks, or a past is lived through once more."""
    lane.flatten(ts_ns)
    lane.cancel_all(ts_ns)
    lane.hear(Rejected(0, ts_ns, ""))
    lane.follow_up(ts_ns)
    order = Proposal(1, _SIZE, PRICE)
    lane.gate.mark(ts_ns, _CASH)
    lane.gate.record(order.side, ts_ns)
    lane.gate.check(
        order,
        OrderFacts(
            now_ns=ts_ns,
            market_ts_ns=ts_ns,
            mid=PRICE,
            position=0.0,
            equity=_CASH,
            open_buys=0.0,
            open_sells=0.0,
        ),
    )


def made_up_ticks(n: int, period_ns: int) -> Ticks:
    """`n` trades, one each period, at a price that stands still."""
    ticks = empty_ticks(n)
    ticks["ts_ns"] = period_ns * np.arange(1, n + 1)
    ticks["kind"], ticks["side"], ticks["price"], ticks["size"] = TRADE, 1, PRICE, _SIZE
    return ticks
