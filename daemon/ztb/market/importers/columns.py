"""Columns of a table as numpy arrays, whatever type and unit of time the file gave them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.importers.chunk import NO_TIME_NS

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


# Its stubs know fewer overloads than it has.
pc: Any = arrow_compute

_BUY = ("buy", "b", "bid", "1", "long")
_SELL = ("sell", "s", "ask", "-1", "short")
_TRUE = ("true", "1", "t")
_MIX = np.uint64(0x9E3779B97F4A7C15)


def floats(column: Any) -> NDArray[np.float64]:
    """(n,) float64, NaN where the column is empty; text is parsed."""
    if column.type == pa.float32():
        # A price kept in 32 bits is the decimal that its shortest spelling says.
        column = pc.cast(column, pa.string())
    values: NDArray[np.float64] = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    return values


def times(column: Any, unit: TimeUnit, first_row: int) -> NDArray[np.int64]:
    """(n,) nanoseconds since 1970, -1 where the column is empty. Text without an offset is UTC."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = _parsed(column)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        stamps = pc.cast(column, pa.timestamp("ns", tz=getattr(column.type, "tz", None)))
        return _whole(pc.cast(stamps, pa.int64()))
    if pa.types.is_floating(column.type):
        return unit.to_ns(floats(column), first_row)
    return unit.to_ns(_whole(column), first_row)


def _whole(column: Any) -> NDArray[np.int64]:
    filled = pc.fill_null(pc.cast(column, pa.int64()), pa.scalar(-1, pa.int64()))
    values: NDArray[np.int64] = filled.to_numpy(zero_copy_only=False)
    return values


def _parsed(column: Any) -> Any:
    column = pc.if_else(pc.equal(column, pa.scalar("", column.type)), pa.scalar(None, column.type), column)
    present = column.drop_null()
    offset = len(present) > 0 and pc.match_substring_regex(present, r"(Z|[+-]\d\d:?\d\d)$")[0].as_py()
    return pc.cast(column, pa.timestamp("ns", tz="UTC") if offset else pa.timestamp("ns"))


def sides(column: Any) -> NDArray[np.int8]:
    """(n,) +1 for a buyer or a bid, -1 for a seller or an ask, 0 otherwise."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.sign(np.nan_to_num(floats(column))).astype(np.int8)
    text = pc.utf8_lower(pc.fill_null(pc.cast(column, pa.string()), ""))
    buys = pc.is_in(text, value_set=pa.array(_BUY)).to_numpy(zero_copy_only=False)
    sells = pc.is_in(text, value_set=pa.array(_SELL)).to_numpy(zero_copy_only=False)
    directions: NDArray[np.int8] = buys.astype(np.int8) - sells.astype(np.int8)
    return directions


def truths(column: Any) -> NDArray[np.bool_]:
    """(n,) bool of a column of truth values or of their names."""
    text = pc.utf8_lower(pc.fill_null(pc.cast(column, pa.string()), ""))
    values: NDArray[np.bool_] = pc.is_in(text, value_set=pa.array(_TRUE)).to_numpy(zero_copy_only=False)
    return values


def identities(column: Any) -> NDArray[np.int64]:
    """(n,) ids: whole numbers as they are, -1 where there is none; other text as a 63-bit hash."""
    if pa.types.is_integer(column.type):
        return _whole(column)
    text = pc.fill_null(pc.cast(column, pa.string()), "")
    if pc.all(pc.match_substring_regex(text, r"^\d{1,18}$")).as_py():
        return _whole(text)
    return _mixed(np.asarray(pc.cast(text, pa.binary()).to_pylist(), dtype=np.bytes_))


def _mixed(text: NDArray[np.bytes_]) -> NDArray[np.int64]:
    width = -(-text.dtype.itemsize // 8) * 8
    words = text.astype(f"S{width}").view(np.uint64).reshape(len(text), width // 8)
    result = np.zeros(len(text), np.uint64)
    for i in range(words.shape[1]):
        result = (result ^ words[:, i]) * _MIX
        result ^= result >> np.uint64(29)
    return (result >> np.uint64(1)).view(np.int64)


def one_value(column: Any, where: str, what: str) -> str | None:
    """The single text in a column; None if it is empty; DataError if it has several."""
    values = [str(v) for v in pc.unique(column).to_pylist() if v not in (None, "")]
    if len(values) > 1:
        raise DataError(
            f"{where}: holds more than one {what} ({', '.join(sorted(values)[:5])}): split it, one for each"
        )
    return values[0] if values else None
