"""Signs, decision by decision, that the generation that was promoted last is not what the gate took it for.

The drawdown, the shift of rewards and the collapse of entropy are looked for in a generation's probation, its first
decisions: later a loss says more about the market than about the promotion, and the risk gate is there for it. An
output that is not finite is an alarm at any time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ztb.learning.settings import GateRules

_HORIZON = 256
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


class Alarms:
    """Watches the generation that serves. `greatest_entropy` of the policy's heads, nats."""

    def __init__(self, rules: GateRules, greatest_entropy: float) -> None:
        self._rules = rules
        self._greatest_entropy = greatest_entropy
        self.begin(None, probation=False)

    def begin(self, expectation: Expectation | None, probation: bool) -> None:
        """Another generation serves from the next decision on."""
        self._expectation = expectation
        self._left = self._rules.probation_decisions if probation else 0
        self._served = 0
        self._peak = 0.0
        self._missing = 0.0
        self._square = 0.0
        self._surprise = 0.0
        self._surprises = 0

    @property
    def on_probation(self) -> bool:
        """True if the generation may still turn out not to have been worth its promotion."""
        return self._left > 0

    def follow(
        self, equity: float, reward: float, logprob: float | None, value: float | None
    ) -> Alarm | None:
        """A decision was made at `equity` by an action of `logprob`; the one before, by the same, earned `reward`.

        What a sampled action's negative log-prob is on average is the entropy; of a greedy one it is less.
        """
        if any(number is not None and not math.isfinite(number) for number in (logprob, value)):
            return Alarm("non_finite", {})
        if self._left == 0:
            return None
        self._left -= 1
        self._served += 1
        return self._fallen(equity) or self._shifted(reward) or self._collapsed(logprob)

    def _fallen(self, equity: float) -> Alarm | None:
        """One that loses less than the incumbent is better than that, and no worse than was known."""
        losing = min(0.0, self._expectation.growth) if self._expectation else 0.0
        beyond = equity * math.exp(-losing * self._served)
        self._peak = max(self._peak, beyond)
        drawdown = 1.0 - beyond / self._peak if self._peak > 0.0 else 1.0
        if drawdown <= self._rules.alarm_drawdown_fraction:
            return None
        return Alarm("drawdown", {"drawdown": drawdown, "decisions": self._served})

    def _shifted(self, reward: float) -> Alarm | None:
        """The one-sided cumulative sum of Page 1954, "Continuous inspection schemes", in standard deviations.

        The deviation is the shadow's, or that of the rewards themselves where the market has become wilder.
        """
        expected, rules = self._expectation, self._rules
        if expected is None or self._served == 1 or not math.isfinite(reward):
            return None
        self._square += (reward * reward - self._square) / min(self._served - 1, _HORIZON)
        deviation = max(expected.reward_sd, math.sqrt(self._square))
        if deviation == 0.0:
            return None
        short = min(max((expected.reward - reward) / deviation, -_CLIP), _CLIP)
        self._missing = max(0.0, self._missing + short - rules.alarm_shift_slack_sd)
        if self._missing <= rules.alarm_shift_limit_sd:
            return None
        return Alarm("reward_shift", {"missing_sd": self._missing, "decisions": self._served})

    def _collapsed(self, logprob: float | None) -> Alarm | None:
        if logprob is None:
            return None
        self._surprises += 1
        self._surprise += (-logprob - self._surprise) / min(self._surprises, _HORIZON)
        fraction = self._surprise / self._greatest_entropy
        if self._surprises < _HORIZON or fraction >= self._rules.min_entropy_fraction:
            return None
        return Alarm("entropy", {"entropy_fraction": fraction, "decisions": self._served})
