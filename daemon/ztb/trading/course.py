"""A stretch's memory: who takes part, how far it is, and the course of its decisions. See `trading.stretch`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.features.normaliser import MarketMemory
from ztb.trading.bridge import FACT_CASH, FACT_EQUITY, FACT_MID, FACT_POSITION, FACT_REWARD, FACTS
from ztb.trading.decided import Decided, action_of, verdict_text
from ztb.trading.observation import ACCOUNT_SIZE

MOST_DECISIONS = 1024
"""Of one stretch."""

PROGRESS: np.dtype[np.void] = np.dtype(
    [
        ("row", "<i8"),  # the next row of the block that has not happened
        ("decisions", "<i8"),  # noted in this stretch
        ("number", "<i8"),  # of the next decision
        ("due", "<i8"),  # 1: a decision is due after the last row, which Python is to make
        ("weighs", "<i8"),  # 1: experts have decided, and are to be weighed before the account goes on
        ("left", "<i8"),  # decisions before the next at which they are
        ("wrong", "<i8"),  # rules that answered what is no choice
        ("lost", "<i8"),  # reports that there was no room for
        ("tainted", "<i8"),  # whether any row since the last decision is not to be trained on, ...
        ("gap", "<i8"),  # ... or anything is missing since a moment was due
        ("marker", "<i8"),  # the row of the account's log at which the present decision began
    ]
)


class StretchEnd(NamedTuple):
    """The end of a stretch, or its interruption to weigh experts, see PROGRESS."""

    row: int
    decisions: int
    due: bool
    weighs: bool
    wrong: bool
    tainted: bool
    gap: bool


def end_of(progress: NDArray[np.void]) -> StretchEnd:
    """The end that `progress` (1,) tells of."""
    row, decisions = progress["row"].item(), progress["decisions"].item()
    truths = (bool(progress[name][0]) for name in ("due", "weighs", "wrong", "tainted", "gap"))
    return StretchEnd(row, decisions, *truths)


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


class Lookout(NamedTuple):
    """Somebody who looks after each decision whether it is an alarm, which ends the stretch."""

    address: int
    """Of a kernel of `numbers`, and of the equity, reward, log-prob and value at `Course.seen`; 0: it is none"""
    numbers: NDArray[np.float64]
    """Kept by that kernel; where there are none, nobody looks"""


UNALARMED = Lookout(0, np.zeros(0))


class Pursuits(NamedTuple):
    """Accounts that go where the weighed sum of what experts want leads: J of them, E experts."""

    places: NDArray[np.int64]
    """(J, 1); -1: there is no such account yet, but what it would pursue is known"""
    experts: NDArray[np.int64]
    """(E,) their places"""
    weights: NDArray[np.float64]
    """(J, E)"""
    heaviest: NDArray[np.int64]
    """(J,) the expert whose timing is followed"""
    pursued: NDArray[np.float64]
    """(J,) the exposure that is pursued, nan: none yet"""
    band: float


class Seats(NamedTuple):
    """Places of lanes: all that live, those that decide by themselves, the account, and those of which is noted how
    they stand, the account first.
    """

    living: NDArray[np.int64]
    deciding: NDArray[np.int64]
    account: NDArray[np.int64]
    """(1,)"""
    noted: NDArray[np.int64]


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
    """(D, P, FACTS) of the lanes that are noted"""
    aims: NDArray[np.float64]
    """(D, P)"""
    seen: NDArray[np.int64]
    """(1,) the place of the lane whose choice is told of"""

    def decided(self, k: int, number: int, seen: int) -> Decided:
        """Decision `k`, number `number`, of the lane whose choice is told of, `seen` among those that are noted."""
        facts = self.facts[k, seen].tolist()
        return Decided(
            ts_ns=self.ts_ns.item(k),
            decision=number,
            observation=self.observations[k].copy(),
            uniforms=self.uniforms[k].copy(),
            action=action_of(self.actions[k].tolist(), *self.values[k].tolist()),
            target=self.aims.item(k, seen),
            cash=facts[FACT_CASH],
            position=facts[FACT_POSITION],
            mid=facts[FACT_MID],
            equity=facts[FACT_EQUITY],
            reward=facts[FACT_REWARD],
            verdict=verdict_text(self.verdicts.item(k)),
        )


def new_course(width: int, places: int) -> Course:
    """Of decisions on `width` columns, and lanes at `places` at most."""
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
