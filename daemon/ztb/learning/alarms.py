"""Signs, decision by decision, that the generation that was promoted last is not what the gate took it for.

The drawdown, the shift of rewards and the collapse of entropy are looked for in a generation's probation, its first
decisions: later a loss says more about the market than about the promotion, and the risk gate is there for it. An
output that is not finite is an alarm at any time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztb.learning.settings import GateRules
from ztb.trading.course import Lookout
from ztb.utils.kernel import entry, kernel
from ztb.utils.linkage import address_of

_HORIZON = 256.0
"""Decisions that moving means look back over; none is believed before as many."""
_CLIP = 4.0
"""Standard deviations that one reward counts for at most."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """The least that a generation must earn a decision to be worth its promotion; the standard deviation of a
    decision's reward and the mean log growth of equity, as found in shadow.
    """

    reward: float
    reward_sd: float
    growth: float


@dataclass(frozen=True, slots=True)
class Alarm:
    """A fault of the generation that serves, with figures: `drawdown`, `reward_shift`, `non_finite` or `entropy`."""

    kind: str
    figures: dict[str, float | int | None]


_NUMBERS = (
    "left", "served", "peak", "missing", "square", "surprise", "surprises", "figure", "expects", "reward", "reward_sd",
    "growth", "most_drawdown", "slack_sd", "most_missing_sd", "least_entropy", "greatest_entropy",
)  # fmt: skip
(
    _LEFT, _SERVED, _PEAK, _MISSING, _SQUARE, _SURPRISE, _SURPRISES, _FIGURE, _EXPECTS, _REWARD, _REWARD_SD,
    _GROWTH, _MOST_DRAWDOWN, _SLACK, _MOST_MISSING, _LEAST_ENTROPY, _GREATEST_ENTROPY,
) = range(len(_NUMBERS))  # fmt: skip
_QUIET, _NON_FINITE, _DRAWDOWN, _REWARD_SHIFT, _ENTROPY = range(5)
_KINDS = "", "non_finite", "drawdown", "reward_shift", "entropy"
_FIGURES = {_DRAWDOWN: "drawdown", _REWARD_SHIFT: "missing_sd", _ENTROPY: "entropy_fraction"}

Numbers = NDArray[np.float64]


@kernel
def _fallen(numbers: Numbers, equity: float) -> bool:
    """One that loses less than the incumbent is better than that, and no worse than was known."""
    losing = min(0.0, numbers[_GROWTH])
    beyond = equity * math.exp(-losing * numbers[_SERVED])
    numbers[_PEAK] = max(numbers[_PEAK], beyond)
    numbers[_FIGURE] = 1.0 - beyond / numbers[_PEAK] if numbers[_PEAK] > 0.0 else 1.0
    return bool(numbers[_FIGURE] > numbers[_MOST_DRAWDOWN])


@kernel
def _shifted(numbers: Numbers, reward: float) -> bool:
    """The one-sided cumulative sum of Page 1954, "Continuous inspection schemes", in standard deviations.

    The deviation is the shadow's, or that of the rewards themselves where the market has become wilder.
    """
    if numbers[_EXPECTS] == 0.0 or numbers[_SERVED] == 1.0 or not math.isfinite(reward):
        return False
    numbers[_SQUARE] += (reward * reward - numbers[_SQUARE]) / min(numbers[_SERVED] - 1.0, _HORIZON)
    deviation = max(numbers[_REWARD_SD], math.sqrt(numbers[_SQUARE]))
    if deviation == 0.0:
        return False
    short = min(max((numbers[_REWARD] - reward) / deviation, -_CLIP), _CLIP)
    numbers[_MISSING] = numbers[_FIGURE] = max(0.0, numbers[_MISSING] + short - numbers[_SLACK])
    return bool(numbers[_MISSING] > numbers[_MOST_MISSING])


@kernel
def _collapsed(numbers: Numbers, logprob: float) -> bool:
    if math.isnan(logprob):
        return False
    numbers[_SURPRISES] += 1.0
    numbers[_SURPRISE] += (-logprob - numbers[_SURPRISE]) / min(numbers[_SURPRISES], _HORIZON)
    numbers[_FIGURE] = numbers[_SURPRISE] / numbers[_GREATEST_ENTROPY]
    return bool(numbers[_SURPRISES] >= _HORIZON and numbers[_FIGURE] < numbers[_LEAST_ENTROPY])


@kernel
def _follow(numbers: Numbers, equity: float, reward: float, logprob: float, value: float) -> int:
    """As `Alarms.follow`, nan being what there is not; the number of the alarm."""
    if math.isinf(logprob) or math.isinf(value):
        return _NON_FINITE
    if numbers[_LEFT] == 0.0:
        return _QUIET
    numbers[_LEFT] -= 1.0
    numbers[_SERVED] += 1.0
    if _fallen(numbers, equity):
        return _DRAWDOWN
    if _shifted(numbers, reward):
        return _REWARD_SHIFT
    return _ENTROPY if _collapsed(numbers, logprob) else _QUIET


class Alarms:
    """Watches the generation that serves. `greatest_entropy` of the policy's heads, nats."""

    def __init__(self, rules: GateRules, greatest_entropy: float) -> None:
        self._probation = rules.probation_decisions
        self._numbers = np.zeros(len(_NUMBERS))
        self._numbers[_MOST_DRAWDOWN] = rules.alarm_drawdown_fraction
        self._numbers[_SLACK] = rules.alarm_shift_slack_sd
        self._numbers[_MOST_MISSING] = rules.alarm_shift_limit_sd
        self._numbers[_LEAST_ENTROPY] = rules.min_entropy_fraction
        self._numbers[_GREATEST_ENTROPY] = greatest_entropy
        self._follow = entry(_follow, self._numbers, 0.0, 0.0, 0.0, 0.0)
        self._address = address_of(_follow, self._numbers, 0.0, 0.0, 0.0, 0.0)
        self.begin(None, probation=False)

    def begin(self, expectation: Expectation | None, probation: bool) -> None:
        """Another generation serves from the next decision on."""
        numbers = self._numbers
        numbers[: _FIGURE + 1] = 0.0
        numbers[_LEFT] = self._probation if probation else 0.0
        numbers[_EXPECTS] = expectation is not None
        expected = expectation or Expectation(0.0, 0.0, 0.0)
        numbers[_REWARD : _GROWTH + 1] = expected.reward, expected.reward_sd, expected.growth

    @property
    def on_probation(self) -> bool:
        """True if the generation may still turn out not to have been worth its promotion."""
        return bool(self._numbers[_LEFT] > 0.0)

    @property
    def lookout(self) -> Lookout:
        """Says, in a stretch, after which decision there is an alarm; what is followed here does not change."""
        return Lookout(self._address, self._numbers.copy())

    def follow(
        self, equity: float, reward: float, logprob: float | None, value: float | None
    ) -> Alarm | None:
        """A decision was made at `equity` by an action of `logprob`; the one before, by the same, earned `reward`.

        What a sampled action's negative log-prob is on average is the entropy; of a greedy one it is less.
        """
        if any(number is not None and not math.isfinite(number) for number in (logprob, value)):
            return Alarm(_KINDS[_NON_FINITE], {})
        missing = math.nan
        found = self._follow(
            self._numbers,
            float(equity),
            float(reward),
            missing if logprob is None else float(logprob),
            missing if value is None else float(value),
        )
        if found == _QUIET:
            return None
        figure, served = self._numbers[[_FIGURE, _SERVED]].tolist()
        return Alarm(_KINDS[found], {_FIGURES[found]: figure, "decisions": int(served)})
