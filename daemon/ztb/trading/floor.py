"""The trading floor: lanes side by side in arrays, which one kernel call lets live, and another decide.

What decides in a lane is a policy of the shipped kind, a rule that is a kernel, or a fixed action, all without a call
of Python; or a strategy written in Python, which the kernel calls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.errors import InvariantError
from ztb.execution.paper import MAX_OPEN_ORDERS, MAX_REPORTS, new_exchange
from ztb.execution.paper_config import PaperConfig
from ztb.execution.risk import MOST_A_MINUTE
from ztb.execution.risk_gate import must_close
from ztb.market.book import BOOK
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks, empty_ticks, plain_ticks
from ztb.market.view import VIEW
from ztb.trading.bridge import FACT_EQUITY, FACT_EXPOSURE, FACT_MID
from ztb.trading.kernel_rule import MOMENT, MOST_STATE
from ztb.trading.lane_kernels import aim, choose, live_rows, live_through, mark, observe
from ztb.trading.lane_orders import act
from ztb.trading.lane_state import LOG_ROWS, Lanes, LaneSizes, new_lanes, own_of
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.serving import Program, compile_program, decide_one
from ztb.trading.policy.weights import NetworkShape, parameter_shapes
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMINGS
from ztb.utils.kernel import entry, kernel
from ztb.utils.linkage import ask, ask_python
from ztb.utils.rng import STREAM_ACTION, STREAM_TIMING, uniform

_BOOK_OFFSET = VIEW.itemsize - BOOK.itemsize


GIVEN, NETWORK, RULE, PURSUES, ASKED = range(5)
"""What decides in a lane: nothing, its choice stands; a policy; a rule that is a kernel; somebody else; Python."""


class Deciders(NamedTuple):
    """The deciders of N lanes: policies, all of one shape (`trading.policy.serving.Program`), and rules."""

    parameters: NDArray[np.float32]
    """(N, P)"""
    layers: NDArray[np.int64]
    heads: NDArray[np.int64]
    scratch: NDArray[np.float32]
    greedy: NDArray[np.int64]
    """(N,) whether the most probable action is taken, not a drawn one"""
    decides: NDArray[np.int64]
    """(N,) GIVEN, NETWORK, RULE, PURSUES or ASKED"""
    addresses: NDArray[np.int64]
    """(N,) of rules that are kernels, and of strategies in Python"""
    states: NDArray[np.float64]
    """(N × MOST_STATE,) what they keep, ..."""
    sizes: NDArray[np.int64]
    """(N,) ... each so many numbers"""


class Choices(NamedTuple):
    """Observations, draws and choices of N lanes at their last decision, and what came of them."""

    observations: NDArray[np.float32]
    """(N, D)"""
    uniforms: NDArray[np.float64]
    """(N, 2)"""
    moments: NDArray[np.void]
    """(N,) MOMENT, for rules"""
    actions: NDArray[np.int64]
    """(N, 2) rungs of the ladder, and timings"""
    values: NDArray[np.float64]
    """(N, 2) log-prob and value, nan where there is none"""
    targets: NDArray[np.float64]
    """(N,) exposures"""
    verdicts: NDArray[np.int64]
    """(N,) the gate's reason, or a verdict of `lane_kernels`"""


@kernel
def _serve(deciders: Deciders, choices: Choices, i: int) -> None:
    """The policy of lane `i` chooses."""
    observation, scratch = choices.observations[i], deciders.scratch
    for d in range(len(observation)):
        scratch[d] = observation[d]
    logprob, value = decide_one(
        parameters=deciders.parameters[i],
        layers=deciders.layers,
        heads=deciders.heads,
        scratch=scratch,
        uniforms=choices.uniforms[i],
        deterministic=deciders.greedy[i],
        actions=choices.actions[i],
    )
    choices.values[i, 0] = logprob
    choices.values[i, 1] = value


@kernel
def _rule(
    lanes: Lanes,
    deciders: Deciders,
    choices: Choices,
    i: int,
    raw: NDArray[np.float64],
    ts_ns: int,
    decision: int,
) -> int:
    """The rule of lane `i` chooses; 1 if its answer is no choice."""
    moment, start = choices.moments[i], i * MOST_STATE
    moment["ts_ns"] = ts_ns
    moment["decision"] = decision
    moment["exposure"] = lanes.facts[i, FACT_EXPOSURE]
    moment["mid"] = lanes.facts[i, FACT_MID]
    moment["uniforms"][0] = choices.uniforms[i, 0]
    moment["uniforms"][1] = choices.uniforms[i, 1]
    state = deciders.states[start : start + deciders.sizes[i]]
    answer = ask(deciders.addresses[i], (state, choices.moments[i : i + 1], raw, lanes.ladder))
    if answer < 0 or answer >= len(lanes.ladder) * TIMINGS:
        choices.actions[i, 0] = -1
        return 1
    choices.actions[i, 0] = answer // TIMINGS
    choices.actions[i, 1] = answer % TIMINGS
    return 0


@kernel
def _ask(lanes: Lanes, deciders: Deciders, choices: Choices, i: int, ts_ns: int, decision: int) -> int:
    """The strategy of lane `i` chooses, which is written in Python; 1 if it raised, or its answer is no choice."""
    exposure, mid = lanes.facts[i, FACT_EXPOSURE], lanes.facts[i, FACT_MID]
    return 1 if ask_python(deciders.addresses[i], (ts_ns, decision, exposure, mid)) < 0 else 0


@kernel
def observe_all(
    lanes: Lanes,
    deciders: Deciders,
    choices: Choices,
    places: NDArray[np.int64],
    raw: NDArray[np.float64],
    features: NDArray[np.float32],
    ts_ns: int,
    decision: int,
    seed: int,
) -> int:
    """Lanes at `places` see the decision, draw its random numbers, and choose.

    Returns how many answered what is no choice.
    """
    wrong = 0
    for place in range(len(places)):
        i = places[place]
        observe(lanes=lanes, i=i, features=features, ts_ns=ts_ns, observation=choices.observations[i])
        choices.uniforms[i, 0] = uniform(seed, STREAM_ACTION, decision)
        choices.uniforms[i, 1] = uniform(seed, STREAM_TIMING, decision)
        if deciders.decides[i] == NETWORK:
            _serve(deciders, choices, i)
        elif deciders.decides[i] == RULE:
            wrong += _rule(lanes, deciders, choices, i, raw, ts_ns, decision)
        elif deciders.decides[i] == ASKED:
            wrong += _ask(lanes, deciders, choices, i, ts_ns, decision)
    return wrong


@kernel
def act_all(
    lanes: Lanes, deciders: Deciders, choices: Choices, places: NDArray[np.int64], ts_ns: int
) -> None:
    """Lanes at `places` act on what they chose, or pursue what somebody else wants, unless orders wait for a guard."""
    for place in range(len(places)):
        i = places[place]
        action = choices.actions[i]
        mark(lanes, i, ts_ns, lanes.facts[i, FACT_EQUITY])
        gate: Any = lanes.gate[i]
        target: Any = choices.targets[i]
        if deciders.decides[i] == PURSUES:
            if must_close(gate):
                target, action[1] = 0.0, TIMING_AGGRESSIVE
            aim(lanes, i, target, TIMING_AGGRESSIVE)
        else:
            if must_close(gate):
                choices.values[i, 0] = choices.values[i, 1] = np.nan
            target = choose(lanes, i, action)
            aim(lanes, i, target, action[1])
        choices.targets[i] = target
        if lanes.lane[i]["guarded"] == 0:
            choices.verdicts[i] = act(own_of(lanes, i), target, int(action[1]), ts_ns)


@kernel
def _see_as(lanes: Lanes, first: int, i: int, ticks: Ticks, i0: int, i1: int) -> None:
    """Rows [i0, i1), which lane `first` has lived through, happen to lane `i`."""
    width = _BOOK_OFFSET
    if lanes.market[first]["book"]["bids"] + lanes.market[first]["book"]["asks"] > 0:
        width = lanes.market_bytes.shape[1]
    if lanes.market[i]["book"]["bids"] + lanes.market[i]["book"]["asks"] > 0:
        width = lanes.market_bytes.shape[1]
    own, seen = own_of(lanes, i), lanes.market_bytes[first, :width]
    live_through(
        ticks=ticks,
        i0=i0,
        i1=i1,
        market=seen,
        on_bars=lanes.exchange[first]["on_bars"],
        own=own,
        view_bytes=lanes.market_bytes[i],
    )


@kernel
def live_all(ticks: Ticks, i0: int, i1: int, lanes: Lanes, places: NDArray[np.int64]) -> int:
    """Rows [i0, i1) happen to lanes at `places`; returns reports lost for want of room.

    One lives through them row by row; who has seen the same market, and has no order under way, sees what it has seen.
    Where Python is to look in between, `stopped` says at which row it is to go on.
    """
    first, lost = -1, 0
    for place in range(len(places)):
        i = places[place]
        if first >= 0 and lanes.lane[i]["in_step"] == 1:
            _see_as(lanes, first, i, ticks, i0, i1)
        else:
            row = live_rows(ticks, i0, i1, own_of(lanes, i))
            lanes.lane[i]["stopped"] = -1 - row
            if row == i1 and lanes.lane[i]["in_step"] == 1:
                first = i
        overflowed: Any = lanes.exchange[i]["overflowed"]
        lost += overflowed
    return lost


class TradingFloor:
    """`places` for lanes that trade `instrument` by the same rules, all drawing the same random numbers, of `seed`.

    `network`: the shape of the policies that kernels serve, None where there are none. `names`: of the features, for
    strategies in Python.
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
        names: Sequence[str] = (),
    ) -> None:
        self.instrument = instrument
        self.feature_size = feature_size
        self.seed = seed
        template = new_exchange(instrument, PaperConfig(), 0, 0.0)
        sizes = LaneSizes(MAX_OPEN_ORDERS, MAX_REPORTS, LOG_ROWS, MOST_A_MINUTE)
        self.lanes = new_lanes(
            instrument=instrument,
            bridge=bridge,
            exchange=template,
            period_ns=period_ns,
            n=places,
            sizes=sizes,
        )
        self.ladder = bridge.ladder
        self.deciders = _new_deciders(network, places)
        self.choices = Choices(
            observations=np.zeros((places, feature_size + ACCOUNT_SIZE), np.float32),
            uniforms=np.zeros((places, 2)),
            moments=np.zeros(places, MOMENT),
            actions=np.zeros((places, 2), np.int64),
            values=np.full((places, 2), np.nan),
            targets=np.zeros(places),
            verdicts=np.zeros(places, np.int64),
        )
        self.decision = 0
        self.ts_ns = 0
        self.raw = np.zeros(feature_size)
        """(F,) what the features are at the present decision"""
        self.index: Mapping[str, int] = {name: i for i, name in enumerate(names)}
        """Their places in it by name."""
        self._blank, self._blank_reward = self.lanes.lane[0].copy(), self.lanes.reward[0].copy()
        self._block = empty_ticks(0)
        self._begun = False
        self._free = list(range(places - 1, -1, -1))
        nobody, unseen, raw = (
            np.zeros(0, np.int64),
            np.zeros(feature_size, np.float32),
            np.zeros(feature_size),
        )
        block, lanes, choices = self._block, self.lanes, self.choices
        self._live_all = entry(live_all, block, 0, 0, lanes, nobody)
        self._observe = entry(observe_all, lanes, self.deciders, choices, nobody, raw, unseen, 0, 0, seed)
        self._act = entry(act_all, lanes, self.deciders, choices, nobody, 0)
        self.leave(self.enter())

    def enter(self) -> int:
        """A place, empty. InvariantError: there is none."""
        if not self._free:
            raise InvariantError(f"the trading floor has {len(self.lanes.lane)} places, and all are taken")
        place, lanes = self._free.pop(), self.lanes
        lanes.lane[place], lanes.reward[place] = self._blank, self._blank_reward
        lanes.lane["in_step"][place] = not self._begun
        lanes.scalars[place] = 0.0
        self.deciders.decides[place] = GIVEN
        self.choices.values[place] = np.nan
        return place

    def leave(self, place: int) -> None:
        """`place` is free."""
        self._free.append(place)

    def _here(self, ticks: Ticks) -> Ticks:
        if ticks is not self._block:
            self._block = plain_ticks(ticks)
        return self._block

    def begin(self) -> None:
        """The market is about to go on: who takes a place from now on has not seen all of it."""
        self._begun = True

    def live(self, ticks: Ticks, i0: int, i1: int, places: NDArray[np.int64]) -> None:
        """Rows [i0, i1) happen to lanes on paper. InvariantError: reports were lost."""
        self.begin()
        if self._live_all(self._here(ticks), i0, i1, self.lanes, places):
            raise InvariantError(f"more than {MAX_REPORTS} reports of orders at once: some were lost")

    def observe(
        self,
        places: NDArray[np.int64],
        raw: NDArray[np.float64],
        features: NDArray[np.float32],
        ts_ns: int,
        decision: int,
    ) -> bool:
        """Lanes see decision number `decision`, on `raw` features (F,) and the same normalised, and choose.

        False: somebody has answered what is no choice, or raised.
        """
        self.ts_ns, self.decision, self.raw = ts_ns, decision, raw
        wrong = self._observe(
            self.lanes, self.deciders, self.choices, places, raw, features, ts_ns, decision, self.seed
        )
        return not wrong

    def act(self, places: NDArray[np.int64]) -> None:
        """Lanes act on what was chosen."""
        self._act(self.lanes, self.deciders, self.choices, places, self.ts_ns)

    def want(self, place: int, exposure: float, timing: int) -> None:
        """The lane at `place` is to act on what somebody else wants."""
        self.choices.targets[place], self.choices.actions[place, 1] = exposure, timing
        self.deciders.decides[place] = PURSUES


def _new_deciders(shape: NetworkShape | None, places: int) -> Deciders:
    if shape is None:
        nothing = np.zeros((0, 6), np.int64)
        program = Program(nothing, np.zeros(0, np.int64), np.zeros(1, np.float32))
        width = 0
    else:
        program, width = (
            compile_program(shape),
            sum(math.prod(size) for size in parameter_shapes(shape).values()),
        )
    return Deciders(
        parameters=np.zeros((places, width), np.float32),
        layers=program.layers,
        heads=program.heads,
        scratch=program.scratch,
        greedy=np.zeros(places, np.int64),
        decides=np.zeros(places, np.int64),
        addresses=np.zeros(places, np.int64),
        states=np.zeros(places * MOST_STATE),
        sizes=np.zeros(places, np.int64),
    )
