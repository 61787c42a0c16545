"""Whether a book told by depth messages ever crosses, which says that messages are missing or wrong."""

from __future__ import annotations

import numpy as np

from ztb.market.book import BOOK, apply_level, book_touch
from ztb.market.ticks import DEPTH, LAST, Ticks
from ztb.utils.kernel import kernel


@kernel
def _count_crossed(book: np.ndarray, ticks: np.ndarray) -> int:
    crossed = 0
    for i in range(len(ticks)):
        if ticks[i]["kind"] == DEPTH:
            apply_level(book[0], ticks[i])
            if ticks[i]["flags"] & LAST:
                bid, _, ask, _ = book_touch(book[0])
                if bid > 0.0 and ask > 0.0 and bid >= ask:
                    crossed += 1
    return crossed


class CrossingCheck:
    """Follows a book through blocks of ticks and counts the messages after which it was crossed."""

    def __init__(self) -> None:
        self.crossed = 0
        self._book = np.zeros(1, BOOK)

    def see(self, ticks: Ticks) -> None:
        """Apply a block's depth rows; blocks without any cost nothing."""
        if (ticks["kind"] == DEPTH).any():
            self.crossed += int(_count_crossed(self._book, ticks))
