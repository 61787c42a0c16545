"""One candidate's test: what it did beside the incumbent so far, and when that is enough."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ztb.learning.gate.candidate import PASSED, Candidate, Verdict
from ztb.learning.gate.evidence import EProcess
from ztb.learning.gate.shadow import Shadow, ShadowTerms, ShadowTrading
from ztb.learning.settings import GateRules
from ztb.trading.policy.categorical import Divergence, divergence, greatest_entropy

_REFUSE = 0.05
"""Probability, at most, that a candidate better than the incumbent is refused as worse."""


class _Fall:
    """Drawdowns of P accounts since the beginning."""

    def __init__(self) -> None:
        self._peak: NDArray[np.float64] | None = None
        self._worst: NDArray[np.float64] | None = None

    def follow(self, equity: NDArray[np.float64]) -> None:
        """(T, P) equities, the first of which may be the last of those before."""
        peak = equity[0] if self._peak is None else self._peak
        worst = np.zeros_like(peak) if self._worst is None else self._worst
        peaks = np.maximum(np.maximum.accumulate(equity, axis=0), peak)
        self._worst = np.maximum(worst, np.max(1.0 - equity / peaks, axis=0))
        self._peak = peaks[-1]

    @property
    def mean(self) -> float:
        """Mean over the accounts of the greatest."""
        return 0.0 if self._worst is None else float(np.mean(self._worst))


class _Side:
    """Running means of one policy over the steps that count, and its drawdown."""

    def __init__(self) -> None:
        self.reward = self.square = self.turnover = self.growth = 0.0
        self.fall = _Fall()

    def follow(self, traded: ShadowTrading, counted: NDArray[np.bool_]) -> None:
        rewards = traded.rewards[counted]
        self.reward += float(rewards.mean(axis=1).sum())
        self.square += float((rewards * rewards).mean(axis=1).sum())
        self.turnover += float(traded.turnover[counted].mean(axis=1).sum())
        first, last = traded.equity[0], traded.equity[-1]
        if first.min() > 0.0 and last.min() > 0.0:
            self.growth += float(np.mean(np.log(last / first)))
        self.fall.follow(traded.equity)


class Trial:
    """`entrant` in test with `shadow`'s accounts, at error probability `alpha`."""

    def __init__(
        self,
        entrant: Candidate,
        shadow: Shadow,
        alpha: float,
        terms: ShadowTerms,
        rules: GateRules,
        began_ns: int,
    ) -> None:
        self.entrant = entrant
        self.shadow = shadow
        self.decisions = 0
        self.evidence = EProcess()
        self._alpha = alpha
        self._heads = terms.shape.heads
        self._span = terms.bridge.ladder[-1] - terms.bridge.ladder[0]
        self._rules = rules
        self._began_ns = began_ns
        self._own, self._incumbent = _Side(), _Side()
        self._block: list[float] = []
        self._kl = self._entropy = 0.0
        self._seen = 0
        self._difference = 0.0
        self._better = self._worse = 0.0  # the greatest evidence so far
        self._course: list[float] = []

    def follow(self, own: ShadowTrading, incumbent: ShadowTrading, behaviour: Divergence) -> str:
        """Take what both did on a piece; the reason why the test is over, or nothing.

        Where the incumbent's own reward is not finite, nothing can be compared; a candidate's ends its test.
        """
        counted = ~own.tainted & np.isfinite(incumbent.rewards).all(axis=1)
        self._own.follow(own, counted)
        self._incumbent.follow(incumbent, counted)
        self._seen += len(counted)
        self._kl += behaviour.kl * len(counted)
        self._entropy += behaviour.entropy * len(counted)
        return self._broken(own, behaviour) or self._weigh((own.rewards - incumbent.rewards)[counted])

    def compare(self, incumbent: NDArray[np.float32], observations: NDArray[np.float32]) -> Divergence:
        """Against the incumbent's logits (N, A) for `observations` (N, D)."""
        return divergence(incumbent, self.shadow.logits(observations), self._heads)

    def _weigh(self, differences: NDArray[np.float64]) -> str:
        """Add differences (T, P) block by block, looking after each; what has come of it."""
        for difference in differences.mean(axis=1).tolist():
            self.decisions += 1
            self._difference += difference
            self._block.append(difference)
            if len(self._block) == self._rules.block_decisions:
                self._add_block()
        if self._better >= math.log(1.0 / self._alpha):
            return PASSED
        if self._worse >= math.log(1.0 / _REFUSE):
            return "worse"
        return "undecided" if self.decisions >= self._rules.window_decisions else ""

    def _add_block(self) -> None:
        evidence = self.evidence
        evidence.add(sum(self._block) / len(self._block))
        self._block.clear()
        self._better = max(self._better, evidence.log_better)
        self._worse = max(self._worse, evidence.log_worse)
        self._course.append(self._difference)

    def _broken(self, own: ShadowTrading, behaviour: Divergence) -> str:
        """The limit that the candidate breaks, whatever it earns."""
        rules = self._rules
        if not (math.isfinite(behaviour.kl) and np.isfinite(own.rewards).all()):
            return "non_finite"
        if self._kl > rules.max_kl * self._seen:
            return "kl"
        if self._entropy_fraction < rules.min_entropy_fraction:
            return "entropy"
        if self._full_block and self._turnover(self._own) > rules.max_turnover_fraction * self._span:
            return "turnover"
        if self._own.fall.mean - self._incumbent.fall.mean > rules.max_excess_drawdown_fraction:
            return "drawdown"
        return ""

    @property
    def _full_block(self) -> bool:
        """True if there is enough for a mean: the way into the first position is turnover of no policy."""
        return self._seen >= self._rules.block_decisions

    @property
    def _entropy_fraction(self) -> float:
        return self._entropy / max(self._seen, 1) / greatest_entropy(self._heads)

    def _turnover(self, side: _Side) -> float:
        return side.turnover / max(self._seen, 1)

    def verdict(self, reason: str) -> Verdict:
        """The end, for `reason`, with the figures as they are."""
        return Verdict(self.entrant.number, reason == PASSED, reason, self.figures())

    def figures(self) -> dict[str, float | int | list[float] | None]:
        """Everything that the test found, a decision where not said otherwise; what there is none of is None."""
        n, own, incumbent = max(self.decisions, 1), self._own, self._incumbent
        low, high = self.evidence.bounds(self._alpha)
        counted = self.decisions > 0
        return {
            "tested_decisions": self.decisions,
            "tested_from_ns": self._began_ns,
            "trained_to_ns": self.entrant.trained_to_ns,
            "alpha": self._alpha,
            "log_evidence": _finite(self._better),
            "difference": _finite(self._difference / n) if counted else None,
            "difference_low": low,
            "difference_high": high,
            "reward": _finite(own.reward / n) if counted else None,
            "reward_sd": _finite(math.sqrt(max(own.square / n - (own.reward / n) ** 2, 0.0))),
            "growth": _finite(own.growth / max(self._seen, 1)),
            "incumbent_reward": _finite(incumbent.reward / n) if counted else None,
            "kl": _finite(self._kl / max(self._seen, 1)),
            "entropy_fraction": _finite(self._entropy_fraction),
            "turnover": _finite(self._turnover(own)),
            "incumbent_turnover": _finite(self._turnover(incumbent)),
            "drawdown": _finite(own.fall.mean),
            "incumbent_drawdown": _finite(incumbent.fall.mean),
            "course": _thinned(self._course),
        }


_COURSE = 32


def _thinned(course: list[float]) -> list[float]:
    """At most `_COURSE` values of the summed difference, the last among them."""
    step = max(1, math.ceil(len(course) / _COURSE))
    return [float(f"{value:.4g}") for value in course[::-1][::step][::-1]]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
