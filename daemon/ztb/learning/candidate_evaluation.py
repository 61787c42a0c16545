"""Has the gate judge the recent past piece by piece as it is cut, wherever the learner runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ztb.learning.gate.candidate import Candidate, Verdict
from ztb.learning.gate.gate import Gate
from ztb.learning.gate.shadow import ShadowTerms
from ztb.learning.online import Restart
from ztb.learning.recent import RecentRollouts
from ztb.learning.settings import GateRules
from ztb.trading.policy.weights import NetworkShape

_SEED_OFFSET = 0x67617465  # the gate's random numbers are not those of the rollouts


@dataclass(frozen=True, slots=True)
class CandidateEvaluationConfig:
    """The gate's rules, what candidates must be trained to see, and whether they sample."""

    rules: GateRules
    schema: str
    sample: bool


class CandidateEvaluation:
    """The gate, and the pieces on their way to it. `recent` is where they are cut."""

    def __init__(
        self,
        config: CandidateEvaluationConfig,
        recent: RecentRollouts,
        shape: NetworkShape,
        seed: int,
        serving: Candidate,
    ) -> None:
        self._config = config
        self._recent = recent
        self._pieces = recent.subscribe()
        given = recent.config
        terms = ShadowTerms(
            shape=shape,
            bridge=given.bridge,
            paper=given.paper,
            start_cash=given.start_cash,
            sample=config.sample,
            make=recent.make,
            own_reward=recent.own_reward,
        )
        self._gate = Gate(
            terms=terms,
            rules=config.rules,
            schema=config.schema,
            seed=seed + _SEED_OFFSET,
            incumbent=self._stamped(serving),
        )

    @property
    def has_pieces(self) -> bool:
        """True if a piece has been cut that nobody was judged on yet."""
        return bool(self._pieces)

    def patience(self, decision: int) -> int:
        """Number of decisions from number `decision` on to the next at which a piece is cut, that one included."""
        return -decision % self._config.rules.piece_decisions + 1

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

    def submit(self, candidate: Candidate) -> list[Verdict]:
        """Take a candidate into the gate's test."""
        return self._gate.submit(self._stamped(candidate))

    def serve(self, serving: Candidate, restart: Restart = Restart.NONE) -> list[Verdict]:
        """Test against `serving` from now on.

        Where the learner is set back as well, nobody made before may pass any more.
        """
        if restart is not Restart.NONE:
            self._gate.dismiss()
        return self._gate.serve(self._stamped(serving))

    def _stamped(self, candidate: Candidate) -> Candidate:
        """With the schema of what this run's policies see, and without what only the learner needs."""
        return replace(candidate, schema=self._config.schema, updater_state=None)
