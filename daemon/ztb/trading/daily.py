"""Daily closes of the mid, as rules that look back for weeks need them."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise

DAY_NS = 86_400_000_000_000
DAYS_A_YEAR = 365  # these markets never close


class DailyCloses:
    """The last `most` closes (quote currency, oldest first): the last mid that was seen of each UTC day."""

    def __init__(self, most: int) -> None:
        self.closes: deque[float] = deque(maxlen=most)
        self._day = -1
        self._last = 0.0

    def see(self, ts_ns: int, mid: float) -> bool:
        """Take note of `mid` at event time `ts_ns`; True where it is the first of a new day, the one before closed."""
        if mid <= 0.0:
            return False
        day = ts_ns // DAY_NS
        closed = self._last > 0.0 and day > self._day
        if closed:
            self.closes.append(self._last)
        self._day, self._last = day, mid
        return closed

    def volatility(self, days: int) -> float | None:
        """Standard deviation a year of the log returns of the last `days` days; None before there are as many."""
        if len(self.closes) <= days:
            return None
        closes = list(self.closes)[-days - 1 :]
        returns = [math.log(after / before) for before, after in pairwise(closes)]
        mean = sum(returns) / days
        variance = sum((each - mean) ** 2 for each in returns) / (days - 1)
        return math.sqrt(variance * DAYS_A_YEAR)
