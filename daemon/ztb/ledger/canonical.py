"""The journal's digest: SHA-256 over the rows of each table in sequence order, and over these digests by table.

A row enters as bytes that need no formatting: its sequence number, then each column that is not binary, in order,
little endian: numbers and truths in 8 bytes (null: the least integer, or nan; a zero has no sign, as SQLite has it),
text as the first 16 bytes of its SHA-256 (null: zeros), and a hash that a column holds in hexadecimal as the number
that it is, in 8 bytes. Since every row says its place in the whole order, the digest is one of that order too.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.ledger.records import RECORDS, Record, canonical_fields

_TEXT_BYTES = 16
_NO_NUMBER = -(2**63)
NO_FIGURE = float("nan")
HASHED = "obs_hash"
"""The column that holds a hash in hexadecimal."""


@lru_cache(4096)
def text_bytes(text: str | None) -> bytes:
    """A text as it enters the digest."""
    return bytes(_TEXT_BYTES) if text is None else hashlib.sha256(text.encode()).digest()[:_TEXT_BYTES]


def kind_of(record: type[Record], name: str) -> str:
    """`int`, `float`, `bool`, `str` or `bytes`: what a column holds, where it holds anything."""
    return str(record.__annotations__[name]).split(" | ", maxsplit=1)[0]


def _code(record: type[Record], name: str) -> tuple[str, str]:
    """Codes of a column in the digest, for `struct` and for numpy."""
    if name == HASHED:
        return "Q", "<u8"
    return {"int": ("q", "<i8"), "bool": ("q", "<i8"), "float": ("d", "<f8"), "str": ("16s", "V16")}[
        kind_of(record, name)
    ]


def _entering(record: type[Record], name: str) -> Callable[[Any], Any] | None:
    """Makes a column's value one that `struct` packs; None where it is one."""
    if name == HASHED:
        return lambda value: int(value, 16)
    if kind_of(record, name) == "str":
        return text_bytes
    if kind_of(record, name) == "float":
        return lambda value: NO_FIGURE if value is None else value + 0.0
    return (
        (lambda value: _NO_NUMBER if value is None else value)
        if "None" in str(record.__annotations__[name])
        else None
    )


class _Canonical:
    """Rows of one table as they enter the digest."""

    def __init__(self, record: type[Record]) -> None:
        names = canonical_fields(record)
        codes = [_code(record, name) for name in names]
        self._pack = struct.Struct("<q" + "".join(code for code, _ in codes)).pack
        self._enter = [_entering(record, name) for name in names]
        self.dtype = np.dtype([("seq", "<i8"), *zip(names, (code for _, code in codes), strict=True)])

    def row(self, seq: int, values: Sequence[Any]) -> bytes:
        """One row, of `values` in the order of the columns; those beyond the canonical ones are left out."""
        entered = [
            value if enter is None else enter(value)
            for enter, value in zip(self._enter, values, strict=False)
        ]
        return self._pack(seq, *entered)


_CANONICAL = {record.table: _Canonical(record) for record in RECORDS}


def canonical_dtype(table: str) -> np.dtype[np.void]:
    """A row of `table` as it enters the digest."""
    return _CANONICAL[table].dtype


class JournalDigest:
    """The digest of rows that come in sequence order, of each table."""

    def __init__(self) -> None:
        self._tables = {table: hashlib.sha256() for table in _CANONICAL}

    def add(self, table: str, seq: int, values: Sequence[Any]) -> None:
        """One row; see `_Canonical.row`."""
        self._tables[table].update(_CANONICAL[table].row(seq, values))

    def add_all(self, table: str, rows: NDArray[np.void]) -> None:
        """Rows (n,) of `canonical_dtype`."""
        self._tables[table].update(rows.tobytes())

    def hexdigest(self) -> str:
        """Of all so far; more may come."""
        whole = hashlib.sha256()
        for table, digest in self._tables.items():
            whole.update(table.encode() + b"\0" + digest.digest())
        return whole.hexdigest()
