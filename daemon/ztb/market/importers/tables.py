"""Tables of every format as pyarrow record batches, streamed: CSV, parquet, feather, JSON."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa

from ztb.errors import DataError
from ztb.market.importers.files import Format, Progress, blame, plain_bytes, read_head, whole_text
from ztb.market.importers.layouts import FREQTRADE_TRADE_COLUMNS, Layout, columns_without_header, recognise

BATCH_ROWS = 65_536
_CSV_BLOCK = 1 << 20
_JSON_LIMIT = 1 << 30
_DELIMITERS = ",;\t"
_SAMPLED = 200
_EXACT_ROLES = ("id", "message", "time", "end")
_TEXT_ROLES = ("side", "maker", "snapshot", "symbol", "venue", "state")
_CSV_VALUE = re.compile(r"In CSV column #(\d+): Row #(\d+): .*?invalid value '(.*)'", re.DOTALL)
_KNOWN = (
    "Binance, Tardis, bitFlyer, freqtrade and ccxt layouts, or columns such as "
    "timestamp,open,high,low,close,volume"
)


@dataclass(frozen=True, slots=True)
class Table:
    """A file whose layout is known. `header` is False for a CSV whose first row is data; `preamble`
    is how many lines come before its table, such as a line of credit."""

    path: Path
    format: Format
    layout: Layout
    columns: Sequence[str]
    header: bool = True
    preamble: int = 0
    delimiter: str = ","
    sample: tuple[str, ...] = ()


def open_table(path: Path, form: Format) -> Table:
    """Recognise `path`; DataError if its columns are of no known layout."""
    if form is Format.CSV:
        return _open_csv(path)
    with blame(path):
        columns = _COLUMNS[form](path)
    return Table(path, form, _layout(path, columns), columns)


def batches(table: Table, progress: Progress, malformed: Callable[[int, str], None]) -> Iterator[Any]:
    """Record batches with the layout's columns, in file order. `malformed(row, text)` hears of CSV rows whose
    number of fields is wrong; they are left out."""
    with blame(table.path):
        if table.format is Format.CSV:
            yield from _csv_batches(table, progress, malformed)
        else:
            yield from _BATCHES[table.format](table, progress)


def _layout(path: Path, columns: Sequence[str]) -> Layout:
    layout = recognise(columns)
    if layout is None:
        raise DataError(
            f"{path}: its columns ({', '.join(columns[:12])}) are of no known layout: "
            f"rename them to one of {_KNOWN}"
        )
    return layout


def _open_csv(path: Path) -> Table:
    text = read_head(path).decode("utf-8", errors="replace").lstrip("\ufeff")
    lines = [line for line in text.splitlines() if line.strip()]
    preamble = int(len(lines) > 1 and _fields(lines[0]) == 0 < _fields(lines[1]))
    lines = lines[preamble : preamble + _SAMPLED]
    delimiter = max(_DELIMITERS, key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=delimiter))
    header = not _is_number(rows[0][0])
    columns = rows[0] if header else columns_without_header(rows[0])
    if columns is None or len(columns) < 2:
        raise DataError(
            f"{path}: first line {lines[0][:80]!r} is no table of known layout: "
            f"rename its columns to one of {_KNOWN}"
        )
    if header and len(rows) < 2:
        raise DataError(f"{path}: has a header and no rows: fetch or export it again")
    layout = _layout(path, columns)
    if header and layout.venue == "binance":
        layout = replace(layout, venue="binanceusdm")  # its spot archives come without a header
    sample = _sample(rows[header:], len(columns))
    return Table(path, Format.CSV, layout, columns, header, preamble, delimiter, sample)


def _fields(line: str) -> int:
    return max(line.count(delimiter) for delimiter in _DELIMITERS)


def _sample(rows: Sequence[Sequence[str]], width: int) -> tuple[str, ...]:
    """For each column the first text that is not empty."""
    complete = [row for row in rows if len(row) == width]
    return tuple(next((row[i] for row in complete if row[i].strip()), "") for i in range(width))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _csv_types(table: Table) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for role, column in table.layout.columns.items():
        text = table.sample[list(table.columns).index(column)]
        if role in _TEXT_ROLES:
            types[column] = pa.string()
        elif role in _EXACT_ROLES:
            types[column] = _exact_type(text)
        else:
            types[column] = pa.float64()
    return types


def _exact_type(text: str) -> Any:
    if text.strip().lstrip("-").isdigit() and len(text.strip()) < 19:
        return pa.int64()
    return pa.float64() if _is_number(text) else pa.string()


def _csv_batches(table: Table, progress: Progress, malformed: Callable[[int, str], None]) -> Iterator[Any]:
    from pyarrow import csv as arrow_csv

    def skip(row: Any) -> Literal["skip", "error"]:
        malformed(int(row.number or 0) - table.preamble - table.header, str(row.text))
        return "skip"

    types = _csv_types(table)
    with _blame_row(table), plain_bytes(table.path, progress) as stream:
        yield from arrow_csv.open_csv(
            stream,
            arrow_csv.ReadOptions(
                use_threads=False,
                block_size=_CSV_BLOCK,
                column_names=list(table.columns),
                # Any byte is a letter of Latin-1: damage shows as a value that is no number, with its row.
                encoding="latin-1",
                skip_rows=table.preamble + table.header,
            ),
            arrow_csv.ParseOptions(delimiter=table.delimiter, invalid_row_handler=skip),
            arrow_csv.ConvertOptions(
                include_columns=list(types), column_types=types, strings_can_be_null=False
            ),
        )


@contextmanager
def _blame_row(table: Table) -> Generator[None]:
    """A value that cannot be converted becomes a DataError that names row, column and value."""
    try:
        yield
    except pa.ArrowInvalid as error:
        found = _CSV_VALUE.search(str(error))
        if found is None:
            raise
        column, row, value = (
            table.columns[int(found[1])],
            int(found[2]) - table.preamble - table.header,
            found[3],
        )
        raise DataError(
            f"{table.path}: row {row}: {value!r} in column {column!r} is no number or time "
            "as the first rows have: mend or remove the row"
        ) from error


def _parquet_columns(path: Path) -> Sequence[str]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        names: list[str] = file.schema_arrow.names
    return names


def _parquet_batches(table: Table, progress: Progress) -> Iterator[Any]:
    from pyarrow import parquet

    size = table.path.stat().st_size
    with parquet.ParquetFile(table.path) as file:
        total, seen = max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(BATCH_ROWS, columns=_wanted(table), use_threads=False):
            seen += batch.num_rows
            progress.done = size * seen // total
            yield batch


def _wanted(table: Table) -> list[str]:
    return list(dict.fromkeys(table.layout.columns.values()))


def _feather_columns(path: Path) -> Sequence[str]:
    with pa.memory_map(str(path)) as source:
        names: list[str] = pa.ipc.open_file(source).schema.names
    return names


def _feather_batches(table: Table, progress: Progress) -> Iterator[Any]:
    size = table.path.stat().st_size
    with pa.memory_map(str(table.path)) as source:
        reader = pa.ipc.open_file(source)
        for i in range(reader.num_record_batches):
            progress.done = size * (i + 1) // reader.num_record_batches
            batch = reader.get_batch(i).select(_wanted(table))
            batch.validate(full=True)
            yield batch


def _json_rows(path: Path, progress: Progress | None = None) -> Any:
    try:
        rows = msgspec.json.decode(whole_text(path, _JSON_LIMIT, progress))
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: is no complete JSON ({error}): fetch it again") from error
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: is no JSON list of rows: fetch or export it again")
    if all(isinstance(row, dict) for row in rows):
        names = ["timestamp", "id", "side", "price", "amount", "cost", "symbol"]
        return pa.record_batch([_json_column([row.get(n) for row in rows]) for n in names], names)
    names = _json_names(path, rows)
    return pa.record_batch([_json_column(list(c)) for c in zip(*rows, strict=True)], names)


def _json_names(path: Path, rows: list[Any]) -> list[str]:
    width = len(rows[0]) if isinstance(rows[0], list) else 0
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != width:
            raise DataError(
                f"{path}: row {number}: is no list of {width} values as the first row is: mend or remove it"
            )
    names = FREQTRADE_TRADE_COLUMNS if width == 7 else columns_without_header(["0"] * width)
    if names is None:
        raise DataError(f"{path}: rows of {width} values are of no known layout: give {_KNOWN}")
    return list(names)


def _json_column(values: list[Any]) -> Any:
    if any(isinstance(v, str) for v in values):
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    if any(isinstance(v, float) for v in values):
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array(values)


def _json_columns(path: Path) -> Sequence[str]:
    return list(_json_rows(path).schema.names)


def _json_batches(table: Table, progress: Progress) -> Iterator[Any]:
    rows = _json_rows(table.path, progress)
    for at in range(0, rows.num_rows, BATCH_ROWS):
        yield rows.slice(at, BATCH_ROWS)


_COLUMNS = {Format.PARQUET: _parquet_columns, Format.FEATHER: _feather_columns, Format.JSON: _json_columns}
_BATCHES = {Format.PARQUET: _parquet_batches, Format.FEATHER: _feather_batches, Format.JSON: _json_batches}
