"""Tables of every format as pyarrow record batches, streamed: CSV, parquet, feather, Arrow streams, JSON."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ztb.errors import DataError
from ztb.market.importers.csv_tables import KNOWN, CsvTable, csv_batches, open_csv
from ztb.market.importers.files import FileFormat, ReadProgress, blame, printable
from ztb.market.importers.json_tables import open_json
from ztb.market.importers.layouts import Layout
from ztb.market.importers.recognition import Pair, by_name, recognise, with_told_volume
from ztb.market.ticks import BAR

BATCH_ROWS = 65_536
_SAMPLED = 200


@dataclass(frozen=True, slots=True)
class Table:
    """A file whose layout is known. `symbol` and `market` are what it says beside its rows, None if nothing."""

    path: Path
    format: FileFormat
    layout: Layout
    csv: CsvTable | None = None
    pair: Pair | None = None
    symbol: str | None = None
    market: str | None = None


def open_table(path: Path, form: FileFormat, pair: Pair | None = None) -> Table:
    """Recognise `path`; DataError if its columns are of no known layout. `pair`: what its name says is traded."""
    with blame(path):
        if form is FileFormat.CSV:
            text = open_csv(path, pair)
            return Table(path=path, format=form, layout=text.layout, csv=text, pair=pair, symbol=text.symbol)
        if form is FileFormat.JSON:
            found = open_json(path, pair)
            return Table(
                path=path,
                format=form,
                layout=found.layout,
                csv=None,
                pair=pair,
                symbol=found.symbol,
                market=found.market,
            )
        with _arrow(path, form) as (names, read):
            layout = by_name(names)
            rows = _sample(names, read) if layout is None or layout.kind == BAR else []
            layout = layout or recognise(names, rows, pair)
        if layout is None:
            shown = printable(", ".join(names[:12]))
            raise DataError(
                f"{path}: its columns ({shown}) are of no known layout: rename them to one of {KNOWN}"
            )
        layout = with_told_volume(layout, names, rows)
        return Table(path=path, format=form, layout=layout, csv=None, pair=pair)


def batches(table: Table, progress: ReadProgress, malformed: Callable[[int, str], None]) -> Iterator[Any]:
    """Record batches with the layout's columns, in file order. `malformed(row, text)` hears of CSV rows whose
    number of fields is wrong; they are left out."""
    with blame(table.path):
        if table.csv is not None:
            yield from csv_batches(table.csv, progress, malformed)
        elif table.format is FileFormat.JSON:
            rows = open_json(table.path, table.pair, progress).rows
            for at in range(0, rows.num_rows, BATCH_ROWS):
                yield rows.slice(at, BATCH_ROWS)
        else:
            wanted = list(dict.fromkeys(table.layout.read.values()))
            with _arrow(table.path, table.format, progress) as (_, read):
                yield from read(wanted, BATCH_ROWS)


Read = Callable[[Sequence[str], int], Iterator[Any]]
"""Batches of the columns named, of at most so many rows."""


@contextmanager
def _arrow(
    path: Path, form: FileFormat, progress: ReadProgress | None = None
) -> Generator[tuple[list[str], Read]]:
    """(names of the columns, how to read some of them) of a binary table."""
    seen, size = progress or ReadProgress(), path.stat().st_size
    if form is FileFormat.PARQUET:
        from pyarrow import parquet

        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            total = max(1, file.metadata.num_rows)

            def read(wanted: Sequence[str], rows: int) -> Iterator[Any]:
                done = 0
                for batch in file.iter_batches(rows, columns=list(wanted), use_threads=False):
                    done += batch.num_rows
                    seen.done = size * done // total
                    yield batch

            yield _distinct(path, file.schema_arrow.names), read
        return
    with pa.memory_map(str(path)) as source:
        is_file = form is FileFormat.FEATHER
        reader: Any = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)

        def read_ipc(wanted: Sequence[str], rows: int) -> Iterator[Any]:
            frames = map(reader.get_batch, range(reader.num_record_batches)) if is_file else iter(reader)
            for batch in frames:
                seen.done = min(size, source.tell())
                chosen = batch.select(list(wanted))
                for at in range(0, chosen.num_rows, rows):
                    piece = chosen.slice(at, rows)
                    piece.validate(full=True)
                    yield piece

        yield _distinct(path, reader.schema.names), read_ipc


def _distinct(path: Path, names: Sequence[str]) -> list[str]:
    """`names` of the columns; DataError if one occurs twice: which of them is meant, nobody can know."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}: more than one of its columns is named {printable(twice[0])!r}: name each differently"
        )
    return list(names)


def _sample(names: Sequence[str], read: Read) -> list[list[str]]:
    """The first rows as text."""
    batch = next(read(names, _SAMPLED), None)
    if batch is None:
        return []
    columns = [_texts(column) for column in batch.slice(0, _SAMPLED).columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _texts(column: Any) -> list[str]:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        column = column.cast(pa.string())
    return ["" if value is None else str(value) for value in column.to_pylist()]
