"""Times as files write them, to nanoseconds since 1970: the unit is told by magnitude and must not change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.chunk import NO_TIME_NS

# A time between 1973 and 2286 has 9 to 10 digits in seconds, 12 to 13 in milliseconds, and so on.
_UNITS = (("seconds", 1e8, 10**9), ("milliseconds", 1e11, 10**6), ("microseconds", 1e14, 10**3),
          ("nanoseconds", 1e17, 1))  # fmt: skip
_LATEST_NS = 4_102_444_800 * 10**9  # the year 2100


@dataclass(slots=True)
class TimeUnit:
    """The unit of one file's times, learnt from its first time."""

    where: str
    name: str = ""
    low: float = 0.0
    top: float = 0.0
    factor: int = 0

    def to_ns(self, raw: NDArray[np.int64] | NDArray[np.float64], first_row: int) -> NDArray[np.int64]:
        """(n,) nanoseconds, -1 where `raw` is not positive or NaN; DataError if a time has another unit."""
        timed = raw > 0
        if self.factor == 0 and timed.any():
            self._learn(float(raw[int(np.argmax(timed))]), first_row + int(np.argmax(timed)))
        strange = timed & ((raw < self.low) | (raw >= self.top))
        if strange.any():
            at = int(np.argmax(strange))
            raise DataError(
                f"{self.where}: row {first_row + at}: time {raw[at]} is not in {self.name} "
                "as the rows before are: split the file where its unit changes, or mend the row"
            )
        result = np.full(len(raw), NO_TIME_NS, np.int64)
        result[timed] = _scale(raw[timed], self.factor)
        return result

    def _learn(self, value: float, row: int) -> None:
        for name, low, factor in _UNITS:
            top = min(low * 1000, _LATEST_NS / factor)
            if low <= value < top:
                self.name, self.low, self.top, self.factor = name, low, top, factor
                return
        raise DataError(
            f"{self.where}: row {row}: {value!r} is no time between 1973 and 2100 in seconds, milliseconds, "
            "microseconds or nanoseconds"
        )


def _scale(raw: NDArray[np.int64] | NDArray[np.float64], factor: int) -> NDArray[np.int64]:
    if raw.dtype.kind == "f":
        # Microseconds are all that a float64 of seconds can tell.
        return np.rint(raw * (factor / 1e3)).astype(np.int64) * 1000 if factor > 1 else raw.astype(np.int64)
    return raw.astype(np.int64) * factor
