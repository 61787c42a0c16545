"""The durable journal: SQLite in WAL mode, synchronous=FULL, one writer thread with group commit.

`append` gives a row its place in the total order (`seq`) and returns at once; rows reach the disk in groups.
`flush` and `durable` return when everything appended so far is durable. What the digest is of stands in
`ledger.canonical`.
"""

from __future__ import annotations

import asyncio
import math
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError, InvariantError, ResourceError, UsageError
from ztb.ledger.canonical import JournalDigest
from ztb.ledger.journal_reader import JournalReader, known_columns
from ztb.ledger.packs import PACKED, PACKS, Columns, PackInMaking
from ztb.ledger.records import RECORDS, SCHEMA_VERSION, Record, columns_of
from ztb.utils.background import background_thread

_GROUP_ROWS = 256  # more in a group would hold the event loop up for milliseconds
_WAITING_GROUPS = 128
_TRANSACTION_ROWS = _WAITING_GROUPS * _GROUP_ROWS
_PACK_ROWS, _WAITING_PACKS = 4096, 4
_PAGE_BYTES, _PACK_PAGE_BYTES = 4096, 16_384  # a megabyte at once takes a third less time in larger pages

_Row = tuple[Any, ...]
_Group = list[tuple[str, _Row]]
_R = TypeVar("_R", bound=Record)


_INSERT = {
    record.table: f"INSERT INTO {record.table} VALUES ({','.join('?' * (len(columns_of(record)) + 1))})"
    for record in RECORDS
} | {"packs": "INSERT INTO packs VALUES (?,?,?,?)"}
_REALS = {
    record: tuple(i for i, (_, kind) in enumerate(columns_of(record)) if kind == "REAL") for record in RECORDS
}


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


def _by_table(group: _Group) -> dict[str, list[_Row]]:
    tables: dict[str, list[_Row]] = {}
    for table, row in group:
        tables.setdefault(table, []).append(row)
    return tables


class Journal:
    """The journal of one run, open for writing. One process writes; any may read.

    `reopen`: go on with the journal that is there, if one is. `tell` is called with each record in order, on the
    caller's side: it may only count or enqueue. `waited_for`: orders wait until it is durable, so that its writer does
    not stand back behind others. `packs`: rows of `ledger.packs.PACKED` are written thousands at a time, side by side,
    and nobody is told of them.
    """

    def __init__(
        self,
        path: Path,
        reopen: bool = False,
        tell: Callable[[Record], None] | None = None,
        waited_for: bool = False,
        packs: bool = False,
    ) -> None:
        self.path = path
        self._tell = tell
        self._digest = JournalDigest()
        self._reopened = reopen and path.exists()
        self._seq = 0
        self._group: _Group = []
        self._packs = {record: PackInMaking(record) for record in PACKED} if packs else {}
        self._most = _PACK_ROWS if packs else _GROUP_ROWS
        self._queue: queue.Queue[_Group | Callable[[], None] | None] = queue.Queue(
            _WAITING_PACKS if packs else _WAITING_GROUPS
        )
        self._failure: BaseException | None = None
        if self._reopened:
            _migrate(path)
            self._seq = _last_seq(path)
        else:
            _create(path, _PACK_PAGE_BYTES if packs else _PAGE_BYTES)
        self._thread = background_thread(self._write_groups, "ztb-journal", waited_for=waited_for)
        self._thread.start()

    @property
    def packs(self) -> bool:
        """True if rows of `PACKED` are packed."""
        return bool(self._packs)

    def append(self, record: Record) -> int:
        """Enter `record`; returns its sequence number, from 1. ResourceError if the disk refused an earlier row.

        InvariantError: a figure that must exist is not finite.
        """
        if self._failure is not None:
            self._raise_failure()
        record, values = _entered(record)
        self._seq += 1
        kind = type(record)
        if not self._reopened:
            self._digest.add(kind.table, self._seq, values)
        pack = self._packs.get(kind)
        if pack is not None:
            pack.add_row(self._seq, values)
        else:
            self._group.append((kind.table, (self._seq, *values)))
            if self._tell is not None:
                self._tell(record)
        if len(self._group) >= self._most:
            self.commit()
        return self._seq

    def reserve(self, rows: int) -> int:
        """The first of so many sequence numbers, which `append_columns` gives to rows that come at this place."""
        first = self._seq + 1
        self._seq += rows
        return first

    def append_columns(self, record: type[Record], seqs: NDArray[np.int64], columns: Columns) -> None:
        """Enter rows with reserved sequence numbers (n,), after all earlier ones of their table; of one that `packs`.

        ResourceError, InvariantError: see `append`.
        """
        if self._failure is not None:
            self._raise_failure()
        pack = self._packs[record]
        self._digest.add_all(record.table, pack.add(seqs, columns))
        if pack.rows >= _PACK_ROWS:
            self.commit()

    def commit(self) -> None:
        """Hand what was appended to the writer, which takes what waits together; waits only if it is far behind."""
        self._group += [("packs", row) for pack in self._packs.values() for row in pack.take()]
        if self._group:
            self._queue.put(self._group)
            self._group = []

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
        return self._digest.hexdigest()

    def _settle(self) -> None:
        if self._thread.is_alive():
            self.flush()

    def _when_written(self, call: Callable[[], None]) -> None:
        self.commit()
        self._queue.put(call)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise ResourceError(
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


def _connect(path: Path, page_bytes: int = _PAGE_BYTES) -> sqlite3.Connection:
    """A connection to write by; `page_bytes` counts where there is no file yet.

    By its whole name: SQLite opens none that climbs beyond the root, as the system does.
    """
    connection = sqlite3.connect(path.resolve(), isolation_level="DEFERRED", cached_statements=32)
    connection.execute(f"PRAGMA page_size={page_bytes}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _create(path: Path, page_bytes: int) -> None:
    if path.exists():
        raise DataError(f"{path}: a journal is already there; choose another --out or remove the old run")
    try:
        with closing(_connect(path, page_bytes)) as connection, connection:
            for record in RECORDS:
                connection.execute(_table(record))
            connection.execute(PACKS)
            connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
            connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
    except sqlite3.Error as error:
        said = f"{path}: the journal cannot be created ({error}); free space or choose another --out"
        raise (UsageError(said) if _is_shut(error) else ResourceError(said)) from error


def _is_shut(error: sqlite3.Error) -> bool:
    """True if a place is not ours to write, whatever room there is."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # beyond that SQLite tells more of the same
    return code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)


def _migrate(path: Path) -> None:
    """Give an older journal the tables and columns that came since. DataError if it is newer, or none."""
    JournalReader(path).close()
    connection = _connect(path)
    with connection:
        connection.execute(PACKS.replace("TABLE", "TABLE IF NOT EXISTS"))
        for record in RECORDS:
            known = known_columns(connection, record)
            if not known:
                connection.execute(_table(record))
            for name, kind in columns_of(record):
                if known and name not in known:
                    default = " NOT NULL DEFAULT x''" if kind == "BLOB" else ""
                    connection.execute(f"ALTER TABLE {record.table} ADD COLUMN {name} {kind}{default}")
        connection.execute("UPDATE meta SET value=? WHERE key='schema_version'", (str(SCHEMA_VERSION),))
    connection.close()


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
