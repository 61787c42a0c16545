"""Has the gate judge the recent past piece by piece as it is cut, wherever the learner runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ztb.learning.gate.candidate import Candidate, Verdict
from ztb.learning.gate.gate import Gate
from ztb.learning.gate.shadow import ShadowTerms
from ztb.learning.recent import RecentRollouts
from ztb.learning.settings import GateRules
from ztb.trading.policy.weights import NetworkShape, Weights
from ztb.trading.recording import Recording

if TYPE_CHECKING:
    from ztb.learning.online import OnlineLearner

_SEED_OFFSET = 0x67617465  # the gate's random numbers are not those of the rollouts


@dataclass(frozen=True, slots=True)
class CandidateEvaluationConfig:
    """The gate's rules, what candidates must be trained to see, and whether they sample."""

    rules: GateRules
    schema: str
    sample: bool


@dataclass(frozen=True, slots=True)
class Incumbent:
    """Who serves from now on, and what the learner is to go on from where it is to forget what it has learnt since.

    `number` is that of the update that made the weights, 0 for generation 0. `era` counts how often the learner
    was set back: what was trained in an era that has been given up is nobody's candidate any more. `anew`: it was
    because the learner had gone wrong, so that nothing of its optimiser is kept.
    """

    number: int
    weights: Weights
    trained_to: int
    trained_to_ns: int
    era: int = 0
    set_back: bool = False
    updater_state: Mapping[str, Any] | None = None
    anew: bool = False

    def guide(self, learner: OnlineLearner) -> None:
        """Set `learner` back, if it is to be."""
        if self.anew:
            learner.begin_anew(self.weights)
        elif self.set_back:
            learner.set_back(self.weights, self.updater_state)


def first_serving(weights: Weights) -> Incumbent:
    """Generation 0 before the first decision."""
    return Incumbent(0, weights, -1, 0)


class CandidateEvaluation:
    """The gate, and the pieces on their way to it. `recent` is where they are cut."""

    def __init__(
        self,
        config: CandidateEvaluationConfig,
        recent: RecentRollouts,
        shape: NetworkShape,
        seed: int,
        serving: Incumbent,
    ) -> None:
        self._config = config
        self._recent = recent
        self._pieces: deque[Recording] = deque()
        recent.on_piece = self._pieces.append
        given = recent.config
        terms = ShadowTerms(
            shape, given.bridge, given.paper, given.start_cash, config.sample, recent.make, recent.own_reward
        )
        entrant = self._entrant(serving.number, serving.weights, serving.trained_to, serving.trained_to_ns)
        self._gate = Gate(terms, config.rules, config.schema, seed + _SEED_OFFSET, entrant)

    def follow(self, decision: int) -> list[Verdict]:
        """The window knows of everything up to `decision`: judge what is new, where it is time to."""
        if decision % self._config.rules.piece_decisions == 0:
            self._recent.advance()
        verdicts: list[Verdict] = []
        while self._pieces:
            verdicts += self._gate.observe(self._pieces.popleft(), decision)
        return verdicts

    def rest(self, decision: int) -> list[Verdict]:
        """In place of `follow` while learning is frozen: the window hears of everything, and nobody is judged."""
        if decision % self._config.rules.piece_decisions == 0:
            self._recent.advance()
        self._pieces.clear()
        return []

    def submit(self, number: int, weights: Weights, trained_to: int, trained_to_ns: int) -> list[Verdict]:
        """A candidate has been made; see `Gate.submit`."""
        return self._gate.submit(self._entrant(number, weights, trained_to, trained_to_ns))

    def serve(self, serving: Incumbent) -> list[Verdict]:
        """See `Gate.serve`."""
        if serving.set_back:
            self._gate.dismiss()
        return self._gate.serve(
            self._entrant(serving.number, serving.weights, serving.trained_to, serving.trained_to_ns)
        )

    def _entrant(self, number: int, weights: Weights, trained_to: int, trained_to_ns: int) -> Candidate:
        return Candidate(number, weights, trained_to, trained_to_ns, self._config.schema)
