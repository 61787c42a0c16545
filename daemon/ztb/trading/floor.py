"""The trading floor: lanes side by side in arrays, which one kernel call lets live, and another decide.

What decides in a lane is a policy of the shipped kind or a fixed action, which kernels serve, or a strategy in Python.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.errors import InvariantError
from ztb.execution.paper import MAX_OPEN_ORDERS, MAX_REPORTS, new_exchange
from ztb.execution.paper_config import PaperConfig
from ztb.execution.risk import MOST_A_MINUTE
from ztb.market.book import BOOK
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks, empty_ticks, plain_ticks
from ztb.market.view import VIEW
from ztb.trading.bridge import FACT_EQUITY
from ztb.trading.lane_kernels import (
    LOG_ROWS,
    Lanes,
    LaneSizes,
    act,
    aim,
    choose,
    live_rows,
    live_through,
    new_lanes,
    observe,
    own_of,
)
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.serving import Program, compile_program, decide_one
from ztb.trading.policy.weights import NetworkShape, parameter_shapes
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_WAIT
from ztb.utils.kernel import entry, kernel
from ztb.utils.rng import STREAM_ACTION, STREAM_TIMING, uniform

_BOOK_OFFSET = VIEW.itemsize - BOOK.itemsize


class Networks(NamedTuple):
    """The policies of N lanes, all of one shape (`trading.policy.serving.Program`)."""

    parameters: NDArray[np.float32]
    """(N, P)"""
    layers: NDArray[np.int64]
    heads: NDArray[np.int64]
    scratch: NDArray[np.float32]
    greedy: NDArray[np.int64]
    """(N,) whether the most probable action is taken, not a drawn one"""
    decides: NDArray[np.int64]
    """(N,) whether the lane has a policy, which decides"""


class Choices(NamedTuple):
    """What N lanes saw, drew and chose at their last decision, and what came of it."""

    observations: NDArray[np.float32]
    """(N, D)"""
    uniforms: NDArray[np.float64]
    """(N, 2)"""
    actions: NDArray[np.int64]
    """(N, 2) rungs of the ladder, and timings"""
    values: NDArray[np.float64]
    """(N, 2) log-prob and value, nan where there is none"""
    targets: NDArray[np.float64]
    """(N,) exposures"""
    verdicts: NDArray[np.int64]
    """(N,) the gate's reason, or a verdict of `lane_kernels`"""


@kernel
def _observe_all(
    lanes: Lanes, networks: Networks, choices: Choices, places: NDArray[np.int64], features: NDArray[np.float32],
    ts_ns: int, decision: int, seed: int,
) -> None:  # fmt: skip
    """Lanes at `places` see the decision, draw its random numbers, and choose where they have a policy."""
    for place in range(len(places)):
        i = places[place]
        observation, uniforms = choices.observations[i], choices.uniforms[i]
        observe(lanes, i, features, ts_ns, observation)
        uniforms[0] = uniform(seed, STREAM_ACTION, decision)
        uniforms[1] = uniform(seed, STREAM_TIMING, decision)
        if networks.decides[i] == 1:
            scratch = networks.scratch
            for d in range(len(observation)):
                scratch[d] = observation[d]
            logprob, value = decide_one(
                networks.parameters[i], networks.layers, networks.heads, scratch, uniforms, networks.greedy[i],
                choices.actions[i],
            )  # fmt: skip
            choices.values[i, 0] = logprob
            choices.values[i, 1] = value


@kernel
def _act_all(lanes: Lanes, choices: Choices, places: NDArray[np.int64], ts_ns: int) -> None:
    """Lanes at `places`, whom nobody is asked about, act on what they chose."""
    for place in range(len(places)):
        i = places[place]
        action = choices.actions[i]
        if lanes.lane[i]["flattening"] == 1:
            choices.values[i, :] = np.nan
        exposure = choose(lanes, i, action)
        choices.targets[i] = exposure
        aim(lanes, i, exposure, action[1], ts_ns, lanes.facts[i, FACT_EQUITY])
        if lanes.lane[i]["guarded"] == 0:
            own = own_of(lanes, i)
            choices.verdicts[i] = act(own, exposure, int(action[1]), ts_ns)


@kernel
def _see_as(lanes: Lanes, first: int, i: int, ticks: Ticks, i0: int, i1: int) -> None:
    """Rows [i0, i1), which lane `first` has lived through, happen to lane `i`."""
    width = _BOOK_OFFSET
    if lanes.market[first]["book"]["bids"] + lanes.market[first]["book"]["asks"] > 0:
        width = lanes.market_bytes.shape[1]
    if lanes.market[i]["book"]["bids"] + lanes.market[i]["book"]["asks"] > 0:
        width = lanes.market_bytes.shape[1]
    own, seen = own_of(lanes, i), lanes.market_bytes[first, :width]
    live_through(ticks, i0, i1, seen, lanes.exchange[first]["on_bars"], own, lanes.market_bytes[i])


@kernel
def _live_all(ticks: Ticks, i0: int, i1: int, lanes: Lanes, places: NDArray[np.int64]) -> int:
    """Rows [i0, i1) happen to lanes at `places`, to whom nobody listens; returns reports lost for want of room.

    One lives through them row by row; who has seen the same market, and has no order under way, sees what it has seen.
    """
    first, lost = -1, 0
    for place in range(len(places)):
        i = places[place]
        if first >= 0 and lanes.lane[i]["in_step"] == 1:
            _see_as(lanes, first, i, ticks, i0, i1)
        else:
            live_rows(ticks, i0, i1, own_of(lanes, i))
            if lanes.lane[i]["in_step"] == 1:
                first = i
        lost += lanes.exchange[i]["overflowed"]
    return lost


@kernel
def _pursue(
    lanes: Lanes,
    choices: Choices,
    i: int,
    features: NDArray[np.float32],
    ts_ns: int,
    exposure: float,
    timing: int,
) -> None:
    """Lane `i` sees the decision, and acts on what somebody else wants; while it is flattening it closes."""
    observe(lanes, i, features, ts_ns, choices.observations[i])
    if lanes.lane[i]["flattening"] == 1:
        exposure, timing = 0.0, TIMING_AGGRESSIVE
    aim(lanes, i, exposure, timing, ts_ns, lanes.facts[i, FACT_EQUITY])
    lanes.lane[i]["aim"] = exposure
    choices.targets[i] = exposure
    choices.actions[i, 1] = timing
    if lanes.lane[i]["guarded"] == 0:
        choices.verdicts[i] = act(own_of(lanes, i), exposure, timing, ts_ns)


@kernel
def _live_told(ticks: Ticks, i0: int, i1: int, lanes: Lanes, i: int) -> int:
    """As `live_rows`, for lane `i`."""
    return int(live_rows(ticks, i0, i1, own_of(lanes, i)))


class TradingFloor:
    """`places` for lanes that trade `instrument` by the same rules, all drawing the same random numbers, of `seed`.

    `network`: the shape of the policies that kernels serve, None where there are none.
    """

    def __init__(
        self,
        instrument: Instrument,
        bridge: BridgeConfig,
        feature_size: int,
        period_ns: int,
        seed: int,
        places: int,
        network: NetworkShape | None = None,
    ) -> None:
        self.instrument = instrument
        self.seed = seed
        template = new_exchange(instrument, PaperConfig(), 0, 0.0)
        sizes = LaneSizes(MAX_OPEN_ORDERS, MAX_REPORTS, LOG_ROWS, MOST_A_MINUTE)
        self.lanes = new_lanes(instrument, bridge, template, period_ns, places, sizes)
        self.ladder = bridge.ladder
        self.networks = _new_networks(network, places)
        self.choices = Choices(
            np.zeros((places, feature_size + ACCOUNT_SIZE), np.float32), np.zeros((places, 2)),
            np.zeros((places, 2), np.int64), np.full((places, 2), np.nan), np.zeros(places), np.zeros(places, np.int64),
        )  # fmt: skip
        self.decision = 0
        self.ts_ns = 0
        self._blank, self._blank_reward = self.lanes.lane[0].copy(), self.lanes.reward[0].copy()
        self._block = empty_ticks(0)
        self._begun = False
        self._free = list(range(places - 1, -1, -1))
        nobody, unseen = np.zeros(0, np.int64), np.zeros(feature_size, np.float32)
        block, lanes, choices = self._block, self.lanes, self.choices
        self._live_all = entry(_live_all, block, 0, 0, lanes, nobody)
        self._live_told = entry(_live_told, block, 0, 0, lanes, 0)
        self._observe = entry(_observe_all, lanes, self.networks, choices, nobody, unseen, 0, 0, seed)
        self._act = entry(_act_all, lanes, choices, nobody, 0)
        self._pursue = entry(_pursue, lanes, choices, 0, unseen, 0, 0.0, TIMING_WAIT)
        self.leave(self.enter())

    def enter(self) -> int:
        """A place, empty. InvariantError: there is none."""
        if not self._free:
            raise InvariantError(f"the trading floor has {len(self.lanes.lane)} places, and all are taken")
        place, lanes = self._free.pop(), self.lanes
        lanes.lane[place], lanes.reward[place] = self._blank, self._blank_reward
        lanes.lane["in_step"][place] = not self._begun
        lanes.scalars[place] = 0.0
        self.networks.decides[place] = 0
        self.choices.values[place] = np.nan
        return place

    def leave(self, place: int) -> None:
        """`place` is free."""
        self._free.append(place)

    def _here(self, ticks: Ticks) -> Ticks:
        if ticks is not self._block:
            self._block = plain_ticks(ticks)
        return self._block

    def live(self, ticks: Ticks, i0: int, i1: int, places: NDArray[np.int64]) -> None:
        """Rows [i0, i1) happen to lanes to whom nobody listens. InvariantError: reports were lost."""
        self._begun = True
        if self._live_all(self._here(ticks), i0, i1, self.lanes, places):
            raise InvariantError(f"more than {MAX_REPORTS} reports of orders at once: some were lost")

    def live_told(self, ticks: Ticks, i0: int, i1: int, place: int) -> int:
        """Rows [i0, i1) happen to one lane, see `lane_kernels.live_rows`."""
        self._begun = True
        row = self._live_told(self._here(ticks), i0, i1, self.lanes, place)
        if self.lanes.exchange["overflowed"].item(place):
            raise InvariantError(f"more than {MAX_REPORTS} reports of orders at once: some were lost")
        return row

    def observe(
        self, places: NDArray[np.int64], features: NDArray[np.float32], ts_ns: int, decision: int
    ) -> None:
        """Lanes see decision number `decision`, on normalised `features` (F,); those with a policy choose."""
        self.ts_ns, self.decision = ts_ns, decision
        self._observe(self.lanes, self.networks, self.choices, places, features, ts_ns, decision, self.seed)

    def act(self, places: NDArray[np.int64]) -> None:
        """Lanes act on what was chosen."""
        self._act(self.lanes, self.choices, places, self.ts_ns)

    def pursue(
        self,
        place: int,
        features: NDArray[np.float32],
        ts_ns: int,
        decision: int,
        exposure: float,
        timing: int,
    ) -> None:
        """One lane sees the decision, and acts on what somebody else wants."""
        self.ts_ns, self.decision = ts_ns, decision
        self._pursue(self.lanes, self.choices, place, features, ts_ns, exposure, timing)


def _new_networks(shape: NetworkShape | None, places: int) -> Networks:
    if shape is None:
        nothing = np.zeros((0, 6), np.int64)
        program = Program(nothing, np.zeros(0, np.int64), np.zeros(1, np.float32))
        width = 0
    else:
        program, width = (
            compile_program(shape),
            sum(math.prod(size) for size in parameter_shapes(shape).values()),
        )
    return Networks(
        np.zeros((places, width), np.float32), program.layers, program.heads, program.scratch,
        np.zeros(places, np.int64), np.zeros(places, np.int64),
    )  # fmt: skip
