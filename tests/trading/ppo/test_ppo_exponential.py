"""The kernels' own e^x against libm's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ztb.trading.policy.categorical import exp


def test_it_is_within_1e_15_of_libms() -> None:
    generator = np.random.default_rng(0)
    for span in (1e-8, 1.0, 30.0, 699.0):
        for x in generator.uniform(-span, span, 2_000):
            assert exp(float(x)) == pytest.approx(math.exp(x), rel=1e-15)


def test_powers_of_e_where_rounding_changes_are_exact_too() -> None:
    for n in range(-1000, 1001, 7):
        for nudge in (-1e-12, 0.0, 1e-12):
            x = (n + 0.5) * math.log(2.0) + nudge
            assert exp(x) == pytest.approx(math.exp(x), rel=1e-15)
    assert exp(0.0) == 1.0


def test_beyond_700_it_stays_finite_and_nan_stays_nan() -> None:
    assert exp(1e9) == exp(700.0) == pytest.approx(math.exp(700.0), rel=1e-15)
    assert exp(-math.inf) == exp(-700.0) == pytest.approx(math.exp(-700.0), rel=1e-15)
    assert math.isnan(exp(math.nan))
