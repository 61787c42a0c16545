"""What the policy is told: a selection of the shipped features and a user's own, row by row or over a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ztb.features.advance import advance, advance_at
from ztb.features.registry import FEATURES, SHIPPED, columns
from ztb.features.schema import schema_hash
from ztb.features.state import new_state
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks, empty_ticks

FloatArray = NDArray[np.float64]


class FeatureSet:
    """Features of one instrument, for buckets of `period_ns` (the bar length; 10 s on ticks).

    `values`: (size,) float64, what the features are after the last row that was advanced, in the order of
    `names`; written in place. `warm_up`: completed buckets until every one of them is warm; before its own
    warm-up a feature is 0. ConfigError for an unknown or repeated name.
    """

    def __init__(self, instrument: Instrument, period_ns: int, names: Sequence[str] = SHIPPED) -> None:
        chosen = [FEATURES[place] for place in columns(names)]
        self.names: tuple[str, ...] = tuple(names)
        self.size = len(self.names)
        self.warm_up = max((feature.warm_up for feature in chosen), default=0)
        self.schema_hash = schema_hash((f"{f.name}: {f.formula}" for f in chosen), (), period_ns)
        self.values: FloatArray = np.zeros(self.size)
        self._state = new_state(instrument, period_ns, self.names)
        self._memory = self._state.view(np.uint8)

    @property
    def ready(self) -> bool:
        """Whether every feature is warm."""
        return bool(self._state["buckets"][0] >= self.warm_up)

    @property
    def mid(self) -> float:
        """Mid after the last row, quote currency; 0 before the first."""
        return float(self._state["view"]["mid"][0])

    @property
    def ts_ns(self) -> int:
        """Event time of the last row that counted."""
        return int(self._state["ts_ns"][0])

    def advance(self, ticks: Ticks, i0: int, i1: int) -> None:
        """Take rows [i0, i1) of `ticks`, and update `values`."""
        advance(self._memory, ticks, i0, i1, self.values)

    def batch(self, ticks: Ticks) -> FloatArray:
        """Take all rows; (n, size): the values after each, the same as `advance` gives row by row."""
        return self.batch_at(ticks, np.arange(len(ticks)))

    def batch_at(self, ticks: Ticks, rows: NDArray[np.int64]) -> FloatArray:
        """Take all rows; (len(rows), size): the values after each of `rows`, which rise."""
        history = np.empty((len(rows), self.size))
        advance_at(self._memory, ticks, rows, history)
        advance(self._memory, ticks, 0, 0, self.values)
        return history

    def state(self) -> dict[str, NDArray[np.void]]:
        """A copy of everything that the next values depend on."""
        return {"shipped": self._state.copy()}

    def load_state(self, state: Mapping[str, NDArray[np.void]]) -> None:
        """Continue from what `state()` gave, bit for bit."""
        self._state[:] = state["shipped"]
        advance(self._memory, empty_ticks(0), 0, 0, self.values)
