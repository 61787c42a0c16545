"""Figures as people read them."""

from __future__ import annotations

import math

import pytest

from ztb.telemetry import texts

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.1234, "+12.3 %"), (-0.5, "−50.0 %"), (-1e-9, "0.0 %"), (0.0, "0.0 %"), (12.0, "+1,200.0 %"), (None, "–"),
     (math.nan, "–"), (math.inf, "–")],
)  # fmt: skip
def test_a_fraction_as_per_cent(value, said):
    assert texts.percent(value).replace("\xa0", " ") == said


def test_numbers_have_separators_true_minus_signs_and_no_negative_zero():
    assert texts.number(-1234567.891) == "−1,234,567.89"
    assert texts.number(-0.001) == "0.00"
    assert texts.number(None) == texts.significant(math.nan) == texts.count(None) == "–"
    assert texts.significant(0.000012345) == "1.234e−05"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (90_000, "1 day 1 h"),
        (835 * 86_400 + 7, "835 days"),
    ],
)
def test_lengths_of_time_in_their_two_largest_units(seconds, said):
    assert texts.span(seconds * SECOND).replace("\xa0", " ") == said


def test_moments_are_utc_and_the_beginning_of_time_is_none():
    assert texts.moment(1_500_001_261 * SECOND, seconds=True) == "14 Jul 2017, 03:01:01"
    assert texts.day(1_500_001_261 * SECOND) == "14 Jul 2017"
    assert texts.moment(0) == texts.moment(None) == texts.day(0) == "–"
    assert texts.ends(1_500_001_261 * SECOND, 1_500_101_261 * SECOND) == ("14 Jul 2017", "15 Jul 2017")
    assert texts.ends(1_500_001_261 * SECOND, 1_500_001_561 * SECOND) == (
        "14 Jul 2017, 03:01",
        "14 Jul 2017, 03:06",
    )
