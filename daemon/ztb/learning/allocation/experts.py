"""Experts beside the account: generations and rules, each in a lane of its own, weighed by an allocator.

Lanes trade at full size on paper, on the same ticks, costs and random numbers as each other, and without the account's
limits on losses: one that has lost a fifth must be seen to recover, or not to. Their decisions are told, never sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.features.forecast import Foreseen
from ztb.learning.allocation.allocator import Allocator, Expert
from ztb.learning.allocation.evidence import GrowthEvidence
from ztb.learning.generations import GenerationInfo
from ztb.learning.settings import AllocationConfig
from ztb.ledger.records import AllocationRow
from ztb.market.ticks import Ticks
from ztb.trading.bridge import Wanted
from ztb.trading.lane import Lane
from ztb.trading.lane_group import LaneGroup
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_WAIT
from ztb.trading.strategy import WarmsUp

LaneOfGeneration = Callable[[GenerationInfo, float], Lane]
"""A fresh lane that trades a generation's policy, from so much cash (quote currency)."""

_LEARNT_SHARE = 0.5
"""Of the prior: what was learnt; the rules share the rest."""
_BAND_COSTS = 20.0


def pursuit_band(least: float, cost: float) -> float:
    """By how much the account's target moves, or not at all, as a fraction of equity: `least`, or what a trip costs
    twenty times over (`cost`: of turnover, a fraction).
    """
    return max(least, _BAND_COSTS * cost)


def shares_of_prior(names: Iterable[str], rules: Collection[str]) -> dict[str, float]:
    """By name: half of the prior is the generations', half the rules'; all of it the generations' where there are no
    rules.
    """
    learnt = _LEARNT_SHARE if rules else 1.0
    experts = list(names)
    generations = sum(name not in rules for name in experts)
    return {name: (1.0 - learnt) / len(rules) if name in rules else learnt / generations for name in experts}


def name_of(generation: int) -> str:
    """The name of the expert that trades a generation."""
    return f"generation {generation}"


class Experts:
    """The experts beside an account, and the shares that they have of it.

    `rules` by name trade from the start; generations come as `serving` says that they lead.
    """

    def __init__(
        self,
        config: AllocationConfig,
        band: float,
        rules: Mapping[str, Lane],
        make: LaneOfGeneration,
        make_account: Callable[[float], Lane],
        serving: Callable[[], GenerationInfo],
        unproven: bool,
        limit: float,
        together: Callable[[Iterable[Lane]], LaneGroup] = LaneGroup,
    ) -> None:
        """The account's target moves by `band`, a fraction of equity, or not at all: what trembles pays for it.

        `make_account` makes a lane like the account's, on paper, from so much cash (quote currency). `unproven`:
        there was no history before the first decision, so that nobody has a share before it has earned one. `limit`:
        the fraction of its peak that the account may ever lose. `together` has lanes live and decide at once.
        """
        self.allocator = Allocator(config, limit)
        self.unlearnt: Allocator | None = None
        """What would be weighed had nothing been learnt after generation 0, once something was."""
        self.account_unlearnt: Lane | None = None
        """Its account, once something that was learnt has had weight."""
        self.learnt_had_weight = False
        self.lanes: dict[str, Lane] = {}
        self._config = config
        self.band = band
        self._make = make
        self._make_account = make_account
        self._serving = serving
        self._rules = tuple(rules)
        self._together = together
        self._rule_lanes = together(rules.values())
        self._deciding_too: tuple[Lane, ...] = ()
        self._living_too: tuple[Lane, ...] = ()
        self._generations: list[int] = []
        self._rehearsed = 0
        self.pursued: float | None = None  # nothing yet: what the account held before is not touched
        self.pursued_unlearnt: float | None = None
        self._changed = False  # whether somebody came or went since the weights were told
        self._told: dict[str, tuple[float, float]] = {}
        self._gone: list[tuple[Expert, float]] = []  # of whom it is not told yet, with their equity
        self._remembered: dict[str, AllocationRow] = {}
        self._leader = -1
        self._foreseen: Foreseen | None = None
        self._aims: dict[str, float] = {}
        self._unproven = unproven
        self._correction = 0.0
        for name, lane in rules.items():
            self._enter(name, lane, None)

    @property
    def leader(self) -> str:
        """The name of the expert that trades the generation that serves."""
        return name_of(self._leader)

    @property
    def waits(self) -> bool:
        """True if nothing has a share of the account."""
        return self.allocator.invested == 0.0

    def begin(self, info: GenerationInfo, cash: float, evidence: GrowthEvidence | None = None) -> None:
        """`info` is an expert before the first decision, with `cash` quote currency and the evidence of its past.

        Generation 0 comes first; where a later one leads already, something was learnt before this start.
        """
        if self._generations:
            self._remember_the_unlearnt()
        self._generations.append(info.number)
        lane = self._make(info, self.cash(name_of(info.number), cash))
        self._enter(name_of(info.number), lane, evidence)
        self._leader = info.number

    def cash(self, name: str, otherwise: float) -> float:
        """An expert's equity when an earlier start was told of it, quote currency."""
        row = self._remembered.get(name)
        return otherwise if row is None else row.equity

    def _enter(self, name: str, lane: Lane, evidence: GrowthEvidence | None) -> None:
        lane.charge(self._correction)
        self.lanes[name] = lane
        self._regroup()
        unproven, row = self._unproven, self._remembered.pop(name, None)
        if row is not None:
            told = json.loads(row.detail)
            evidence, unproven = GrowthEvidence(**told["evidence"]), told["unproven"]
        self.allocator.add(name, evidence=evidence, unproven=unproven)
        self._share()

    def _regroup(self) -> None:
        account = [self.account_unlearnt] if self.account_unlearnt is not None else []
        self.deciding = self._together([*self._deciding_too, *self.lanes.values()])
        self.living = self._together([*self._living_too, *self.lanes.values(), *account])

    def accompany(self, deciding: Iterable[Lane], living: Iterable[Lane]) -> None:
        """Have other lanes decide and live in the same calls."""
        self._deciding_too, self._living_too = tuple(deciding), tuple(living)
        self._regroup()

    def _share(self) -> None:
        experts = self.allocator.experts
        for name, share in shares_of_prior(experts, self._rules).items():
            experts[name].share = share
        self.allocator.weigh()
        self._changed = True

    def _follow_generations(self) -> bool:
        """Let who serves lead; whether somebody else did.

        A new one begins flat, with the equity and the evidence of whoever led before: the gate has found it better.
        Where an older one serves again, what led in between has been found bad, and is no expert any more.
        """
        info, before = self._serving(), self._leader
        if info.number == before:
            return False
        self._remember_the_unlearnt()
        if info.number not in self._generations:
            led = self.allocator.experts[self.leader]
            lane = self._make(info, self.lanes[self.leader].equity)
            self._generations.append(info.number)
            # What has been found bad lends nobody its evidence.
            self._enter(name_of(info.number), lane, led.evidence.copy() if info.number > before else None)
        self._leader = info.number
        if info.number < before:
            self._leave(before)
        self._forget_the_least()
        return True

    def _remember_the_unlearnt(self) -> None:
        """Go on weighing those who are experts now, before the first thing that was learnt is one."""
        if self.unlearnt is None:
            self.unlearnt = self.allocator.copy()
            self.pursued_unlearnt = self.pursued

    def _leave(self, number: int) -> None:
        name = name_of(number)
        self._generations.remove(number)
        lane, expert = self.lanes.pop(name), self.allocator.experts[name]
        expert.weight = 0.0
        self._gone.append((expert, lane.equity))
        lane.leave()
        self._regroup()
        self._told.pop(name, None)
        self.allocator.remove(name)
        self._share()

    def _forget_the_least(self) -> None:
        """Of more generations than are kept, the one with the least evidence goes; never the leader, nor the first."""
        kept = [number for number in self._generations if number not in (0, self._leader)]
        if len(kept) > self._config.library:
            experts = self.allocator.experts
            self._leave(min(kept, key=lambda number: (experts[name_of(number)].evidence.log_e, number)))

    def rehearse(self, ts_ns: int, raw: NDArray[np.float64], features: NDArray[np.float32]) -> None:
        """A moment before the account trades: rules, which nothing has trained, are watched already."""
        number = self._rehearsed
        self._rehearsed += 1
        self._rule_lanes.decide(ts_ns, number, raw, features)
        equities = {name: self.lanes[name].marked for name in self._rules}
        self.allocator.rehearse(equities, number % self._config.block_decisions == 0)

    def decide(
        self,
        ts_ns: int,
        decision: int,
        raw: NDArray[np.float64],
        features: NDArray[np.float32],
    ) -> bool:
        """Every expert decides, as `Lane.decide`; whether another generation leads than at the decision before."""
        another = self._follow_generations()
        self.deciding.decide(ts_ns, decision, raw, features)
        return another

    def weigh(
        self, ts_ns: int, decision: int, account: float, foreseen: Foreseen | None = None
    ) -> tuple[Wanted, list[AllocationRow]]:
        """The target of an account of `account` quote currency after all have decided, and what to journal of it.

        `foreseen`: what was forecast of the return that led here.
        """
        self._foreseen = foreseen
        self._aims = {name: lane.aim for name, lane in self.lanes.items()}
        weighed = self.allocator.follow(self._equities(), account, foreseen, self._positions())
        self.pursued, wanted = self._want(self.allocator, self.pursued)
        self.learnt_had_weight = self.learnt_had_weight or self._learnt_has_weight()
        return wanted, self._tell(ts_ns, decision) if weighed or self._changed else []

    def weighed(self, ts_ns: int, decision: int, account: float) -> list[AllocationRow]:
        """Both allocators have made their weights anew at `decision` of an account of `account` quote currency.

        What to journal of it.
        """
        self.learnt_had_weight = self.learnt_had_weight or self._learnt_has_weight()
        rows = self._tell(ts_ns, decision)
        self._begin_unlearnt(account)
        return rows

    def _tell(self, ts_ns: int, decision: int) -> list[AllocationRow]:
        self._changed = False
        return self._rows(ts_ns, decision)

    @property
    def steady(self) -> bool:
        """True if nobody has come to lead, come or gone since the last decision."""
        return not self._changed and self._serving().number == self._leader

    def _begin_unlearnt(self, account: float) -> None:
        """Give who learnt nothing an account of its own, once something that was learnt has had weight."""
        if self.unlearnt is not None and self.account_unlearnt is None and self.learnt_had_weight:
            self.account_unlearnt = self._make_account(account)
            self.account_unlearnt.charge(self._correction)
            self._regroup()

    def _learnt_has_weight(self) -> bool:
        experts = self.allocator.experts
        return any(experts[name_of(number)].weight > 0.0 for number in self._generations if number)

    def pursue_unlearnt(
        self, ts_ns: int, decision: int, features: NDArray[np.float32], account: float
    ) -> float:
        """Equity of the account that would have been, had nothing been learnt after generation 0, quote currency.

        Until something that was learnt has had weight it is `account`, the account's own; after `weigh`.
        """
        if self.unlearnt is None:
            return account
        lane, known = self.account_unlearnt, self.unlearnt.experts
        equities = {name: equity for name, equity in self._equities().items() if name in known}
        equity = account if lane is None else lane.equity
        self.unlearnt.follow(equities, equity, self._foreseen, self._positions())
        self.pursued_unlearnt, wanted = self._want(self.unlearnt, self.pursued_unlearnt)
        self._begin_unlearnt(account)
        lane = self.account_unlearnt
        if lane is None:
            return account
        lane.pursue(ts_ns, decision, features, wanted)
        return lane.marked

    def advance(self, ticks: Ticks, i0: int, i1: int) -> None:
        """Let rows [i0, i1) happen to everybody's orders."""
        self.living.advance(ticks, i0, i1)

    def warm_up(self, ts_ns: int, mid: float) -> None:
        """A moment before even features are ready, for rules that look far back."""
        for name in self._rules:
            strategy = self.lanes[name].strategy
            if isinstance(strategy, WarmsUp):
                strategy.warm_up(ts_ns, mid)

    def charge(self, correction: float) -> None:
        """Have every account on paper charged the fraction `correction` of turnover beyond fees, from now on."""
        self._correction = correction
        for lane in self._accounts():
            lane.charge(correction)

    def _accounts(self) -> list[Lane]:
        return [*self.lanes.values(), *([self.account_unlearnt] if self.account_unlearnt else [])]

    def _equities(self) -> dict[str, float]:
        return {name: lane.marked for name, lane in self.lanes.items()}

    def _positions(self) -> dict[str, float]:
        return {name: lane.position for name, lane in self.lanes.items()}

    def _want(self, allocator: Allocator, pursued: float | None) -> tuple[float | None, Wanted]:
        """(what is pursued from now on, how): the weighed sum, if it is worth the trade to go there.

        Before anything had a share of the account, nothing is pursued: what it holds is not ours.
        """
        target = allocator.target(self._aims)
        timing = self.lanes[allocator.heaviest.name].timing
        if pursued is None:
            if allocator.invested == 0.0:
                return None, Wanted(0.0, TIMING_WAIT)
            return target, Wanted(target, timing)
        if abs(target - pursued) >= self.band or (target == 0.0 and pursued != 0.0):
            return target, Wanted(target, TIMING_AGGRESSIVE if timing == TIMING_WAIT else timing)
        return pursued, Wanted(pursued, timing)

    def adopted(self, value: float) -> None:
        """All accounts are changed by `value` quote currency that nothing earned."""
        for lane in self._accounts():
            lane.broker.account["cash"] += value
        for allocator in (self.allocator, self.unlearnt):
            if allocator is not None:
                allocator.adopted(value)

    @property
    def aims(self) -> bytes:
        """JSON: the exposure that each expert wanted when they were weighed, by name."""
        return msgspec.json.encode(self._aims)

    def _rows(self, ts_ns: int, decision: int) -> list[AllocationRow]:
        """Of each expert whose weight or evidence has changed since it was told, and of those who are none any more."""
        told, self._gone = self._gone, []
        for name, expert in self.allocator.experts.items():
            now = expert.weight, expert.evidence.log_e
            if self._told.get(name) != now:
                self._told[name] = now
                told.append((expert, self.lanes[name].equity))
        state, leader = self.allocator.state(), self.leader
        return [
            AllocationRow(
                decision=decision,
                ts_ns=ts_ns,
                expert=expert.name,
                weight=expert.weight,
                log_evidence=expert.evidence.log_e,
                equity=equity,
                detail=_detail(expert, expert.name == leader, state),
            )
            for expert, equity in told
        ]

    def recall(self, rows: Mapping[str, AllocationRow]) -> None:
        """Go on from the last row of each expert of an earlier start: rules at once, generations as they lead."""
        self._remembered = dict(rows)
        self.pursued = 0.0 if any(row.weight > 0.0 for row in rows.values()) else None
        for name in self._rules:
            row = self._remembered.pop(name, None)
            if row is not None:
                expert, said = self.allocator.experts[name], json.loads(row.detail)
                expert.evidence.become(GrowthEvidence(**said["evidence"]))
                expert.unproven = said["unproven"]
        newest = max(rows.values(), key=lambda row: row.decision, default=None)
        if newest is not None:
            self.allocator.load_state(json.loads(newest.detail)["allocator"])


def _detail(expert: Expert, leads: bool, allocator: Mapping[str, float]) -> str:
    """JSON; eight of these stand between a tick and a decision, and the standard library's takes ten times as long."""
    evidence = expert.evidence.state()
    facts = {"allocator": allocator, "evidence": evidence, "leads": leads, "unproven": expert.unproven}
    return msgspec.json.encode(facts, enc_hook=float).decode()
