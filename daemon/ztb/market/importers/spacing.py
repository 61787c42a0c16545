"""Bars that go on in longer steps: not a market that is thin, but bars of another length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MOST = 20
"""So many steps in a row that are longer than a bar and alike are bars of another length."""


@dataclass(slots=True)
class Spacing:
    """How many of the last steps were longer than a bar and equal, and how long they were."""

    step_ns: int = 0
    count: int = 0

    def first_of_other_length(self, steps: NDArray[np.int64], length: int) -> int | None:
        """The row that completes a run of `_MOST` longer steps alike, of rows `steps` nanoseconds apart; else None."""
        longer = steps > length
        alike = longer & (steps == np.concatenate(([self.step_ns], steps[:-1])))
        rows = np.arange(len(steps))
        broken = np.maximum.accumulate(np.where(alike, -1, rows))
        runs = np.where(broken < 0, self.count + rows + 1, rows - broken + longer[broken])
        self.step_ns, self.count = int(steps[-1]), int(runs[-1])
        found = np.flatnonzero(runs >= _MOST)
        return int(found[0]) if len(found) else None
