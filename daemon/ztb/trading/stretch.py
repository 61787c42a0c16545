"""Stretches: rows in which many decisions are made without a call of Python, in one kernel call.

The whole way of a tick is here: the rows up to the next due moment are taken into the features, shown to a strategy
that wants every one, and lived through by all lanes, what policies are told is made, lanes observe, choose and act, and
what was decided is noted. A stretch ends where more of Python is needed than a strategy's choice: at the end of a
block, when a lane stops for its log, when as many decisions were made as may be made without it, when the account comes
to another rung of a limit, or there is an alarm.
Where the account follows experts it is interrupted whenever they are to be weighed, and goes on with their weights.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.errors import InvariantError
from ztb.execution.paper import MAX_REPORTS
from ztb.features.featureset import FeatureSet, advance
from ztb.features.normaliser import Normaliser, follow_market
from ztb.market.ticks import GAP, Flag, Ticks, empty_ticks, plain_ticks
from ztb.trading.bridge import FACT_EQUITY, FACT_REWARD, FACTS
from ztb.trading.course import (
    MOST_DECISIONS,
    NOBODY,
    PROGRESS,
    UNALARMED,
    Callees,
    Course,
    Ground,
    Lookout,
    Pursuits,
    Seats,
    StretchEnd,
    end_of,
    new_course,
)
from ztb.trading.decision_clock import DecisionClock, find_due
from ztb.trading.floor import PURSUES, Choices, Deciders, TradingFloor, act_all, live_all, observe_all
from ztb.trading.lane_orders import log_row
from ztb.trading.lane_state import DECIDED, Lanes, own_of
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_WAIT
from ztb.trading.tick_watch import UNSHOWN, Shown
from ztb.utils.kernel import entry, kernel
from ztb.utils.linkage import address_of, ask, ask_python, call

_ROOM = 16  # rows of the log that one decision, and what comes of it at once, may need
_TAINT = GAP | int(Flag.TAINTED)


class Scene(NamedTuple):
    """The things at hand in a stretch."""

    callees: Callees
    ground: Ground
    lanes: Lanes
    deciders: Deciders
    choices: Choices


@kernel
def _taints(ticks: Ticks, i0: int, i1: int, progress: np.void) -> None:
    for i in range(i0, i1):
        if (ticks[i]["flags"] & _TAINT) != 0:
            progress["tainted"] = 1
            progress["gap"] = 1


@kernel
def _pursue(scene: Scene, pursuits: Pursuits, j: int) -> None:
    """Let account `j` want what the experts' wants amount to, if it is worth the trade to go there."""
    lanes, choices = scene.lanes, scene.choices
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
    if place < 0:
        return
    choices.targets[place] = exposure
    choices.actions[place, 1] = timing
    scene.deciders.decides[place] = PURSUES


@kernel
def _note_choice(choices: Choices, course: Course, k: int, account: int) -> None:
    """Note decision `k` of the stretch: the choice at `course.seen`, and the account's target."""
    seen = course.seen[0]
    for d in range(course.observations.shape[1]):
        course.observations[k, d] = choices.observations[seen, d]
    for h in range(2):
        course.uniforms[k, h] = choices.uniforms[seen, h]
        course.actions[k, h] = choices.actions[seen, h]
        course.values[k, h] = choices.values[seen, h]
    course.targets[k] = choices.targets[account]
    course.verdicts[k] = choices.verdicts[account]


@kernel
def _note_lanes(lanes: Lanes, course: Course, k: int, places: NDArray[np.int64]) -> None:
    """Note how lanes stand at decision `k` of the stretch."""
    for p in range(len(places)):
        for fact in range(FACTS):
            course.facts[k, p, fact] = lanes.facts[places[p], fact]
        course.aims[k, p] = lanes.lane[places[p]]["aim"]


@kernel
def _decide(scene: Scene, places: NDArray[np.int64], number: int, ts_ns: int) -> int:
    """Lanes at `places` observe, choose and act; how many chose what is no choice, and then nobody acts."""
    lanes, deciders, choices, ground = scene.lanes, scene.deciders, scene.choices, scene.ground
    raw, told, seed = ground.raw, ground.told, ground.seed
    wrong = ask(scene.callees.observe, (lanes, deciders, choices, places, raw, told, ts_ns, number, seed))
    if wrong == 0:
        call(scene.callees.act, (lanes, deciders, choices, places, ts_ns))
    return wrong


@kernel
def _begin(scene: Scene, seats: Seats, course: Course, progress: np.void, due: int, ts_ns: int) -> None:
    """A decision begins after row `due`: what policies are told of it is made, and all who decide by themselves act."""
    ground, lanes, k = scene.ground, scene.lanes, progress["decisions"]
    number, account = progress["number"], seats.account[0]
    course.rows[k] = due
    course.ts_ns[k] = ts_ns
    mid, told, foreseen = lanes.market[account]["mid"], ground.told, course.foreseen[k]
    call(scene.callees.follow, (ground.market, ground.raw, mid, progress["gap"], told, foreseen))
    progress["gap"] = 0
    progress["marker"] = log_row(own_of(lanes, account), DECIDED, number, ts_ns)
    progress["wrong"] += _decide(scene, seats.deciding, number, ts_ns)


@kernel
def _end(scene: Scene, seats: Seats, pursuits: Pursuits, course: Course, progress: np.void) -> None:
    """Accounts that follow others go where these lead, and the decision is noted."""
    lanes, told = scene.lanes, scene.ground.told
    k, account = progress["decisions"], seats.account[0]
    for j in range(len(pursuits.places)):
        _pursue(scene, pursuits, j)
        place = pursuits.places[j]
        if place[0] >= 0:
            _decide(scene, place, progress["number"], int(course.ts_ns[k]))
    log, marker = lanes.log[account], progress["marker"]
    log[marker]["lots"] = lanes.lane[account]["logged"] - marker - 1
    _note_choice(scene.choices, course, k, account)
    _note_lanes(lanes, course, k, seats.noted)
    for t in range(len(told)):
        course.told[k, t] = told[t]
    course.tainted[k] = progress["tainted"] == 1
    progress["tainted"] = 0
    progress["due"] = 0
    progress["weighs"] = 0
    progress["left"] -= 1
    progress["decisions"] = k + 1
    progress["number"] += 1


@kernel
def _alarmed(lookout: Lookout, lanes: Lanes, course: Course, progress: np.void) -> bool:
    """True if what the last decision came to, or was made by, is an alarm."""
    if len(lookout.numbers) == 0:
        return False
    values, facts = course.values[progress["decisions"] - 1], lanes.facts[course.seen[0]]
    return (
        ask(lookout.address, (lookout.numbers, facts[FACT_EQUITY], facts[FACT_REWARD], values[0], values[1]))
        > 0
    )


@kernel
def _look(scene: Scene, ticks: Ticks, i1: int, shown: Shown, progress: np.void) -> tuple[int, bool]:
    """Look at the next rows, up to `i1` at most: (the first that the lanes do not live through, is a decision due)."""
    ground, i = scene.ground, progress["row"]
    clock = ground.clock[0]
    next_, started = clock["next"], clock["started"]
    due = find_due(ticks, i, i1, ground.clock)
    end = min(due + 1, i1)
    if len(shown.history) == 0:
        call(scene.callees.advance, (ground.features, ticks, i, end, ground.raw))
        return end, due < i1
    asked = ask_python(shown.address, (i, end))
    if asked < 0:
        progress["wrong"] += 1
        return i, False
    if asked < min(due, end):  # the clock has not come beyond that row
        clock["next"], clock["started"] = next_, started
        due, end = asked, asked + 1
        find_due(ticks, i, end, ground.clock)
    for f in range(len(ground.raw)):
        ground.raw[f] = shown.history[end - 1 - shown.first, f]
    return end, due < i1


@kernel
def _run(
    scene: Scene,
    ticks: Ticks,
    i1: int,
    most: int,
    progress_at: NDArray[np.void],
    seats: Seats,
    pursuits: Pursuits,
    shown: Shown,
    lookout: Lookout,
    course: Course,
) -> None:
    """Rows up to `i1` happen, with `most` decisions at most; see the module for where it ends."""
    account, progress, lanes = seats.account[0], progress_at[0], scene.lanes
    lane, gate = lanes.lane[account], lanes.gate[account]
    daily, drawdown = gate["daily_loss_rung"], gate["drawdown_rung"]
    while progress["weighs"] == 1 or (progress["row"] < i1 and progress["decisions"] < most):
        if progress["weighs"] == 0:
            i = progress["row"]
            end, due = _look(scene, ticks, i1, shown, progress)
            if progress["wrong"] > 0:
                return
            _taints(ticks, i, end, progress)
            progress["lost"] += ask(scene.callees.live, (ticks, i, end, lanes, seats.living))
            progress["row"] = end
            progress["due"] = 1 if due else 0
            if lane["stopped"] >= 0 or lane["logged"] + _ROOM > lanes.log.shape[1] or progress["lost"] > 0:
                return
            if not due:
                return
            last = end - 1
            _begin(
                scene=scene,
                seats=seats,
                course=course,
                progress=progress,
                due=last,
                ts_ns=ticks[last]["ts_ns"],
            )
            if progress["wrong"] > 0:
                return
            if progress["left"] == 0:
                progress["weighs"] = 1
                _note_lanes(lanes, course, progress["decisions"], seats.noted)
                return
        _end(scene=scene, seats=seats, pursuits=pursuits, course=course, progress=progress)
        if gate["daily_loss_rung"] != daily or gate["drawdown_rung"] != drawdown:
            return
        if _alarmed(lookout, lanes, course, progress):
            return


class Stretch:
    """Runs stretches on a floor. `course` holds the decisions of the last one."""

    def __init__(
        self, floor: TradingFloor, features: FeatureSet, normaliser: Normaliser, clock: DecisionClock
    ) -> None:
        self.course = new_course(normaliser.width, len(floor.lanes.lane))
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
        self._lookout = UNALARMED
        self._scene = Scene(
            callees=self._find_callees(),
            ground=self._ground,
            lanes=floor.lanes,
            deciders=floor.deciders,
            choices=floor.choices,
        )
        first = np.zeros(1, np.int64)
        seats, at = Seats(living=first, deciding=first, account=first, noted=first), self._progress
        others = NOBODY, UNSHOWN, UNALARMED
        self._enter = entry(_run, self._scene, self._block, 0, 0, at, seats, *others, self.course)

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

    def begin(
        self,
        row: int,
        number: int,
        seen: int,
        carried: tuple[bool, bool],
        left: int = sys.maxsize,
        lookout: Lookout = UNALARMED,
    ) -> None:
        """A stretch begins at a row of a block with decision `number`; `seen` is whose choice is told of.

        `carried`: whether a row since the decision before is tainted, and whether anything is missing since a moment
        was due. `left`: decisions before the one at which experts are to be weighed. `lookout` ends it at an alarm.
        """
        self._lookout = lookout
        progress = self._progress
        progress[0] = 0
        progress["row"], progress["number"], progress["left"] = row, number, left
        progress["tainted"], progress["gap"] = carried
        self.course.seen[0] = seen

    def weighed(self, left: int) -> None:
        """Experts have been weighed; again after so many decisions."""
        self._progress["left"] = left

    def run(
        self,
        ticks: Ticks,
        i1: int,
        most: int,
        seats: Seats,
        pursuits: Pursuits = NOBODY,
        shown: Shown = UNSHOWN,
    ) -> StretchEnd:
        """Go on, to row `i1` and `most` decisions of the stretch at most; how far it came.

        InvariantError: reports were lost.
        """
        if ticks is not self._block:
            self._block = plain_ticks(ticks)
        floor = self._floor
        floor.begin()
        floor.raw = self._ground.raw
        progress, others = self._progress, (pursuits, shown, self._lookout)
        self._enter(
            self._scene, self._block, i1, min(most, MOST_DECISIONS), progress, seats, *others, self.course
        )
        came, lost = end_of(progress), progress["lost"].item()
        if lost:
            raise InvariantError(f"more than {MAX_REPORTS} reports of orders at once: some were lost")
        number = progress["number"].item()
        if came.decisions:
            floor.decision, floor.ts_ns = number - 1, self.course.ts_ns.item(came.decisions - 1)
        if came.wrong or came.weighs:
            floor.decision = number
        return came
