"""Tables as JSON: lists of rows, records, lines, columns, and the answers of venues that wrap them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from ztb.errors import DataError
from ztb.market.importers.csv_tables import KNOWN
from ztb.market.importers.files import ReadProgress, printable, whole_text
from ztb.market.importers.headerless import recognise_rows
from ztb.market.importers.layouts import Layout
from ztb.market.importers.recognition import Pair, recognise, with_told_volume
from ztb.market.symbols import is_coin, parse_symbol

_LIMIT = 1 << 30
_SAMPLED = 200
_NESTED_KEYS, _BESIDE_ROWS = 3, ("info", "fee")  # ccxt's: the venue's own words, and what it took
_SYMBOLS = ("symbol", "instId", "pair", "instrument_name", "ticker", "product_id", "market")
_MARKETS = {"linear": "linear", "inverse": "inverse", "spot": "spot"}


@dataclass(frozen=True, slots=True)
class JsonTable:
    """A whole table. `symbol` and `market` are what an answer says beside its rows; None where it does not."""

    layout: Layout
    rows: Any
    symbol: str | None = None
    market: str | None = None


def open_json(path: Path, pair: Pair | None, progress: ReadProgress | None = None) -> JsonTable:
    """Read and recognise `path`; DataError if it holds no table of known layout."""
    content = whole_text(path, _LIMIT, progress)
    found, told = _unwrapped(_parsed(path, content), {})
    if found is None:
        raise DataError(f"{path}: is no JSON list of rows{_complaint(told)}: fetch or export it again")
    names, columns = _as_columns(path, found)
    sample = [list(row) for row in zip(*(map(_text, column[:_SAMPLED]) for column in columns), strict=True)]
    market = _MARKETS.get(str(told.get("category", "")).lower())
    symbols = [told[key] for key in _SYMBOLS if isinstance(told.get(key), str)]
    symbol = next((text for text in symbols if parse_symbol(text) is not None), None)
    if names is None:
        recognised = recognise_rows(sample)
        if recognised is None:
            raise DataError(f"{path}: rows of {len(columns)} values are of no known layout: give {KNOWN}")
        layout, names = recognised
    else:
        by_name = recognise(names, sample, pair)
        if by_name is None:
            raise DataError(
                f"{path}: its keys ({printable(', '.join(names[:12]))}) are of no known layout: give {KNOWN}"
            )
        layout = by_name
    layout = with_told_volume(layout, names, sample)
    wanted = list(dict.fromkeys(layout.read.values()))
    arrays = [_array(columns[names.index(name)]) for name in wanted]
    return JsonTable(layout, pa.record_batch(arrays, wanted), symbol, market)


def _parsed(path: Path, content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        for lenient in (_lines, json.loads):  # lines of JSON; NaN, which Python writes
            try:
                return lenient(content)
            except (msgspec.DecodeError, ValueError, RecursionError):
                continue
        raise DataError(f"{path}: is no complete JSON ({error}): fetch it again") from error


def _lines(content: bytes) -> Any:
    decode: Callable[[bytes], Any] = msgspec.json.decode
    lines = [line for line in content.splitlines() if line.strip()]
    return [decode(line) if b"NaN" not in line else json.loads(line) for line in lines]


def _unwrapped(value: Any, told: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(the largest table within `value` or None, what stands beside it)."""
    if isinstance(value, list):
        rows = [row for row in value if isinstance(row, list | dict)]
        if rows and len(rows) == len(value):
            return _records_within(value), told
        return None, told
    if not isinstance(value, dict):
        return None, told
    beside = value["meta"] if isinstance(value.get("meta"), dict) else {}
    told = told | {key: item for key, item in (beside | value).items() if isinstance(item, str | int)}
    if {"columns", "data"} <= set(value) and isinstance(value["columns"], list):
        return _split(value), told
    if _is_columns(value):
        return _columns_of(value), told
    best: tuple[Any, dict[str, Any]] = (None, told)
    for key, item in value.items():
        symbol = parse_symbol(key) if isinstance(item, list) else None
        named = {"symbol": key} if symbol is not None and is_coin(symbol.base) else {}
        found = _unwrapped(item, named | told)
        if found[0] is not None and (best[0] is None or _length(found[0]) > _length(best[0])):
            best = found
    return best


def _length(table: Any) -> int:
    return len(next(iter(table.values()))) if isinstance(table, dict) else len(table)


def _records_within(rows: list[Any]) -> Any:
    """A list of one answer whose rows are within it, such as [{"symbol": …, "candles": […]}]."""
    if len(rows) == 1 and isinstance(rows[0], dict):
        found, _ = _unwrapped(rows[0], {})
        return rows if found is None else found
    return rows


def _is_columns(value: dict[str, Any]) -> bool:
    """Columns by name; or, as pandas writes them, the rows' keys below each column, or the columns' below each row."""
    lists = [item for item in value.values() if isinstance(item, list) and item]
    flat = [item for item in lists if not isinstance(item[0], list | dict)]
    if len(flat) >= 3 and len({len(item) for item in flat}) == 1:
        return True
    inner = [tuple(item) for item in value.values() if isinstance(item, dict)]
    return len(inner) >= 3 and len(inner) == len(value) and len(set(inner)) == 1 and len(inner[0]) >= 1


def _columns_of(value: dict[str, Any]) -> dict[str, list[Any]]:
    lists = {key: item for key, item in value.items() if isinstance(item, list)}
    if lists:
        lengths = [len(item) for item in lists.values()]
        usual = max(set(lengths), key=lengths.count)
        return {key: item for key, item in lists.items() if len(item) == usual}
    keys = list(value)
    if all(not key.lstrip("-").isdigit() and not key[:4].isdigit() for key in keys):
        named = {key: list(item.values()) for key, item in value.items()}
        return {"": list(next(iter(value.values()))), **named}
    rows = list(value.values())
    return {"": keys, **{name: [row[name] for row in rows] for name in rows[0]}}


def _split(value: dict[str, Any]) -> Any:
    """pandas' orient="split"."""
    if not isinstance(value["data"], list) or not value["data"]:
        return None
    columns = {
        str(name): [row[i] for row in value["data"] if isinstance(row, list) and i < len(row)]
        for i, name in enumerate(value["columns"])
    }
    index = value.get("index")
    return {"": index, **columns} if isinstance(index, list) and len(index) == len(value["data"]) else columns


def _as_columns(path: Path, table: Any) -> tuple[list[str] | None, list[Sequence[Any]]]:
    """(names or None, columns of equal length) of a table however it is kept."""
    if isinstance(table, dict):
        if len({len(column) for column in table.values()}) > 1:
            raise DataError(f"{path}: its columns are of several lengths: export it again")
        return [str(name) for name in table], list(table.values())
    if isinstance(table[0], dict):
        if set(map(type, table)) != {dict}:
            number = next(n for n, row in enumerate(table, 1) if not isinstance(row, dict))
            raise DataError(f"{path}: row {number}: is no object as the first row is: mend or remove it")
        if any(_is_nested(name, value) for name, value in table[0].items()):
            table = [_merged(row) for row in table]
        names = list(dict.fromkeys(name for row in table[:_SAMPLED] for name in row))
        return names, [_flat([row.get(name) for row in table]) for name in names]
    width = len(table[0])
    if width == 0:
        raise DataError(f"{path}: row 1: is empty: fetch or export it again")
    if set(map(type, table)) != {list} or set(map(len, table)) != {width}:
        number = next(n for n, row in enumerate(table, 1) if not isinstance(row, list) or len(row) != width)
        raise DataError(
            f"{path}: row {number}: is no list of {width} values as the first row is: mend or remove it"
        )
    return None, [_flat(column) for column in zip(*table, strict=True)]


def _is_nested(name: str, value: Any) -> bool:
    return isinstance(value, dict) and len(value) >= _NESTED_KEYS and name not in _BESIDE_ROWS


def _merged(row: dict[str, Any]) -> dict[str, Any]:
    """A record with what is within its records, such as the `data` of a stream's message, as its own."""
    within = {k: v for name, value in row.items() if _is_nested(name, value) for k, v in value.items()}
    return within | {name: value for name, value in row.items() if not isinstance(value, dict)}


def _flat(column: Sequence[Any]) -> Sequence[Any]:
    """A column without what is no single value; of MongoDB's {"$date": …} what is within."""
    while {list, dict} & set(map(type, column)):
        column = [_single(value) if isinstance(value, list | dict) else value for value in column]
    return column


def _single(value: Any) -> Any:
    within = list(value.items()) if isinstance(value, dict) else []
    return within[0][1] if len(within) == 1 and within[0][0].startswith("$") else None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _array(values: Sequence[Any]) -> Any:
    kinds = set(map(type, values))
    if bool in kinds:
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    if str in kinds:
        return pa.array([None if v is None else str(v).strip() or None for v in values], pa.string())
    if float in kinds and int in kinds:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array(values)


def _complaint(told: dict[str, Any]) -> str:
    """The reason that a venue's refusal gives."""
    words = [str(told[key]) for key in ("msg", "message", "retMsg", "error") if told.get(key)]
    return f" but an answer that says {words[0][:80]!r}" if words else ""
