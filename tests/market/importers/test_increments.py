"""Increments are decimal places of a prefix; rounding noise neither adds one nor survives."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ztb.market.importers.increments import infer_increment, snap


@given(
    places=st.integers(0, 8),
    wholes=st.lists(st.integers(1, 10**9), min_size=1, max_size=50),
    noise=st.lists(st.integers(-2, 2), min_size=50, max_size=50),
)
def test_decimal_places_are_found_through_noise_and_noise_is_removed(
    places: int, wholes: list[int], noise: list[int]
) -> None:
    wholes = [*wholes, 10 * wholes[0] + 1]
    exact = [Decimal(whole).scaleb(-places) for whole in wholes]
    clean = np.array([float(x) for x in exact])
    ulps = np.resize(noise, len(clean)) * np.spacing(clean)
    increment = infer_increment(clean + ulps)
    assert increment == Decimal(1).scaleb(-places)
    snapped, strays = snap(clean + ulps, increment)
    assert not strays.any()
    assert list(snapped) == list(clean), "the very float64 that the decimal is written as"


def test_the_finest_increment_is_1e_8() -> None:
    assert infer_increment(np.array([1.123456789])) == Decimal("1e-8")
    assert infer_increment(np.array([0.1 + 0.2])) == Decimal("0.1")
    assert infer_increment(np.array([1e6, 3.0])) == 1


@given(st.sampled_from(["0.5", "0.25", "5", "0.1", "0.00001"]), st.integers(1, 10**7))
def test_increments_that_are_given_need_not_be_powers_of_ten(text: str, whole: int) -> None:
    increment = Decimal(text)
    value = float(increment * whole)
    snapped, strays = snap(np.array([value, value + 0.3 * float(increment)]), increment)
    assert list(strays) == [False, True]
    assert snapped[0] == value
