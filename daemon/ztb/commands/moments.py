"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

from ztb.errors import UsageError


def parse_moment(text: str | None, flag: str) -> int | None:
    """ISO 8601 (UTC if it says nothing else) or nanoseconds since 1970. UsageError if it is neither."""
    if text is None:
        return None
    if text.isdigit() and len(text) > 8:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{flag} {text!r}: neither ISO 8601, such as 2019-01-31T12:00, nor nanoseconds"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
