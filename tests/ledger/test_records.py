"""Records as tables: columns, their types, what enters the digest; and figures that do not exist."""

from __future__ import annotations

import json
import math

import pytest

from ztb.ledger.records import (
    RECORDS,
    SCHEMA_VERSION,
    DecisionRow,
    UpdateRow,
    canonical_fields,
    columns_of,
    detail_text,
)


def test_the_schema_is_the_third():
    """A change of it needs a migration."""
    assert SCHEMA_VERSION == 3


def test_columns_are_the_fields_with_sqlites_types():
    assert columns_of(UpdateRow)[:4] == [
        ("number", "INTEGER"), ("ts_ns", "INTEGER"), ("decisions", "INTEGER"), ("policy_loss", "REAL"),
    ]  # fmt: skip
    kinds = dict(columns_of(DecisionRow))
    told = [kinds[name] for name in ("symbol", "tainted", "value", "observation")]
    assert told == ["TEXT", "INTEGER", "REAL", "BLOB"]
    for record in RECORDS:
        assert [name for name, _ in columns_of(record)] == list(record.__struct_fields__)


def test_all_but_binary_columns_enter_the_digest():
    left_out = set(DecisionRow.__struct_fields__) - set(canonical_fields(DecisionRow))
    assert left_out == {"observation", "uniforms", "aims"}


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_not_finite_is_null_wherever_it_stands(figure: float):
    facts = {
        "b": figure,
        "a": [1.5, figure, {"x": figure}],
        "t": (figure, "nan"),
        "n": None,
        "i": 3,
        "f": True,
    }
    assert detail_text(facts) == (
        '{"a": [1.5, null, {"x": null}], "b": null, "f": true, "i": 3, "n": null, "t": [null, "nan"]}'
    )


def test_facts_are_told_with_their_keys_sorted():
    assert detail_text({"b": 1, "a": {"d": 0.5, "c": 2}}) == '{"a": {"c": 2, "d": 0.5}, "b": 1}'
    assert json.loads(detail_text({})) == {}
