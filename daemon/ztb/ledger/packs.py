"""Packs: rows of a table side by side as columns, thousands in one value of the database.

A replay makes a decision and a mark every few microseconds, which a row each would hold up. `PACKED` are the tables
whose rows it packs; whoever reads a journal gets the same records either way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.errors import InvariantError
from ztb.ledger.canonical import HASHED, NO_FIGURE, canonical_dtype, kind_of, text_bytes
from ztb.ledger.records import DecisionRow, MarkRow, Record, canonical_fields, columns_of

PACKED: tuple[type[Record], ...] = (DecisionRow, MarkRow)
PACKS = """CREATE TABLE packs (
    record TEXT, first_seq INTEGER, last_seq INTEGER, columns BLOB, PRIMARY KEY (record, first_seq)
) WITHOUT ROWID"""

_SIZE_BYTES = 4  # of the head's length, in front
_NUMBERS = {"int": "<i8", "float": "<f8", "bool": "|b1"}


class Words(msgspec.Struct, frozen=True):
    """A column of texts: those that occur, and which each row has, by its place."""

    words: tuple[str, ...]
    places: NDArray[np.int64]


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """One column within a pack: its dtype and shape, of one row where all are the same."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    same: bool
    words: tuple[str, ...] | None
    """Texts that occur, where the numbers are their places."""
    varies: bool
    """Whether it is values of different lengths, which these are the numbers of; the values follow."""


_Column = NDArray[Any] | Words | list[bytes]
Columns = Mapping[str, _Column]
"""By name, n values each: numbers (nan where there is none), texts, hashes as numbers, or bytes, (n, size) uint8 where
all are as long."""


def check(record: type[Record], columns: Columns) -> None:
    """InvariantError: a figure that has to exist is not finite."""
    for name, kind in columns_of(record):
        column = columns[name]
        if (
            kind != "REAL"
            or "None" in str(record.__annotations__[name])
            or not isinstance(column, np.ndarray)
        ):
            continue
        if not np.isfinite(column).all():
            wrong = column[~np.isfinite(column)]
            raise InvariantError(
                f"journal: {name} of a row of {record.table} would be {wrong[0]}, and must be finite"
            )


def canonical(record: type[Record], seqs: NDArray[np.int64], columns: Columns) -> NDArray[np.void]:
    """The rows as they enter the digest."""
    rows = np.zeros(len(seqs), canonical_dtype(record.table))
    rows["seq"] = seqs
    for name in canonical_fields(record):
        column = columns[name]
        if isinstance(column, Words):
            rows[name] = np.frombuffer(b"".join(map(text_bytes, column.words)), "V16")[column.places]
        elif kind_of(record, name) == "float":
            rows[name] = np.where(np.isfinite(column), column, NO_FIGURE) + 0.0
        else:
            rows[name] = column
    return rows


def pack(seqs: NDArray[np.int64], columns: Columns) -> bytes:
    """Rows as one value."""
    heads: list[_Head] = []
    parts: list[bytes | memoryview] = []
    for name, column in {"seq": seqs, **columns}.items():
        words, varies = column.words if isinstance(column, Words) else None, isinstance(column, list)
        numbers = _numbers(column)
        same = numbers.ndim == 1 and len(numbers) > 1 and _all_alike(numbers)
        kept = np.ascontiguousarray(numbers[:1] if same else numbers)
        heads.append(
            _Head(name=name, dtype=kept.dtype.str, shape=numbers.shape, same=same, words=words, varies=varies)
        )
        parts += [kept.reshape(-1).view(np.uint8).data, *(column if isinstance(column, list) else ())]
    head = msgspec.json.encode(heads)
    return b"".join([len(head).to_bytes(_SIZE_BYTES, "little"), head, *parts])


def _all_alike(numbers: NDArray[Any]) -> bool:
    """True if all have the bits of the first: nan, where there is no figure, is like nan."""
    bits = numbers.view(f"u{numbers.itemsize}")
    return bool((bits == bits[0]).all())


def _numbers(column: _Column) -> NDArray[Any]:
    """The column's own numbers, the places of its texts, or the lengths of its values."""
    if isinstance(column, Words):
        return column.places.astype("<u2")
    return np.array([len(value) for value in column], "<u4") if isinstance(column, list) else column


def unpack(value: bytes, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The columns of a pack by name, or those of `names`: as `Columns`, and `seq`."""
    size = int.from_bytes(value[:_SIZE_BYTES], "little")
    at, found = _SIZE_BYTES + size, dict[str, Any]()
    for head in msgspec.json.decode(value[_SIZE_BYTES:at], type=list[_Head]):
        shape = (1, *head.shape[1:]) if head.same else head.shape
        numbers = np.frombuffer(value, head.dtype, math.prod(shape), at).reshape(shape)
        at += numbers.nbytes
        numbers = np.broadcast_to(numbers, head.shape) if head.same else numbers
        column: _Column = numbers
        if head.words is not None:
            column = Words(head.words, numbers.astype(np.int64))
        elif head.varies:
            ends = at + np.cumsum(numbers, dtype=np.int64)
            column = [
                value[end - length : end] for end, length in zip(ends.tolist(), numbers.tolist(), strict=True)
            ]
            at = int(ends[-1])
        if names is None or head.name in ("seq", *names):
            found[head.name] = column
    return found


def values_of(record: type[Record], name: str, column: Any) -> list[Any]:
    """A column of a pack as the values that records have."""
    if isinstance(column, Words):
        return [column.words[place] for place in column.places.tolist()]
    if isinstance(column, list):
        return column
    if name == HASHED:
        return [f"{value:016x}" for value in column.tolist()]
    if kind_of(record, name) == "bytes":
        return [row.tobytes() for row in column]
    values: list[Any] = column.tolist()
    if "None" in str(record.__annotations__[name]):
        return [None if value != value else value for value in values]
    return values


def column_of(record: type[Record], name: str, column: Any) -> Any:
    """A column of a pack for who reads columns: an array where it holds numbers, else as records have the values."""
    if isinstance(column, np.ndarray) and name != HASHED and kind_of(record, name) != "bytes":
        return column
    return values_of(record, name, column)


def columns_of_rows(record: type[Record], rows: Sequence[Sequence[Any]]) -> Columns:
    """Rows of values, in the order of the record's columns, as columns."""
    found: dict[str, _Column] = {}
    for (name, _), values in zip(columns_of(record), zip(*rows, strict=True), strict=True):
        kind = kind_of(record, name)
        if name == HASHED:
            found[name] = np.array([int(value, 16) for value in values], "<u8")
        elif kind == "str":
            words = tuple(dict.fromkeys(values))
            found[name] = Words(words, np.array([words.index(value) for value in values], np.int64))
        elif kind == "bytes":
            found[name] = list(values)
        else:
            missing = np.nan if kind == "float" else None
            found[name] = np.array([missing if value is None else value for value in values], _NUMBERS[kind])
    return found


class PackInMaking:
    """Rows of `record` that wait to be packed."""

    def __init__(self, record: type[Record]) -> None:
        self.rows = 0
        self._record = record
        self._seqs: list[NDArray[np.int64]] = []
        self._parts: list[Columns] = []
        self._single: list[tuple[int, Sequence[Any]]] = []

    def add_row(self, seq: int, values: Sequence[Any]) -> None:
        """One row, its values in the order of the record's columns."""
        self._single.append((seq, values))
        self.rows += 1

    def add(self, seqs: NDArray[np.int64], columns: Columns) -> NDArray[np.void]:
        """Rows (n,), which are copied, as they enter the digest. InvariantError: see `check`."""
        check(self._record, columns)
        self._settle()
        self._seqs.append(seqs.copy())
        self._parts.append({name: _copied(column) for name, column in columns.items()})
        self.rows += len(seqs)
        return canonical(self._record, seqs, columns)

    def _settle(self) -> None:
        """Put the single rows beside the others."""
        if self._single:
            seqs, rows = zip(*self._single, strict=True)
            self._seqs.append(np.array(seqs, np.int64))
            self._parts.append(columns_of_rows(self._record, rows))
            self._single.clear()

    def take(self) -> list[tuple[str, int, int, bytes]]:
        """A row of the table of packs of all that waits; none where nothing does."""
        self._settle()
        if not self._parts:
            return []
        seqs = np.concatenate(self._seqs)
        columns = {name: _joined([part[name] for part in self._parts]) for name in self._parts[0]}
        self._seqs, self._parts, self.rows = [], [], 0
        return [(self._record.table, int(seqs[0]), int(seqs[-1]), pack(seqs, columns))]


def _copied(column: _Column) -> _Column:
    return column.copy() if isinstance(column, np.ndarray) else column


def _joined(parts: Sequence[_Column]) -> _Column:
    """Parts of one column as one."""
    if isinstance(parts[0], Words):
        texts = [part for part in parts if isinstance(part, Words)]
        words = tuple(dict.fromkeys(word for part in texts for word in part.words))
        maps = [np.array([words.index(word) for word in part.words], np.int64) for part in texts]
        return Words(
            words, np.concatenate([known[part.places] for known, part in zip(maps, texts, strict=True)])
        )
    if any(isinstance(part, list) for part in parts):
        return [value for part in parts for value in _as_bytes(part)]
    return np.concatenate([part for part in parts if isinstance(part, np.ndarray)])


def _as_bytes(part: _Column) -> list[bytes]:
    if isinstance(part, list):
        return part
    return [row.tobytes() for row in part] if isinstance(part, np.ndarray) else []
