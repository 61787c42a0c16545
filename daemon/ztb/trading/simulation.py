"""Many lanes trading one recording side by side: the vector kernel behind the environments and rollouts.

Each lane has an exchange, an account and reward state of its own; ticks, features and the market are shared.
The same ticks and actions give the same observations, fills, equity and rewards as the engine does, bit for bit;
the risk gate is no part of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.errors import ConfigError, InvariantError
from ztb.execution.paper import new_exchange, new_orders
from ztb.execution.paper_config import PaperConfig
from ztb.trading.bridge import FACT_EQUITY, FACT_REWARD, purchase_costs
from ztb.trading.episodes import Beginnings, Episodes, begin_episode, new_rules
from ztb.trading.lane_kernels import choose, live_through, observe
from ztb.trading.lane_orders import act
from ztb.trading.lane_state import Lanes, LaneSizes, new_lanes, own_of
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.recording import Recording, Shared
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMINGS
from ztb.utils.kernel import kernel
from ztb.utils.linkage import address_of

ORDER_SLOTS = 8
"""One order works at a time; others may be done but for a cancel that comes late."""

_MEMORY = (
    "exchange",
    "orders",
    "events",
    "market",
    "account",
    "lane",
    "working",
    "reward",
    "scalars",
    "facts",
)


class StepOutcome(NamedTuple):
    """Results of a step of N lanes; overwritten by the next."""

    observations: NDArray[np.float32]
    """(N, D)"""
    rewards: NDArray[np.float64]
    """(N,)"""
    terminated: NDArray[np.bool_]
    """(N,) ruined: no equity is left"""
    truncated: NDArray[np.bool_]
    """(N,) the episode's length or the recording is over"""
    tainted: NDArray[np.bool_]
    """(N,) not to be trained on"""


@kernel
def _observe(shared: Shared, lanes: Lanes, i: int, observation: NDArray[np.float32]) -> None:
    """Reward, facts and observation of lane `i` at the decision it stands at."""
    k: int = lanes.lane[i]["decision"]
    observe(lanes=lanes, i=i, features=shared.features[k], ts_ns=shared.times_ns[k], observation=observation)


@kernel
def _step(shared: Shared, lanes: Lanes, i: int, action: NDArray[np.int64]) -> None:
    """Act at the decision where lane `i` stands, and live on to the next."""
    k: int = lanes.lane[i]["decision"]
    own = own_of(lanes, i)
    act(own, choose(lanes, i, action), int(action[1]), int(shared.times_ns[k]))
    live_through(
        ticks=shared.ticks,
        i0=shared.rows[k] + 1,
        i1=shared.rows[k + 1] + 1,
        market=shared.markets[k + 1],
        on_bars=shared.on_bars[k + 1],
        own=own,
        view_bytes=lanes.market_bytes[i],
    )
    lanes.lane[i]["decision"] = k + 1


@kernel
def _begin_all(
    shared: Shared, beginnings: Beginnings, lanes: Lanes, outcome: StepOutcome, chosen: NDArray[np.bool_]
) -> None:
    for i in range(len(chosen)):
        if chosen[i]:
            begin_episode(shared, beginnings, lanes, i)
            _observe(shared, lanes, i, outcome.observations[i])


@kernel
def step_all(shared: Shared, lanes: Lanes, outcome: StepOutcome, actions: NDArray[np.int64]) -> int:
    """One step of every lane; returns how many reports were lost for want of room, which is an error."""
    lost = 0
    for i in range(len(actions)):
        _step(shared, lanes, i, actions[i])
        _observe(shared, lanes, i, outcome.observations[i])
        k, facts = lanes.lane[i]["decision"], lanes.facts[i]
        ruined = facts[FACT_EQUITY] <= 0.0
        outcome.rewards[i] = facts[FACT_REWARD]
        outcome.tainted[i] = shared.tainted[k]
        outcome.terminated[i] = ruined
        outcome.truncated[i] = k >= lanes.lane[i]["last"] and not ruined
        lost += lanes.exchange[i]["overflowed"]
    return lost


ENDED, NO_ACTION = -1, -2


@kernel
def step_checked(
    shared: Shared, lanes: Lanes, outcome: StepOutcome, actions: NDArray[np.int64], rungs: int
) -> int:
    """As `step_all`; nothing is done where an episode is over (ENDED), or an action is none (NO_ACTION)."""
    for i in range(len(actions)):
        if lanes.lane[i]["decision"] >= lanes.lane[i]["last"]:
            return ENDED
        if not (0 <= actions[i, 0] < rungs and 0 <= actions[i, 1] < TIMINGS):
            return NO_ACTION
    lost: int = step_all(shared, lanes, outcome, actions)
    return lost


def check_step(lost: int, actions: NDArray[np.int64]) -> None:
    """InvariantError: what `step_checked` returned is an error."""
    if lost == ENDED:
        raise InvariantError("a step after the end of an episode: begin another with restart or reset")
    if lost == NO_ACTION:
        raise InvariantError(f"no such action: {actions.tolist()}")
    if lost:
        raise InvariantError("reports of orders were lost: more fills a row than there is room for")


class Simulation:
    """N lanes on `recording`. Every random number is a function of the keys given to `reset`.

    `outcome` and `lanes` are changed in place. ConfigError: a recording of fewer than two decisions.
    """

    def __init__(
        self,
        recording: Recording,
        bridge: BridgeConfig,
        paper: PaperConfig,
        start_cash: float,
        episodes: Episodes,
        num_lanes: int,
    ) -> None:
        if recording.decisions < 2:
            raise ConfigError(f"{recording.decisions} decisions make no step: give more history")
        self._made_of = (recording, bridge, paper, start_cash, episodes, num_lanes)
        self.recording = recording
        self.bridge = bridge
        self.num_lanes = num_lanes
        self.observation_size = recording.feature_size + ACCOUNT_SIZE
        template = new_exchange(recording.instrument, paper, 0, start_cash)
        self.lanes = new_lanes(
            instrument=recording.instrument,
            bridge=bridge,
            exchange=template,
            period_ns=recording.period_ns,
            n=num_lanes,
            sizes=_sizes(paper),
        )
        self._beginnings = Beginnings(
            self._rules(),
            template.view(np.uint8),
            new_orders(ORDER_SLOTS),
            self.lanes.exchange.view(np.uint8).reshape(num_lanes, -1),
        )
        self.outcome = StepOutcome(
            observations=np.zeros((num_lanes, self.observation_size), np.float32),
            rewards=np.zeros(num_lanes),
            terminated=np.zeros(num_lanes, np.bool_),
            truncated=np.zeros(num_lanes, np.bool_),
            tainted=np.zeros(num_lanes, np.bool_),
        )

    def _rules(self) -> NDArray[np.void]:
        recording, bridge, _, start_cash, episodes, _ = self._made_of
        return new_rules(
            episodes=episodes,
            decisions=recording.decisions,
            start_cash=start_cash,
            costs=purchase_costs(recording.instrument, bridge),
            band=bridge.band_fraction,
        )

    def go_on(self, recording: Recording) -> None:
        """The lanes as they are, at the first decision of `recording`, which is the last of the one before."""
        self._made_of = (recording, *self._made_of[1:])
        self.recording = recording
        self._beginnings.rules[:] = self._rules()
        self.lanes.lane["decision"] = 0
        self.lanes.lane["last"] = recording.decisions - 1

    def reset(self, keys: NDArray[np.int64], chosen: NDArray[np.bool_] | None = None) -> None:
        """Begin the first episodes of `keys` (N,), in the lanes `chosen` (N,), all by default."""
        which = np.ones(self.num_lanes, np.bool_) if chosen is None else chosen
        self.lanes.lane["key"][which] = keys[which]
        self.lanes.lane["episode"][which] = 0
        self.restart(which)

    def restart(self, chosen: NDArray[np.bool_]) -> None:
        """Begin the next episode of the lanes `chosen` (N,)."""
        _begin_all(
            shared=self.recording.shared,
            beginnings=self._beginnings,
            lanes=self.lanes,
            outcome=self.outcome,
            chosen=chosen,
        )

    def __getstate__(self) -> tuple[tuple[Any, ...], dict[str, NDArray[Any]]]:
        return self._made_of, self.state()

    def __setstate__(self, saved: tuple[tuple[Any, ...], dict[str, NDArray[Any]]]) -> None:
        """Copies and pickles are made anew: arrays that show the same bytes must go on doing so."""
        made_of, state = saved
        self.__init__(*made_of)  # type: ignore[misc]
        self.load_state(state)

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of everything that changes; `load_state` continues from them bit for bit."""
        return {name: array.copy() for name, array in self._changing().items()}

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from the `state()` of a simulation of this size."""
        for name, array in self._changing().items():
            array[:] = state[name]

    def _changing(self) -> dict[str, NDArray[Any]]:
        kept = {name: getattr(self.lanes, name) for name in _MEMORY}
        return {**kept, "observations": self.outcome.observations}

    def step(self, actions: NDArray[np.int64]) -> StepOutcome:
        """Live from the present decisions to the next with `actions` (N, 2): rungs of the ladder, and timings.

        InvariantError: an episode is over, or there are no such actions.
        """
        lost = step_checked(
            shared=self.recording.shared,
            lanes=self.lanes,
            outcome=self.outcome,
            actions=actions,
            rungs=len(self.bridge.ladder),
        )
        check_step(lost, actions)
        return self.outcome

    def address_of_step(self, actions: NDArray[np.int64]) -> int:
        """Address of the code of `step_checked`, for kernels that call it with what is ours and such `actions`."""
        shared, rungs = self.recording.shared, len(self.bridge.ladder)
        return address_of(step_checked, shared, self.lanes, self.outcome, actions, rungs)


def _sizes(paper: PaperConfig) -> LaneSizes:
    """Room for what one order, and late cancels, may bring; nobody listens, and no gate counts orders."""
    return LaneSizes(ORDER_SLOTS, paper.walk_levels + 4 * ORDER_SLOTS, 1, 1)
