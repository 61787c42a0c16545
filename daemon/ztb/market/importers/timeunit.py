"""Times as files write them, to nanoseconds since 1970: numbers of a unit, calendars in digits, text.

How a file writes its times is told by its first rows and must not change after them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.importers.celltext import TextStyle, days_since_1970, learn_style
from ztb.market.importers.chunk import NO_TIME_NS

# Its stubs know fewer overloads than it has.
pc: Any = arrow_compute

Numbers = NDArray[np.int64] | NDArray[np.float64]

# A time between 1973 and 2286 has 9 to 10 digits in seconds, 12 to 13 in milliseconds, and so on.
_UNITS = (("seconds", 1e8, 10**9), ("milliseconds", 1e11, 10**6), ("microseconds", 1e14, 10**3),
          ("nanoseconds", 1e17, 1))  # fmt: skip
LATEST_NS = 4_102_444_800 * 10**9
"""The year 2100: where nobody tells the present, nothing later is a time."""
# A calendar in digits: its name, how many digits of the year it has, how many digits follow the day.
_CALENDARS = (("YYYYMMDD", 4, 0), ("YYYYMMDDHH", 4, 2), ("YYYYMMDDHHMM", 4, 4), ("YYYYMMDDHHMMSS", 4, 6),
              ("YYYYMMDDHHMMSSmmm", 4, 9), ("YYMMDD", 2, 0), ("YYMMDDHHMM", 2, 4), ("YYMMDDHHMMSS", 2, 6))  # fmt: skip
_FIRST_YEAR, _LAST_YEAR, _CENTURY = 1980, 2099, 70
_SAMPLED = 1000
_VALID_SHARE = 0.9
# Below this many seconds (2033) ten digits may be either.
_EITHER_BELOW = 2_000_000_000
_ENOUGH, _HOURS = 20, 3
_DAYS = (25_569, 73_051)  # since 1900, of 1970 and 2100
_ISO_ZONE = r"\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)$"


@dataclass(slots=True)
class TimeUnit:
    """The unit in which one file writes its times, learnt from its first rows. Later than `latest_ns` is no time, and
    what names no zone is UTC."""

    where: str
    latest_ns: int = LATEST_NS
    name: str = ""
    low: float = 0.0
    top: float = 0.0
    factor: int = 0
    calendar: tuple[int, int] | None = None
    style: TextStyle | None = None

    def times(self, column: Any, first_row: int) -> NDArray[np.int64]:
        """(n,) nanoseconds, -1 where the column is empty; DataError naming the row of what is no time."""
        kind = column.type
        if pa.types.is_dictionary(kind):
            return self.times(pc.cast(column, kind.value_type), first_row)
        if is_text(kind):
            return self._text(pc.utf8_trim_whitespace(pc.cast(column, pa.string())), first_row)
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            stamps = pc.cast(column, pa.timestamp("ns", tz=getattr(kind, "tz", None)))
            return self._seen(_whole(pc.cast(stamps, pa.int64())), first_row)
        if pa.types.is_floating(kind):
            values: NDArray[np.float64] = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
            return self.to_ns(values, first_row)
        return self.to_ns(_whole(column), first_row)

    def to_ns(self, raw: Numbers, first_row: int) -> NDArray[np.int64]:
        """(n,) nanoseconds, -1 where `raw` is not positive or NaN; DataError if a time has another unit."""
        timed = raw > 0
        if self.factor == 0 and self.calendar is None and timed.any():
            self._learn(raw[timed][:_SAMPLED], first_row + int(np.argmax(timed)))
        if self.calendar is not None:
            return self._dates(raw, timed, first_row)
        strange = timed & ((raw < self.low) | (raw >= self.top))
        if strange.any():
            self._refuse_other(raw, int(np.argmax(strange)), first_row)
        result = np.full(len(raw), NO_TIME_NS, np.int64)
        result[timed] = _scale(raw[timed], self.factor)
        return self._seen(result, first_row)

    def _learn(self, sample: Numbers, row: int) -> None:
        found = _calendar_of(sample)
        if found is not None:
            self.name, *digits = found
            self.calendar = (digits[0], digits[1])
            return
        value = float(sample[0])
        for name, low, factor in _UNITS:
            top = min(low * 1000, LATEST_NS / factor)
            if low <= value < top:
                self.name, self.low, self.top, self.factor = name, low, top, factor
                return
        if _DAYS[0] <= value < _DAYS[1]:
            raise DataError(
                f"{self.where}: row {row}: {value!r} seems to be a spreadsheet's count of days since 1900: format its "
                "times as 2024-01-31 12:00 and export it again"
            )
        raise DataError(
            f"{self.where}: row {row}: {value!r} is no time between 1973 and 2100 in seconds, milliseconds, "
            "microseconds or nanoseconds, and no date such as 20240131 or 202401311200: write times so, or as "
            "2024-01-31 12:00"
        )

    def _dates(self, raw: Numbers, timed: NDArray[np.bool_], first_row: int) -> NDArray[np.int64]:
        assert self.calendar is not None
        values = np.where(timed, raw, 0).astype(np.int64)
        ns, valid = _calendar_ns(values, *self.calendar)
        if (timed & ~valid).any():
            self._refuse_other(raw, int(np.argmax(timed & ~valid)), first_row)
        return self._seen(np.where(timed, ns, NO_TIME_NS), first_row)

    def _refuse_other(self, raw: Numbers, at: int, first_row: int) -> None:
        raise DataError(
            f"{self.where}: row {first_row + at}: time {raw[at]} is not in {self.name} "
            "as the rows before are: split the file where its unit changes, or mend the row"
        )

    def _text(self, column: Any, first_row: int) -> NDArray[np.int64]:
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
        present = column.drop_null()
        if len(present) == 0:
            return np.full(len(column), NO_TIME_NS, np.int64)
        if self.style is None and pc.all(pc.match_substring_regex(present[:_SAMPLED], r"^\d{6,19}$")).as_py():
            return self._digits(column, present, first_row)
        if self.style is None:
            fast = _iso(column, present)
            if fast is not None:
                return self._seen(fast, first_row)
            self.style = learn_style((present[:_SAMPLED], present), self.where, first_row)
        ns, valid = self.style.read(column)
        if not valid.all():
            at = int(np.argmin(valid))
            raise DataError(
                f"{self.where}: row {first_row + at}: {column[at].as_py()!r} is no number or time as "
                f"{self.style.example!r} is: mend or remove the row"
            )
        return self._seen(ns, first_row)

    def _digits(self, column: Any, present: Any, first_row: int) -> NDArray[np.int64]:
        """Digits in text: as numbers, save that a leading zero counts as a digit of the calendar."""
        if self.calendar is None and pc.any(pc.starts_with(present[:_SAMPLED], "0")).as_py():
            width = len(present[0].as_py())
            self.calendar = next(((y, c) for _, y, c in _CALENDARS if y + 4 + c == width and y == 2), None)
            self.name = "two-digit years"
        return self.to_ns(_whole(pc.cast(column, pa.int64())), first_row)

    def _seen(self, ns: NDArray[np.int64], first_row: int) -> NDArray[np.int64]:
        if len(ns) and int(ns.max()) > self.latest_ns:
            at = int(np.argmax(ns > self.latest_ns))
            moment = np.datetime64(int(ns[at]), "ns").astype("datetime64[s]")
            raise DataError(
                f"{self.where}: row {first_row + at}: its time is {moment}, which is yet to come: its times are "
                f"written in another way than {self.name or 'text'}: write them as 2024-01-31 12:00"
            )
        return ns


def is_text(kind: Any) -> bool:
    """True if an arrow type is text, however it is kept."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _whole(column: Any) -> NDArray[np.int64]:
    filled = pc.fill_null(pc.cast(column, pa.int64()), pa.scalar(-1, pa.int64()))
    values: NDArray[np.int64] = filled.to_numpy(zero_copy_only=False)
    return values


def _scale(raw: Numbers, factor: int) -> NDArray[np.int64]:
    if raw.dtype.kind == "f":
        # Microseconds are all that a float64 of seconds can tell.
        return np.rint(raw * (factor / 1e3)).astype(np.int64) * 1000 if factor > 1 else raw.astype(np.int64)
    return raw.astype(np.int64) * factor


def _iso(column: Any, present: Any) -> NDArray[np.int64] | None:
    """Nanoseconds of ISO 8601 as arrow reads it; None if some of it is not."""
    zoned = bool(pc.match_substring_regex(present[:1], _ISO_ZONE)[0].as_py())
    try:
        stamps = pc.cast(column, pa.timestamp("ns", tz="UTC") if zoned else pa.timestamp("ns"))
    except pa.ArrowInvalid:
        return None
    return _whole(pc.cast(stamps, pa.int64()))


def _calendar_of(sample: Numbers) -> tuple[str, int, int] | None:
    """The calendar that these numbers are dates of, rather than times of a unit; None: they are not."""
    if sample.dtype.kind == "f" and not np.all(sample == np.rint(sample)):
        return None
    values = sample.astype(np.int64)
    for name, year_digits, clock_digits in _CALENDARS:
        width = year_digits + 4 + clock_digits
        fits = (values >= 10 ** (width - 1)) & (values < 10**width)
        if np.mean(fits) < _VALID_SHARE:
            continue
        if np.mean(_calendar_ns(values, year_digits, clock_digits)[1] & fits) < _VALID_SHARE:
            continue
        if width == 10 and values[0] < _EITHER_BELOW and not _surely_dates(values):
            continue
        return name, year_digits, clock_digits
    return None


def _surely_dates(values: NDArray[np.int64]) -> bool:
    """True if YYMMDDHHMM that may be seconds as well never shows what seconds would within hours: 60 to 99."""
    distinct = np.unique(values)
    if len(distinct) < _ENOUGH:
        return False
    starts_at_an_hour = int(values.min()) % 100 == 0 and bool(np.all(np.diff(distinct[:60]) == 1))
    return len(np.unique(distinct // 100)) >= _HOURS or starts_at_an_hour


def _calendar_ns(
    values: NDArray[np.int64], year_digits: int, clock_digits: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(nanoseconds, True where the digits are a date) of dates written as one number."""
    day_part, clock = values // 10**clock_digits, values % 10**clock_digits
    year, month, day = day_part // 10_000, day_part // 100 % 100, day_part % 100
    if year_digits == 2:
        year = year + np.where(year < _CENTURY, 2000, 1900)
    clock = clock * 10 ** (9 - clock_digits)
    hour, minute, second, milli = clock // 10**7, clock // 10**5 % 100, clock // 1000 % 100, clock % 1000
    days, valid = days_since_1970(year, month, day)
    valid &= (year >= _FIRST_YEAR) & (year <= _LAST_YEAR) & (hour < 24) & (minute < 60) & (second < 60)
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second
    return (seconds * 1000 + milli) * 1_000_000, valid


def is_time(text: str) -> bool:
    """True if a text may be a time: digits enough for one, or a date however it is written."""
    plain = text.strip()
    if re.fullmatch(r"\d{6,19}([.,]\d+)?([eE]\+?\d+)?", plain):
        return True
    return learnable(plain)


def learnable(text: str) -> bool:
    """True if a text is a date in one of the styles that are read."""
    return any(pattern.fullmatch(text) for pattern in _STYLE_PATTERNS)


_STYLE_PATTERNS = TextStyle.patterns()
