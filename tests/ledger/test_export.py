"""`decisions.parquet` is the journal's decisions, with fixed types, and null for what does not exist."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger.test_packs import decision
from ztb.ledger.export import DECISIONS_SCHEMA, export_decisions
from ztb.ledger.journal import Journal

SHOWN = ("ts_ns", "symbol", "generation", "action_size", "action_timing", "target", "position", "mid", "equity",
         "value", "logprob", "obs_hash", "verdict")  # fmt: skip


@pytest.fixture(params=[False, True], ids=["rows", "packs"])
def journal(request, tmp_path: Path) -> Path:
    made = Journal(tmp_path / "journal.sqlite", packs=request.param)
    for number in range(8200):
        made.append(decision(number))
    made.close()
    return made.path


def test_each_decision_is_a_row_in_order(journal: Path, tmp_path: Path):
    out = tmp_path / "decisions.parquet"
    out.write_text("an older one")
    assert export_decisions(journal, out) == 8200
    table = pq.read_table(out)
    assert table.schema.equals(DECISIONS_SCHEMA) and tuple(table.column_names) == SHOWN
    for number in (0, 3, 7, 8191, 8192, 8199):
        given = decision(number)
        assert table.slice(number, 1).to_pylist() == [{name: getattr(given, name) for name in SHOWN}]
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".sqlite"] == ["decisions.parquet"]


def test_types_are_fixed_and_only_what_a_policy_says_may_be_missing():
    types = {field.name: field.type for field in DECISIONS_SCHEMA}
    assert types["generation"] == pa.int32() and types["action_size"] == types["action_timing"] == pa.int8()
    assert {name for name, kind in types.items() if kind == pa.float64()} == {
        "target", "position", "mid", "equity", "value", "logprob",
    }  # fmt: skip
    assert {field.name for field in DECISIONS_SCHEMA if field.nullable} == {"value", "logprob"}


def test_a_run_without_decisions_has_a_table_without_rows(tmp_path: Path):
    made = Journal(tmp_path / "journal.sqlite")
    made.close()
    assert export_decisions(made.path, tmp_path / "decisions.parquet") == 0
    assert pq.read_table(tmp_path / "decisions.parquet").schema.equals(DECISIONS_SCHEMA)
