"""A rule of a strategy that is a kernel: decided on where the lanes are, without a call of Python.

A strategy's file writes its rule as a plain function on numbers and arrays, and its class says `follows`:

    def decide(state, moment, features, ladder):
        return choice(len(ladder) - 1 if moment[0]["mid"] > state[0] else 0, TIMING_AGGRESSIVE)

    class Strategy:
        def __init__(self, context):
            self.follows = KernelRule(decide, np.array([30_000.0]))

Rules are called by address (`utils.linkage`), so that the loop around them is compiled once, whatever they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from ztb.errors import ConfigError, StrategyError
from ztb.trading.sizing import TIMINGS
from ztb.trading.strategy import Action, Moment
from ztb.utils.kernel import kernel, uncached_kernel
from ztb.utils.linkage import address_of, ask

MOMENT: np.dtype[np.void] = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("decision", "<i8"),
        ("exposure", "<f8"),  # the present one
        ("mid", "<f8"),  # quote currency
        ("uniforms", "<f8", (2,)),  # random numbers of this decision
    ]
)
MOST_STATE = 1024
"""Numbers that a rule may keep."""

Decide = Callable[[NDArray[np.float64], NDArray[np.void], NDArray[np.float64], NDArray[np.float64]], int]
"""(state, moment, features, ladder) -> `choice`: `state` (S,) is the rule's own, `moment` (1,) of dtype MOMENT,
`features` (F,) raw values in the order of the strategy's `features`, `ladder` (R,) target exposures."""

_PACKAGE = __file__.rsplit("/", 2)[0]
_SHIPPED = f"{_PACKAGE}/strategies", f"{_PACKAGE.rsplit('/', 2)[0]}/strategies"


@kernel
def choice(rung: int, timing: int) -> int:
    """A rule's answer: the target is `rung` of the ladder, reached with `timing` (`trading.sizing`)."""
    return rung * TIMINGS + timing


@kernel
def nearest(ladder: NDArray[np.float64], exposure: float) -> int:
    """The rung of `ladder` (R,) nearest to `exposure`; the lower one on a tie."""
    found = 0
    for rung in range(1, len(ladder)):
        if abs(ladder[rung] - exposure) < abs(ladder[found] - exposure):
            found = rung
    return found


@lru_cache(64)
def _code_of(function: Any) -> Any:
    """Compiled once a process, for all trials of a study and lanes of a run; of a shipped rule, kept on disk."""
    shipped = function.__code__.co_filename.rpartition("/")[0] in _SHIPPED
    return kernel(function) if shipped else uncached_kernel(function)


class KernelRule:
    """`decide` as a kernel, with the numbers it keeps, at first `state` (S,) float64.

    `decide` may be plain or a kernel already, raises nothing, and answers with `choice`. ConfigError: it does not
    compile, or keeps more than `MOST_STATE` numbers.
    """

    def __init__(self, decide: Decide, state: NDArray[np.float64]) -> None:
        if len(state) > MOST_STATE:
            raise ConfigError(f"a rule that is a kernel keeps {MOST_STATE} numbers at most, not {len(state)}")
        self.state = np.array(state, np.float64)
        function: Any = getattr(decide, "py_func", decide)
        self._place = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
        self.address = self._address_of(_code_of(function))

    def _address_of(self, code: Any) -> int:
        numbers, moment = np.zeros(1), np.zeros(1, MOMENT)
        try:
            return address_of(code, numbers, moment, numbers, numbers)
        except (NumbaError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(
                f"{self._place}: decide does not compile: {reason}. "
                "Write it with numbers, arrays and other kernels alone"
            ) from error

    def wrong(self, decision: int, rungs: int) -> StrategyError:
        """Says that it answered what is no choice."""
        return StrategyError(
            f"{self._place}: decide must answer choice(rung, timing) with rung 0 to {rungs - 1} and timing 0 to "
            f"{TIMINGS - 1} (decision {decision})"
        )

    def __call__(self, moment: Moment) -> Action:
        """Decide from Python, as a strategy's `decide` does; `state` moves on. StrategyError: that is no choice."""
        row = np.zeros(1, MOMENT)
        for name in MOMENT.names or ():
            row[name] = getattr(moment, name)
        answer = _call(
            address=self.address,
            state=self.state,
            moment=row,
            features=moment.features,
            ladder=np.array(moment.ladder),
        )
        if not 0 <= answer < len(moment.ladder) * TIMINGS:
            raise self.wrong(moment.decision, len(moment.ladder))
        return Action(*divmod(answer, TIMINGS))


@kernel
def _call(
    address: int,
    state: NDArray[np.float64],
    moment: NDArray[np.void],
    features: NDArray[np.float64],
    ladder: NDArray[np.float64],
) -> int:
    return ask(address, (state, moment, features, ladder))
