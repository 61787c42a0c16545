"""The journal keeps order, survives, refuses what it does not know, and its digest is its content's."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from ledger.test_packs import decision
from ztb.errors import DataError, InvariantError, ResourceError, UsageError, ZtbError
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import RECORDS, AllocationRow, DecisionRow, MarkRow, NoteRow, RefusalRow, UpdateRow

DAEMON = Path(__file__).resolve().parents[2] / "daemon"


def mark(number: int) -> MarkRow:
    return MarkRow(number, number * 10, 100.5, 1.0, 2.0, 3.0, 0.5, None, 4.0)


def test_rows_come_back_in_order_as_they_were(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    rows = [mark(i) for i in range(5000)]
    for i, row in enumerate(rows):
        assert journal.append(row) == 2 * i + 1
        journal.append(NoteRow(i, "gap", "é\n"))
    journal.close()
    reader = JournalReader(journal.path)
    assert list(reader.rows(MarkRow)) == rows
    assert [row.detail for row in reader.rows(NoteRow, "ts_ns < ?", (2,))] == ["é\n", "é\n"]
    assert reader.sha256() == journal.sha256()


def test_the_digest_sees_order_and_every_column(tmp_path):
    def digest(name: str, *rows: NoteRow | RefusalRow) -> str:
        journal = Journal(tmp_path / name)
        for row in rows:
            journal.append(row)
        journal.close()
        assert JournalReader(journal.path).sha256() == journal.sha256()
        return journal.sha256()

    one, two = NoteRow(1, "a", "b"), RefusalRow(0, 1, "exposure", 1, 5, 2.5)
    digests = {
        digest("1", one, two),
        digest("2", two, one),
        digest("3", one),
        digest("4", NoteRow(1, "a", "c"), two),
        digest("5", one, RefusalRow(0, 1, "exposure", 1, 5, 2.5000000001)),
    }
    assert len(digests) == 5
    assert digest("6", one, two) in digests


def test_the_digest_is_that_of_what_was_appended_whenever_it_is_asked_for(tmp_path):
    journal, tables = Journal(tmp_path / "journal.sqlite"), {}
    for record in RECORDS:
        tables[record.table] = hashlib.sha256()
    for i in range(500):
        journal.append(NoteRow(i, "a", "b"))
        told = [hashlib.sha256(text).digest()[:16] for text in (b"a", b"b")]
        tables["notes"].update(struct.pack("<qq16s16s", 2 * i + 1, i, *told))
        journal.append(MarkRow(i, 7, 100.5, 1.0, 2.0, 3.0, 0.5, None, 4.0))
        tables["marks"].update(
            struct.pack("<qqq7d", 2 * i + 2, i, 7, 100.5, 1.0, 2.0, 3.0, 0.5, math.nan, 4.0)
        )
        if i % 99 == 0:
            whole = hashlib.sha256()
            for name, digest in tables.items():
                whole.update(name.encode() + b"\0" + digest.digest())
            assert journal.sha256() == whole.hexdigest()
    journal.close()
    assert journal.sha256() == JournalReader(journal.path).sha256()


@pytest.mark.parametrize("record", RECORDS)
def test_binary_columns_come_last_and_stay_out_of_the_digest(record):
    binary = [kind == "bytes" for kind in record.__annotations__.values()]
    assert binary == sorted(binary)


def test_what_was_flushed_survives_a_kill(tmp_path):
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(DAEMON)!r})
        from ztb.ledger.journal import Journal
        from ztb.ledger.records import NoteRow
        from pathlib import Path
        journal = Journal(Path({str(tmp_path / "journal.sqlite")!r}))
        for i in range(3000):
            journal.append(NoteRow(i, "k", "v"))
        journal.flush()
        journal.append(NoteRow(9999, "k", "not flushed"))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    kept = [row.ts_ns for row in JournalReader(tmp_path / "journal.sqlite").rows(NoteRow)]
    assert kept[:3000] == list(range(3000))


def test_a_disk_that_refuses_is_reported_and_what_was_written_stays(tmp_path):
    script = f"""
        import resource, sys
        sys.path.insert(0, {str(DAEMON)!r})
        from ztb.errors import ZtbError
        from ztb.ledger.journal import Journal
        from ztb.ledger.records import NoteRow
        from pathlib import Path
        journal = Journal(Path({str(tmp_path / "journal.sqlite")!r}))
        journal.append(NoteRow(0, "first", ""))
        journal.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
        try:
            for i in range(200_000):
                journal.append(NoteRow(i, "k", "v" * 100))
            journal.flush()
        except ZtbError as error:
            print(error)
            sys.exit(7)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 7, done.stderr
    assert "journal.sqlite: the journal cannot be written" in done.stdout and "--out" in done.stdout
    rows = list(JournalReader(tmp_path / "journal.sqlite").rows(NoteRow))
    assert rows[0].kind == "first"


def test_a_newer_journal_is_refused_by_version(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    journal.close()
    with sqlite3.connect(journal.path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(DataError, match=r"schema 99 is newer"):
        JournalReader(journal.path)


def test_an_older_journal_is_gone_on_with_and_what_it_lacks_is_not_known(tmp_path):
    told = UpdateRow(1, 10, 256, -0.1, 0.5, 1.5, 0.01, 0.1, None, 0.002, 0.05, 0.01)
    journal = Journal(tmp_path / "journal.sqlite")
    journal.append(told)
    journal.close()
    with sqlite3.connect(journal.path) as connection:
        for name in ("churn", "dormant"):
            connection.execute(f"ALTER TABLE updates DROP COLUMN {name}")
    connection.close()
    lacking = msgspec.structs.replace(told, churn=None, dormant=None)
    assert list(JournalReader(journal.path).rows(UpdateRow)) == [lacking]
    journal = Journal(journal.path, reopen=True)
    journal.append(told)
    journal.close()
    assert list(JournalReader(journal.path).rows(UpdateRow)) == [lacking, told]


def test_files_that_are_no_journals_are_refused_by_name(tmp_path):
    stranger = tmp_path / "journal.sqlite"
    with pytest.raises(DataError, match="no journal there"):
        JournalReader(stranger)
    stranger.write_bytes(os.urandom(5000))
    with pytest.raises(DataError, match="not a journal of ztb"):
        JournalReader(stranger)
    with pytest.raises(DataError, match="already there"):
        Journal(stranger)


def test_an_uncreatable_journal_says_where_to_put_it(tmp_path):
    with pytest.raises(ZtbError, match="choose another --out"):
        Journal(tmp_path / "missing" / "journal.sqlite")


def test_reading_leaves_nothing_beside_the_journal(tmp_path):
    folder = tmp_path / "a #1?"
    folder.mkdir()
    journal = Journal(folder / "journal.sqlite")
    journal.append(NoteRow(1, "k", "v"))
    journal.close()
    reader = JournalReader(journal.path)
    assert [row.kind for row in reader.rows(NoteRow)] == ["k"]
    reader.close()
    assert [path.name for path in folder.iterdir()] == ["journal.sqlite"]


def test_a_reopened_journal_goes_on_where_it_stopped_and_its_digest_is_that_of_one_journal(tmp_path):
    whole = Journal(tmp_path / "whole.sqlite")
    path = tmp_path / "parts.sqlite"
    for part in range(3):
        journal = Journal(path, reopen=True)
        for i in range(5):
            assert journal.append(mark(5 * part + i)) == whole.append(mark(5 * part + i))
        journal.close()
    whole.close()
    assert journal.sha256() == whole.sha256() == JournalReader(path).sha256()


def test_a_journal_of_a_newer_schema_is_not_gone_on_with(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    journal.close()
    with sqlite3.connect(journal.path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(DataError, match="schema 99 is newer"):
        Journal(journal.path, reopen=True)


async def test_durable_returns_when_the_rows_are_on_disk_and_who_is_told_hears_each_in_order(tmp_path):
    heard = []
    journal = Journal(tmp_path / "journal.sqlite", tell=heard.append)
    rows = [mark(i) for i in range(3)]
    for row in rows:
        journal.append(row)
        await journal.durable()
        assert list(JournalReader(journal.path).rows(MarkRow)) == heard
    journal.close()
    assert heard == rows


def test_a_path_that_climbs_beyond_the_root_is_opened_as_the_system_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("../" * 60 + str(tmp_path)[1:]) / "journal.sqlite"
    with closing(Journal(path)) as journal:
        journal.append(mark(1))
    with closing(JournalReader(path)) as reader:
        assert list(reader.rows(MarkRow)) == [mark(1)]


def test_a_journal_that_cannot_be_made_says_whether_the_place_or_the_room_is_wanting(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be created.*--out"):
        Journal(tmp_path / "gone" / "journal.sqlite")


def test_a_figure_that_is_no_number_does_not_exist_and_one_that_has_to_is_refused(tmp_path):
    heard: list[object] = []
    journal = Journal(tmp_path / "journal.sqlite", tell=heard.append)
    odd = msgspec.structs.replace(mark(1), hold_equity=math.nan, frozen_equity=-math.inf)
    known = msgspec.structs.replace(mark(1), hold_equity=None, frozen_equity=None)
    assert journal.append(odd) == 1
    with pytest.raises(InvariantError, match="equity of a row of marks would be inf, and must be finite"):
        journal.append(msgspec.structs.replace(mark(2), equity=math.inf))
    assert journal.append(mark(3)) == 2, "what was refused has no place in the order"
    journal.close()
    assert list(JournalReader(journal.path).numbered(MarkRow)) == [(1, known), (2, mark(3))]
    assert heard == [known, mark(3)]


async def test_a_disk_that_refused_a_row_is_told_to_whoever_writes_waits_or_closes(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    journal.append(NoteRow(1, "kept", ""))
    journal.flush()
    with closing(sqlite3.connect(journal.path)) as other, other:
        other.execute("DROP TABLE marks")
    journal.append(mark(1))
    with pytest.raises(
        ResourceError, match=r"cannot be written .*no such table.*What was committed before is intact"
    ):
        journal.flush()
    with pytest.raises(ResourceError):
        journal.append(NoteRow(2, "lost", ""))
    with pytest.raises(ResourceError):
        await journal.durable()
    for _ in range(2):
        with pytest.raises(ResourceError):
            journal.close()
    assert [row.kind for row in JournalReader(journal.path).rows(NoteRow)] == ["kept"]


def test_after_a_refusal_nothing_later_is_written_as_if_nothing_were_missing(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    with closing(sqlite3.connect(journal.path)) as other, other:
        other.execute("ALTER TABLE marks RENAME TO aside")
    journal.append(mark(1))
    journal.commit()
    with pytest.raises(ResourceError):
        journal.flush()
    with closing(sqlite3.connect(journal.path)) as other, other:
        other.execute("ALTER TABLE aside RENAME TO marks")
    journal._queue.put([("notes", (9, 1, "late", ""))])
    with pytest.raises(ResourceError):
        journal.close()
    assert list(JournalReader(journal.path).rows(NoteRow)) == []


def test_a_journal_may_be_closed_twice_and_is_whole_after_the_first_time(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    for number in range(3):
        journal.append(mark(number))
    journal.close()
    journal.close()
    journal.flush()
    assert not journal.packs and list(JournalReader(journal.path).rows(MarkRow)) == [
        mark(n) for n in range(3)
    ]


def test_what_was_appended_to_a_reopened_journal_is_in_its_digest_at_once(tmp_path):
    Journal(tmp_path / "journal.sqlite").close()
    journal = Journal(tmp_path / "journal.sqlite", reopen=True)
    empty = journal.sha256()
    journal.append(mark(1))
    assert journal.sha256() != empty
    journal.close()


def test_rows_that_are_packed_are_told_to_nobody(tmp_path):
    heard: list[object] = []
    journal = Journal(tmp_path / "journal.sqlite", tell=heard.append, packs=True)
    journal.append(mark(1))
    journal.append(NoteRow(2, "k", "v"))
    assert journal.packs and heard == [NoteRow(2, "k", "v")]
    assert (journal.reserve(3), journal.append(NoteRow(3, "k", "v"))) == (3, 6)
    journal.close()
    assert JournalReader(journal.path).last_seq() == 6


@pytest.mark.parametrize(("packs", "bytes_"), [(False, 4096), (True, 16_384)])
def test_a_packed_journal_has_larger_pages_and_either_writes_ahead(tmp_path, packs, bytes_):
    journal = Journal(tmp_path / "journal.sqlite", packs=packs)
    with closing(sqlite3.connect(journal.path)) as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (bytes_,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    journal.close()


def test_a_journal_of_the_first_schema_gets_the_tables_and_columns_that_came_since(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    journal.append(decision(1))
    journal.close()
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.execute("DROP TABLE packs")
        connection.execute("DROP TABLE allocations")
        connection.execute("ALTER TABLE decisions DROP COLUMN aims")
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    with closing(JournalReader(journal.path)) as reader:
        (old,) = reader.rows(DecisionRow)
        assert old == msgspec.structs.replace(decision(1), aims=b"") and reader.last_seq() == 1
        assert list(reader.rows(AllocationRow)) == [] == list(reader.columns(AllocationRow, ("ts_ns",)))
        before = reader.sha256()
    journal = Journal(journal.path, reopen=True)
    assert journal.sha256() == before and journal.append(decision(2)) == 2
    allocation = AllocationRow(2, 5, "flat", 1.0, 0.0, 100.0, "{}")
    journal.append(allocation)
    journal.close()
    with closing(JournalReader(journal.path)) as reader:
        assert [row.decision for row in reader.rows(DecisionRow)] == [1, 2]
        assert list(reader.rows(AllocationRow)) == [allocation] and reader.last_seq() == 3


def test_an_empty_journal_has_no_last_row_and_columns_come_thousands_at_a_time(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    journal.flush()
    with closing(JournalReader(journal.path)) as reader:
        assert reader.last_seq() == 0 and list(reader.columns(MarkRow, ("ts_ns",))) == []
        for number in range(8200):
            journal.append(mark(number))
        journal.flush()
        batches = [(len(a), b[0], b[-1]) for a, b in reader.columns(MarkRow, ("ts_ns", "decision"))]
    assert batches == [(8192, 0, 8191), (8, 8192, 8199)]
    journal.close()


def test_a_copy_is_a_journal_by_itself_and_a_damaged_one_is_not_copied(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    for number in range(2000):
        journal.append(mark(number))
    journal.flush()
    with closing(JournalReader(journal.path)) as reader:
        reader.copy(tmp_path / "copy.sqlite")
        with pytest.raises(ResourceError, match="cannot be copied"):
            reader.copy(tmp_path / "gone" / "copy.sqlite")
    journal.close()
    with closing(JournalReader(tmp_path / "copy.sqlite")) as copied:
        assert copied.sha256() == journal.sha256()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.sqlite", "journal.sqlite"]
    content = bytearray(journal.path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = bytes(4096)
    journal.path.write_bytes(content)
    with (
        closing(JournalReader(journal.path)) as reader,
        pytest.raises(DataError, match="the journal is damaged"),
    ):
        reader.copy(tmp_path / "other.sqlite")
