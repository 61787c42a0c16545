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

from ztb.errors import DataError, UsageError, ZtbError
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import RECORDS, MarkRow, NoteRow, RefusalRow, UpdateRow

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
