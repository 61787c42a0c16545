"""A strategy's own reward: what it answers is looked at, and what is wrong with it is said with its file and line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ztb.errors import ConfigError, StrategyError
from ztb.trading.strategy import checked_reward, not_finite

EQUITY = np.array([100.0, 101.0, 99.0])


def line_of(function: Any) -> int:
    return int(function.__code__.co_firstlineno)


def growth(before: Any, after: Any) -> Any:
    return np.log(after / before)


def for_one_number(before: Any, after: Any) -> Any:
    return math.log(after / before) if after > before else -1.0


def always_nothing(before: Any, after: Any) -> Any:
    return 0.0


def one_short(before: Any, after: Any) -> Any:
    return (after - before)[1:]


def words(before: Any, after: Any) -> Any:
    return "much"


def test_answers_pass_as_they_are_finite_or_not():
    checked = checked_reward(growth)
    assert np.array_equal(checked(EQUITY, EQUITY[::-1]), growth(EQUITY, EQUITY[::-1]))
    assert checked(100.0, 110.0) == growth(100.0, 110.0) and isinstance(checked(100.0, 110.0), float)
    assert math.isnan(checked_reward(lambda before, after: np.log(-after))(1.0, 1.0))
    assert checked_reward(always_nothing)(1.0, 2.0) == 0.0


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (for_one_number, r"reward raised ValueError: The truth value .*test_own_reward\.py:{line}\)"),
        (words, r"reward raised ValueError: could not convert"),
        (lambda before: 0.0, r"reward raised TypeError: .*\(3,\), and as a static method nothing else"),
        (always_nothing, r"must answer an array of shape \(3,\), .* not one of shape \(\) \(.*own_reward\.py:{line}"),
        (one_short, r"must answer an array of shape \(3,\), .* not one of shape \(2,\)"),
    ],
)  # fmt: skip
def test_one_that_cannot_take_many_or_answers_something_else_is_named_with_its_place(reward, said):
    line = line_of(reward) + (reward is for_one_number)
    with pytest.raises(StrategyError, match=said.format(line=line)) as error:
        checked_reward(reward)(EQUITY, EQUITY + 1.0)
    assert "strategy test_own_reward: " in str(error.value) and error.value.exit_code == 78


def test_an_error_that_is_meant_for_the_user_stays_what_it_is():
    def refuses(before: Any, after: Any) -> Any:
        raise ConfigError("mine")

    with pytest.raises(ConfigError, match=r"^mine$"):
        checked_reward(refuses)(1.0, 2.0)


def test_what_is_not_finite_is_put_into_words_with_what_it_was_given():
    said = not_finite(checked_reward(growth), 7, 100.0, 0.0, -math.inf)
    assert said == (
        f"strategy test_own_reward: reward: not finite at decision 7 ({__file__}:{line_of(growth)}): "
        "reward(100.0, 0.0) is -inf"
    )
