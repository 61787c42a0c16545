"""Weeks in the life of a live daemon, drawn from a seed: quiet hours, storms, people, kills, falls of the market."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from chaos.books import books_now
from chaos.branches import counted
from chaos.faults import clear
from chaos.invariants import hold, watch_sendings
from chaos.recipe import Recipe
from chaos.stage import Stage, configuration, stage
from chaos.storm import Struck, storm
from chaos.truth import MARKET, Truth, protects, truth_of
from chaos.weather import Weather
from runtime.made_policy import made_policy
from runtime.venue.fake_account import INSTRUMENT
from ztb.control import (
    SOCKET_NAME,
    Adopt,
    Answer,
    Command,
    Flatten,
    Halt,
    Reload,
    Resume,
    Status,
    short_address,
)
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import UpdateRow
from ztb.runtime.daemon.daemon import Daemon
from ztb.testing.exchange.listing import SCALE
from ztb.testing.exchange.orders import ExchangeOrderRequest, ExchangeOrderType, Side
from ztb.testing.exchange.venue import USER
from ztb.testing.virtual_time import Schedule, VirtualTimeLoop, run_virtual

HOUR_S = 3600.0
SETTINGS: dict[str, Any] = {
    "decision.every": "ticks", "decision.ticks": 12, "decision.interval_ms": 60_000, "market.stale_s": 180.0,
    "execution.reconcile_every_s": 300.0, "risk.protective_stop_fraction": 0.05,
    # A week of random orders costs more than a person would let it.
    "risk.max_daily_loss_fraction": 0.99, "risk.max_drawdown_fraction": 0.99,
}  # fmt: skip
LEARNING: dict[str, Any] = SETTINGS | {
    "strategy.name": "ppo_online", "strategy.sample": True, "allocation.rules": ["random_walk"],
    "online.learner": "inline", "online.update_every_decisions": 64, "online.window_decisions": 256,
    "online.rollout_lanes": 8, "online.rollout_horizon_decisions": 16, "online.passes": 1,
    "ppo.minibatch_size": 64, "ppo.epochs": 1,
}  # fmt: skip
LEARNS_EACH = 8  # stories
_PERSON = "person"
_STORM_S = 60.0
_FAULTS_A_STORM = 1000  # in a recipe, the numbers of those of a storm begin with this many times its own
_SETTLING_S = 300.0
_PATIENCE_S = 7200.0
_TRIES = 100
_LIFE_H, _QUIET_H, _SHORTEST_H = 20.0, 2.0, 0.2
_DUST = 10.0  # quote currency: what the venue takes no order for
_CAPITAL = 100_000  # quote currency, to which a person fills the account up


@dataclass
class Seen:
    """What a story has seen. `choices`: how often the schedule chose among things that could happen in any order.

    `faults`: the numbers of those that there were, as a recipe has them. `trace`: of each choice that there was and of
    each request to the venue; a story that is told again has the same.
    """

    hours: float = 0.0
    choices: int = 0
    orders: int = 0
    fills: int = 0
    struck: Struck = field(default_factory=Struck)
    branches: Counter[str] = field(default_factory=Counter[str])
    events: Counter[str] = field(default_factory=Counter[str])
    updates: int = 0
    comparisons: int = 0
    digest: str = ""
    trace: str = ""
    faults: list[int] = field(default_factory=list[int])


class Story:
    """One seed's."""

    def __init__(self, it: Stage, weather: Weather, recipe: Recipe, seen: Seen, policy: str | None) -> None:
        """`policy` is served at the start, and learns."""
        self.it = it
        self.weather = weather
        self.seen = seen
        self.rng = np.random.default_rng([recipe.seed, 2])
        self._seed = recipe.seed
        self._faults = recipe.faults
        self._policy = policy
        self._mismatches = 0
        self._persons = 0

    async def live(self, hours: float) -> None:
        """Life after life, for so long; the books are compared whole at the end."""
        end_s, first = self.it.loop.time() + hours * HOUR_S, True
        while self.it.loop.time() < end_s:
            length_s = max(_SHORTEST_H, self.rng.exponential(_LIFE_H)) * HOUR_S
            until_s = min(end_s, self.it.loop.time() + length_s)
            killed = self.rng.random() < 0.7 and until_s < end_s
            stay = partial(self.it.running, "live") if not killed else self.it.dying
            begun = stay(self._seed, self._policy if first else None)
            first = False
            before = self.it.folder
            self.weather.wake()
            async with begun as daemon:
                await self._life(daemon, until_s)
                if killed and self.rng.random() < 0.5:
                    await self._killed_in_a_storm()
                elif not killed:
                    await self._end(daemon)
            clear(self.it)
            self.seen.events["a kill" if killed else "a clean end"] += 1
            if self.it.folder != before:
                shutil.rmtree(before)
            await self._nobody_there()

    async def _life(self, daemon: Daemon, until_s: float) -> None:
        watch_sendings(daemon)
        await self._agree(daemon)
        chances = [chance for chance, _ in EVENTS.values()]
        while True:
            self.weather.calm_down()
            quiet_s = max(_SHORTEST_H, self.rng.exponential(_QUIET_H)) * HOUR_S
            left_s = until_s - self.it.loop.time()
            await asyncio.sleep(min(quiet_s, max(0.0, left_s)))
            if self.it.loop.time() >= until_s:
                return
            name = str(self.rng.choice(list(EVENTS), p=chances))
            self.seen.events[name] += 1
            self.weather.wake()
            await EVENTS[name][1](self, daemon)
            self.weather.calm_down()
            await self._agree(daemon)

    async def _agree(self, daemon: Daemon) -> None:
        """The daemon trades again, and its books come to equal the venue's, however bad it was."""
        loop = self.it.loop
        deadline_s = loop.time() + _PATIENCE_S
        while not (self._equal(daemon) and daemon.conditions.state == "trading"):
            assert loop.time() < deadline_s, (
                f"not well again: {daemon.conditions.present}, {self._difference(daemon)}"
            )
            await asyncio.sleep(7.0)
        self.seen.comparisons += 1

    def _equal(self, daemon: Daemon) -> bool:
        ours, venue = self._difference(daemon)
        return ours == venue

    def _difference(self, daemon: Daemon) -> tuple[Any, Any]:
        account, truth = daemon.session.books.account, self._truth()
        return (account.exact_cash, account.exact_position), (truth.cash, truth.position)

    def _truth(self) -> Truth:
        truth = truth_of(self.it.exchange)
        return replace(
            truth,
            orders=[order for order in truth.orders if not order[0].startswith(_PERSON)],
            fills=[fill for fill in truth.fills if not fill.client_id.startswith(_PERSON)],
        )

    async def _end(self, daemon: Daemon) -> None:
        """Halt, let everything come to rest, and compare all that there is."""
        self.weather.wake()
        daemon.controls.latch("halted", "test", "the end")
        await _until(lambda: not daemon.session.engine.live.working)
        await asyncio.sleep(30.0)
        truth, books = self._truth(), books_now(self.it.folder, daemon.session)
        assert (books.cash, books.position) == (truth.cash, truth.position)
        assert books.fills == truth.fills
        assert books.ends == truth.ends
        assert truth.repeated == [] and len(truth.standing) <= 1
        assert (books.mismatches > 0) == (self._mismatches > 0)
        self.seen.orders, self.seen.fills = len(truth.orders), len(truth.fills)
        reader = JournalReader(daemon.session.journal.path)
        self.seen.updates = sum(1 for _ in reader.rows(UpdateRow))
        reader.close()
        self.seen.digest = daemon.session.journal.sha256()
        assert (await self._ask(Resume())).ok

    async def _nobody_there(self) -> None:
        """The time between two lives, in which the market may fall."""
        if self.rng.random() < 0.5:
            fraction = float(self.rng.uniform(0.0, 0.2))
            self.it.fall(fraction, 60.0)
            await asyncio.sleep(90.0)
            self.it.fall(1.0 - 1.0 / (1.0 - fraction), 60.0)
        self.weather.calm_down()
        await asyncio.sleep(self.rng.exponential(_QUIET_H) * HOUR_S)

    async def _killed_in_a_storm(self) -> None:
        self.weather.wake()
        await self._storm_for(float(self.rng.uniform(1.0, _STORM_S)))

    async def _storm_for(self, seconds: float) -> None:
        number = self.seen.events["a storm"]
        first, numbers = number * _FAULTS_A_STORM, list[int]()
        only = None if self._faults is None else [fault - first for fault in self._faults]
        try:
            drawn = await storm(self.it, [self._seed, number], seconds, only=only, numbers=numbers)
        finally:
            self.seen.faults += [first + fault for fault in numbers]
        self.seen.struck.add(drawn)

    async def a_storm(self, _daemon: Daemon) -> None:
        await self._storm_for(_STORM_S)
        clear(self.it)
        self.weather.calm_down()
        await asyncio.sleep(_SETTLING_S)

    async def a_halt(self, _daemon: Daemon) -> None:
        assert (await self._ask(Status())).ok
        assert (await self._ask(Halt("a look"))).ok
        await asyncio.sleep(float(self.rng.uniform(1.0, 60.0)))
        assert (await self._ask(Reload())).ok
        assert (await self._ask(Resume())).ok

    async def a_flattening(self, daemon: Daemon) -> None:
        assert (await self._ask(Flatten())).ok
        await _until(lambda: daemon.conditions.state == "halted")
        await asyncio.sleep(10.0)
        left = (
            float(daemon.session.books.account.exact_position)
            * daemon.session.engine.live.broker.view["mid"].item()
        )
        assert left < _DUST, f"{left} of it is left"
        assert (await self._ask(Resume())).ok

    async def a_deposit(self, daemon: Daemon) -> None:
        """A person fills the account up, and trades in it; the daemon halts until it is told to take that over."""
        venue = self.it.exchange.state.venue
        missing = _CAPITAL * SCALE - venue.accounts.held[USER]["USDT"].free
        venue.accounts.deposit(USER, "USDT", max(SCALE, missing))
        self._persons += 1
        bought = ExchangeOrderRequest(
            USER,
            MARKET,
            f"{_PERSON}-{self._persons}",
            Side.BUY,
            ExchangeOrderType.MARKET,
            quantity=SCALE // 100,
        )
        venue.place(bought, self.it.exchange.now_ms())
        await _until(lambda: daemon.conditions.state == "halted")
        for _ in range(_TRIES):
            if (await self._ask(Adopt())).ok:
                break
            await asyncio.sleep(5.0)
        self._mismatches += 1

    async def a_stop_taken_away(self, _daemon: Daemon) -> None:
        """By a person, who may have halted before that, and sells."""
        halted = self.rng.random() < 0.5
        if halted:
            assert (await self._ask(Halt("I sell"))).ok
            await asyncio.sleep(5.0)
        venue = self.it.exchange.state.venue
        for order in list(venue.open_orders(USER, MARKET)):
            if protects(order.request.client_id):
                venue.cancel(order, self.it.exchange.now_ms())
        await asyncio.sleep(60.0)
        if halted:
            assert (await self._ask(Resume())).ok

    async def a_fall(self, _daemon: Daemon) -> None:
        self.it.fall(0.2, 60.0)
        await asyncio.sleep(70.0)
        self.it.fall(-0.25, 60.0)
        await asyncio.sleep(70.0)

    async def _ask(self, command: Command) -> Answer:
        """By the control socket, as anybody would."""
        with short_address(self.it.folder / SOCKET_NAME) as address:
            reader, writer = await asyncio.open_unix_connection(address)
        writer.write(msgspec.json.encode(command) + b"\n")
        answer = msgspec.json.decode(await reader.readline(), type=Answer)
        writer.close()
        return answer


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not reached():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(1.0)


EVENTS: dict[str, tuple[float, Callable[[Story, Daemon], Awaitable[None]]]] = {
    "a storm": (0.6, Story.a_storm),
    "a halt": (0.1, Story.a_halt),
    "a flattening": (0.05, Story.a_flattening),
    "a deposit": (0.1, Story.a_deposit),
    "a stop taken away": (0.05, Story.a_stop_taken_away),
    "a fall": (0.1, Story.a_fall),
}
"""Each with how often it comes."""


@asynccontextmanager
async def _setting(seed: int, folder: Path, settings: dict[str, Any]) -> AsyncIterator[tuple[Stage, Weather]]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    weather = Weather(loop, seed)
    try:
        async with stage(seed, folder, flow=weather.flow, **settings) as it, asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(hold(it, weather))
            yield it, weather
            holding.cancel()
    finally:
        weather.leave()


def tell(
    recipe: Recipe, hours: float, folder: Path, seen: Seen | None = None, schedule: Schedule | None = None
) -> Seen:
    """Live through the story of a seed; what was seen, also by `seen` where whatever is wrong raises."""
    seed, seen, schedule = recipe.seed, seen or Seen(), schedule or recipe.schedule()
    settings, policy = SETTINGS, None
    if seed % LEARNS_EACH == LEARNS_EACH - 1:
        settings = LEARNING
        policy = made_policy(folder.with_name("policy"), configuration(**settings), INSTRUMENT)

    async def run() -> None:
        async with _setting(seed, folder, settings) as (it, weather):
            try:
                await Story(it, weather, recipe, seen, policy).live(hours)
            finally:
                seen.hours, seen.choices = it.loop.time() / HOUR_S, schedule.made
                seen.trace = f"{it.venue.trace.hexdigest()}-{schedule.mark:x}"

    folder.parent.mkdir(exist_ok=True)
    with counted() as seen.branches:
        run_virtual(run(), schedule)
    return seen
