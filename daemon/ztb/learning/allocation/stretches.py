"""Experts in a stretch: they decide without a call of Python, and are weighed in it at the end of each block."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.learning.allocation.allocator import Allocator
from ztb.learning.allocation.experts import Experts, name_of
from ztb.learning.benchmarks import UNLEARNT
from ztb.ledger.records import AllocationRow
from ztb.trading.bridge import FACT_EQUITY, FACT_POSITION
from ztb.trading.course import Course, Pursuits, Seats
from ztb.trading.lane import Lane

Floats = NDArray[np.float64]


@dataclass(slots=True)
class ExpertsInStretch:
    """Those of `experts` who trade beside `account` in one stretch, from its first decision to its last."""

    experts: Experts
    account: Lane
    cost: float
    """Of a unit of turnover, as forecasts have it."""
    rows: list[tuple[int, list[AllocationRow]]] = field(default_factory=list[tuple[int, list[AllocationRow]]])
    """What is to be journaled before each decision of the stretch, by its place in it."""
    _names: tuple[str, ...] = ()
    _noted: tuple[Lane, ...] = ()
    _done: int = 0
    _seats: Seats | None = None
    _since: int = 0
    """The decision of the stretch from which on there is an account as it would be had nothing been learnt."""

    def __post_init__(self) -> None:
        experts = self.experts
        self._names = tuple(experts.lanes)
        beside = [] if experts.account_unlearnt is None else [experts.account_unlearnt]
        self._noted = (self.account, *experts.deciding.lanes, *beside)

    def seats(self) -> Seats:
        """Places of all of them."""
        if self._seats is None:
            self._seats = Seats(
                living=self.experts.living.places,
                deciding=self.experts.deciding.places,
                account=np.array([self.account.place]),
                noted=np.array([lane.place for lane in self._noted]),
            )
        return self._seats

    def place(self, lane: Lane) -> int:
        """Of a lane among those that are noted."""
        return self._noted.index(lane)

    def pursuits(self) -> Pursuits:
        """Pursuits of the account, and of the one as it would be had nothing been learnt."""
        experts = self.experts
        places = {name: lane.place for name, lane in experts.lanes.items()}
        following: list[tuple[Lane | None, Allocator, float | None]] = [
            (self.account, experts.allocator, experts.pursued)
        ]
        if experts.unlearnt is not None:
            following.append((experts.account_unlearnt, experts.unlearnt, experts.pursued_unlearnt))
        weights = np.zeros((len(following), len(places)))
        heaviest = np.zeros(len(following), np.int64)
        order = list(places)
        for j, (_, allocator, _) in enumerate(following):
            for name, expert in allocator.experts.items():
                weights[j, order.index(name)] = expert.weight
            heaviest[j] = order.index(allocator.heaviest.name)
        return Pursuits(
            places=np.array([[-1 if lane is None else lane.place] for lane, _, _ in following]),
            experts=np.array(list(places.values())),
            weights=weights,
            heaviest=heaviest,
            pursued=np.array([np.nan if pursued is None else pursued for _, _, pursued in following]),
            band=experts.band,
        )

    def take_in(self, course: Course, until: int, account: float | None = None) -> None:
        """The decisions of the stretch before `until` that were not taken in yet.

        `account`: the equity at the last of them of the account, which has not decided yet.
        """
        begin, self._done = self._done, until
        if until == begin:
            return
        experts, span = self.experts, slice(begin, until)
        own = course.facts[span, 0, FACT_EQUITY].copy()
        if account is not None:
            own[-1] = account
        equities = {name: self._fact(course, span, name, FACT_EQUITY) for name in self._names}
        positions = {name: self._fact(course, span, name, FACT_POSITION) for name in self._names}
        foreseen = course.foreseen[span]
        experts.allocator.follow_all(equities, positions, own, foreseen, self.cost)
        if experts.unlearnt is None:
            return
        known, lane = experts.unlearnt.experts, experts.account_unlearnt
        if lane is not None:
            own = course.facts[span, self.place(lane), FACT_EQUITY].copy()
            if account is not None:
                own[-1] = lane.equity
        experts.unlearnt.follow_all(
            {name: equities[name] for name in known}, positions, own, foreseen, self.cost
        )

    def _fact(self, course: Course, span: slice, name: str, fact: int) -> Floats:
        return course.facts[span, self.place(self.experts.lanes[name]), fact]

    def weigh(self, course: Course, k: int, decision: int) -> None:
        """Decision `k` of the stretch, number `decision`, ends a block of the allocator."""
        account = self.account.equity
        self.take_in(course, k + 1, account)
        told = self.experts.weighed(course.ts_ns.item(k), decision, account)
        self.rows.append((k, told))
        beside = self.experts.account_unlearnt
        if beside is not None and beside not in self._noted:
            self._noted, self._since, self._seats = (*self._noted, beside), k, None

    def pursued(self, pursuits: Pursuits) -> None:
        """Remember where the accounts go by now."""
        now = [None if each != each else each for each in pursuits.pursued.tolist()]
        self.experts.pursued = now[0]
        if len(now) > 1:
            self.experts.pursued_unlearnt = now[1]

    def aims(self, course: Course, made: int) -> list[bytes]:
        """Exposures that they wanted at each decision, as the journal has them."""
        places = [self.place(self.experts.lanes[name]) for name in self._names]
        known: dict[tuple[float, ...], bytes] = {}
        found: list[bytes] = []
        for row in map(tuple, course.aims[:made, places].tolist()):
            if row not in known:
                known[row] = msgspec.json.encode(dict(zip(self._names, row, strict=True)))
            found.append(known[row])
        return found

    def beside(self, course: Course, made: int) -> dict[str, Floats]:
        """Equity at each decision of generation 0, and of the account had nothing been learnt."""
        lane, unlearnt = self.experts.account_unlearnt, course.facts[:made, 0, FACT_EQUITY].copy()
        if lane is not None:
            unlearnt[self._since :] = course.facts[self._since : made, self.place(lane), FACT_EQUITY]
        first = self.place(self.experts.lanes[name_of(0)])
        return {"frozen": course.facts[:made, first, FACT_EQUITY], UNLEARNT: unlearnt}
