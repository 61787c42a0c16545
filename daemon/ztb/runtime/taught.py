"""What both ways of learning share: the policy that serves, and giving up when learning does not help."""

from __future__ import annotations

from ztb.learning.helping import Helping
from ztb.runtime.engine import Learning
from ztb.runtime.promotion import Promotion


class Taught(Learning):
    """Learning whose generations `promotion` carries out; told to, it freezes itself when it is clear that it hurts."""

    def __init__(self, promotion: Promotion) -> None:
        self.promotion = promotion

    @property
    def frozen(self) -> bool:
        """See `Learning`; a freeze lets no promotion through either (`Promotion.conclude`)."""
        return self.promotion.frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self.promotion.frozen = frozen

    @property
    def generation(self) -> int:  # type: ignore[override]
        return self.promotion.policy.info.number

    def heed(self, helping: Helping) -> None:
        """See `Learning`."""
        if not self.promotion.stop_if_not_helping or self.frozen or helping.answer != "hurts":
            return
        self.frozen = True
        self.promotion.note("learning_frozen", {"reason": "not_helping", **helping.against("frozen").facts()})
