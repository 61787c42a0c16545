"""The table of features: complete, documented, and helpful about a wrong name."""

from __future__ import annotations

import pytest

from features.feature_ticks import INSTRUMENT, PERIOD
from ztb.errors import ConfigError
from ztb.features import SHIPPED, FeatureSet, reference


def test_every_feature_says_formula_unit_source_and_warm_up() -> None:
    entries = reference()
    assert [entry["name"] for entry in entries] == list(SHIPPED)
    for entry in entries:
        texts = [entry[key] for key in ("meaning", "formula", "unit", "source")]
        assert all(isinstance(text, str) and len(text) > 3 for text in texts), entry["name"]
        assert isinstance(entry["warm_up"], int)
        assert entry["warm_up"] >= 0


def test_formulas_tell_features_of_one_kernel_apart() -> None:
    formulas = [entry["formula"] for entry in reference()]
    doubled = {text for text in formulas if formulas.count(text) > 1}
    assert not doubled


def test_names_are_unique() -> None:
    assert len(set(SHIPPED)) == len(SHIPPED)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'rsi14'; the nearest is 'rsi_14'"):
        FeatureSet(INSTRUMENT, PERIOD, ["rsi14"])


def test_a_repeated_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="'spread' is named twice"):
        FeatureSet(INSTRUMENT, PERIOD, ["spread", "body", "spread"])


def test_warm_up_is_the_longest_of_the_selected() -> None:
    assert FeatureSet(INSTRUMENT, PERIOD, ["spread"]).warm_up == 0
    assert FeatureSet(INSTRUMENT, PERIOD, ["rsi_14", "return_4"]).warm_up == 15
    assert FeatureSet(INSTRUMENT, PERIOD).warm_up == 65
