"""Rows that are packed come back as they were, and nothing of a journal tells whether they were packed."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from ztb.errors import InvariantError
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.packs import PackInMaking, Words, columns_of_rows, pack, unpack
from ztb.ledger.records import DecisionRow, MarkRow, NoteRow


def decision(i: int) -> DecisionRow:
    return DecisionRow(
        decision=i,
        ts_ns=10**18 + i,
        symbol="BTC/USDT",
        generation=i // 50,
        action_size=i % 5,
        action_timing=i % 3,
        target=0.25 * (i % 5),
        position=0.1 * i,
        mid=100.0,
        equity=-0.0 if i == 3 else 1e4 + i,
        value=None if i % 7 == 0 else 0.5 * i,
        logprob=None if i % 7 == 0 else -1.0,
        obs_hash=f"{i * 0x9E3779B97F4A7C15 % 2**64:016x}",
        verdict=("no_order", "passed", "exposure")[i % 3],
        reward=None if i == 0 else 0.01,
        tainted=i % 11 == 0,
        observation=bytes([i % 256] * 8),
        uniforms=bytes(16),
        aims=b"{}" * (i % 4),
    )


def mark(i: int) -> MarkRow:
    return MarkRow(i, 10**18 + i, 100.0, 1.0, 2.0, 3.0 + i, 0.5, None if i % 2 else 9.0, None)


@dataclass
class Written:
    """The same rows, a row each, and packed: some one by one, others as columns."""

    rows: Journal
    packed: Journal


@pytest.fixture
def written(tmp_path):
    both = Written(Journal(tmp_path / "rows.sqlite"), Journal(tmp_path / "packed.sqlite", packs=True))
    for i in range(300):
        both.rows.append(decision(i))
        both.rows.append(mark(i))
        if i % 40 == 39:
            both.rows.append(NoteRow(i, "kind", "detail"))
    done = 0
    for until in range(40, 301, 40):
        for i in range(done, done + 10):
            both.packed.append(decision(i))
            both.packed.append(mark(i))
        numbers = range(done + 10, until)
        first = both.packed.reserve(2 * len(numbers))
        seqs = np.arange(first, first + 2 * len(numbers), 2)
        for record, made, places in ((DecisionRow, decision, seqs), (MarkRow, mark, seqs + 1)):
            rows = [msgspec.structs.astuple(made(i)) for i in numbers]
            both.packed.append_columns(record, places, columns_of_rows(record, rows))
        both.packed.append(NoteRow(until - 1, "kind", "detail"))
        if until == 120:
            both.packed.commit()  # a pack ends here
        done = until
    for i in range(done, 300):
        both.packed.append(decision(i))
        both.packed.append(mark(i))
    both.rows.close()
    both.packed.close()
    return both


def test_packed_rows_are_the_same_rows_with_the_same_digest(written):
    rows, packed = JournalReader(written.rows.path), JournalReader(written.packed.path)
    for record in (DecisionRow, MarkRow, NoteRow):
        assert list(packed.numbered(record)) == list(rows.numbered(record))
    assert packed.last_seq() == rows.last_seq() == 607
    assert written.rows.sha256() == written.packed.sha256() == rows.sha256() == packed.sha256()


def test_conditions_find_packed_rows(written):
    rows, packed = JournalReader(written.rows.path), JournalReader(written.packed.path)
    for where, parameters in (
        ("decision = ?", (77,)),
        ("seq <= ?", (99,)),
        ("seq = (SELECT max(seq) FROM decisions WHERE ts_ns <= ?)", (10**18 + 40,)),
        ("seq IN (SELECT seq FROM decisions ORDER BY seq DESC LIMIT ?)", (3,)),
    ):
        found = list(packed.numbered(DecisionRow, where, parameters))
        assert found == list(rows.numbered(DecisionRow, where, parameters)) != []
    assert packed.sha256() == rows.sha256()


def test_columns_of_packs_are_those_of_rows(written):
    names = ("ts_ns", "decision", "equity", "value", "verdict", "tainted", "obs_hash")

    def columns(journal: Journal) -> list[list[object]]:
        batches = JournalReader(journal.path).columns(DecisionRow, names)
        return [
            [None if each != each else each for batch in parts for each in list(batch)]
            for parts in zip(*batches, strict=True)
        ]

    assert columns(written.packed) == columns(written.rows)


def test_a_figure_that_has_to_exist_is_not_packed_without(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite", packs=True)
    columns = dict(columns_of_rows(MarkRow, [msgspec.structs.astuple(mark(i)) for i in range(3)]))
    columns["equity"] = np.array([1.0, np.inf, 2.0])
    with pytest.raises(InvariantError, match="equity of a row of marks would be inf"):
        journal.append_columns(MarkRow, np.arange(1, 4), columns)
    journal.close()


def test_a_column_without_any_figure_is_kept_once():
    seqs = np.arange(300)
    packed = pack(seqs, {"value": np.full(300, np.nan)})
    assert len(packed) < len(pack(seqs, {"value": 0.5 * seqs})) - 299 * 8
    assert np.isnan(unpack(packed)["value"]).tolist() == [True] * 300


def test_a_pack_is_the_length_of_its_head_the_head_and_the_numbers_of_one_column_after_the_other():
    """As files of before have it: what is the same in all rows stands once."""
    seqs, values = np.arange(5, 8), np.array([1.0, np.nan, 3.0])
    words = Words(("a", "b"), np.array([0, 1, 0], np.int64))
    columns = {"value": values, "same": np.full(3, 7), "words": words, "vary": [b"x", b"", b"yz"]}
    packed = pack(seqs, columns)
    size = int.from_bytes(packed[:4], "little")
    assert json.loads(packed[4 : 4 + size]) == [
        ["seq", "<i8", [3], False, None, False], ["value", "<f8", [3], False, None, False],
        ["same", "<i8", [3], True, None, False], ["words", "<u2", [3], False, ["a", "b"], False],
        ["vary", "<u4", [3], False, None, True],
    ]  # fmt: skip
    numbers = [seqs, values, np.array([7]), np.array([0, 1, 0], "<u2"), np.array([1, 0, 2], "<u4")]
    assert packed[4 + size :] == b"".join(each.tobytes() for each in numbers) + b"xyz"
    found = unpack(packed)
    assert found["vary"] == columns["vary"] and found["words"].places.tolist() == [0, 1, 0]
    assert found["same"].tolist() == [7, 7, 7] and found["seq"].tolist() == [5, 6, 7]
    assert set(unpack(packed, ["vary"])) == {"seq", "vary"}


def test_one_row_is_packed_as_it_is():
    packed = pack(np.array([3]), {"value": np.array([2.5]), "bits": np.array([[1, 2]], np.uint8)})
    found = unpack(packed)
    assert found["value"].tolist() == [2.5] and found["bits"].tolist() == [[1, 2]]


def test_who_packs_keeps_copies_and_begins_anew_after_each_pack():
    waiting = PackInMaking(MarkRow)
    assert waiting.take() == [] and waiting.rows == 0
    columns = dict(columns_of_rows(MarkRow, [msgspec.structs.astuple(mark(i)) for i in range(2)]))
    seqs = np.array([4, 6])
    waiting.add_row(2, msgspec.structs.astuple(mark(9)))
    waiting.add(seqs, columns)
    assert waiting.rows == 3
    seqs[:], columns["equity"][:] = 0, 0.0
    ((table, first, last, packed),) = waiting.take()
    assert (table, first, last) == ("marks", 2, 6) and waiting.rows == 0 and waiting.take() == []
    found = unpack(packed)
    assert found["seq"].tolist() == [2, 4, 6] and found["equity"].tolist() == [12.0, 3.0, 4.0]
