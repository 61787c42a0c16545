"""The engine: blocks of ticks in, decisions, orders and transitions out. The same for replay, paper and live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from ztb.execution.risk import Rung
from ztb.features import FeatureSet, Normaliser
from ztb.features.forecast import Foreseen
from ztb.learning.allocation import Experts, name_of
from ztb.learning.benchmarks import UNLEARNT, BenchmarkTracker
from ztb.learning.service.base import NEAR_A_LIMIT, Learning
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.records import LOSS_LIMIT, DecisionRow, MarkRow, NoteRow
from ztb.market.ticks import BAR, DEPTH, GAP, LAST, Flag, Ticks, plain_ticks
from ztb.ports import Source
from ztb.trading.decision_clock import DecisionClock
from ztb.trading.lane import Decided, Lane
from ztb.trading.lane_group import LaneGroup
from ztb.trading.strategy import OnTick, WarmsUp, tick_views

_TAINT = GAP | int(Flag.TAINTED)
_YIELD_EVERY = 64  # decisions between two turns of the event loop
_WATCH_EVERY = 64  # blocks between two looks, where decisions are rare


@dataclass(slots=True)
class RunProgress:
    """Counts and sums of the engine so far; `peak` and `max_drawdown` are of the live equity at decisions.

    `rows`: of ticks, let happen since this process started. `adopted`: quote currency that came into the books without
    being earned.
    """

    rows: int = 0
    ticks: int = 0
    decisions: int = 0
    gaps: int = 0
    first_ts_ns: int = 0
    last_ts_ns: int = 0
    trade_first_ts_ns: int = 0
    return_sum: float = 0.0
    return_square_sum: float = 0.0
    peak: float = 0.0
    max_drawdown: float = 0.0
    last_equity: float = 0.0
    equity_sum: float = 0.0
    adopted: float = 0.0


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
        self.progress = RunProgress()
        self.experts = experts
        self.helping = BenchmarkTracker()
        self._watch = watch
        self._due = 0
        self._index = {name: i for i, name in enumerate(features.names)}
        self._normal = np.zeros(normaliser.width, np.float32)
        self.shadow_equity: dict[str, float] = {}  # of the shadows, at the present decision
        self._before: tuple[Decided, int] | None = None
        self._rungs: dict[str, Rung] = {"daily_loss": Rung.FREE, "drawdown": Rung.FREE}
        self._tainted = False
        self._gap = False  # whether anything is missing since a moment was due
        self._taints = False  # whether any row of the present block does
        self._on_tick: OnTick | None = getattr(live.strategy, "on_tick", None)
        self._called_to = 0
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
        self._count(ticks)
        i = 0
        while i < n:
            due = self.clock.find_due(ticks, i, n)
            end = min(due + 1, n)
            if self._on_tick is None:
                self.features.advance(ticks, i, end)
            else:
                self._call_strategy(on_tick=self._on_tick, ticks=ticks, i0=i, i1=end, due=due)
                i = self._called_to
            self._advance(ticks, i, end)
            if due < n:
                self._decide(int(ticks["ts_ns"][due]), self.features.values)
                self._due += 1
                if self._due % _YIELD_EVERY == 0:
                    self._watch()
                    await self.learning.settle()
                    await asyncio.sleep(0)
            i = end

    def adopted(self, value: float) -> None:
        """The books were changed by `value` quote currency that nothing earned."""
        progress = self.progress
        progress.adopted += value
        progress.last_equity += value
        progress.peak += value
        if self.experts is not None:
            self.experts.adopted(value)
        self._tainted = True

    def _count(self, ticks: Ticks) -> None:
        progress = self.progress
        partial = (ticks["kind"] == DEPTH) & ((ticks["flags"] & LAST) == 0)
        progress.ticks += len(ticks) - int(np.count_nonzero(partial))
        progress.gaps += int(np.count_nonzero(ticks["flags"] & GAP))
        self._taints = bool(np.any(ticks["flags"] & _TAINT))
        if progress.first_ts_ns == 0:
            first = ticks[0]
            progress.first_ts_ns = int(first["ts_ns"]) - (
                int(first["span_ns"]) if first["kind"] == BAR else 0
            )
        progress.last_ts_ns = int(ticks["ts_ns"][-1])

    def _call_strategy(self, on_tick: OnTick, ticks: Ticks, i0: int, i1: int, due: int) -> None:
        """Show each tick of [i0, i1) to the strategy, with its features; decide where it asks to, save at `due`.

        The features of the whole segment are computed first, since they do not depend on what is decided; the
        lanes follow up to each row that is decided on. Sets `_called_to`, the row up to which they came.
        """
        segment = ticks[i0:i1]
        history = self.features.batch(segment)
        self._called_to = i0
        ready = self.features.ready
        for j, tick in enumerate(tick_views(segment, history)):
            if tick is None or not on_tick(tick):
                continue
            row = i0 + j
            if row != due and ready:
                self._advance(ticks, self._called_to, row + 1)
                self._called_to = row + 1
                self._decide(tick.ts_ns, history[j])

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
        self._record(decided)
        self.progress.decisions += 1
        self.follow_limits(ts_ns)
        self.learning.heed(self.helping)
        self.learning.decided(number, self._normal, self._tainted)
        if self._before is not None:
            before, generation = self._before
            self.learning.completed(before, generation, learnt_from.reward, self._tainted, learnt_from)
        self._before = learnt_from, self.books.generation
        self._tainted = False

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
            self.experts.rehearse(ts_ns, raw, self._index, self._normal)
        else:
            self.experts.warm_up(ts_ns, mid)

    def _choose(
        self, ts_ns: int, number: int, raw: NDArray[np.float64], foreseen: Foreseen | None
    ) -> tuple[Decided, Decided]:
        """The account's decision, and that of the policy that serves, which is learnt from; mostly they are the same.

        Where experts trade beside the account, it goes where their weights lead.
        """
        if self.experts is None:
            self._together.decide(ts_ns, number, raw, self._index, self._normal)
            decided = self.live.decided()
            return decided, decided
        experts, equity = self.experts, self.live.equity
        if experts.decide(ts_ns, number, raw, self._index, self._normal):
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

    def _record(self, decided: Decided) -> None:
        """Journal the decision and the marks, and check the books."""
        books = self.books
        books.agree(decided.cash, decided.position, decided.equity)
        observation = decided.observation.tobytes()
        action = decided.action
        books.journal.append(
            DecisionRow(
                decision=decided.decision,
                ts_ns=decided.ts_ns,
                symbol=self.symbol,
                generation=books.generation,
                action_size=action.size,
                action_timing=action.timing,
                target=decided.target,
                position=decided.position,
                mid=decided.mid,
                equity=decided.equity,
                value=action.value,
                logprob=action.logprob,
                obs_hash=xxhash.xxh3_64_hexdigest(observation),
                verdict=decided.verdict,
                reward=None if decided.decision == 0 else decided.reward,
                tainted=self._tainted,
                observation=observation,
                uniforms=decided.uniforms.tobytes(),
                aims=self.experts.aims if self.experts else b"",
            )
        )
        books.journal.append(
            MarkRow(
                decision=decided.decision,
                ts_ns=decided.ts_ns,
                mid=decided.mid,
                cash=decided.cash,
                position=decided.position,
                equity=decided.equity,
                fees=books.account.fees,
                hold_equity=self.shadow_equity.get("hold"),
                frozen_equity=self.shadow_equity.get("frozen"),
            )
        )
        self._track(decided)

    def _track(self, decided: Decided) -> None:
        progress, equity = self.progress, decided.equity
        if decided.decision == 0:
            progress.trade_first_ts_ns = decided.ts_ns
        else:
            change = equity / progress.last_equity - 1.0
            progress.return_sum += change
            progress.return_square_sum += change * change
        progress.peak = max(progress.peak, equity)
        progress.max_drawdown = max(progress.max_drawdown, 1.0 - equity / progress.peak)
        progress.last_equity = equity
        progress.equity_sum += equity
