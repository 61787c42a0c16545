"""Increments are decimal places of a prefix; rounding noise neither adds one nor survives."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztb.market.importers.increments import Grid, infer_grid, infer_increment, snap


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
    snapped, strays = snap(clean + ulps, Grid(increment))
    assert not strays.any()
    assert list(snapped) == list(clean), "the very float64 that the decimal is written as"


@given(
    places=st.integers(8, 16),
    wholes=st.lists(st.integers(1, 10**5), min_size=2, max_size=50),
)
def test_prices_far_below_a_cent_keep_their_digits(places: int, wholes: list[int]) -> None:
    wholes = [*wholes, 10 * wholes[0] + 1]
    values = np.array([float(Decimal(whole).scaleb(-places)) for whole in wholes])
    grid = infer_grid(values)
    assert grid == Grid(Decimal(1).scaleb(-places))
    snapped, strays = snap(values, grid)
    assert not strays.any()
    assert list(snapped) == list(values)


def test_rounding_noise_adds_no_decimal_place() -> None:
    assert infer_increment(np.array([0.1 + 0.2])) == Decimal("0.1")
    assert infer_increment(np.array([1e6, 3.0])) == 1
    assert infer_increment(np.array([1e6, 8e-10])) is None, "no number has so many digits by chance"


@given(st.floats(1e-11, 1e6), st.integers(0, 10_000))
def test_prices_without_a_grid_are_rounded_by_less_than_a_ten_millionth(price: float, seed: int) -> None:
    walk = price * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 1e-3, 50)))
    for values in (walk, walk.astype(np.float32).astype(np.float64)):
        grid = infer_grid(values)
        assert not grid.binds
        snapped, strays = snap(values, grid)
        assert not strays.any()
        assert (np.abs(snapped / values - 1) < 1e-7).all()


def test_a_price_that_rounding_would_make_nothing_is_a_stray() -> None:
    for grid in (Grid(Decimal(1)), Grid(Decimal(1), binds=False), Grid(Decimal("1e-8"))):
        assert snap(np.array([8e-10]), grid)[1].all()


@given(st.sampled_from(["0.5", "0.25", "5", "0.1", "0.00001"]), st.integers(1, 10**7))
def test_increments_that_are_given_need_not_be_powers_of_ten(text: str, whole: int) -> None:
    increment = Decimal(text)
    value = float(increment * whole)
    snapped, strays = snap(np.array([value, value + 0.3 * float(increment)]), Grid(increment))
    assert list(strays) == [False, True]
    assert snapped[0] == value


def test_a_price_of_next_to_nothing_beside_others_is_a_stray_and_no_grid():
    """As a flipped bit makes one of a table: its grid would have more digits than a price can have."""
    prices = np.array([42_000.123456789, 42_084.2, 1e-304])
    grid = infer_grid(prices)
    assert grid.increment >= Decimal("1e-14") and not grid.binds
    snapped, strays = snap(prices, grid)
    assert strays.tolist() == [False, False, True] and snapped[:2] == pytest.approx(prices[:2], rel=1e-12)


def test_a_number_too_large_to_be_counted_is_a_stray_and_no_grid():
    """As a flipped bit makes one of a table, before the increments are known or after."""
    largest = 1.7e308
    for others in ([42_000.12, 42_084.2], [42_000.0, 42_084.0]):
        prices = np.array([*others, largest])
        assert infer_increment(prices) in (None, Decimal(1))
        infer_grid(prices)
        snapped, strays = snap(prices, Grid(Decimal("0.01")))
        assert strays.tolist() == [False, False, True] and snapped[:2].tolist() == others
    assert snap(np.array([np.nan]), Grid(Decimal("0.01")))[1].tolist() == [False]
