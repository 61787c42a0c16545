"""Damage is counted and shown, or refused with file, row and reason; never traded on, never a traceback."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import zstandard

from ztb.errors import DataError
from ztb.market.history import SHIPPED, History, open_history
from ztb.market.recording import RecordingWriter
from ztb.market.ticks import Ticks

Read = Callable[[History], Ticks]
Write = Callable[[str, str], Path]
Bars = Callable[[Iterable[str]], Path]
_MS = 1_600_000_000_000
_QUOTES = "timestamp,bid,ask,bid_size,ask_size\n"
_TRADES = "timestamp,price,size\n"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("nan,11,10,10,1", "price not positive"),
        ("-10,11,-10,10,1", "price not positive"),
        ("0,11,0,10,1", "price not positive"),
        ("10,inf,10,10,1", "price not positive"),
        ("10,11,10,10,-1", "volume negative"),
        ("10,11,10,10,nan", "volume missing"),
        ("10,9,10,10,1", "high and low do not hold open and close"),
        ("10,11,10", "malformed row"),
        ("10,11,10,10,1,7", "malformed row"),
    ],
)
def test_a_bar_that_cannot_be_true_is_left_out_and_counted(
    bars_csv: Bars, read: Read, values: str, reason: str
) -> None:
    history = open_history([bars_csv(["0", "1", "2", f"3,{values}", "4", "5"])])
    assert len(read(history)) == 5
    assert history.report.dropped == {reason: 1}
    assert history.report.bad == 1
    assert "BTCUSD.csv: row 4: " in history.report.examples[reason]
    assert history.report.missing_bars == 1
    assert history.report.rows == 6


@pytest.mark.parametrize(
    ("quote", "reason"),
    [
        ("101,100,1,1", "crossed book"),
        ("100,100,1,1", "crossed book"),
        ("0,100,1,1", "price not positive"),
        ("99,,1,1", "price not positive"),
        ("99,100,-1,1", "quantity negative"),
    ],
)
def test_a_quote_that_cannot_be_true_is_left_out_and_counted(
    write: Write, read: Read, quote: str, reason: str
) -> None:
    history = open_history([write("q.csv", _QUOTES + f"{_MS},99,101,1,1\n{_MS + 1},{quote}\n")])
    assert len(read(history)) == 1
    assert history.report.dropped == {reason: 1}
    assert history.report.crossed == (reason == "crossed book")


def test_a_trade_of_nothing_is_left_out(write: Write, read: Read) -> None:
    history = open_history([write("t.csv", _TRADES + f"{_MS},5,1\n{_MS},5,0\n{_MS},5,-2\n")])
    assert len(read(history)) == 1
    assert history.report.dropped == {"quantity not positive": 2}


def test_more_than_a_few_bad_rows_refuse_the_file(bars_csv: Bars, read: Read) -> None:
    def lines(bad: int) -> list[str]:
        return ["0"] + [f"{i},0,0,0,0,1" for i in range(1, bad + 1)] + [str(i) for i in range(bad + 1, 40)]

    assert len(read(open_history([bars_csv(lines(10))]))) == 30
    with pytest.raises(DataError, match=r"row 12: 11 bad rows up to here.*price not positive"):
        read(open_history([bars_csv(lines(11))]))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("\n\n \n", "is empty"),
        ("timestamp,open,high,low,close,volume\n", "has a header and no rows"),
        ("a,b,c\n1,2,3\n", r"columns \(a, b, c\) are of no known layout"),
        ("hello world\n", "is no table of known layout"),
        ("1,2\n", "is no table of known layout"),
        ("[]", "no JSON list of rows"),
        ("[[1600000000000, 1, 2", "is no complete JSON"),
        ("[[1600000000000,1,1,1,1,1],[1,2]]", "row 2: is no list of 6 values"),
        ('{"code": -1121}', "no JSON list of rows"),
        (_TRADES + "12,5,1\n", "row 1: 12.0 is no time between 1973 and 2100"),
        (_TRADES + f"{_MS},5,1\n{_MS}000,5,1\n", "row 2: time 1600000000000000 is not in milliseconds"),
        (_TRADES + f"{_MS},5,1\n{_MS},x,1\n", "row 2: 'x' in column 'price' is no number"),
        (_TRADES + "yesterday,5,1\n", "row 1: 'yesterday' is no number or time"),
        (_TRADES + f"{_MS},nan,1\n", "no row can be used .*price not positive"),
        (_TRADES + "9999999999,5,1\n", "is no time between 1973 and 2100"),
        (f"timestamp,open,high,low,close,volume\n{_MS},1,1,1,1,1\n", "a single bar does not tell"),
        (f"timestamp,price,size,symbol\n{_MS},1,1,A-B\n{_MS},1,1,C-D\n", "more than one symbol"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(write: Write, read: Read, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"x\.csv: .*{reason}"):
        read(open_history([write("x.csv", text)]))


def test_missing_paths_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file"):
        open_history([tmp_path / "nowhere"])
    with pytest.raises(DataError, match="holds no files"):
        open_history([tmp_path])


def test_compressed_data_cut_short_is_refused_at_its_end(tmp_path: Path, read: Read) -> None:
    plain = zstandard.ZstdDecompressor().decompress(SHIPPED.read_bytes(), max_output_size=1 << 22)
    for name, content in (("x.csv.gz", gzip.compress(plain)), ("x.csv.zst", SHIPPED.read_bytes())):
        (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(DataError, match=rf"{name}: compressed data is cut short.*fetch the file again"):
            read(open_history([tmp_path / name]))


def test_a_price_off_the_inferred_increment_is_refused_with_the_remedy(bars_csv: Bars, read: Read) -> None:
    lines = [str(i) for i in range(1000)] + ["1000,10.5,11,10,10.25,1", "1001"]
    path = bars_csv(lines)
    with pytest.raises(
        DataError, match=r"row 1001: price 10\.25 .* 0\.1 inferred from the first 1000.*--tick-size"
    ):
        read(open_history([path]))


def _sources(folder: Path) -> dict[str, bytes]:
    """A small file of every format."""
    n = 300
    table = pa.table(
        {
            "timestamp": [_MS + 7 * i for i in range(n)],
            "id": [f"{i:x}-{i * i:x}" for i in range(n)],
            "side": ["buy", "sell", "buy"] * (n // 3),
            "price": [100 + i % 7 / 2 for i in range(n)],
            "amount": [1.0 + i % 3 for i in range(n)],
            "cost": [1.0] * n,
        }
    )
    pyarrow.parquet.write_table(table, folder / "a.parquet")
    pyarrow.feather.write_feather(table, folder / "a.feather")
    rows = list(zip(*[column.to_pylist() for column in table.columns], strict=True))
    text = ",".join(table.column_names) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    bars = "[" + ",".join(f"[{_MS + 60_000 * i},5.5,6,5,5.5,{i}]" for i in range(n)) + "]"
    tape = "".join(
        f'{_MS}000000 {{"stream":"btcusdt@trade","data":{{"e":"trade","E":{_MS + i},"s":"BTCUSDT","t":{i},'
        f'"p":"100.5","q":"1.5","T":{_MS + i},"m":true,"M":true}}}}\n'
        for i in range(n)
    )
    history = open_history([folder / "a.parquet"])
    with RecordingWriter(folder / "a.ztb", history.instrument) as writer:
        for ticks in history.blocks(64):
            writer.append(ticks, ticks["ts_ns"])
            writer.flush()
    files = {name: (folder / name).read_bytes() for name in ("a.parquet", "a.feather", "a.ztb")}
    plain = {"a.csv": text.encode(), "a.json": bars.encode(), "a.jsonl": tape.encode()}
    return (
        files
        | plain
        | {"b.csv.gz": gzip.compress(text.encode()), "b.json.zst": zstandard.compress(bars.encode())}
    )


def _damaged(content: bytes, draw: random.Random) -> bytes:
    damaged = bytearray(content)
    at = draw.randrange(len(damaged))
    match draw.randrange(4):
        case 0:
            del damaged[at:]
        case 1:
            del damaged[at : at + draw.randrange(1, 200)]
        case 2:
            damaged[at] = draw.randrange(32, 127)
        case _:
            for _ in range(draw.randrange(1, 6)):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged)


def test_no_damage_makes_a_traceback_or_an_untrue_tick(tmp_path: Path) -> None:
    draw = random.Random(7)
    sources = _sources(tmp_path)
    refused = 0
    for round_number in range(60 * len(sources)):
        name, content = list(sources.items())[round_number % len(sources)]
        path = tmp_path / f"damaged-{name}"
        path.write_bytes(_damaged(content, draw))
        last = 0
        try:
            for ticks in open_history([path]).blocks():
                assert (ticks["price"] > 0).all()
                assert ticks["ts_ns"][0] >= last
                assert (ticks["ts_ns"][1:] >= ticks["ts_ns"][:-1]).all()
                last = ticks["ts_ns"][-1]
        except DataError as error:
            assert path.name in str(error)
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrows"])
def test_of_two_columns_of_one_name_nobody_knows_which_is_meant(kind: str, tmp_path: Path) -> None:
    named = ["timestamp", "price", "size", "price"]
    table = pa.Table.from_arrays([pa.array([_MS, _MS + 1]), *[pa.array([1.0, 2.0])] * 3], names=named)
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        make = pa.ipc.new_file if kind == "feather" else pa.ipc.new_stream
        with make(path, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(DataError, match=r"more than one of its columns is named 'price'"):
        open_history([path])
