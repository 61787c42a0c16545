"""A moment is the same however it is written, and what is none is a mistake of the call."""

from __future__ import annotations

import pytest

from ztb.errors import UsageError
from ztb.utils.moments import parse_moment, parse_span_of

_S = 1_704_150_000


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T23:00", "2024-01-01 23:00:00", "2024-01-01T23:00:00Z", "2024-01-02T08:00:00+09:00",
        "202401012300", "20240101230000", str(_S), f"{_S}000", f"{_S}000000", f"{_S}000000000",
    ],
)  # fmt: skip
def test_one_moment_in_every_way_to_write_it(text: str) -> None:
    assert parse_moment(text, "--from") == _S * 10**9


def test_days_and_fractions() -> None:
    assert parse_moment("20240101", "--from") == parse_moment("2024-01-01", "--from") == 1_704_067_200 * 10**9
    assert parse_moment("2024-01-01T00:00:00.999999", "--from") == 1_704_067_200_999_999_000
    assert parse_moment("1999-12-31T23:59:59.6", "--from") == 946_684_799_600_000_000
    assert parse_moment(None, "--to") is None


@pytest.mark.parametrize(
    "text", ["", "yesterday", "17041500", "1", "9999999999", "12:00", "2024-13-01", "20241301", "-5"]
)
def test_what_is_no_moment_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"--to .*neither ISO 8601"):
        parse_moment(text, "--to")


@pytest.mark.parametrize(
    ("start", "end"), [("2024-01-02", "2024-01-01"), ("2024-01-01", "2024-01-01"), (str(_S), "2023-01-01")]
)
def test_an_end_before_the_beginning_is_a_mistake(start: str, end: str) -> None:
    with pytest.raises(UsageError, match=rf"--from '{start}' is not before --to '{end}'"):
        parse_span_of(start, end)
