"""The engine: blocks of ticks in, decisions, orders and transitions out. The same for replay, paper and live."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ztb.execution.risk import Rung
from ztb.features import FeatureSet, Normaliser
from ztb.features.forecast import Foreseen
from ztb.learning.allocation import Experts, name_of
from ztb.learning.allocation.stretches import ExpertsInStretch
from ztb.learning.benchmarks import UNLEARNT, BenchmarkTracker
from ztb.learning.service.base import NEAR_A_LIMIT, Learning
from ztb.learning.service.transitions import Transitions
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.records import COSTS_CORRECTED, LOSS_LIMIT, NoteRow
from ztb.market.ticks import GAP, Flag, Ticks, plain_ticks
from ztb.ports import Source
from ztb.runtime.decision_log import DecisionLog, RunProgress, Stood
from ztb.trading.bridge import FACT_EQUITY
from ztb.trading.course import Course, Seats, StretchEnd
from ztb.trading.decided import Decided
from ztb.trading.decision_clock import DecisionClock
from ztb.trading.lane import Lane
from ztb.trading.lane_group import LaneGroup
from ztb.trading.strategy import OnTick, WarmsUp
from ztb.trading.stretch import Stretch
from ztb.trading.tick_watch import UNSHOWN, TickWatch

_TAINT = GAP | int(Flag.TAINTED)
_YIELD_EVERY = 64  # decisions between two turns of the event loop, where each is a step
_ASKED_AT_ONCE = 256  # the same where a strategy in Python is asked: it may take its time
_WATCH_EVERY = 64  # blocks between two looks, where decisions are rare


class Engine:
    """Drives features, lanes and learner over blocks. `shadows` by name trade beside `live` and are only marked; where
    there are `experts`, `live` follows them, else its own strategy.

    `watch` is called every few decisions and blocks, and may end the run by raising.
    """

    def __init__(
        self,
        features: FeatureSet,
        normaliser: Normaliser,
        clock: DecisionClock,
        live: Lane,
        shadows: Mapping[str, Lane],
        books: Bookkeeper,
        learning: Learning,
        symbol: str,
        trade_from_ns: int,
        watch: Callable[[], None] = lambda: None,
        experts: Experts | None = None,
        progress: RunProgress | None = None,
    ) -> None:
        self.features = features
        self.normaliser = normaliser
        self.clock = clock
        self.live = live
        self.shadows = shadows
        self._together = LaneGroup([live, *shadows.values()])
        if experts is not None:
            experts.accompany(shadows.values(), [live, *shadows.values()])
        self.books = books
        self.learning = learning
        self.symbol = symbol
        self.trade_from_ns = trade_from_ns
        self.progress = progress or RunProgress()
        self.experts = experts
        self.helping = BenchmarkTracker()
        self._watch = watch
        self._due = 0
        self._normal = np.zeros(normaliser.width, np.float32)
        self.shadow_equity: dict[str, float] = {}  # of the shadows, at the present decision
        self._log = DecisionLog(books, symbol)
        self._stretch: Stretch | None = None
        self._transitions = Transitions()
        self._rungs: dict[str, Rung] = {"daily_loss": Rung.FREE, "drawdown": Rung.FREE}
        self._tainted = False
        self._gap = False  # whether anything is missing since a moment was due
        self._taints = False  # whether any row of the present block does
        on_tick: OnTick | None = getattr(live.strategy, "on_tick", None)
        self._tick_watch = None if on_tick is None else TickWatch(on_tick, features)
        self._warm_ups = [
            lane.strategy.warm_up for lane in (live, *shadows.values()) if isinstance(lane.strategy, WarmsUp)
        ]

    async def run(self, source: Source) -> None:
        """Consume `source` to its end."""
        blocks = 0
        async for block in source.blocks():
            await self.consume(block)
            blocks += 1
            if blocks % _WATCH_EVERY == 0:
                self._watch()
            await asyncio.sleep(0)

    async def consume(self, ticks: Ticks) -> None:
        """Let a block of ticks, shape (n,) of dtype TICK, happen."""
        n = len(ticks)
        if n == 0:
            return
        ticks = plain_ticks(ticks)
        self._taints = bool(self.progress.count(ticks) & _TAINT)
        i = 0
        while i < n:
            before, most = self._due, self._unasked(n - i)
            i = self._run_stretch(ticks, i, n, most) if most > 0 else self._take_step(ticks, i, n)
            if self._due // _YIELD_EVERY > before // _YIELD_EVERY:
                self._watch()
                await self.learning.settle()
                await asyncio.sleep(0)

    def _take_step(self, ticks: Ticks, i: int, n: int) -> int:
        """Let rows from `i` on happen up to the next due moment, and decide if it is one; the row to go on with."""
        due = self.clock.find_due(ticks, i, n)
        end, raw = min(due + 1, n), self.features.values
        if self._tick_watch is None:
            self.features.advance(ticks, i, end)
        else:
            i = self._show(self._tick_watch, ticks, i0=i, i1=end, due=due)
            raw = self._tick_watch.features_at(end - 1)
        self._advance(ticks, i, end)
        if due < n:
            self._decide(int(ticks["ts_ns"][due]), raw)
            self._due += 1
        return end

    def _unasked(self, rows: int) -> int:
        """Number of decisions that can be made in the next rows within one call of kernels."""
        watch = self._tick_watch
        if self.progress.decisions == 0 or (watch is None and not self.features.all_shipped):
            return 0
        experts = self.experts
        groups = [self._together] if experts is None else [experts.deciding, experts.living]
        if not self.books.journal.packs or not all(group.in_one_call for group in groups):
            return 0
        if experts is not None and not experts.steady:
            return 0
        patience = self.learning.patience(self.progress.decisions, rows)
        asks = watch is not None or any(group.asks for group in groups)
        return min(patience, _ASKED_AT_ONCE) if asks else patience

    def _run_stretch(self, ticks: Ticks, i: int, n: int, most: int) -> int:
        """As `_take_step`, for as many decisions as come, `most` at most."""
        if self._stretch is None:
            self._stretch = Stretch(self._together.floor, self.features, self.normaliser, self.clock)
        stretch, first, experts = self._stretch, self.progress.decisions, self.experts
        deciding = self._together if experts is None else experts.deciding
        deciding.serve()
        beside = (
            None
            if experts is None
            else ExpertsInStretch(experts, self.live, self.live.floor.instrument.turnover_cost)
        )
        if self._tick_watch is not None:
            self._tick_watch.look_ahead(ticks, i, n)
        leader = self.live if experts is None else experts.lanes[experts.leader]
        left = sys.maxsize if experts is None else experts.allocator.left
        carried, lookout = (self._tainted, self._gap), self.learning.lookout
        stretch.begin(row=i, number=first, seen=leader.place, carried=carried, left=left, lookout=lookout)
        came = self._go_on(stretch, ticks, n, most, beside)
        self.progress.rows += came.row - i
        self._tainted, self._gap = came.tainted, came.gap
        self._due += came.decisions
        if came.decisions:
            self._follow_stretch(stretch, came.decisions, beside)
        if self.learning.hears:
            self._tell_learning(
                stretch.course, ticks[i : came.row], begin=i, made=came.decisions, among=beside
            )
        if came.wrong:
            if self._tick_watch is not None:
                self._tick_watch.complain()
            deciding.complain()
        self.live.settle(ticks, came.row)
        if came.due:
            self._decide(int(ticks["ts_ns"][came.row - 1]), self.features.values)
            self._due += 1
        return came.row

    def _go_on(
        self, stretch: Stretch, ticks: Ticks, n: int, most: int, beside: ExpertsInStretch | None
    ) -> StretchEnd:
        """Run a stretch to its end, experts being weighed on the way."""
        shown = UNSHOWN if self._tick_watch is None else self._tick_watch.shown
        if beside is None:
            places = self._together.places
            seats = Seats(living=places, deciding=places, account=places[:1], noted=places)
            return stretch.run(ticks, n, most, seats, shown=shown)
        first = self.progress.decisions
        while True:
            pursuits = beside.pursuits()
            came = stretch.run(ticks, n, most, beside.seats(), pursuits=pursuits, shown=shown)
            beside.pursued(pursuits)
            if not came.weighs:
                beside.take_in(stretch.course, came.decisions)
                return came
            beside.weigh(stretch.course, came.decisions, first + came.decisions)
            stretch.weighed(beside.experts.allocator.left + 1)

    def _follow_stretch(self, stretch: Stretch, made: int, among: ExpertsInStretch | None) -> None:
        """Write down and take in what was decided in a stretch, as if each decision had been heard of at once."""
        course = stretch.course
        place = self._together.lanes.index if among is None else among.place
        account = course.facts[:made, 0]
        beside = {name: course.facts[:made, place(lane), FACT_EQUITY] for name, lane in self.shadows.items()}
        if among is not None:
            beside |= among.beside(course, made)
        stood = Stood(
            generation=self.learning.generation,
            account=account,
            hold=beside.get("hold"),
            frozen=beside.get("frozen"),
            aims=None if among is None else among.aims(course, made),
            before=() if among is None else among.rows,
        )
        self._log.record_stretch(self.live, course, stood, self.progress.decisions)
        equity = account[:, FACT_EQUITY].copy()
        self.helping.follow_all(equity, {name: own.copy() for name, own in beside.items()})
        self.shadow_equity |= {name: float(own[-1]) for name, own in beside.items()}
        self.progress.track_all(equity)
        self.follow_limits(int(course.ts_ns[made - 1]))

    def _tell_learning(
        self, course: Course, ticks: Ticks, begin: int, made: int, among: ExpertsInStretch | None
    ) -> None:
        """Let the learner hear of a stretch: rows that happened, the first of them `begin` of the block."""
        decided = self.progress.decisions
        self._transitions.add_stretch(
            learning=self.learning,
            ticks=ticks,
            begin=begin,
            course=course,
            decisions=range(decided - made, decided),
            seen=0 if among is None else among.place(among.experts.lanes[among.experts.leader]),
            generation=self.books.generation,
        )

    def adopted(self, value: float) -> None:
        """The books were changed by `value` quote currency that nothing earned."""
        self.progress.adopt(value)
        if self.experts is not None:
            self.experts.adopted(value)
        self._tainted = True

    def _show(self, watch: TickWatch, ticks: Ticks, i0: int, i1: int, due: int) -> int:
        """Show each tick of [i0, i1) to the strategy; decide where it asks to, save at `due`.

        The lanes follow up to each row that is decided on; the row up to which they came.
        """
        watch.look_ahead(ticks, i0, i1)
        came, asked = i0, watch.show(i0, i1)
        while asked < i1:
            if asked != due and self.features.ready:
                self._advance(ticks, came, asked + 1)
                came = asked + 1
                self._decide(int(ticks["ts_ns"][asked]), watch.features_at(asked))
            asked = watch.show(asked + 1, i1)
        return came

    def _advance(self, ticks: Ticks, i0: int, i1: int) -> None:
        self.progress.rows += i1 - i0
        self.learning.ticks(ticks[i0:i1], self.live.broker.view)
        (self.experts or self._together).advance(ticks, i0, i1)
        if self._taints and np.any(ticks["flags"][i0:i1] & _TAINT):
            self._tainted = self._gap = True

    def _decide(self, ts_ns: int, raw: NDArray[np.float64]) -> None:
        foreseen = self._follow_market(raw)
        if ts_ns < self.trade_from_ns or not self.features.ready:
            self._look_on(ts_ns, raw)
            return
        self.normaliser.apply(raw, self._normal)
        number = self.progress.decisions
        self.books.generation = self.learning.generation
        decided, learnt_from = self._choose(ts_ns, number, raw, foreseen)
        for name, lane in self.shadows.items():
            self.shadow_equity[name] = lane.marked
        self.helping.follow(decided.equity, self.shadow_equity)
        aims = self.experts.aims if self.experts else b""
        self._log.record(decided, self._tainted, aims, self.shadow_equity)
        self.progress.track(decided.equity, ts_ns)
        self.follow_limits(ts_ns)
        self.learning.heed(self.helping)
        self.learning.decided(number, self._normal, self._tainted)
        self._transitions.add(self.learning, learnt_from, self.books.generation, self._tainted)
        self._tainted = False

    def _correct_costs(self, ts_ns: int, experts: Experts) -> None:
        """Charge accounts on paper what our own fills have cost, and measure the next ones by the present market."""
        own = self.books.own_costs
        if own is None:
            return
        if own.corrects():
            experts.charge(own.correction)
            self.books.journal.append(NoteRow(ts_ns, COSTS_CORRECTED, own.detail()))
        view = self.live.broker.view
        own.see(view["mid"].item(), 0.5 * (view["ask"].item() - view["bid"].item()))

    def _follow_market(self, raw: NDArray[np.float64]) -> Foreseen | None:
        """Take `raw` (F,) into what policies are told; what was forecast of the return since the last due moment."""
        mid, gap, forecast = self.live.broker.view["mid"].item(), self._gap, self.normaliser.forecast
        foreseen = None if gap or forecast is None else forecast.compare(mid)
        self.normaliser.update(raw, mid, gap)
        self._gap = False
        return foreseen

    def follow_limits(self, ts_ns: int) -> None:
        """Journal how far the account has come down its limits on losses, and let learning rest while it is far."""
        memory = self.live.gate.memory
        for name, limit in (("daily_loss", memory.daily_loss), ("drawdown", memory.drawdown)):
            if limit.rung is not self._rungs[name]:
                self._rungs[name] = limit.rung
                told = {"limit": name, "rung": int(limit.rung), "since_ns": limit.since_ns}
                detail = json.dumps(told, sort_keys=True)
                self.books.journal.append(NoteRow(ts_ns, LOSS_LIMIT, detail))
        self.learning.freeze(NEAR_A_LIMIT, memory.rung >= Rung.LEARNING_FROZEN)

    @property
    def benchmarks(self) -> dict[str, Lane]:
        """By name, the accounts that stand beside the live one in comparisons, and obey what it obeys."""
        unlearnt = self.experts.account_unlearnt if self.experts is not None else None
        return dict(self.shadows) if unlearnt is None else {**self.shadows, UNLEARNT: unlearnt}

    def cancel_all(self, ts_ns: int) -> None:
        """Ask for the end of every order that works, of the accounts beside the live one too."""
        for lane in (self.live, *self.benchmarks.values()):
            lane.cancel_all(ts_ns)

    def lift_limits(self, ts_ns: int, equity: float) -> None:
        """Count the losses of the account anew from `equity` (quote currency), and of those beside it from theirs."""
        self.live.gate.lift(equity)
        for lane in self.benchmarks.values():
            lane.gate.lift(lane.equity)
        self.follow_limits(ts_ns)

    def _look_on(self, ts_ns: int, raw: NDArray[np.float64]) -> None:
        """A moment is due before trading begins."""
        mid = self.live.broker.view["mid"].item()
        for warm_up in self._warm_ups:
            warm_up(ts_ns, mid)
        if self.experts is None:
            return
        if self.features.ready:
            self.normaliser.apply(raw, self._normal)
            self.experts.rehearse(ts_ns, raw, self._normal)
        else:
            self.experts.warm_up(ts_ns, mid)

    def _choose(
        self, ts_ns: int, number: int, raw: NDArray[np.float64], foreseen: Foreseen | None
    ) -> tuple[Decided, Decided]:
        """The account's decision, and that of the policy that serves, which is learnt from; mostly they are the same.

        Where experts trade beside the account, it goes where their weights lead.
        """
        if self.experts is None:
            self._together.decide(ts_ns, number, raw, self._normal)
            decided = self.live.decided()
            return decided, decided
        experts, equity = self.experts, self.live.equity
        self._correct_costs(ts_ns, experts)
        if experts.decide(ts_ns, number, raw, self._normal):
            self._tainted = True  # another lane's account: its reward is not that of the decision before
        wanted, rows = experts.weigh(ts_ns, number, equity, foreseen)
        for row in rows:
            self.books.journal.append(row)
        led = experts.lanes[experts.leader].decided()
        self.live.pursue(ts_ns, number, self._normal, wanted)
        decided = self.live.decided(led)
        self.shadow_equity["frozen"] = experts.lanes[name_of(0)].marked
        self.shadow_equity[UNLEARNT] = experts.pursue_unlearnt(ts_ns, number, self._normal, decided.equity)
        return decided, led
