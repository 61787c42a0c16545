"""Numbers and times as text, in the ways that people and programs write them.

Numbers: thousands apart, a sign of money in front, K, M or B for what is left out. Times become nanoseconds since 1970.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute
from numpy.typing import NDArray

from ztb.errors import DataError

# Its stubs know fewer overloads than it has.
pc: Any = arrow_compute

_SIGNS = "$€£¥₩"
_MULTIPLES = {"K": 10**3, "M": 10**6, "B": 10**9}
_BLANKS = "' \u00a0\u202f\u2009"


@dataclass(frozen=True, slots=True)
class Notation:
    """One way to write numbers for people, by its sign between thousands and that of the decimals."""

    thousands: str
    decimal: str

    def is_sure(self, text: str) -> bool:
        """True if a text is a number that only people write so, and in no other notation: `1,234` may be a decimal."""
        return _surely(self).fullmatch(text.strip()) is not None

    def bare(self, text: str) -> str:
        """A number as machines write it, and in full; other text as it is."""
        if re.fullmatch(_number_pattern(self.thousands, self.decimal), text.strip()) is None:
            return text
        plain = re.sub(rf"[{_SIGNS}{_BLANKS}{re.escape(self.thousands)}]", "", text).replace(
            self.decimal, "."
        )
        if plain[-1:] in _MULTIPLES:
            return f"{Decimal(plain[:-1]) * _MULTIPLES[plain[-1]]:f}"
        return plain

    def undecorated(self, block: bytes | memoryview, delimiter: str) -> bytes:
        """A block of a table whose numbers are as machines write them."""
        text = bytes(block).decode("utf-8")
        return _cell(self, delimiter).sub(lambda found: self.bare(found[1] or found[2]), text).encode()


def _number_pattern(thousands: str, decimal: str) -> str:
    """A pattern of numbers; an empty sign stands for none."""
    whole = rf"\d{{1,3}}(?:[{re.escape(thousands)}{_BLANKS}]\d{{3}})+"
    fraction = rf"(?:{re.escape(decimal)}\d+)?" if decimal else ""
    return rf"[{_SIGNS}]?(?:{whole}|\d+){fraction}[KMB]?"


@cache
def _surely(notation: Notation) -> re.Pattern[str]:
    apart, point, money = re.escape(notation.thousands), re.escape(notation.decimal), rf"[{_SIGNS}]?"
    signed = rf"[{_SIGNS}]{_number_pattern(notation.thousands, notation.decimal)[len(money) :]}"
    return re.compile(
        rf"{money}\d{{1,3}}(?:[{apart}{_BLANKS}]\d{{3}})+{point}\d+[KMB]?|{money}\d{{1,3}}(?:{apart}\d{{3}}){{2,}}"
        rf"|{money}\d{{1,3}}(?:[{_BLANKS}]\d{{3}})+|{signed}|\d+(?:{point}\d+)?[KMB]"
    )


@cache
def _cell(notation: Notation, delimiter: str) -> re.Pattern[str]:
    """Numbers that fill a cell; without quotes they have no sign that parts cells."""
    quoted = _number_pattern(notation.thousands, notation.decimal)
    alone = _number_pattern(
        *(sign if sign != delimiter else "" for sign in (notation.thousands, notation.decimal))
    )
    edge = re.escape(delimiter)
    return re.compile(rf'"({quoted})"|(?:^|(?<={edge}))({alone})(?=[{edge}\r\n]|$)', re.MULTILINE)


_SUSPECT = re.compile(rf"[,{_SIGNS}{_BLANKS}]|[KMB]$|\..*\.")
_NOTATIONS = (Notation(",", "."), Notation(".", ","))


def notation_of(texts: Iterable[str]) -> Notation | None:
    """The notation of a table's cells; None where all are as machines write them, save for a decimal comma."""
    texts = [text for text in texts if _SUSPECT.search(text)]
    counts = [sum(notation.is_sure(text) for text in texts) for notation in _NOTATIONS]
    return _NOTATIONS[counts.index(max(counts))] if any(counts) else None


def is_number(text: str) -> bool:
    """True if a text is a finite number, with a point or a comma."""
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "infinity")


def is_decorated(text: str) -> bool:
    """True if a text is a number that only people write so."""
    return any(notation.is_sure(text) for notation in _NOTATIONS)


_CLOCK = (
    r"(?:(?:[ TtD_]+|, )(?P<H>\d{1,2})(?::?(?P<M>\d{2})(?::?(?P<S>\d{2})(?:[.,:]?(?P<F>\d{1,9}))?)?)?"
    r"(?:[ -]?(?P<P>[AaPp][Mm]))?)?"
)
_ZONE = r" *(?:(?:UTC|GMT|[Zz]|\[UTC\])? ?(?P<Z>[+-]\d{1,2}(?::?\d{2})?)?)(?: ?(?:UTC|GMT|\[UTC\]))?"
_WEEKDAY = r"(?:[A-Z][a-z]{2,8},? )?"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

# (name, order of the date's three numbers, pattern of the date). Several orders: the sample decides.
_DATES = (
    ("year first", ("ymd",), r"(?P<a>\d{4})(?:[-./:]|\. )(?P<b>\d{1,2})(?:[-./:]|\. )(?P<c>\d{1,2})\.?"),
    ("year first, in words", ("ymd",), r"(?P<a>\d{4})[- ](?P<b>[A-Za-z]{3,9})[- ](?P<c>\d{1,2})"),
    ("year first, in characters", ("ymd",), r"(?P<a>\d{4})[年년] ?(?P<b>\d{1,2})[月월] ?(?P<c>\d{1,2})[日일]"),
    ("digits", ("ymd",), r"(?P<a>\d{4})(?P<b>\d{2})(?P<c>\d{2})"),
    ("year last, dots", ("dmy",), r"(?P<a>\d{1,2})\.(?P<b>\d{1,2})\.(?P<c>\d{4})"),
    ("year last", ("dmy", "mdy"), r"(?P<a>\d{1,2})[-/](?P<b>\d{1,2})[-/](?P<c>\d{4})"),
    ("two-digit year", ("dmy", "mdy", "ymd"), r"(?P<a>\d{1,2})[-./](?P<b>\d{1,2})[-./](?P<c>\d{2})"),
    ("month, day, year", ("mdy",), _WEEKDAY + r"(?P<a>[A-Za-z]{3,9})\.? (?P<b>\d{1,2}),? (?P<c>\d{4})"),
    ("day, month, year", ("dmy",), _WEEKDAY + r"(?P<a>\d{1,2})[- ]?(?P<b>[A-Za-z]{3,9})[- ]?(?P<c>\d{4}|\d{2})"),
)  # fmt: skip
_FIRST_YEAR, _LAST_YEAR, _CENTURY = 1970, 2261, 70


@dataclass(frozen=True, slots=True)
class TextStyle:
    """One way to write a date and a clock; `order` is that of year, month and day, `example` the first seen."""

    pattern: str
    order: str
    example: str

    @staticmethod
    def patterns() -> tuple[re.Pattern[str], ...]:
        """Of everything that is read, one a style of date."""
        return tuple(re.compile(date + _CLOCK + _ZONE) for _, _, date in _DATES)

    def read(self, column: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """((n,) nanoseconds, -1 where `column` is null; (n,) True where it is null or such a date)."""
        parts = pc.extract_regex(column, f"^{self.pattern}$")
        empty = pc.is_null(column).to_numpy(zero_copy_only=False)
        matched = pc.is_valid(parts).to_numpy(zero_copy_only=False)
        date = {role: _number(parts, name) for role, name in zip(self.order, "abc", strict=True)}
        year = np.where(date["y"] < 100, date["y"] + np.where(date["y"] < _CENTURY, 2000, 1900), date["y"])
        days, valid = days_since_1970(year, date["m"], date["d"])
        hour, minute, second = (_number(parts, name) for name in "HMS")
        half = pc.utf8_lower(pc.fill_null(pc.struct_field(parts, "P"), "")).to_pylist()
        afternoon, twelve = np.array([h == "pm" for h in half], bool), np.array([h != "" for h in half], bool)
        hour = np.where(twelve, hour % 12 + 12 * afternoon, hour)
        valid &= (year >= _FIRST_YEAR) & (year <= _LAST_YEAR) & (hour < 24) & (minute < 60) & (second < 60)
        ns = ((days * 24 + hour) * 60 + minute) * 60 + second
        ns = ns * 1_000_000_000 + _fraction_ns(parts)
        ns += _zone_ns(parts)
        return np.where(matched, ns, -1), empty | (matched & valid)


def learn_style(samples: Sequence[Any], where: str, row: int) -> TextStyle:
    """The style of a column's texts; DataError if unknown, or if day and month look alike in each of `samples`, which
    are arrays of its first texts, longer and longer."""
    example = samples[0][0].as_py()
    for sample in samples:
        styles = _styles(sample, example)
        if len(styles) == 1:
            return styles[0]
        if not styles:
            raise DataError(
                f"{where}: row {row}: {example!r} is no number or time: write times as 2024-01-31 12:00"
            )
    raise DataError(
        f"{where}: row {row}: {example!r}: day, month and year cannot be told apart: write times as 2024-01-31 12:00"
    )


def _styles(sample: Any, example: str) -> list[TextStyle]:
    """The styles of a date that make the evenest steps of a sample; one if the others read it alike."""
    for pattern, (_, orders, date) in zip(TextStyle.patterns(), _DATES, strict=True):
        if pattern.fullmatch(example) is None:
            continue
        styles = [TextStyle(date + _CLOCK + _ZONE, order, example) for order in orders]
        read = [(style, *style.read(sample)) for style in styles]
        sound = [(style, ns) for style, ns, valid in read if valid.mean() >= 0.9]
        if not sound:
            continue
        scores = [_evenness(ns) for _, ns in sound]
        best = [entry for entry, score in zip(sound, scores, strict=True) if score == max(scores)]
        return [style for style, ns in best if style is best[0][0] or not np.array_equal(best[0][1], ns)]
    return []


def _evenness(ns: NDArray[np.int64]) -> float:
    """Share of the commonest step, which is largest where days and months are not mixed up."""
    steps, counts = np.unique(np.abs(np.diff(ns)), return_counts=True)
    return float(counts.max() / counts.sum()) if len(steps) else 0.0


def _number(parts: Any, name: str) -> NDArray[np.int64]:
    """(n,) a group's number, 0 where it is absent; a month's name is its number."""
    text = pc.struct_field(parts, name)
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    if pc.any(pc.utf8_is_alpha(text)).as_py():
        short = pc.utf8_lower(pc.utf8_slice_codeunits(text, 0, 3))
        found = pc.add(pc.index_in(short, value_set=pa.array(_MONTHS)), 1)
        text = pc.if_else(pc.utf8_is_alpha(text), pc.cast(found, pa.string()), text)
    values: NDArray[np.int64] = pc.fill_null(pc.cast(text, pa.int64()), 0).to_numpy(zero_copy_only=False)
    return values


def _fraction_ns(parts: Any) -> NDArray[np.int64]:
    padded = pc.utf8_rpad(pc.fill_null(pc.struct_field(parts, "F"), ""), 9, "0")
    values: NDArray[np.int64] = pc.cast(padded, pa.int64()).to_numpy(zero_copy_only=False)
    return values


def _zone_ns(parts: Any) -> NDArray[np.int64]:
    """(n,) what is to be added for UTC."""
    zones = pc.fill_null(pc.struct_field(parts, "Z"), "")
    known = {zone: _one_zone_ns(zone) for zone in pc.unique(zones).to_pylist()}
    if len(known) == 1:
        return np.full(len(zones), next(iter(known.values())), np.int64)
    return np.array([known[zone] for zone in zones.to_pylist()], np.int64)


def _one_zone_ns(zone: str) -> int:
    if not zone:
        return 0
    digits = zone[1:].replace(":", "")
    hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    ahead = (int(hours) * 60 + int(minutes)) * 60 * 1_000_000_000
    return -ahead if zone.startswith("+") else ahead


def days_since_1970(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(days, True where the date exists) of the Gregorian calendar (H. Hinnant, days_from_civil)."""
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    lengths = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    months = np.clip(month, 0, 12)
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (day <= lengths[months] + (leap & (month == 2)))
    shifted = year - (month <= 2)
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468, valid
