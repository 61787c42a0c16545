"""A user's own features: any kernel, live as in a history, restored bit for bit, refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from features.feature_ticks import INSTRUMENT, PERIOD, mixed
from ztb.errors import ConfigError
from ztb.features import FeatureSet, UserFeature
from ztb.market.ticks import DEPTH, LAST, Ticks
from ztb.utils.kernel import COMPILED, kernel


@kernel
def half(value: float) -> float:
    return 0.5 * value


@kernel
def half_spread(state: NDArray[np.float64], ticks: Ticks, i: int, view: NDArray[np.void]) -> float:
    return half(view[0]["ask"] - view[0]["bid"])


def mean_price(state: NDArray[np.float64], ticks: Ticks, i: int, view: NDArray[np.void]) -> float:
    state[0] += 1.0
    state[1] += ticks[i]["price"]
    return state[1] / state[0]


def infinite(state: NDArray[np.float64], ticks: Ticks, i: int, view: NDArray[np.void]) -> float:
    return 1.0 / (view[0]["mid"] - view[0]["mid"])


HALF_SPREAD = UserFeature("half_spread", "(a - b) / 2", "quote currency", 0, 0, half_spread)
MEAN_PRICE = UserFeature("mean_price", "mean of prices", "quote currency", 70, 2, mean_price)
INFINITE = UserFeature("infinite", "1 / 0", "none", 0, 0, infinite)
SHIPPED_TOO = ("spread", "rsi_14")


def made(*user: UserFeature) -> FeatureSet:
    return FeatureSet(INSTRUMENT, PERIOD, SHIPPED_TOO, user)


def test_own_features_follow_the_shipped_ones() -> None:
    ticks, features = mixed(100), made(MEAN_PRICE, HALF_SPREAD)
    values = features.batch(ticks)
    counts = (ticks["kind"] != DEPTH) | ((ticks["flags"] & LAST) != 0)
    mean = np.cumsum(ticks["price"] * counts) / np.cumsum(counts)
    assert features.names == ("spread", "rsi_14", "mean_price", "half_spread")
    np.testing.assert_allclose(values[:, 2], mean, rtol=1e-12)
    mids = np.array([features.mid])
    np.testing.assert_allclose(values[-1, 3], values[-1, 0] * mids[0] / 2e4)
    assert values[:, :2].tobytes() == FeatureSet(INSTRUMENT, PERIOD, SHIPPED_TOO).batch(ticks).tobytes()
    assert features.warm_up == 70


@pytest.mark.parametrize("cut", [0, 1, 50, 200])
def test_own_features_live_equal_the_history_and_resume(cut: int) -> None:
    ticks, features = mixed(100), made(HALF_SPREAD, MEAN_PRICE)
    expected = made(HALF_SPREAD, MEAN_PRICE).batch(ticks)
    for i in range(cut):
        features.advance(ticks, i, i + 1)
        assert features.values.tobytes() == expected[i].tobytes()
    other = made(HALF_SPREAD, MEAN_PRICE)
    other.load_state(features.state())
    assert (
        other.batch_at(ticks[cut:], np.arange(0, len(ticks) - cut, 3)).tobytes() == expected[cut::3].tobytes()
    )
    assert other.values.tobytes() == expected[-1].tobytes()


def test_two_sets_keep_their_states_apart() -> None:
    ticks, first, second = mixed(50), made(MEAN_PRICE), made(MEAN_PRICE)
    first.batch(ticks)
    assert second.batch(ticks).tobytes() == made(MEAN_PRICE).batch(ticks).tobytes()


def test_a_value_that_is_not_finite_counts_as_zero() -> None:
    assert not made(INFINITE).batch(mixed(20))[:, 2].any()


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"formula": "b"}, {"unit": "m"}, {"update": mean_price}]
)
def test_own_features_enter_the_schema_hash(change: dict[str, Any]) -> None:
    assert made(replace(HALF_SPREAD, **change)).schema_hash != made(HALF_SPREAD).schema_hash
    assert made(HALF_SPREAD).schema_hash == made(replace(HALF_SPREAD)).schema_hash


@pytest.mark.parametrize(
    "user", [[replace(HALF_SPREAD, name="spread")], [HALF_SPREAD, MEAN_PRICE, HALF_SPREAD]]
)
def test_a_name_that_is_taken_is_refused(user: list[UserFeature]) -> None:
    with pytest.raises(ConfigError, match=f"{user[0].name!r}, which is taken"):
        made(*user)


def no_kernel(state: NDArray[np.float64], ticks: Ticks, i: int, view: NDArray[np.void]) -> float:
    return float(ticks[i]["no_such_field"])


@pytest.mark.skipif(not COMPILED, reason="only the compiler refuses")
def test_what_does_not_compile_is_refused_with_file_and_reason() -> None:
    with pytest.raises(ConfigError, match=r"'odd' in .*test_feature_user\.py:\d+ does not compile: .+"):
        made(UserFeature("odd", "?", "?", 0, 0, no_kernel))
