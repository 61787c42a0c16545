"""Reading a journal, while it is written too: records in order, or columns of one table.

Rows and packs (`ledger.packs`) of a table are told alike; the rows of who goes on with a packed journal come after its
packs.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from ztb.errors import DataError, NotFoundError, ResourceError
from ztb.ledger.canonical import JournalDigest
from ztb.ledger.packs import PACKED, canonical, column_of, unpack, values_of
from ztb.ledger.records import RECORDS, SCHEMA_VERSION, Record, canonical_fields, columns_of

_READ_ROWS = 8192
_PACKS_SINCE = 3  # of the schema's versions
_R = TypeVar("_R", bound=Record)


def known_columns(connection: sqlite3.Connection, record: type[Record]) -> set[str]:
    """Of a record's table in this journal; none where there is no such table."""
    return {str(row[1]) for row in connection.execute(f"PRAGMA main.table_info({record.table})")}


def _reading_mode(path: Path) -> str:
    """The mode in which to read `path`: so that SQLite's side files go when we close, or, where nothing may be
    written, as a file that does not change."""
    return (
        "mode=rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "mode=ro&immutable=1"
    )


class JournalReader:
    """A journal opened for reading; safe while it is being written and after a kill."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotFoundError(f"{path}: no journal there; is this a run directory?")
        self.path = path
        self._connection = sqlite3.connect(
            f"file:{quote(str(path.resolve()))}?{_reading_mode(path)}", uri=True
        )
        try:
            row = self._connection.execute("SELECT value FROM meta WHERE key='schema_version'").fetchone()
        except sqlite3.Error as error:
            raise DataError(f"{path}: not a journal of ztb ({error})") from error
        version = int(row[0]) if row else 0
        self._has_packs = version >= _PACKS_SINCE
        self._unpacked: set[type[Record]] = set()
        if version > SCHEMA_VERSION:
            raise DataError(
                f"{path}: journal schema {version} is newer than this ztb knows ({SCHEMA_VERSION}); update ztb"
            )

    def close(self) -> None:
        self._connection.close()

    def copy(self, target: Path) -> None:
        """A new file `target` with all of it as it is at one moment, while it is written to too.

        DataError: it is damaged. ResourceError: there is no room.
        """
        try:
            with contextlib.closing(sqlite3.connect(target.resolve())) as copied:
                self._connection.backup(copied)
                copied.execute("PRAGMA journal_mode=DELETE")
                (fault,) = copied.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            raise ResourceError(f"{target}: the journal cannot be copied ({error}); free space") from error
        except sqlite3.DatabaseError as error:
            fault = str(error)
        if fault != "ok":
            raise DataError(f"{self.path}: the journal is damaged ({fault}); restore an earlier backup")

    def rows(self, record: type[_R], where: str = "", parameters: tuple[object, ...] = ()) -> Iterator[_R]:
        """Records of one table in sequence order; `where` is an SQL condition with `?` for `parameters`."""
        return (row for _, row in self.numbered(record, where, parameters))

    def numbered(
        self, record: type[_R], where: str = "", parameters: tuple[object, ...] = ()
    ) -> Iterator[tuple[int, _R]]:
        """As `rows`, each with its sequence number."""
        if self._is_packed(record):
            if not where:
                yield from _records(record, self._packs(record))
            else:
                self._unpack(record)
        known = known_columns(self._connection, record)
        if not known:  # written before there was such a table
            return
        names = [name for name, _ in columns_of(record) if name in known]
        bools = [i for i, name in enumerate(names) if record.__annotations__[name] == "bool"]
        table = f"{record.table} WHERE {where}" if where else f"main.{record.table}"
        query = f"SELECT seq,{','.join(names)} FROM {table} ORDER BY seq"
        for seq, *values in self._connection.execute(query, parameters):
            for i in bools:
                values[i] = bool(values[i])
            yield seq, record(*values)

    def _is_packed(self, record: type[Record]) -> bool:
        if record not in PACKED or not self._has_packs:
            return False
        query = "SELECT EXISTS (SELECT 1 FROM packs WHERE record=?)"
        return bool(self._connection.execute(query, (record.table,)).fetchone()[0])

    def _packs(self, record: type[Record], names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The columns of one pack after the other."""
        query = "SELECT columns FROM packs WHERE record=? ORDER BY first_seq"
        for (value,) in self._connection.execute(query, (record.table,)):
            yield unpack(value, names)

    def _unpack(self, record: type[Record]) -> None:
        """Lay the packed rows into a table that goes with this reader, where conditions find them under its name."""
        if record in self._unpacked:
            return
        self._unpacked.add(record)
        columns = ", ".join(f"{name} {kind}" for name, kind in columns_of(record))
        self._connection.execute(f"CREATE TEMP TABLE {record.table} (seq INTEGER PRIMARY KEY, {columns})")
        marks = ",".join("?" * (len(columns_of(record)) + 1))
        for pack in self._packs(record):
            rows = zip(pack["seq"].tolist(), *_values(record, pack), strict=True)
            self._connection.executemany(f"INSERT INTO temp.{record.table} VALUES ({marks})", rows)
        self._connection.execute(f"INSERT INTO temp.{record.table} SELECT * FROM main.{record.table}")
        self._connection.commit()

    def columns(self, record: type[Record], names: tuple[str, ...]) -> Iterator[tuple[Sequence[Any], ...]]:
        """Columns of one table in sequence order, thousands of rows at a time: arrays, or values as SQLite has them.

        A truth is 0 or 1, what does not exist None, or nan in an array. Nothing comes of a journal that was written
        before there was such a table.
        """
        if self._is_packed(record):
            for pack in self._packs(record, names):
                yield tuple(column_of(record, name, pack[name]) for name in names)
        if not known_columns(self._connection, record):
            return
        rows = self._connection.execute(f"SELECT {','.join(names)} FROM main.{record.table} ORDER BY seq")
        while batch := rows.fetchmany(_READ_ROWS):
            yield tuple(zip(*batch, strict=True))

    def last_seq(self) -> int:
        """The highest sequence number, 0 in an empty journal."""
        tables = [record.table for record in RECORDS if known_columns(self._connection, record)]
        newest = [f"SELECT max(seq) AS last FROM main.{table}" for table in tables]
        if self._has_packs:
            newest.append("SELECT max(last_seq) AS last FROM packs")
        query = f"SELECT max(last) FROM ({' UNION ALL '.join(newest)})"
        return int(self._connection.execute(query).fetchone()[0] or 0)

    def sha256(self) -> str:
        """The digest of the canonical rows, computed again from the file."""
        digest = JournalDigest()
        for record in RECORDS:
            if self._is_packed(record):
                for pack in self._packs(record, canonical_fields(record)):
                    digest.add_all(record.table, canonical(record, pack["seq"], pack))
            self._digest_rows(record, digest)
        return digest.hexdigest()

    def _digest_rows(self, record: type[Record], digest: JournalDigest) -> None:
        names = canonical_fields(record)
        if not known_columns(self._connection, record):
            return
        query = f"SELECT seq,{','.join(names)} FROM main.{record.table} ORDER BY seq"
        for seq, *values in self._connection.execute(query):
            digest.add(record.table, seq, values)


def _values(record: type[Record], pack: dict[str, Any]) -> list[list[Any]]:
    return [values_of(record, name, pack[name]) for name, _ in columns_of(record)]


def _records(record: type[_R], packs: Iterator[dict[str, Any]]) -> Iterator[tuple[int, _R]]:
    for pack in packs:
        for seq, *values in zip(pack["seq"].tolist(), *_values(record, pack), strict=True):
            yield seq, record(*values)
