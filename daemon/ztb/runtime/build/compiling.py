"""Compiles what a session on a market calls, before it connects: a first start compiles for a minute.

Once there is a loop, that minute would be one in which it obeys no signal and reads no stream.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np

from ztb.config import Config
from ztb.execution.account import new_account
from ztb.execution.booking import book, show_price
from ztb.execution.orders import Filled
from ztb.learning.generations import Lineage
from ztb.learning.service.initial_policy import random_origin
from ztb.market.instrument import Instrument
from ztb.market.ticks import TRADE, Ticks, empty_ticks
from ztb.market.view import new_view
from ztb.runtime.build.assembly import Assembly, assemble
from ztb.runtime.build.learning_setup import serve
from ztb.runtime.venue.broker import MarketViewBroker
from ztb.trading.strategy import Action, Moment, StrategyContext

_INSTRUMENT = Instrument(
    "BASE/QUOTE", "BASE", "QUOTE", "nowhere", Decimal("0.01"), Decimal("0.00001"), Decimal(5), Decimal("0.001"),
    Decimal("0.001"), 1.0, short=True,
)  # fmt: skip
_CASH, _PRICE, _SIZE = 10_000.0, 100.0, 1.0
_MINUTE_NS = 60_000_000_000
_DECISIONS = 4  # each timing, and what becomes of its orders


class _EveryTiming:
    """Stands in for the strategy, which must not take what is made up for a market."""

    def __init__(self, context: StrategyContext) -> None:
        self._policy, self._rungs = context.policy, len(context.ladder)

    def decide(self, moment: Moment) -> Action:
        if self._policy is not None:
            self._policy.act(moment.observation, moment.uniforms)
        return Action(moment.decision % self._rungs, moment.decision % 3)


def compile_ahead(config: Config) -> None:
    """Call once whatever a session of `config` calls on a market. ConfigError where there can be none."""
    bar_ns = _MINUTE_NS if config.market.streams == ("bars",) else None
    assembly = assemble(config, _INSTRUMENT, bar_ns, 0)
    _trade(replace(assembly, strategy=replace(assembly.strategy, make=_EveryTiming)))
    MarketViewBroker(_INSTRUMENT)
    book(new_account(_CASH), _INSTRUMENT, 1, Filled(1, 0, 1, 1, 1, "taker", 1))
    show_price(new_view(_INSTRUMENT), 0, _PRICE)


def _trade(assembly: Assembly) -> None:
    """A few decisions on a price that stands still."""
    features = assembly.features()
    normaliser, clock = assembly.normaliser(features.size), assembly.clock()
    policy = None
    if assembly.strategy.learns:
        shape = assembly.shape(normaliser.width)
        chance = random_origin(shape, 0, assembly.strategy.network, assembly.config.ppo.orthogonal_init)
        policy = serve(assembly, shape, Lineage(), chance)
    lane = assembly.lane(normaliser.width, assembly.strategy, policy, assembly.exchange(_CASH))
    ticks = _ticks(features.warm_up + _DECISIONS, assembly.period_ns)
    index = {name: i for i, name in enumerate(features.names)}
    normal = np.zeros(normaliser.width, np.float32)
    features.batch(ticks[:1])
    for i in range(1, len(ticks)):
        clock.find_due(ticks, i, i + 1)
        features.advance(ticks, i, i + 1)
        lane.advance(ticks, i, i + 1)
        normaliser.update(features.values, _PRICE)
        if i >= len(ticks) - _DECISIONS:
            normaliser.apply(features.values, normal)
            number = i + _DECISIONS - len(ticks)
            lane.decide(int(ticks["ts_ns"][i]), number, features.values, index, normal)


def _ticks(n: int, period_ns: int) -> Ticks:
    ticks = empty_ticks(n)
    ticks["ts_ns"] = period_ns * np.arange(1, n + 1)
    ticks["kind"], ticks["side"], ticks["price"], ticks["size"] = TRADE, 1, _PRICE, _SIZE
    return ticks
