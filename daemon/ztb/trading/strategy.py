"""The protocol between the daemon and a strategy: one file in `strategies/`, or in a folder of the user's.

A strategy file defines a class `Strategy`:

- `__init__(self, context: StrategyContext)`
- `decide(self, moment: Moment) -> Action`

and may define: `features`, a tuple of shipped feature names and `UserFeature`s (default: all shipped);
`on_tick(self, tick: TickView) -> bool`, called for every tick with its features, True asks for a decision now;
`warm_up(self, ts_ns: int, mid: float) -> None`, called in place of `decide` at each due moment before trading begins;
`learns = True` if its decisions come from the policy that the learner trains (`context.policy`), and then also,
as static methods, `reward(before, after)`, in place of the configured reward (see `OwnReward`), and
`network(observation_size, heads)`, in place of the shipped kind (see `trading.network`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.errors import StrategyError
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMINGS


class Action(msgspec.Struct, frozen=True):
    """`size`: index into the exposure ladder; `timing`: 0 wait, 1 passive, 2 aggressive (`trading.sizing`)."""

    size: int
    timing: int = TIMING_AGGRESSIVE
    logprob: float | None = None
    value: float | None = None


@dataclass(slots=True)
class Moment:
    """What a strategy may know when it decides. Arrays are views: copy what is to be kept.

    `features` (F,) float64 raw values, `names` their names; `observation` (D,) float32 is what a policy gets;
    `ladder` the target exposures; `exposure` the present one; `uniforms` (2,) random numbers of this decision.
    """

    ts_ns: int
    decision: int
    features: NDArray[np.float64]
    index: Mapping[str, int]
    observation: NDArray[np.float32]
    ladder: tuple[float, ...]
    exposure: float
    mid: float
    uniforms: NDArray[np.float64]

    def feature(self, name: str) -> float:
        """The raw value of one feature by name."""
        return float(self.features[self.index[name]])


class TickView(NamedTuple):
    """A tick as `on_tick` sees it: `kind` as in market.ticks, `price` the mid for a quote, the close for a bar.

    `features` (F,) float64 raw values after the tick: a view, to be copied if kept.
    """

    ts_ns: int
    kind: int
    side: int
    price: float
    size: float
    features: NDArray[np.float64]


OnTick = Callable[[TickView], bool]
"""Called for every tick; True asks for a decision after it, beside those that the clock asks for."""


WarmUp = Callable[[int, float], None]
"""(event time, mid in quote currency) of each moment due before trading begins: for rules that look far back."""


OwnReward = Callable[[Any, Any], Any]
"""(equity before, equity after) to the reward of a decision; floats, or arrays of the same shape."""


class Policy(Protocol):
    """What serves the learner's weights: observation and uniforms in, `Action` out."""

    def act(self, observation: NDArray[np.float32], uniforms: NDArray[np.float64]) -> Action: ...


@dataclass(frozen=True, slots=True)
class StrategyContext:
    """What a strategy is made with. `options` is `strategy.options` of the configuration."""

    symbol: str
    ladder: tuple[float, ...]
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    policy: Policy | None = None


@runtime_checkable
class Strategy(Protocol):
    """See the module."""

    def decide(self, moment: Moment) -> Action: ...


def checked_action(answer: object, rungs: int, decision: int) -> Action:
    """`answer` of a strategy as an Action for a ladder of `rungs`. StrategyError if it is none."""
    if isinstance(answer, Action) and 0 <= answer.size < rungs and 0 <= answer.timing < TIMINGS:
        return answer
    raise StrategyError(
        f"decide() must return an Action with size 0 to {rungs - 1} and timing 0 to {TIMINGS - 1}, "
        f"not {answer!r} (decision {decision})"
    )


def nearest_rung(ladder: Sequence[float], exposure: float) -> int:
    """Index of the ladder's rung nearest to `exposure`; the lower one on a tie."""
    return min(range(len(ladder)), key=lambda rung: (abs(ladder[rung] - exposure), rung))
