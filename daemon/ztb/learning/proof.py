"""What may not trade yet: a policy that is random, until something of its line has been promoted."""

from __future__ import annotations

from ztb.learning.generations import ServedPolicy
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_WAIT
from ztb.trading.strategy import Action, Moment, Strategy


class AwaitsProof:
    """A strategy that sends nothing while generation 0 serves, which is random, and then does what `inner` decides.

    What the account held before is not touched; what the run itself has `traded` is closed, should generation 0 serve
    again. `inner` is asked at every decision, so that it goes on from where it is.
    """

    def __init__(self, inner: Strategy, policy: ServedPolicy, traded: bool = False) -> None:
        self._inner = inner
        self._policy = policy
        self._traded = traded

    @property
    def waits(self) -> bool:
        """Whether nothing trades yet."""
        return self._policy.info.number == 0

    def decide(self, moment: Moment) -> Action:
        """The choice of `inner`, or to wait or hold nothing; without a log-prob, since no policy chose that."""
        choice = self._inner.decide(moment)
        if not self.waits:
            self._traded = True
            return choice
        return Action(moment.ladder.index(0.0), TIMING_AGGRESSIVE if self._traded else TIMING_WAIT)
