"""A journal's digest is the one that its description says, byte for byte, written here a second time."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from ztb.ledger.canonical import JournalDigest, canonical_dtype
from ztb.ledger.records import RECORDS, DecisionRow, NoteRow, OrderEventRow, OrderRow, Record


def text(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()[:16]


LEAST, NAN = struct.pack("<q", -(2**63)), struct.pack("<d", float("nan"))
EXPECTED: list[tuple[Record, bytes]] = [
    (
        OrderEventRow(7, 8, "expired", None, None),
        struct.pack("<qqq", 1, 7, 8) + text("expired") + LEAST + bytes(16),
    ),
    (
        OrderEventRow(7, 8, "expired", 5, "why"),
        struct.pack("<qqq", 2, 7, 8) + text("expired") + struct.pack("<q", 5) + text("why"),
    ),
    (NoteRow(9, "kind", ""), struct.pack("<qq", 3, 9) + text("kind") + text("")),
    (
        OrderRow(1, "id", 2, 3, 4, -1, 5, "limit", 6, "GTC", True, False),
        struct.pack("<qq", 4, 1) + text("id") + struct.pack("<qqqqq", 2, 3, 4, -1, 5) + text("limit")
        + struct.pack("<q", 6) + text("GTC") + struct.pack("<qq", 1, 0),
    ),
    (
        DecisionRow(
            1, 2, "A/B", 3, 4, 5, -0.0, 0.5, 1.5, 2.5, None, -1.0, "ff00000000000001", "passed", None, False,
            b"not told", b"",
        ),
        struct.pack("<qqq", 5, 1, 2) + text("A/B") + struct.pack("<qqqdddd", 3, 4, 5, 0.0, 0.5, 1.5, 2.5) + NAN
        + struct.pack("<d", -1.0) + struct.pack("<Q", 0xFF00000000000001) + text("passed") + NAN
        + struct.pack("<q", 0),
    ),
]  # fmt: skip


def test_rows_enter_as_described_and_tables_in_their_order():
    digest = JournalDigest()
    tables = {record.table: hashlib.sha256() for record in RECORDS}
    for seq, (row, expected) in enumerate(EXPECTED, 1):
        values = [getattr(row, name) for name in type(row).__struct_fields__]
        digest.add(row.table, seq, values)
        tables[row.table].update(expected)
        assert canonical_dtype(row.table).itemsize == len(expected)
    whole = hashlib.sha256()
    for table, own in tables.items():
        whole.update(table.encode() + b"\0" + own.digest())
    assert digest.hexdigest() == whole.hexdigest()


def test_rows_that_are_packed_enter_as_those_that_are_not():
    row, packed = JournalDigest(), JournalDigest()
    record, values = EXPECTED[4][0], {"seq": 5}
    names = canonical_dtype("decisions").names or ()
    values |= {name: getattr(record, name) for name in names[1:]}
    values |= {"value": np.nan, "reward": np.nan, "target": 0.0, "obs_hash": 0xFF00000000000001}
    values |= {"symbol": text("A/B"), "verdict": text("passed")}
    made = np.array([tuple(values[name] for name in names)], canonical_dtype("decisions"))
    packed.add_all("decisions", made)
    row.add("decisions", 5, [getattr(record, name) for name in type(record).__struct_fields__])
    assert packed.hexdigest() == row.hexdigest() != JournalDigest().hexdigest()
