"""The schema hash changes with whatever changes what a policy is told, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from features.feature_ticks import INSTRUMENT, PERIOD
from ztb.features import FeatureSet, differing, registry, schema
from ztb.features.schema import code_of, schema_hash

NAMES = ("return_4", "rsi_14", "spread")
SCHEMA = FeatureSet(INSTRUMENT, PERIOD, NAMES).schema_hash


def test_same_features_same_hash() -> None:
    assert len(SCHEMA) == 40
    assert int(SCHEMA, 16) >= 0
    again = FeatureSet(replace(INSTRUMENT, symbol="ETH/USDT"), PERIOD, NAMES)
    assert again.schema_hash == SCHEMA


@pytest.mark.parametrize(
    "names", [("return_4", "rsi_14"), ("rsi_14", "return_4", "spread"), ("return_8", "rsi_14", "spread")]
)
def test_other_names_or_another_order(names: tuple[str, ...]) -> None:
    message = differing(SCHEMA, FeatureSet(INSTRUMENT, PERIOD, names).schema_hash)
    assert "the names or formulas of the features" in message
    assert "period" not in message


def test_another_period() -> None:
    message = differing(SCHEMA, FeatureSet(INSTRUMENT, 2 * PERIOD, NAMES).schema_hash)
    assert "the period" in message
    assert "names" not in message


def test_another_formula_in_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tuple(
        replace(feature, formula="ln(p)") if feature.name == "return_4" else feature
        for feature in registry.FEATURES
    )
    monkeypatch.setattr("ztb.features.featureset.FEATURES", changed)
    assert "names or formulas" in differing(SCHEMA, FeatureSet(INSTRUMENT, PERIOD, NAMES).schema_hash)


def test_another_formula_in_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    code = schema.kernel_code()
    assert "return log_price - log_past" in code
    changed = code.replace("return log_price - log_past", "return log_past - log_price")
    monkeypatch.setattr(schema, "kernel_code", lambda: changed)
    message = differing(SCHEMA, FeatureSet(INSTRUMENT, PERIOD, NAMES).schema_hash)
    assert "the code of the feature kernels" in message
    assert "names" not in message


def test_another_normaliser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema.normaliser, "NORMALISER_KIND", "min-max")
    assert "the normaliser" in differing(SCHEMA, FeatureSet(INSTRUMENT, PERIOD, NAMES).schema_hash)


def test_everything_that_differs_is_named() -> None:
    message = differing(SCHEMA, schema_hash(["a"], ["b"], 1))
    assert "names or formulas of the features, the code of the feature kernels, the period" in message


def test_comments_docstrings_and_layout_are_no_code() -> None:
    plain = "def f(x):\n    return x + 1\n"
    dressed = '"""Module."""\n\n\ndef f(x):  # comment\n    """Add."""\n    return (x\n            + 1)\n'
    assert code_of(dressed) == code_of(plain)
    assert code_of(plain.replace("1", "2")) != code_of(plain)


def test_every_module_that_a_shipped_kernel_calls_is_in_the_code() -> None:
    code = schema.kernel_code()
    for name in (
        "update",
        "emit",
        "close_bucket",
        "apply_tick",
        "apply_level",
        "update_moments",
        "ema",
        "jump",
    ):
        assert f"def {name}(" in code
