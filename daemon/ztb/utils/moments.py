"""Moments as people write and read them."""

from __future__ import annotations

from datetime import UTC, datetime

from ztb.errors import UsageError

# Digits of seconds, milliseconds, microseconds and nanoseconds since 1970, and what makes nanoseconds of them.
_UNITS_NS = {9: 10**9, 10: 10**9, 12: 10**6, 13: 10**6, 15: 10**3, 16: 10**3, 18: 1, 19: 1}
_CALENDARS = {6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_DAY_NS = 86_400 * 10**9
_LATEST_NS = 4_102_444_800 * 10**9  # the year 2100


def parse_moment(text: str | None, flag: str) -> int | None:
    """Nanoseconds since 1970 of ISO 8601 (UTC if it says nothing else), of 20190131 or 201901311200, or of a number of
    seconds, milliseconds, microseconds or nanoseconds since 1970. UsageError if it is none of them."""
    if text is None:
        return None
    plain = text.strip()
    if plain.isascii() and plain.isdigit():
        return _digits(plain, flag)
    try:
        moment = datetime.fromisoformat(plain)
    except ValueError:
        raise _unreadable(text, flag) from None
    return _nanoseconds(moment)


def parse_span_of(
    start: str | None, end: str | None, names: tuple[str, str] = ("--from", "--to")
) -> tuple[int | None, int | None]:
    """(start, end) in nanoseconds since 1970; `names`: what the caller calls them.

    UsageError if the end is not after the beginning.
    """
    start_ns, end_ns = parse_moment(start, names[0]), parse_moment(end, names[1])
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise UsageError(f"{names[0]} {start!r} is not before {names[1]} {end!r}: nothing lies between them")
    return start_ns, end_ns


def _digits(plain: str, flag: str) -> int:
    if len(plain) in _CALENDARS and plain[:2] in ("19", "20"):
        try:
            return _nanoseconds(datetime.strptime(plain, _CALENDARS[len(plain)]).replace(tzinfo=UTC))
        except ValueError:
            pass
    ns = int(plain) * _UNITS_NS.get(len(plain), 0)
    if not 0 < ns < _LATEST_NS:
        raise _unreadable(plain, flag)
    return ns


def _nanoseconds(moment: datetime) -> int:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * _DAY_NS + since.seconds * 10**9 + since.microseconds * 1000


def _unreadable(text: str, flag: str) -> UsageError:
    return UsageError(
        f"{flag} {text!r}: neither ISO 8601, such as 2019-01-31T12:00, nor seconds, milliseconds or nanoseconds "
        "since 1970"
    )


def when(ts_ns: int | None) -> str:
    """A time as people read it, in UTC to the second."""
    if ts_ns is None:
        return "never"
    return datetime.fromtimestamp(ts_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
