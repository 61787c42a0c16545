"""A lane, its broker and a venue, their turns drawn from a seed: whatever comes first, nothing is sent after a halt, no
two orders are open at once, and every fill is heard. Three faults of order, planted, are found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from ccxt.base import errors

from chaos.recipe import Failure, Recipe, shrunk
from runtime.venue.fake_account import PREFIX, FakeAccount, Wall
from trading.markets import HOUR_NS, SPOT, trades
from trading.test_floor import FEATURES, Swings
from ztb.execution.orders import Cancelled, Filled, OrderEvent
from ztb.execution.risk import RiskLimits
from ztb.market.live.rest import Backoff, Rest
from ztb.runtime.venue.broker import VenueBroker
from ztb.runtime.venue.gateway import GatewayCallbacks, OrderGateway
from ztb.runtime.venue.orders import OrderTable, VenueOrder
from ztb.testing.virtual_time import Schedule, run_virtual
from ztb.trading.bridge import Wanted
from ztb.trading.floor import TradingFloor
from ztb.trading.lane import Lane
from ztb.trading.lane_group import LaneGroup
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMING_PASSIVE

SEEDS, MOST_CHOICES = 1000, 20
_TARGETS = (0.5, 0.0, 1.0, 0.5, 0.0, 1.0)
_TICKS = trades(200)


async def turns(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


@dataclass
class Venue(FakeAccount):
    """Tells of orders and of trades by streams of their own, before or after it answers; half of an order is filled.

    Its first cancels go unanswered, and change nothing.
    """

    halted: bool = False
    broken: list[str] = field(default_factory=list)
    table: Any = None
    heard: Any = None
    group: Any = None

    async def create_order(self, symbol, kind, side, amount, price, params):
        if self.halted:
            self.broken.append("an order is sent after the halt")
        if any(row["status"] == "open" for row in self.orders.values()):
            self.broken.append("two orders are open at once")
        await asyncio.sleep(0)
        row = await super().create_order(symbol, kind, side, amount, price, params)
        self.group.create_task(self._tell_order(row["id"]))
        self.group.create_task(self._tell_trade(row["id"]))
        await asyncio.sleep(0)
        return row

    async def _tell_order(self, number: str) -> None:
        await asyncio.sleep(0)
        self.table.told(dict(self.orders[number]), 0)
        self.heard()

    async def _tell_trade(self, number: str) -> None:
        await asyncio.sleep(0)
        row = self.orders[number]
        if row["status"] != "open":
            return
        self.trade(number, str(round(row["amount"] / 2, 3)), str(row["price"] or 100))
        trade = dict(self.trades[-1])
        await asyncio.sleep(0)
        self.table.traded(trade)
        self.heard()


class World:
    """One lane at one venue, both alive for some turns; then a halt, and time to settle."""

    def __init__(self, plant: Callable[[World], None]) -> None:
        self.events: list[OrderEvent] = []
        self.venue = Venue(deaf_to_cancels=[errors.RequestTimeout("late")] * 3)
        rest = Rest(self.venue, lambda: Backoff(0.01, 0.02, lambda: 0.5))
        self.broker = VenueBroker(SPOT, PREFIX, Wall(), lambda: None)
        self.broker.account["cash"] = 10_000.0
        floor = TradingFloor(SPOT, BridgeConfig((0.0, 0.5, 1.0)), FEATURES, HOUR_NS, 0, 1)
        self.lane = Lane(floor, self.broker, RiskLimits(max_order_fraction=2.0), Swings())
        self.venue.heard = self.collect
        self.callbacks = GatewayCallbacks(
            self._durable,
            lambda _order: "halted" if self.venue.halted else "",
            self.collect,
            lambda _key, _text: None,
        )
        plant(self)
        self.venue.table = self.broker.table
        self.gateway = OrderGateway(self.broker, self.venue, rest, 5.0, self.callbacks)
        LaneGroup([self.lane]).advance(_TICKS, 0, 100)

    async def _durable(self) -> None:
        await asyncio.sleep(0)

    def collect(self) -> None:
        for event in self.broker.events():
            self.events.append(event)
            self.lane.hear(event)

    async def live(self) -> None:
        async with asyncio.TaskGroup() as self.venue.group:
            running = self.venue.group.create_task(self.gateway.run())
            await asyncio.gather(self._decide(), self._halt())
            await asyncio.sleep(30.0)
            running.cancel()
        self.collect()

    async def _decide(self) -> None:
        for decision, exposure in enumerate(_TARGETS):
            now_ns = int(_TICKS["ts_ns"][99])
            self.lane.pursue(
                now_ns, decision, np.zeros(FEATURES, np.float32), Wanted(exposure, TIMING_PASSIVE)
            )
            await turns(4)

    async def _halt(self) -> None:
        await turns(20)
        self.venue.halted = True
        self.lane.gate.memory.permission.halted = True
        self.lane.cancel_all(int(_TICKS["ts_ns"][99]))

    def check(self) -> str:
        """What does not hold; "" if all does."""
        told = [event.fill_id for event in self.events if isinstance(event, Filled)]
        if told != sorted({int(trade["id"]) for trade in self.venue.trades}):
            self.venue.broken.append(f"{len(self.venue.trades)} trades, {len(told)} heard of")
        if any(row["status"] == "open" for row in self.venue.orders.values()):
            self.venue.broken.append("an order is open long after the halt")
        return "; ".join(self.venue.broken)


def broken(recipe: Recipe, plant: Callable[[World], None]) -> str:
    """What does not hold in that schedule; "" if all does."""
    return tried(recipe, plant)[0]


def tried(recipe: Recipe, plant: Callable[[World], None]) -> tuple[str, Schedule]:
    world, schedule = World(plant), recipe.schedule(keep=True)
    run_virtual(world.live(), schedule)
    return world.check(), schedule


class Forgetful(OrderTable):
    def _claim(self, order: VenueOrder) -> None:
        pass


def sound(_world: World) -> None:
    """Nothing is planted."""


def answer_before_its_order(world: World) -> None:
    """What was told of an order before the venue's number of it was known is not looked at again."""
    world.broker.table = Forgetful(world.broker.instrument, PREFIX)


def fill_after_a_halt(world: World) -> None:
    """Once halted, nobody listens."""
    collect = world.collect
    world.venue.heard = lambda: None if world.venue.halted else collect()
    world.callbacks = replace(world.callbacks, heard=world.venue.heard)
    world.collect = lambda: None  # type: ignore[method-assign]


def swap_during_a_cancel(world: World) -> None:
    """A cancel that was asked for counts as done."""
    cancel, table = world.broker.cancel, world.broker.table

    def at_once(order_id: int, now_ns: int) -> None:
        cancel(order_id, now_ns)
        order = table.orders[order_id]
        table.events.append(Cancelled(order_id, now_ns, order.remaining_lots))
        asyncio.get_running_loop().call_soon(world.collect)

    world.broker.cancel = at_once  # type: ignore[method-assign]


def test_whatever_comes_first_nothing_is_broken():
    assert [seed for seed in range(200) if broken(Recipe(seed), sound)] == []


@pytest.mark.seeds(200, proof=range(201, 1201))
def test_nothing_is_broken_in_the_schedule_of_a_seed(recipe: Recipe):
    assert broken(recipe, sound) == ""


@pytest.mark.parametrize("plant", [answer_before_its_order, fill_after_a_halt, swap_during_a_cancel])
def test_a_planted_fault_of_order_is_found_within_a_thousand_seeds_and_shrunk_to_a_few_choices(plant):
    def fails(recipe: Recipe) -> Failure | None:
        said, schedule = tried(recipe, plant)
        return Failure(said, (), schedule.taken) if said else None

    found = next(recipe for seed in range(SEEDS) if broken(recipe := Recipe(seed), plant))
    small, before = shrunk(found, fails), tried(found, plant)[1].taken
    print(f"{plant.__name__}: seed {found}, {len(before)} choices, shrunk to {small}: {broken(small, plant)}")
    again = Recipe.read(str(small))
    assert broken(again, plant) == broken(small, plant) != ""
    assert small.choices is not None and len(small.choices) <= MOST_CHOICES < len(before)
    assert broken(again, sound) == ""
