"""Running moments: equal to their closed forms, restored bit for bit, harmless whatever comes."""

from __future__ import annotations

import hypothesis.extra.numpy as npst
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from ztb.features import Normaliser, apply_moments, update_moments

FloatArray = NDArray[np.float64]


def rows(n: int, size: int = 4, seed: int = 0) -> FloatArray:
    drawn: FloatArray = np.random.default_rng(seed).normal(5.0, 2.0, (n, size)) * [1e-6, 1.0, 1e4, 1e9]
    return drawn


def test_first_updates_give_mean_and_population_variance() -> None:
    normaliser, values = Normaliser(4, horizon=1000), rows(800)
    for row in values:
        normaliser.update(row)
    np.testing.assert_allclose(normaliser.moments[0], 800)
    np.testing.assert_allclose(normaliser.moments[1], values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(normaliser.moments[2], values.var(axis=0), rtol=1e-10)


def test_beyond_the_horizon_old_values_fade() -> None:
    """West's recurrence is the exponentially weighted mean and variance, seeded by the first `horizon` rows."""
    horizon, values = 50, rows(400)
    normaliser = Normaliser(4, horizon=horizon)
    for row in values:
        normaliser.update(row)
    fade = (1 - 1 / horizon) ** np.arange(349, -1, -1) / horizon
    weights = np.concatenate((np.full(horizon, (1 - 1 / horizon) ** 350 / horizon), fade))
    mean = weights @ values
    np.testing.assert_allclose(weights.sum(), 1.0)
    np.testing.assert_allclose(normaliser.moments[1], mean, rtol=1e-12)
    np.testing.assert_allclose(normaliser.moments[2], weights @ (values - mean) ** 2, rtol=1e-9)


def test_scores_are_clipped_z_scores() -> None:
    normaliser, values = Normaliser(4), rows(500)
    for row in values:
        normaliser.update(row)
    expected = np.clip((values[7] - values.mean(axis=0)) / values.std(axis=0), -5, 5)
    np.testing.assert_allclose(normaliser.apply(values[7]), expected, rtol=1e-6)
    far = normaliser.apply(values.mean(axis=0) + 100 * values.std(axis=0))
    assert far.dtype == np.float32
    assert (far == 5.0).all()


def test_scores_go_where_they_are_asked_to() -> None:
    normaliser, out = Normaliser(2), np.ones(2, np.float32)
    assert normaliser.apply(np.array([3.0, 4.0]), out) is out
    assert out.tolist() == [0.0, 0.0]  # nothing seen yet


def test_a_constant_column_scores_zero() -> None:
    normaliser = Normaliser(1)
    for _ in range(1000):
        normaliser.update(np.array([0.1]))
    assert normaliser.apply(np.array([0.1]))[0] == 0.0


@settings(max_examples=200, deadline=None)
@given(values=npst.arrays(np.float64, (12, 3), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_scores_are_numbers_within_the_bound_whatever_comes(values: FloatArray) -> None:
    normaliser = Normaliser(3, horizon=5)
    for row in values:
        normaliser.update(row)
        scores = normaliser.apply(row)
        assert (np.abs(scores) <= 5.0).all()


@pytest.mark.parametrize("cut", [0, 1, 7, 30])
def test_a_restored_normaliser_continues_bit_for_bit(cut: int) -> None:
    first, second = Normaliser(4, horizon=10), Normaliser(4)
    values = rows(40)
    for row in values[:cut]:
        first.update(row)
    second.load_state(first.state())
    for row in values[cut:]:
        first.update(row)
        second.update(row)
    assert first.moments.tobytes() == second.moments.tobytes()
    assert first.apply(values[3]).tobytes() == second.apply(values[3]).tobytes()


def test_state_is_a_copy() -> None:
    normaliser = Normaliser(4)
    kept = normaliser.state()
    normaliser.update(rows(1)[0])
    assert not kept["moments"].any()


def test_kernels_are_what_the_class_calls() -> None:
    normaliser, moments, out = Normaliser(4, horizon=20), np.zeros((3, 4)), np.zeros(4, np.float32)
    for row in rows(60):
        normaliser.update(row)
        update_moments(moments, row, 20.0)
    apply_moments(moments, rows(60)[5], out)
    assert moments.tobytes() == normaliser.moments.tobytes()
    assert out.tobytes() == normaliser.apply(rows(60)[5]).tobytes()
