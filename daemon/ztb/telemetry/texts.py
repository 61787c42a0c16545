"""Figures as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

MISSING = "–"
_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"


def _proper(text: str) -> str:
    return text.replace("-", _MINUS)


def known(value: float | None) -> bool:
    """True if there is a finite figure."""
    return value is not None and math.isfinite(value)


def percent(value: float | None, digits: int = 1, signed: bool = True) -> str:
    """A fraction as per cent: +12.3 %."""
    if value is None or not math.isfinite(value):
        return MISSING
    rounded = round(value * 100.0, digits) + 0.0
    sign = "+" if signed and rounded > 0 else ""
    return _proper(f"{sign}{rounded:,.{digits}f}{_SPACE}%")


def number(value: float | None, digits: int = 2) -> str:
    """With thousands separators."""
    if value is None or not math.isfinite(value):
        return MISSING
    return _proper(f"{round(value, digits) + 0.0:,.{digits}f}")


def signed(value: float, digits: int = 2) -> str:
    """As `number`, with a plus sign."""
    said = number(value, digits)
    return f"+{said}" if round(value, digits) > 0 else said


def price(value: Decimal) -> str:
    """With as many digits as tell prices of its size apart: two from 100 on, else six significant ones."""
    size = float(value)
    return number(size) if abs(size) >= 100 else significant(size, 6)


def significant(value: float | None, digits: int = 4) -> str:
    """To so many significant digits, in plain or exponent notation, whichever is shorter."""
    if value is None or not math.isfinite(value):
        return MISSING
    return _proper(f"{value:.{digits}g}")


def count(value: int | None) -> str:
    """A whole number with thousands separators."""
    return MISSING if value is None else f"{value:,}"


def moment(ts_ns: int | None, seconds: bool = False) -> str:
    """UTC, to the minute or the second; nothing for times before the run began."""
    if not ts_ns:
        return MISSING
    form = "%-d %b %Y, %H:%M:%S" if seconds else "%-d %b %Y, %H:%M"
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime(form)


def stamp(ts_ns: int | None) -> str:
    """UTC to the minute, in a form that sorts as text."""
    return (
        MISSING
        if not ts_ns
        else datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M")
    )


def day(ts_ns: int | None) -> str:
    """UTC date."""
    return MISSING if not ts_ns else datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%-d %b %Y")


def ends(first_ns: int | None, last_ns: int | None) -> tuple[str, str]:
    """Two moments as days, or to the minute where that is the same day."""
    days = day(first_ns), day(last_ns)
    return days if days[0] != days[1] else (moment(first_ns), moment(last_ns))


def span(ns: int) -> str:
    """A length of time in its two largest units."""
    seconds = max(ns, 0) // 1_000_000_000
    for size, large, part, small in (
        (86_400, "day", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            times, rest = seconds // size, seconds % size // part
            plural = "s" if large == "day" and times > 1 else ""
            whole = f"{times:,}{_SPACE}{large}{plural}"
            return f"{whole} {rest}{_SPACE}{small}" if rest and times < 14 else whole
    return f"{seconds}{_SPACE}s"
