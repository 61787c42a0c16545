"""Candidates in test against the incumbent: who is let in, who waits, who gives way, who has passed.

How much error each test may use is budgeted, so that a month of testing has a stated rate of false promotions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ztb.learning.gate.candidate import PASSED, SUPERSEDED, Candidate, Verdict, fault
from ztb.learning.gate.shadow import Shadow, ShadowTerms
from ztb.learning.gate.trial import Trial
from ztb.learning.settings import GateRules
from ztb.trading.policy.network import weight_shapes
from ztb.trading.recording import Recording

MONTH_NS = 30 * 86_400_000_000_000


@dataclass(slots=True)
class ErrorBudget:
    """Accrues `per_month` with event time; each test gets half of what is there, `most_each` at most.

    What all tests of any span get together is at most 2 `most_each` and what accrued in it; so the expected number
    of false promotions is that at most, tests being as many and as dependent as they like (linearity of
    expectation). Half is always left, so that no test is without a chance.
    """

    per_month: float
    most_each: float
    _left: float = -1.0
    _at_ns: int = 0

    def spend(self, ts_ns: int) -> float:
        """α of a test that begins at `ts_ns`."""
        full = 2.0 * self.most_each
        if self._left < 0.0:
            self._left, self._at_ns = full, ts_ns
        self._left = min(full, self._left + self.per_month * max(0, ts_ns - self._at_ns) / MONTH_NS)
        self._at_ns = max(self._at_ns, ts_ns)
        alpha = min(self.most_each, 0.5 * self._left)
        self._left -= alpha
        return alpha


_KEYS = 2**62
_PATIENCE = 8
"""A candidate that the evidence does not favour gives way to a newer one after this part of the window."""


class Gate:
    """Judges entrants on pieces of market as they come. The same calls give the same verdicts, bit for bit.

    An entrant waits until a piece begins that came after all it was trained on; one waits at a time, the newest.
    With a free slot it is tested: its accounts go on from the incumbent's. With none, it takes the place of the
    candidate with the least evidence, if that has had an eighth of its window and speaks against it. Whoever has
    passed serves when the caller says so (`serve`); the newer of the others then begin anew, against it.
    """

    def __init__(
        self, terms: ShadowTerms, rules: GateRules, schema: str, seed: int, incumbent: Candidate
    ) -> None:
        self._terms = terms
        self._rules = rules
        self._schema = schema
        self._shapes = weight_shapes(terms.shape, terms.make)
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._keys = self._generator.integers(0, _KEYS, rules.paths)
        self._budget = ErrorBudget(rules.false_promotions_per_month, rules.most_false_promotion)
        self._incumbent = incumbent
        self._shadow = Shadow(terms, incumbent.weights, self._keys)
        self._waiting: list[Candidate] = []
        self._trials: list[Trial] = []
        self._reached: int | None = None

    @property
    def incumbent(self) -> int:
        """The number of who serves."""
        return self._incumbent.number

    @property
    def in_test(self) -> tuple[int, ...]:
        """Numbers of the candidates in test."""
        return tuple(trial.entrant.number for trial in self._trials)

    @property
    def waiting(self) -> tuple[int, ...]:
        """Numbers of the candidates that wait for one."""
        return tuple(entrant.number for entrant in self._waiting)

    def submit(self, entrant: Candidate) -> list[Verdict]:
        """Let `entrant` wait for its test; who is refused at the door or gives way to it."""
        reason = self._turned_away(entrant)
        if reason:
            return [Verdict(entrant.number, False, reason, {"trained_to_ns": entrant.trained_to_ns})]
        displaced = [_superseded(other) for other in self._waiting]
        self._waiting = [entrant]
        return displaced

    def observe(self, piece: Recording, last: int) -> list[Verdict]:
        """Test on `piece`, the decisions up to number `last`, led by the last one of the piece before.

        One that is led by another begins all accounts anew. At most one of the verdicts is a pass: the one with
        the strongest evidence; others that would have passed go on, and lose their standing when it serves.
        """
        if piece.decisions < 2:
            return []
        first = last - piece.decisions + 1
        if self._reached is not None and first != self._reached:
            self._interrupt()
        self._reached = last
        return self._admit(first, int(piece.shared.times_ns[0])) + self._test(piece)

    def serve(self, entrant: Candidate) -> list[Verdict]:
        """`entrant` is the incumbent from now on, for whatever reason; who has to go because of that."""
        self._incumbent = entrant
        self._shadow = self._shadow.fork(entrant.weights)
        tested, self._trials = [t for t in self._trials if t.entrant.number != entrant.number], []
        waiting = [other for other in self._waiting if other.number != entrant.number]
        newer = [o for o in (*(t.entrant for t in tested), *waiting) if o.trained_to > entrant.trained_to]
        self._waiting = sorted(newer, key=lambda other: (other.trained_to, other.number))
        gone = [trial.verdict(SUPERSEDED) for trial in tested if trial.entrant not in newer]
        return gone + [_superseded(other) for other in waiting if other not in newer]

    def dismiss(self) -> None:
        """Nobody in test or waiting may pass any more: what they were trained from has been given up."""
        self._trials, self._waiting = [], []

    def _turned_away(self, entrant: Candidate) -> str:
        if entrant.schema != self._schema:
            return "schema"
        if entrant.trained_to <= self._incumbent.trained_to:
            return "stale"
        return fault(entrant.weights, self._shapes)

    def _interrupt(self) -> None:
        self._shadow.interrupt()
        for trial in self._trials:
            trial.shadow.interrupt()

    def _admit(self, first: int, ts_ns: int) -> list[Verdict]:
        """Begin the tests of those who wait and have seen nothing after decision `first`, where there is room."""
        verdicts: list[Verdict] = []
        for entrant in [other for other in self._waiting if other.trained_to <= first]:
            if len(self._trials) >= self._rules.slots:
                weakest = self._weakest()
                if weakest is None:
                    break
                self._trials.remove(weakest)
                verdicts.append(weakest.verdict(SUPERSEDED))
            alpha = self._budget.spend(ts_ns)
            shadow = self._shadow.fork(entrant.weights)
            self._trials.append(
                Trial(
                    entrant=entrant,
                    shadow=shadow,
                    alpha=alpha,
                    terms=self._terms,
                    rules=self._rules,
                    began_ns=ts_ns,
                )
            )
            self._waiting.remove(entrant)
        return verdicts

    def _weakest(self) -> Trial | None:
        """The trial that gives way, if any has to."""
        patience = self._rules.window_decisions // _PATIENCE
        candidates = [t for t in self._trials if t.decisions >= patience and t.evidence.log_better < 0.0]
        return min(candidates, key=lambda trial: trial.evidence.log_better, default=None)

    def _test(self, piece: Recording) -> list[Verdict]:
        uniforms = self._generator.random(
            (piece.decisions - 1, self._rules.paths, len(self._terms.shape.heads))
        )
        theirs = self._shadow.trade(piece, uniforms)
        if not self._trials:
            return []
        logits = self._shadow.logits(theirs.observations)
        ended: list[tuple[Trial, str]] = []
        for trial in self._trials:
            behaviour = trial.compare(logits, theirs.observations)
            reason = trial.follow(trial.shadow.trade(piece, uniforms), theirs, behaviour)
            if reason:
                ended.append((trial, reason))
        return self._conclude(ended)

    def _conclude(self, ended: list[tuple[Trial, str]]) -> list[Verdict]:
        passed = [trial for trial, reason in ended if reason == PASSED]
        best = max(passed, key=lambda trial: trial.evidence.log_better, default=None)
        verdicts: list[Verdict] = []
        for trial, reason in ended:
            if reason == PASSED and trial is not best:
                continue
            self._trials.remove(trial)
            verdicts.append(trial.verdict(reason))
        return verdicts


def _superseded(entrant: Candidate) -> Verdict:
    return Verdict(entrant.number, False, SUPERSEDED, {"trained_to_ns": entrant.trained_to_ns})
