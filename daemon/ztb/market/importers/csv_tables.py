"""Tables of text: separator, header, comments and types told by the first lines; arrow takes the rest apart."""

from __future__ import annotations

import codecs
import csv
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from ztb.errors import DataError
from ztb.market.importers.celltext import Notation, is_decorated, is_number, notation_of
from ztb.market.importers.files import (
    Bytes,
    ReadProgress,
    encoding,
    head_text,
    plain_bytes,
    printable,
    read_head,
)
from ztb.market.importers.headerless import recognise_rows
from ztb.market.importers.layouts import Layout
from ztb.market.importers.recognition import Pair, recognise, with_told_volume
from ztb.market.symbols import parse_symbol

if TYPE_CHECKING:
    from collections.abc import Generator

KNOWN = (
    "the venues' own layouts, ccxt's, freqtrade's, Tardis', MetaTrader's, or columns such as "
    "timestamp,open,high,low,close,volume"
)
# Enough to learn from; beyond it the file is read as a stream.
_SAMPLED, _LOOKED_AT = 200, 400
_BLOCK = 1 << 20
# In this order: a comma may be a decimal's, a blank part of a date.
_DELIMITERS = "\t;|, "
_EXACT_ROLES = ("id", "message", "time", "end", "date", "clock")
_TEXT_ROLES = (
    "side",
    "maker_side",
    "buyer",
    "maker",
    "snapshot",
    "symbol",
    "venue",
    "state",
    "date",
    "clock",
)
_EMPTY = (
    "",
    "nan",
    "NaN",
    "NAN",
    "null",
    "NULL",
    "None",
    "N/A",
    "n/a",
    "NA",
    "#N/A",
    "#NA",
    "-",
    "--",
    "\\N",
    "-nan",
)
_ASCII = 128
_COMMENTS = ("#", "//")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_CSV_VALUE = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?.*?invalid value '(.*)'", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A text file whose layout is known. `skip` is how many lines come before the first row of data; `notation`: how
    its numbers are written, where people wrote them.
    """

    path: Path
    layout: Layout
    columns: Sequence[str]
    skip: int
    delimiter: str
    decimal_point: str
    notation: Notation | None
    sample: tuple[str, ...]
    symbol: str | None = None


def open_csv(path: Path, pair: Pair | None) -> CsvTable:
    """Recognise `path`; DataError if its columns are of no known layout."""
    text = head_text(path, read_head(path)).replace("\x00", "")
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as old Macs end lines
    lines = [line.rstrip("\r").replace("\r", " ") for line in text.split("\n", _LOOKED_AT)]
    if len(lines) > 2:
        lines.pop()  # what is left, or a line that may be cut
    at = [i for i, line in enumerate(lines) if line.strip(" ,;\t") and not _is_comment(line)][: _SAMPLED + 8]
    if not at:
        raise _no_table(path, lines[0])
    delimiter = _delimiter([lines[i] for i in at])
    texts = [lines[i].strip(" \t") if delimiter == " " else lines[i] for i in at]
    rows = list(csv.reader(texts, delimiter=delimiter, skipinitialspace=True))
    first = next((i for i, row in enumerate(rows) if _is_data(row)), None)
    header = rows[: len(rows) if first is None else first]
    if first is None:
        names = _header(header)[0] if header else []
        if len(names) > 1 and recognise(names) is not None:
            raise DataError(f"{path}: has a header and no rows: fetch or export it again")
        raise _unknown(path, names) if len(names) > 1 else _no_table(path, lines[at[0]])
    data = rows[first:]
    width = statistics.mode(len(row) for row in data)
    header = [row for row in header if len(row) > 1]  # a line of credit names nothing
    names, tickers = _header(header) if header else (_commented(lines[: at[0]], delimiter, width), [])
    if len(tickers) > 1:
        shown = printable(", ".join(tickers[:5]))
        raise DataError(f"{path}: holds more than one symbol ({shown}): split it, one for each")
    symbol = parse_symbol(tickers[0]) if tickers else None
    pair = pair if symbol is None else symbol.pair
    notation = notation_of(text for row in data for text in row)
    if notation is not None:
        data = [[notation.bare(text) for text in row] for row in data]
    names, line, point = _widened(names, data, width), lines[at[first]], _decimal_point(data, delimiter)
    table = replace(
        _recognised(path, names, data, pair, line), skip=at[first], symbol=next(iter(tickers), None)
    )
    return replace(table, delimiter=delimiter, decimal_point=point, notation=notation)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith(_COMMENTS) or line.lower().startswith("sep=")


def _delimiter(lines: Sequence[str]) -> str:
    """The separator that most of the later lines have equally often; of several the first in `_DELIMITERS`."""
    tail = lines[-min(len(lines), _SAMPLED) :]
    tail = tail[len(tail) // 2 :] or tail
    best, best_share = ",", 0.0
    for delimiter in _DELIMITERS:
        counts = [line.count(delimiter) for line in tail]
        common = max(set(counts), key=counts.count)
        share = counts.count(common) / len(counts) if common > 0 else 0.0
        # A blank within a date separates nothing.
        if delimiter == " " and (best_share > 0 or common < 2):
            break
        if share > best_share + 0.2:
            best, best_share = delimiter, share
    return best


def _is_data(row: Sequence[str]) -> bool:
    """True if a row holds values rather than names: some field is a number, and there are several."""
    return len(row) > 1 and any(is_number(text) or is_decorated(text) for text in row)


def _header(rows: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """(names of the columns, the symbols that the header names) of one or several lines of header.

    Lines of credit come before; pandas writes a line for each level, and the index's name on a line of its own.
    """
    lines = [list(row) for row in rows if len(row) > 1] or [list(rows[-1])]
    alone = [row for row in lines if sum(1 for text in row if text.strip()) == 1 and row[0].strip()]
    full = [row for row in lines if row not in alone]
    if not full:
        return lines[-1], []
    ticker = next((row for row in full if row[0].strip().lower() == "ticker" and len(lines) > 1), None)
    names = list(next((row for row in full if row is not ticker), full[0])) if ticker or alone else full[-1]
    if alone or ticker:
        names[0] = alone[-1][0] if alone else ""
    symbols = sorted({text.strip() for text in (ticker or [""])[1:] if text.strip()})
    return names if ticker is None else [*names, "yahoo"], symbols


def _commented(before: Sequence[str], delimiter: str, width: int) -> list[str]:
    """The names in a last line of comment, where they are as many as the columns; else none."""
    comments = [line for line in before if _is_comment(line)]
    names = next(csv.reader([comments[-1].lstrip("#/ ")], delimiter=delimiter)) if comments else []
    return names if len(names) == width else []


def _widened(names: list[str], data: Sequence[Sequence[str]], width: int) -> list[str]:
    """Names for columns that have none: an index in front without a name, a separator at each line's end."""
    extra = names[-1:] if names[-1:] == ["yahoo"] else []
    names = names[: len(names) - len(extra)]
    if names and len(names) == width - 1:
        trailing = all(not row[-1].strip() for row in data if len(row) == width)
        names = [*names, "_"] if trailing else ["", *names]
    return [*names, *extra]


def _recognised(
    path: Path, names: list[str], data: list[list[str]], pair: Pair | None, line: str
) -> CsvTable:
    if names:
        yahoo = names[-1] == "yahoo"
        columns = _unique(names[:-1] if yahoo else names)
        layout = recognise([*columns, "yahoo"] if yahoo else columns, data, pair)
        if layout is None:
            raise _unknown(path, columns)
        layout = with_told_volume(layout, columns, data)
        if layout.venue == "binance" and layout.market is None:
            layout = replace(layout, venue="binanceusdm")  # its spot archives come without a header
    else:
        trailing = all(not row[-1].strip() for row in data)
        found = recognise_rows([row[:-1] for row in data] if trailing else data)
        if found is None:
            raise _no_table(path, line)
        layout, columns = found
        layout, columns = with_told_volume(layout, columns, data), [*columns, "_"] if trailing else columns
    complete = [row for row in data if len(row) == len(columns)]
    sample = tuple(
        next((r[i] for r in complete if r[i].strip() not in _EMPTY), "") for i in range(len(columns))
    )
    return CsvTable(
        path, layout, columns, skip=0, delimiter=",", decimal_point=".", notation=None, sample=sample
    )


def _unique(names: Sequence[str]) -> list[str]:
    """Names that occur once each, as arrow needs them."""
    return [name if name not in names[:i] else f"{name} #{i}" for i, name in enumerate(names)]


def _decimal_point(data: Sequence[Sequence[str]], delimiter: str) -> str:
    texts = [text.strip() for row in data for text in row]
    commas = delimiter != "," or any("," in text for text in texts)
    return "," if commas and any(_DECIMAL_COMMA.fullmatch(text) for text in texts) else "."


def _no_table(path: Path, line: str) -> DataError:
    return DataError(
        f"{path}: first line {printable(line[:80])!r} is no table of known layout: "
        f"rename its columns to one of {KNOWN}"
    )


def _unknown(path: Path, columns: Sequence[str]) -> DataError:
    shown = printable(", ".join(column for column in columns[:12]))
    return DataError(f"{path}: its columns ({shown}) are of no known layout: rename them to one of {KNOWN}")


def _types(table: CsvTable) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for role, column in table.layout.read.items():
        text = table.sample[list(table.columns).index(column)].strip()
        if table.decimal_point == "," and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        if role in _TEXT_ROLES:
            types[column] = pa.string()
        elif role in _EXACT_ROLES:
            types[column] = _exact_type(text)
        else:
            types[column] = pa.float64()
    return types


def _exact_type(text: str) -> Any:
    if text.lstrip("-").isdigit() and len(text) < 20 and not text.startswith("0"):
        return pa.int64()
    return pa.float64() if is_number(text) and not text.isdigit() and "," not in text else pa.string()


def csv_batches(
    table: CsvTable, progress: ReadProgress, malformed: Callable[[int, str], None]
) -> Iterator[Any]:
    """Record batches with the layout's columns. Blocks of whole lines are cut here and taken apart by arrow, one
    after the other: its own streaming reader goes on reading in a thread when nobody wants more."""
    from pyarrow import csv as arrow_csv

    types = _types(table)
    read = arrow_csv.ReadOptions(use_threads=False, block_size=_BLOCK * 4, column_names=list(table.columns))
    convert = arrow_csv.ConvertOptions(
        include_columns=list(types),
        column_types=types,
        strings_can_be_null=False,
        null_values=list(_EMPTY),
        decimal_point=table.decimal_point,
    )
    seen = _Seen(table, malformed)
    parse = arrow_csv.ParseOptions(delimiter=table.delimiter, invalid_row_handler=seen.skip)
    with plain_bytes(table.path, progress) as stream:
        for block in _blocks(stream, table.skip):
            plain = block if table.notation is None else table.notation.undecorated(block, table.delimiter)
            source: Any = pa.BufferReader(plain)
            with seen.blame_row():
                found = arrow_csv.read_csv(source, read, parse, convert)
            seen.rows += found.num_rows + seen.skipped
            seen.skipped = 0
            yield from found.to_batches()


@dataclass(slots=True)
class _Seen:
    """Progress of reading a table: arrow counts rows of one block."""

    table: CsvTable
    malformed: Callable[[int, str], None]
    rows: int = 0
    skipped: int = 0

    def skip(self, row: Any) -> Literal["skip", "error"]:
        """Leave out a row of another number of fields; a comment goes unsaid."""
        self.skipped += 1
        text = str(row.text)
        if not _is_comment(text):
            self.malformed(self.rows + int(row.number or 0), printable(text))
        return "skip"

    @contextmanager
    def blame_row(self) -> Generator[None]:
        """A value that cannot be converted becomes a DataError that names row, column and value."""
        try:
            yield
        except pa.ArrowInvalid as error:
            found = _CSV_VALUE.search(str(error))
            if found is None:
                raise
            row, value = self.rows + int(found[2] or 1), printable(found[3])
            comma = (
                " (a number with two commas or points?)" if value.count(",") + value.count(".") > 1 else ""
            )
            raise DataError(
                f"{self.table.path}: row {row}: {value!r} in column {self.table.columns[int(found[1])]!r} is no "
                f"number or time as the first rows have{comma}: mend or remove the row"
            ) from error


def _blocks(stream: Bytes, skip: int) -> Iterator[bytes | memoryview]:
    """Blocks of whole lines of UTF-8, without the first `skip` lines and without a mark. A block is gone when the next
    one is asked for: they share their memory."""
    source = _Utf8(stream)
    space, kept, begin = bytearray(_BLOCK), 0, 0
    while True:
        if kept == len(space):  # a line that is longer than a block
            space = space + bytes(_BLOCK)
        count = source.readinto(memoryview(space)[kept:])
        end = kept + count
        cut = space.rfind(b"\n", kept, end) + 1 if count else end
        while skip and cut and (found := space.find(b"\n", begin, cut)) >= 0:
            begin, skip = found + 1, skip - 1
        if begin < cut and not skip:
            block = memoryview(space)[begin:cut]
            if count or bytes(block).strip(b"\r\x00\x1a \t"):
                yield block if np.frombuffer(block, np.uint8).max() < _ASCII else _letters(bytes(block))
        if count == 0:
            return
        if cut:
            kept, begin = end - cut, 0
            space[:kept] = space[cut:end]
        else:
            kept = end


class _Utf8:
    """A stream of text as UTF-8 without a mark, its lines ended by line feeds."""

    def __init__(self, stream: Bytes) -> None:
        self._stream = stream
        self._ready = stream.read(_BLOCK)
        name = encoding(self._ready)
        self._returns = name is None and b"\n" not in self._ready and b"\r" in self._ready
        name = "latin-1" if self._returns else name
        self._decoder = None if name is None else codecs.getincrementaldecoder(name)("replace")
        self._ready = self._plain(self._ready).removeprefix(codecs.BOM_UTF8)

    def _plain(self, block: bytes) -> bytes:
        if self._decoder is None:
            return block
        text = self._decoder.decode(block)
        return (text.replace("\r", "\n") if self._returns else text).encode()

    def readinto(self, space: memoryview) -> int:
        """Fill `space` from its beginning; how many bytes, 0 at the end."""
        if not self._ready:
            if self._decoder is None:
                return self._stream.readinto(space)
            self._ready = self._plain(self._stream.read(_BLOCK))
        count = min(len(space), len(self._ready))
        space[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def _letters(block: bytes) -> bytes:
    """UTF-8 as it is, other bytes as letters of Latin-1: damage shows as a value that is no number, with its row."""
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return block.decode("latin-1").encode("utf-8")
    return block
