"""How much error each test may use, so that a month of testing has a stated rate of false promotions."""

from __future__ import annotations

from dataclasses import dataclass

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
