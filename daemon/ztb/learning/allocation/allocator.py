"""The account's target exposure: the sum of weight times target exposure over experts that trade beside it on paper.

Each expert k trades an account of its own at full size, on the same ticks and costs. Its weight is its posterior share
in a mixture with staying flat (Bayes' rule with e-values for likelihood ratios; with real likelihoods: Cover 1991,
"Universal portfolios", and Cesa-Bianchi and Lugosi 2006, "Prediction, Learning, and Games", section 9.4):

    w_k = p_k e_k / (1 - p + sum_j p_j e_j),   p = sum_j p_j

so that at first the experts share `prior`, what loses fades, and what keeps growing after costs gets everything. Chance
alone makes e large now and then. Therefore all weights are multiplied by a cushion (Grossman and Zhou 1993, "Optimal
investment strategies for controlling drawdowns"): it falls to 0 as the account loses a fraction D of its peak, and D
grows with the highest evidence of the whole so far, e = sum_j (p_j / p) e_j, from `drawdown_fraction` below `DOUBT` to
what the account's limits let it lose beyond `CERTAINTY`. Beyond `DOUBT` a new height of e begins a new peak: what was
cut back may trade again; the limit itself is of the highest peak, always.

An edge that is slight beside the market's noise falls deep on its way. Where K is the multiple of full size that would
grow fastest, an account of size s lies s / 2K below its peak on average (the stationary law of a Brownian motion with
drift below its maximum is exponential). No expert has more than makes that mean half of the limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ztb.learning.allocation.evidence import FloatArray, GrowthEvidence, appraise, foresee_all
from ztb.learning.settings import AllocationConfig

if TYPE_CHECKING:
    from ztb.features.forecast import Foreseen

_FAR = 500.0
"""Log evidence beyond which a float would not hold it: all is said long before."""


_SHORT_OF = 0.95
"""Of the account's limit, where nothing is left to lose: at the limit it is halted, until a person resumes it."""
_DEPTH = 2.0
"""The account's limit, by how far it is to lie below its peak on average at most."""
DOUBT, CERTAINTY = 55.0, 22_000.0
"""Evidence of the whole from which on more than `drawdown_fraction` may be lost, and from which on all of the limit."""
EARNED = 20.0
"""Evidence before which an expert that begins with nothing behind it has no weight at all."""


@dataclass(slots=True)
class Expert:
    """One who trades beside the account. `unproven`: no weight before `EARNED`."""

    name: str
    share: float
    """Of the prior, relative to the other experts'."""
    evidence: GrowthEvidence
    unproven: bool
    weight: float = 0.0
    opened: float = 0.0
    """Equity at the beginning of the block, quote currency; 0: it has not begun."""
    equity: float = 0.0
    """At the last decision; 0: there was none."""


class Allocator:
    """Weighs experts, block by block. Made of plain sums: the same calls give the same weights, bit for bit."""

    def __init__(self, config: AllocationConfig, limit: float = 1.0) -> None:
        """`limit`: the fraction of its peak that the account may ever lose; it is cut back to stay short of it."""
        self.config = config
        self.experts: dict[str, Expert] = {}
        self.cushion = 1.0
        self._decisions = 0
        self._highest = 0.0
        self._reference = 0.0
        self._peak = 0.0
        self._limit = _SHORT_OF * limit
        self._seat()

    def add(
        self, name: str, share: float = 1.0, evidence: GrowthEvidence | None = None, unproven: bool = False
    ) -> Expert:
        """A new expert, which begins with `evidence`, or none."""
        begun = evidence if evidence is not None else GrowthEvidence(self.config.forgetting)
        expert = self.experts[name] = Expert(name, share, begun, unproven)
        self._seat()
        self.weigh()
        return expert

    def remove(self, name: str) -> None:
        """`name` is no expert any more."""
        del self.experts[name]
        self._seat()
        self.weigh()

    def _seat(self) -> None:
        """Lay the experts' sums side by side, a row each: one call takes a decision into all of them."""
        self._table = np.array([expert.evidence.sums for expert in self.experts.values()])
        for row, expert in zip(self._table, self.experts.values(), strict=True):
            expert.evidence.sums = row
        self._rows = {name: row for row, name in enumerate(self.experts)}

    def copy(self) -> Allocator:
        """Another with the same experts and weights, which goes its own way from here on."""
        other = copy(self)
        other.experts = {
            name: replace(expert, evidence=expert.evidence.copy()) for name, expert in self.experts.items()
        }
        other._seat()
        return other

    def rehearse(self, equities: Mapping[str, float], last: bool) -> None:
        """As `follow`, before the account trades: of the experts alone. `last` of a block."""
        for name, equity in equities.items():
            self._follow(self.experts[name], equity, last)

    def follow(
        self,
        equities: Mapping[str, float],
        account: float,
        foreseen: Foreseen | None = None,
        positions: Mapping[str, float] | None = None,
    ) -> bool:
        """Equities at a decision, of each expert and of the account, quote currency; whether weights were made anew.

        `foreseen`: what was forecast of the return since the last one, `positions` what experts held meanwhile, base
        currency; None: nothing was forecast, or something is missing in between.
        """
        closes = self._decisions % self.config.block_decisions == 0
        self._decisions += 1
        if foreseen is not None and positions is not None:
            held = np.array([positions[name] for name in equities])[:, None]
            now = np.array(list(equities.values()))[:, None]
            self._foresee(
                equities, market=np.array([foreseen[:4]]), cost=foreseen.cost, positions=held, equities=now
            )
        for name, equity in equities.items():
            self._follow(self.experts[name], equity, closes)
        self._peak = max(self._peak, account)
        self._reference = max(self._reference, account) if self._reference > 0.0 else 0.0
        if closes:
            self._close(account)
        return closes

    def follow_all(
        self,
        equities: Mapping[str, FloatArray],
        positions: Mapping[str, FloatArray],
        account: FloatArray,
        foreseen: FloatArray,
        cost: float,
    ) -> bool:
        """As `follow` at N decisions, of which the last alone may end a block: every array (N,).

        `foreseen` (N, 4): forecasts as `Foreseen` has them, mid 0: none; `cost` is theirs.
        """
        closes = (self._decisions + len(account) - 1) % self.config.block_decisions == 0
        self._decisions += len(account)
        held, now = np.array([positions[name] for name in equities]), np.array(list(equities.values()))
        self._foresee(
            equities, market=np.ascontiguousarray(foreseen), cost=cost, positions=held, equities=now
        )
        for name, own in equities.items():
            expert = self.experts[name]
            if len(own) > 1:
                self._follow(expert, float(own[0]), closes=False)
            self._follow(expert, float(own[-1]), closes)
        highest = float(np.max(account))
        self._peak = max(self._peak, highest)
        self._reference = max(self._reference, highest) if self._reference > 0.0 else 0.0
        if closes:
            self._close(float(account[-1]))
        return closes

    @property
    def left(self) -> int:
        """Decisions before the one at which weights are made anew."""
        return -self._decisions % self.config.block_decisions

    def _foresee(
        self,
        names: Iterable[str],
        market: FloatArray,
        cost: float,
        positions: FloatArray,
        equities: FloatArray,
    ) -> None:
        rows = np.array([self._rows[name] for name in names])
        before = np.array([self.experts[name].equity for name in names])
        foresee_all(
            table=self._table,
            rows=rows,
            market=market,
            cost=cost,
            positions=positions,
            before=before,
            equities=equities,
        )

    @staticmethod
    def _follow(expert: Expert, equity: float, closes: bool) -> None:
        expert.equity = equity
        if expert.opened == 0.0:
            expert.opened = equity
        elif closes and equity > 0.0:
            expert.evidence.add(math.log(equity / expert.opened))
            expert.opened = equity

    def adopted(self, value: float) -> None:
        """Equities were changed by `value` quote currency that nothing earned."""
        self._reference += value
        self._peak += value
        for expert in self.experts.values():
            if expert.opened > 0.0:
                expert.opened += value
                expert.equity += value

    def target(self, exposures: Mapping[str, float]) -> float:
        """The account's target exposure, of the experts' target exposures."""
        return sum(expert.weight * exposures[name] for name, expert in self.experts.items())

    @property
    def invested(self) -> float:
        """The sum of all weights: what is not flat."""
        return sum(expert.weight for expert in self.experts.values())

    @property
    def heaviest(self) -> Expert:
        """The one with the largest weight."""
        return max(self.experts.values(), key=lambda expert: expert.weight)

    @property
    def awaited(self) -> str:
        """In words, what it takes for an expert to have a share, and how near the nearest is."""
        if self.cushion == 0.0:
            return (
                "as much was lost as the evidence allows; it trades again when that stands higher than ever"
            )
        nearest = max(self.experts.values(), key=lambda expert: expert.evidence.log_e)
        return (
            f"the growth of {nearest.name} on paper has an evidence of {_e(nearest):.2g}; it takes "
            f"{EARNED:g} where nothing was trained"
        )

    @property
    def log_e(self) -> float:
        """Natural logarithm of the evidence of the whole."""
        return self._whole(self._said())

    def _said(self) -> list[tuple[float, float]]:
        """Of each expert its evidence, and the multiple of full size that would grow fastest."""
        return [(math.exp(min(log_e, _FAR)), kelly) for log_e, kelly in appraise(self._table).tolist()]

    def _whole(self, said: list[tuple[float, float]]) -> float:
        experts = self.experts.values()
        total = sum(expert.share for expert in experts)
        if not total:
            return 0.0
        return math.log(sum(expert.share / total * e for expert, (e, _) in zip(experts, said, strict=True)))

    def _close(self, account: float) -> None:
        """End a block: what may be lost, and weights."""
        said = self._said()
        self._look_back(account, self._whole(said))
        self._weigh(said)

    def _look_back(self, account: float, log_e: float) -> None:
        """Move the cushion: what was lost since the evidence stood highest, against what may be lost."""
        config = self.config
        doubt, certainty = math.log(DOUBT), math.log(CERTAINTY)
        begun = self._reference == 0.0 or log_e > max(self._highest, doubt)
        self._reference = account if begun else self._reference
        self._highest = max(self._highest, log_e)
        lost = 1.0 - account / self._reference
        trust = min(max((self._highest - doubt) / (certainty - doubt), 0.0), 1.0)
        most = config.drawdown_fraction + trust * max(self._limit - config.drawdown_fraction, 0.0)
        below = (1.0 - account / self._peak) / self._limit
        self.cushion = min(max(1.0 - max(lost / most, below), 0.0), 1.0)

    def weigh(self) -> None:
        """Make the weights anew from the evidence as it is."""
        self._weigh(self._said())

    def _weigh(self, said: list[tuple[float, float]]) -> None:
        prior, experts = self.config.prior, self.experts.values()
        total = sum(expert.share for expert in experts) or 1.0
        spoken = [
            prior * expert.share / total * e if self._admitted(expert, e) else 0.0
            for expert, (e, _) in zip(experts, said, strict=True)
        ]
        whole = 1.0 - prior + sum(spoken)
        for expert, own, (_, kelly) in zip(experts, spoken, said, strict=True):
            expert.weight = min(self.cushion, 2.0 * kelly * self._limit / _DEPTH) * own / whole

    @staticmethod
    def _admitted(expert: Expert, e: float) -> bool:
        if expert.unproven and e >= EARNED:
            expert.unproven = False  # it has earned its place, and keeps it as all others do
        return not expert.unproven

    def state(self) -> dict[str, Any]:
        """The state on which the next weights depend beside the experts' evidence."""
        return {
            "decisions": self._decisions,
            "highest": self._highest,
            "reference": self._reference,
            "peak": self._peak,
            "cushion": self.cushion,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`, with experts that were added with the evidence they had."""
        self._decisions = int(state["decisions"])
        self._highest, self._reference = float(state["highest"]), float(state["reference"])
        self._peak, self.cushion = float(state.get("peak", 0.0)), float(state["cushion"])
        self.weigh()


def _e(expert: Expert) -> float:
    return math.exp(min(expert.evidence.log_e, _FAR))
