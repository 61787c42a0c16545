"""Stretches: rows in which many decisions are made without a call of Python, in one kernel call.

Where nobody is to be asked before a decision, the whole way of a tick is here: the rows up to the next due moment are
taken into the features and lived through by all lanes, what policies are told is made, lanes observe, choose and act,
and what was decided is noted. A stretch ends where Python is needed: at the end of a block, when a lane stops for its
log, when as many decisions were made as may be made without it, or when the account comes to another rung of a limit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.errors import InvariantError
from ztb.execution.paper import MAX_REPORTS
from ztb.features.featureset import FeatureSet, advance
from ztb.features.normaliser import MarketMemory, Normaliser, follow_market
from ztb.market.ticks import GAP, Flag, Ticks, empty_ticks, plain_ticks
from ztb.trading.bridge import FACTS
from ztb.trading.decision_clock import DecisionClock, find_due
from ztb.trading.floor import PURSUES, Choices, Deciders, TradingFloor, act_all, live_all, observe_all
from ztb.trading.lane_orders import log_row
from ztb.trading.lane_state import DECIDED, Lanes, own_of
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_WAIT
from ztb.utils.kernel import kernel
from ztb.utils.linkage import address_of, ask, call

MOST_DECISIONS = 1024
"""Of one stretch."""
_ROOM = 16  # rows of the log that one decision, and what comes of it at once, may need
_TAINT = GAP | int(Flag.TAINTED)

PROGRESS: np.dtype[np.void] = np.dtype(
    [
        ("row", "<i8"),  # the next row of the block that has not happened
        ("decisions", "<i8"),  # noted in this stretch
        ("number", "<i8"),  # of the next decision
        ("due", "<i8"),  # 1: a decision is due after the last row, which Python is to make
        ("wrong", "<i8"),  # rules that answered what is no choice
        ("lost", "<i8"),  # reports that there was no room for
        ("tainted", "<i8"),  # whether any row since the last decision is not to be trained on, ...
        ("gap", "<i8"),  # ... or anything is missing since a moment was due
    ]
)


class Callees(NamedTuple):
    """Addresses of the kernels that a stretch calls."""

    advance: int
    follow: int
    live: int
    observe: int
    act: int


class Ground(NamedTuple):
    """The things that lanes share: clock, features, and what policies are told of the market."""

    clock: NDArray[np.void]
    features: NDArray[np.void]
    raw: NDArray[np.float64]
    """(F,) values of the features"""
    market: MarketMemory
    told: NDArray[np.float32]
    """(T,) what policies are told"""
    seed: int


class Pursuits(NamedTuple):
    """Accounts that go where the weighed sum of what experts want leads: J of them, E experts."""

    places: NDArray[np.int64]
    """(J, 1)"""
    experts: NDArray[np.int64]
    """(E,) their places"""
    weights: NDArray[np.float64]
    """(J, E)"""
    heaviest: NDArray[np.int64]
    """(J,) the expert whose timing is followed"""
    pursued: NDArray[np.float64]
    """(J,) the exposure that is pursued, nan: none yet"""
    band: float


class Course(NamedTuple):
    """The decisions of a stretch, D at most, as the lane at `seen` made them, and how P lanes stood."""

    rows: NDArray[np.int64]
    """(D,) of the block, the last before each"""
    ts_ns: NDArray[np.int64]
    tainted: NDArray[np.bool_]
    """(D,) whether a row since the decision before is not to be trained on"""
    foreseen: NDArray[np.float64]
    """(D, 4) a forecast of the return that led here, see `features.forecast.Foreseen`; mid 0: none"""
    told: NDArray[np.float32]
    """(D, T)"""
    observations: NDArray[np.float32]
    uniforms: NDArray[np.float64]
    actions: NDArray[np.int64]
    """(D, 2)"""
    values: NDArray[np.float64]
    """(D, 2) log-prob and value, nan where there is none"""
    targets: NDArray[np.float64]
    """(D,) and verdicts, of the account"""
    verdicts: NDArray[np.int64]
    facts: NDArray[np.float64]
    """(D, P, FACTS) of every lane that decides"""
    aims: NDArray[np.float64]
    """(D, P)"""
    seen: NDArray[np.int64]
    """(1,) the place of the lane whose choice is told of"""


@kernel
def _taints(ticks: Ticks, i0: int, i1: int, progress: np.void) -> None:
    for i in range(i0, i1):
        if (ticks[i]["flags"] & _TAINT) != 0:
            progress["tainted"] = 1
            progress["gap"] = 1


@kernel
def _pursue(lanes: Lanes, deciders: Deciders, choices: Choices, pursuits: Pursuits, j: int) -> None:
    """Let account `j` want what the experts' wants amount to, if it is worth the trade to go there."""
    target = invested = 0.0
    for e in range(len(pursuits.experts)):
        target += pursuits.weights[j, e] * lanes.lane[pursuits.experts[e]]["aim"]
        invested += pursuits.weights[j, e]
    timing = choices.actions[pursuits.experts[pursuits.heaviest[j]], 1]
    pursued, exposure = pursuits.pursued[j], target
    if np.isnan(pursued):
        if invested == 0.0:
            exposure, timing = 0.0, TIMING_WAIT
        else:
            pursuits.pursued[j] = target
    elif abs(target - pursued) >= pursuits.band or (target == 0.0 and pursued != 0.0):
        pursuits.pursued[j] = target
        timing = TIMING_AGGRESSIVE if timing == TIMING_WAIT else timing
    else:
        exposure = pursued
    place = pursuits.places[j, 0]
    choices.targets[place] = exposure
    choices.actions[place, 1] = timing
    deciders.decides[place] = PURSUES


@kernel
def _note(
    lanes: Lanes, choices: Choices, course: Course, k: int, account: int, places: NDArray[np.int64]
) -> None:
    """Note decision `k` of the stretch: the choice at `course.seen`, the account's target, and how all stand."""
    seen = course.seen[0]
    for d in range(course.observations.shape[1]):
        course.observations[k, d] = choices.observations[seen, d]
    for h in range(2):
        course.uniforms[k, h] = choices.uniforms[seen, h]
        course.actions[k, h] = choices.actions[seen, h]
        course.values[k, h] = choices.values[seen, h]
    course.targets[k] = choices.targets[account]
    course.verdicts[k] = choices.verdicts[account]
    for p in range(len(places)):
        for fact in range(FACTS):
            course.facts[k, p, fact] = lanes.facts[places[p], fact]
        course.aims[k, p] = lanes.lane[places[p]]["aim"]


@kernel
def _run(
    callees: Callees,
    ticks: Ticks,
    i1: int,
    most: int,
    progress_at: NDArray[np.void],
    ground: Ground,
    lanes: Lanes,
    deciders: Deciders,
    choices: Choices,
    living: NDArray[np.int64],
    deciding: NDArray[np.int64],
    pursuits: Pursuits,
    course: Course,
    account: int,
) -> None:
    """Rows up to `i1` happen, with `most` decisions at most; see the module for where it ends."""
    progress, view, lane, gate = (
        progress_at[0],
        lanes.market[account],
        lanes.lane[account],
        lanes.gate[account],
    )
    daily, drawdown = gate["daily_loss_rung"], gate["drawdown_rung"]
    while progress["row"] < i1 and progress["decisions"] < most:
        i = progress["row"]
        due = find_due(ticks, i, i1, ground.clock)
        end = min(due + 1, i1)
        call(callees.advance, (ground.features, ticks, i, end, ground.raw))
        _taints(ticks, i, end, progress)
        progress["lost"] += ask(callees.live, (ticks, i, end, lanes, living))
        progress["row"] = end
        progress["due"] = 1 if due < i1 else 0
        if lane["stopped"] >= 0 or lane["logged"] + _ROOM > lanes.log.shape[1] or progress["lost"] > 0:
            return
        if due == i1:
            return
        ts_ns, k, number = ticks[due]["ts_ns"], progress["decisions"], progress["number"]
        call(
            callees.follow,
            (ground.market, ground.raw, view["mid"], progress["gap"], ground.told, course.foreseen[k]),
        )
        progress["gap"] = 0
        row = lanes.log[account][log_row(own_of(lanes, account), DECIDED, number, ts_ns)]
        before = lane["logged"]
        told = ground.told
        progress["wrong"] += ask(
            callees.observe,
            (lanes, deciders, choices, deciding, ground.raw, told, ts_ns, number, ground.seed),
        )
        if progress["wrong"] > 0:
            return
        call(callees.act, (lanes, deciders, choices, deciding, ts_ns))
        for j in range(len(pursuits.places)):
            _pursue(lanes, deciders, choices, pursuits, j)
            place = pursuits.places[j]
            ask(
                callees.observe,
                (lanes, deciders, choices, place, ground.raw, told, ts_ns, number, ground.seed),
            )
            call(callees.act, (lanes, deciders, choices, place, ts_ns))
        row["lots"] = lane["logged"] - before
        _note(lanes=lanes, choices=choices, course=course, k=k, account=account, places=deciding)
        for t in range(len(told)):
            course.told[k, t] = told[t]
        course.rows[k] = due
        course.ts_ns[k] = ts_ns
        course.tainted[k] = progress["tainted"] == 1
        progress["tainted"] = 0
        progress["due"] = 0
        progress["decisions"] = k + 1
        progress["number"] = number + 1
        if gate["daily_loss_rung"] != daily or gate["drawdown_rung"] != drawdown:
            return


def _new_course(floor: TradingFloor, width: int, places: int) -> Course:
    most = MOST_DECISIONS
    return Course(
        rows=np.zeros(most, np.int64),
        ts_ns=np.zeros(most, np.int64),
        tainted=np.zeros(most, np.bool_),
        foreseen=np.zeros((most, 4)),
        told=np.zeros((most, width), np.float32),
        observations=np.zeros((most, width + ACCOUNT_SIZE), np.float32),
        uniforms=np.zeros((most, 2)),
        actions=np.zeros((most, 2), np.int64),
        values=np.zeros((most, 2)),
        targets=np.zeros(most),
        verdicts=np.zeros(most, np.int64),
        facts=np.zeros((most, places, FACTS)),
        aims=np.zeros((most, places)),
        seen=np.zeros(1, np.int64),
    )


NOBODY = Pursuits(
    places=np.zeros((0, 1), np.int64),
    experts=np.zeros(0, np.int64),
    weights=np.zeros((0, 0)),
    heaviest=np.zeros(0, np.int64),
    pursued=np.zeros(0),
    band=0.0,
)


class StretchEnd(NamedTuple):
    """The end of a stretch, see PROGRESS."""

    row: int
    decisions: int
    due: bool
    wrong: bool
    tainted: bool
    gap: bool


class Stretch:
    """Runs stretches on a floor. `course` holds the decisions of the last one."""

    def __init__(
        self, floor: TradingFloor, features: FeatureSet, normaliser: Normaliser, clock: DecisionClock
    ) -> None:
        self.course = _new_course(floor, normaliser.width, len(floor.lanes.lane))
        self._progress = np.zeros(1, PROGRESS)
        self._floor = floor
        self._ground = Ground(
            clock=clock.state,
            features=features.memory,
            raw=features.values,
            market=normaliser.memory,
            told=np.zeros(normaliser.width, np.float32),
            seed=floor.seed,
        )
        self._block = empty_ticks(0)
        self._callees = self._find_callees()

    def _find_callees(self) -> Callees:
        ground, floor = self._ground, self._floor
        lanes, deciders, choices = floor.lanes, floor.deciders, floor.choices
        block, nobody = self._block, np.zeros(0, np.int64)
        shared = lanes, deciders, choices, nobody
        row = self.course.foreseen[0]
        return Callees(
            advance=address_of(advance, ground.features, block, 0, 0, ground.raw),
            follow=address_of(follow_market, ground.market, ground.raw, 0.0, 0, ground.told, row),
            live=address_of(live_all, block, 0, 0, lanes, nobody),
            observe=address_of(observe_all, *shared, ground.raw, ground.told, 0, 0, ground.seed),
            act=address_of(act_all, *shared, 0),
        )

    def run(
        self,
        ticks: Ticks,
        rows: tuple[int, int],
        most: int,
        number: int,
        carried: tuple[bool, bool],
        living: NDArray[np.int64],
        deciding: NDArray[np.int64],
        account: int,
        seen: int,
        pursuits: Pursuits = NOBODY,
    ) -> StretchEnd:
        """Rows [rows) happen to lanes at `living`, those at `deciding` decide, `most` times at most; how far it came.

        `number`: of the first decision. `carried`: whether a row since the decision before is tainted, and whether
        anything is missing since a moment was due. `account` is the place of the lane that has a log, `seen` that of
        the one whose choice is told of. InvariantError: reports were lost.
        """
        if ticks is not self._block:
            self._block = plain_ticks(ticks)
        progress, floor = self._progress, self._floor
        progress[0] = 0
        progress["row"], progress["number"] = rows[0], number
        progress["tainted"], progress["gap"] = carried
        self.course.seen[0] = seen
        floor.begin()
        _run(
            callees=self._callees,
            ticks=self._block,
            i1=rows[1],
            most=min(most, MOST_DECISIONS),
            progress_at=progress,
            ground=self._ground,
            lanes=floor.lanes,
            deciders=floor.deciders,
            choices=floor.choices,
            living=living,
            deciding=deciding,
            pursuits=pursuits,
            course=self.course,
            account=account,
        )
        row, made, number, due, wrong, lost, tainted, gap = progress[0].tolist()
        if lost:
            raise InvariantError(f"more than {MAX_REPORTS} reports of orders at once: some were lost")
        if made:
            floor.decision, floor.ts_ns = number - 1, self.course.ts_ns.item(made - 1)
        if wrong:
            floor.decision = number
        return StretchEnd(
            row=row, decisions=made, due=bool(due), wrong=bool(wrong), tainted=bool(tainted), gap=bool(gap)
        )
