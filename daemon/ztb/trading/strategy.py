"""The protocol between the daemon and a strategy: one file in `strategies/`, or in a folder of the user's.

A strategy file defines a class `Strategy`:

- `__init__(self, context: StrategyContext)`
- `decide(self, moment: Moment) -> Action`

and may define: `features`, a tuple of shipped feature names and `UserFeature`s (default: all shipped);
`on_tick(self, tick: TickView) -> bool`, called for every tick with its features, True asks for a decision now;
`follows`, an attribute, which then decides without a call of Python: an `Action`, always the same, `context.policy`, or
a `KernelRule` (`trading.kernel_rule`);
`warm_up(self, ts_ns: int, mid: float) -> None`, called in place of `decide` at each due moment before trading begins;
`learns = True` if its decisions come from the policy that the learner trains (`context.policy`), and then also,
as static methods, `reward(before, after)`, in place of the configured reward (see `OwnReward`), and
`network(observation_size, heads)`, in place of the shipped kind (see `trading.policy.network`).

Also here: ticks as Python objects, for strategies that want every one of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.errors import StrategyError, ZtbError
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMINGS


class Action(msgspec.Struct, frozen=True):
    """`size`: index into the exposure ladder; `timing`: 0 wait, 1 passive, 2 aggressive (`trading.sizing`)."""

    size: int
    timing: int = TIMING_AGGRESSIVE
    logprob: float | None = None
    value: float | None = None


@dataclass(slots=True)
class Moment:
    """The facts that a strategy may know when it decides. Arrays are views: copy what is to be kept.

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


@runtime_checkable
class WarmsUp(Protocol):
    """A strategy that looks far back."""

    def warm_up(self, ts_ns: int, mid: float) -> None:
        """Called at each moment due before trading begins, with the event time and the mid in quote currency."""


OwnReward = Callable[[Any, Any], Any]
"""(equity before, equity after) to the reward of a decision; floats, or arrays of the same shape."""


def checked_reward(reward: OwnReward) -> OwnReward:
    """`reward` with a look at its answers: StrategyError where it raises, or answers in another shape.

    What is not finite passes, for whoever learns from it to say so: `not_finite` has the words.
    """

    @functools.wraps(reward)
    def checked(before: Any, after: Any) -> Any:
        try:
            with np.errstate(all="ignore"):
                answer = np.asarray(reward(before, after), np.float64)
        except ZtbError:
            raise
        except Exception as error:
            raise StrategyError(
                f"{_name(reward)}: reward raised {type(error).__name__}: {error} ({place_of(error)}); it is given "
                f"{_given(after)}, and as a static method nothing else"
            ) from error
        if answer.shape != np.shape(after):
            raise StrategyError(
                f"{_name(reward)}: reward must answer {_given(after)}, as it is given, not one of shape "
                f"{answer.shape} ({_defined(reward)})"
            )
        return answer if answer.shape else float(answer)

    return checked


def not_finite(reward: OwnReward, decision: int, before: float, after: float, value: float) -> str:
    """Says that `reward` answered `value` for a decision that took equity from `before` to `after`."""
    return (
        f"{_name(reward)}: reward: not finite at decision {decision} ({_defined(reward)}): "
        f"reward({before!r}, {after!r}) is {value!r}"
    )


def place_of(error: BaseException) -> str:
    """File and line of the innermost frame of `error`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "strategy" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def raised(error: Exception, when: str) -> StrategyError:
    """Says that the code of a strategy raised `error`, and where."""
    return StrategyError(f"{place_of(error)}: the strategy raised {type(error).__name__}: {error} ({when})")


def _name(reward: OwnReward) -> str:
    return f"strategy {getattr(reward, '__module__', '').rpartition('.')[2]}"


def _defined(reward: OwnReward) -> str:
    """File and line of a reward's definition, as far as it is a function."""
    code = getattr(inspect.unwrap(reward), "__code__", None)
    return "no function" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def _given(equity: Any) -> str:
    shape = np.shape(equity)
    return f"an array of shape {shape}" if shape else "a number"


class Policy(Protocol):
    """The learner's weights as they serve: observation and uniforms in, `Action` out."""

    def act(self, observation: NDArray[np.float32], uniforms: NDArray[np.float64]) -> Action:
        """The action for an observation (D,); `uniforms` (2,) decide where it is drawn."""
        ...


@runtime_checkable
class NetworkPolicy(Policy, Protocol):
    """A policy whose network kernels can serve, where it is of the shipped kind."""

    @property
    def info(self) -> object:
        """Another object whenever another network serves."""
        ...

    @property
    def parameters(self) -> NDArray[np.float32] | None:
        """(P,) of the network that serves, see `policy.weights.flatten`; None where it is of another kind."""
        ...

    @property
    def greedy(self) -> bool:
        """True if the most probable action is taken, not a drawn one."""
        ...


@dataclass(frozen=True, slots=True)
class StrategyContext:
    """The arguments that a strategy is made with. `options` is `strategy.options` of the configuration."""

    symbol: str
    ladder: tuple[float, ...]
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    policy: Policy | None = None


@runtime_checkable
class Strategy(Protocol):
    """Decides, when a decision is due, how much is to be held and how to come to that."""

    def decide(self, moment: Moment) -> Action:
        """The action to take now. StrategyError: what is answered is no Action for the ladder."""
        ...


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
