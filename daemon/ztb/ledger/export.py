"""`decisions.parquet`, made from the journal, so that it can be made again after a kill."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow
from ztb.utils import files

_FIELDS: list[pa.Field[Any]] = [
    pa.field("ts_ns", pa.int64(), nullable=False),
    pa.field("symbol", pa.string(), nullable=False),
    pa.field("generation", pa.int32(), nullable=False),
    pa.field("action_size", pa.int8(), nullable=False),
    pa.field("action_timing", pa.int8(), nullable=False),
    pa.field("target", pa.float64(), nullable=False),
    pa.field("position", pa.float64(), nullable=False),
    pa.field("mid", pa.float64(), nullable=False),
    pa.field("equity", pa.float64(), nullable=False),
    pa.field("value", pa.float64()),
    pa.field("logprob", pa.float64()),
    pa.field("obs_hash", pa.string(), nullable=False),
    pa.field("verdict", pa.string(), nullable=False),
]
DECISIONS_SCHEMA = pa.schema(_FIELDS)


def export_decisions(journal: Path, out: Path) -> int:
    """Write `out` from the decisions in `journal`; returns how many. Replaces an older file in one step."""
    count = 0
    with (
        contextlib.closing(JournalReader(journal)) as reader,
        files.replacing(out) as partial,
        pq.ParquetWriter(partial, DECISIONS_SCHEMA, compression="zstd") as writer,
    ):
        for columns in reader.columns(DecisionRow, tuple(DECISIONS_SCHEMA.names)):
            writer.write_batch(_record_batch(columns))
            count += len(columns[0])
    return count


def _record_batch(columns: tuple[Sequence[Any], ...]) -> pa.RecordBatch:
    # An array has nan for what does not exist.
    arrays = [
        pa.array(column, field.type, from_pandas=True)
        for column, field in zip(columns, DECISIONS_SCHEMA, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=DECISIONS_SCHEMA)
