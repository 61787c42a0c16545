"""The durable journal: SQLite in WAL mode, synchronous=FULL, one writer thread with group commit.

`append` gives a row its place in the total order (`seq`) and returns at once; rows reach the disk in groups.
`flush` and `durable` return when everything appended so far is durable. The digest runs over the canonical rows in
order: JSON of `[seq, table, values…]`, a line each, without binary columns (their hashes are columns of their own).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import heapq
import math
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from ztb.errors import DataError, InvariantError, NotFoundError, ResourceError, ZtbError
from ztb.ledger.records import RECORDS, SCHEMA_VERSION, Record, canonical_fields, columns_of
from ztb.utils.background import background_thread

_GROUP_ROWS, _DIGEST_ROWS = 256, 32
# More in a group or at once into the digest would hold the event loop up for milliseconds.
_WAITING_GROUPS = 128
_READ_ROWS = 8192
_TRANSACTION_ROWS = _WAITING_GROUPS * _GROUP_ROWS

_Row = tuple[Any, ...]
_Group = list[tuple[str, _Row]]
_R = TypeVar("_R", bound=Record)


_CANONICAL_END = {record.table: 1 + len(canonical_fields(record)) for record in RECORDS}
_INSERT = {
    record.table: f"INSERT INTO {record.table} VALUES ({','.join('?' * (len(columns_of(record)) + 1))})"
    for record in RECORDS
}
_REALS = {
    record: tuple(i for i, (_, kind) in enumerate(columns_of(record)) if kind == "REAL") for record in RECORDS
}
_ENCODER = msgspec.json.Encoder()


def _entered(record: _R) -> tuple[_R, _Row]:
    """`record` as it may enter, with its values: a figure that is not finite does not exist.

    InvariantError: it has to, in this column.
    """
    values = msgspec.structs.astuple(record)
    for i in _REALS[type(record)]:
        value = values[i]
        if value is not None and not math.isfinite(value):
            name = record.__struct_fields__[i]
            if "None" not in str(record.__annotations__[name]):
                raise InvariantError(
                    f"journal: {name} of a row of {record.table} would be {value}, and must be finite: {record}"
                )
            return _entered(msgspec.structs.replace(record, **{name: None}))
    return record, values


def _canonical_lines(group: _Group) -> bytes:
    """The bytes of rows that enter the journal's digest: all columns but the binary ones, which come last."""
    return _ENCODER.encode_lines([(row[0], table, *row[1 : _CANONICAL_END[table]]) for table, row in group])


def _by_table(group: _Group) -> dict[str, list[_Row]]:
    tables: dict[str, list[_Row]] = {}
    for table, row in group:
        tables.setdefault(table, []).append(row)
    return tables


class Journal:
    """The journal of one run, open for writing. One process writes; any may read.

    `reopen`: go on with the journal that is there, if one is. `tell` is called with each record in order, on the
    caller's side: it may only count or enqueue. `waited_for`: orders wait until it is durable, so that its writer does
    not stand back behind others.
    """

    def __init__(
        self,
        path: Path,
        reopen: bool = False,
        tell: Callable[[Record], None] | None = None,
        waited_for: bool = False,
    ) -> None:
        self.path = path
        self._tell = tell
        self._digest = hashlib.sha256()
        self._reopened = reopen and path.exists()
        self._seq = 0
        self._group: _Group = []
        self._digested = 0  # rows of the group that are in the digest
        self._queue: queue.Queue[_Group | Callable[[], None] | None] = queue.Queue(_WAITING_GROUPS)
        self._failure: BaseException | None = None
        if self._reopened:
            _migrate(path)
            self._seq = _last_seq(path)
        else:
            _create(path)
        self._thread = background_thread(self._write_groups, "ztb-journal", waited_for=waited_for)
        self._thread.start()

    def append(self, record: Record) -> int:
        """Enter `record`; returns its sequence number, from 1. ZtbError if the disk refused an earlier row.

        InvariantError: a figure that must exist is not finite.
        """
        if self._failure is not None:
            self._raise_failure()
        record, values = _entered(record)
        self._seq += 1
        self._group.append((type(record).table, (self._seq, *values)))
        if len(self._group) % _DIGEST_ROWS == 0:
            self._enter_in_digest()
        if len(self._group) >= _GROUP_ROWS:
            self.commit()
        if self._tell is not None:
            self._tell(record)
        return self._seq

    def commit(self) -> None:
        """Hand what was appended to the writer, which takes what waits together; waits only if it is far behind."""
        if self._group:
            self._enter_in_digest()
            self._queue.put(self._group)
            self._group, self._digested = [], 0

    def _enter_in_digest(self) -> None:
        if not self._reopened:
            self._digest.update(_canonical_lines(self._group[self._digested :]))
        self._digested = len(self._group)

    def flush(self) -> None:
        """Return when all rows so far are durable."""
        done = threading.Event()
        self._when_written(done.set)
        while not done.wait(0.05):
            if not self._thread.is_alive():
                break
        self._raise_failure()

    async def durable(self) -> None:
        """As `flush`, without holding up the event loop."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def tell() -> None:
            loop.call_soon_threadsafe(done.set)

        self._when_written(tell)
        await done.wait()
        self._raise_failure()

    def close(self) -> None:
        """Write what is left and end the writer thread. May be called again."""
        if self._thread.is_alive():
            self.commit()
            self._queue.put(None)
            self._thread.join()
        self._raise_failure()

    def sha256(self) -> str:
        """Digest of the canonical rows appended so far, hexadecimal; of a reopened journal, read again from disk."""
        if self._reopened:
            self._settle()
            reader = JournalReader(self.path)
            try:
                return reader.sha256()
            finally:
                reader.close()
        self._enter_in_digest()
        return self._digest.hexdigest()

    def _settle(self) -> None:
        if self._thread.is_alive():
            self.flush()

    def _when_written(self, call: Callable[[], None]) -> None:
        self.commit()
        self._queue.put(call)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise ZtbError(
                f"{self.path}: the journal cannot be written ({self._failure}); "
                "free space or choose another --out. What was committed before is intact."
            ) from self._failure

    def _write_groups(self) -> None:
        connection = _connect(self.path)
        going_on = True
        try:
            while going_on:
                rows, calls, going_on = self._gather()
                if rows and self._failure is None:
                    self._write(connection, rows)
                for call in calls:
                    call()
        finally:
            connection.close()

    def _gather(self) -> tuple[_Group, list[Callable[[], None]], bool]:
        """Everything that waits, at least one thing: rows, whom to tell when they are written, whether to go on."""
        rows: _Group = []
        calls: list[Callable[[], None]] = []
        item = self._queue.get()
        while item is not None:
            if callable(item):
                calls.append(item)
            else:
                rows += item
            if len(rows) >= _TRANSACTION_ROWS:
                return rows, calls, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return rows, calls, True
        return rows, calls, False

    def _write(self, connection: sqlite3.Connection, group: _Group) -> None:
        try:
            with connection:
                for table, rows in _by_table(group).items():
                    connection.executemany(_INSERT[table], rows)
        except sqlite3.Error as error:
            self._failure = error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level="DEFERRED", cached_statements=32)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _create(path: Path) -> None:
    if path.exists():
        raise DataError(f"{path}: a journal is already there; choose another --out or remove the old run")
    try:
        connection = _connect(path)
    except sqlite3.Error as error:
        raise ZtbError(f"{path}: the journal cannot be created ({error}); choose another --out") from error
    with connection:
        for record in RECORDS:
            connection.execute(_table(record))
        connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
        connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
    connection.close()


def _migrate(path: Path) -> None:
    """Give an older journal the tables and columns that came since. DataError if it is newer, or none."""
    JournalReader(path).close()
    connection = _connect(path)
    with connection:
        for record in RECORDS:
            known = _known_columns(connection, record)
            if not known:
                connection.execute(_table(record))
            for name, kind in columns_of(record):
                if known and name not in known:
                    connection.execute(
                        f"ALTER TABLE {record.table} ADD COLUMN {name} {kind} NOT NULL DEFAULT x''"
                    )
        connection.execute("UPDATE meta SET value=? WHERE key='schema_version'", (str(SCHEMA_VERSION),))
    connection.close()


def _known_columns(connection: sqlite3.Connection, record: type[Record]) -> set[str]:
    """Of a record's table in this journal; none where there is no such table."""
    return {str(row[1]) for row in connection.execute(f"PRAGMA table_info({record.table})")}


def _table(record: type[Record]) -> str:
    columns = ", ".join(f"{name} {kind}" for name, kind in columns_of(record))
    return f"CREATE TABLE {record.table} (seq INTEGER PRIMARY KEY, {columns})"


def _last_seq(path: Path) -> int:
    """The last sequence number of a journal to be gone on with. DataError if its schema is not ours."""
    reader = JournalReader(path)
    try:
        return reader.last_seq()
    finally:
        reader.close()


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
        self._connection = sqlite3.connect(f"file:{quote(str(path))}?{_reading_mode(path)}", uri=True)
        try:
            row = self._connection.execute("SELECT value FROM meta WHERE key='schema_version'").fetchone()
        except sqlite3.Error as error:
            raise DataError(f"{path}: not a journal of ztb ({error})") from error
        version = int(row[0]) if row else 0
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
            with contextlib.closing(sqlite3.connect(target)) as copied:
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
        known = _known_columns(self._connection, record)
        if not known:  # written before there was such a table
            return
        names = [name for name, _ in columns_of(record) if name in known]
        bools = [i for i, name in enumerate(names) if record.__annotations__[name] == "bool"]
        condition = f" WHERE {where}" if where else ""
        query = f"SELECT seq,{','.join(names)} FROM {record.table}{condition} ORDER BY seq"
        for seq, *values in self._connection.execute(query, parameters):
            for i in bools:
                values[i] = bool(values[i])
            yield seq, record(*values)

    def columns(self, record: type[Record], names: tuple[str, ...]) -> Iterator[tuple[tuple[Any, ...], ...]]:
        """Columns of one table in sequence order, thousands of rows at a time, as SQLite has them: truth is 0 or 1.

        Nothing comes of a journal that was written before there was such a table.
        """
        if not _known_columns(self._connection, record):
            return
        rows = self._connection.execute(f"SELECT {','.join(names)} FROM {record.table} ORDER BY seq")
        while batch := rows.fetchmany(_READ_ROWS):
            yield tuple(zip(*batch, strict=True))

    def last_seq(self) -> int:
        """The highest sequence number, 0 in an empty journal."""
        tables = [record.table for record in RECORDS if _known_columns(self._connection, record)]
        newest = [f"SELECT max(seq) AS last FROM {table}" for table in tables]
        query = f"SELECT max(last) FROM ({' UNION ALL '.join(newest)})"
        return int(self._connection.execute(query).fetchone()[0] or 0)

    def sha256(self) -> str:
        """The digest of the canonical rows, computed again from the file."""
        digest = hashlib.sha256()
        tables = [self._canonical(record) for record in RECORDS]
        for line in heapq.merge(*tables, key=lambda line: line[0]):
            digest.update(_ENCODER.encode(line) + b"\n")
        return digest.hexdigest()

    def _canonical(self, record: type[Record]) -> Iterator[_Row]:
        names = canonical_fields(record)
        if not _known_columns(self._connection, record):
            return
        for row in self._connection.execute(f"SELECT seq,{','.join(names)} FROM {record.table} ORDER BY seq"):
            values = [
                bool(value) if record.__annotations__[name] == "bool" else value
                for name, value in zip(names, row[1:], strict=True)
            ]
            yield row[0], record.table, *values
