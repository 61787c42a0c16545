"""What is written in any layout, with any times, separators and packing, is read back as the same ticks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.importers.writers import DRESSES, JSON, LAYOUTS, PACKED, TIMES, Bars, csv_bytes, made_bars
from ztb.errors import DataError
from ztb.market.history import History, open_history
from ztb.market.ticks import Ticks, join_ticks

Read = Callable[[History], Ticks]
_FIELDS = ("open", "high", "low", "close")


def assert_same(path: Path, bars: Bars) -> None:
    """What `path` holds is `bars`: times and prices to the bit, quantities to nine digits."""
    ticks = join_ticks(list(open_history([path]).blocks()))
    assert (ticks["ts_ns"] - ticks["span_ns"]).tolist() == bars.opens_ns
    for name in _FIELDS:
        field = "price" if name == "close" else name
        assert ticks[field].tolist() == [float(text) for text in bars.column(name)], name
    assert ticks["size"] == pytest.approx([float(text) for text in bars.column("volume")], rel=1e-9)


def written(
    path: Path, bars: Bars, layout: str, time: str, dress: str = "plain", packed: str = "as it is"
) -> Path:
    table = LAYOUTS[layout](bars, [TIMES[time](ns) for ns in bars.opens_ns])
    path.write_bytes(PACKED[packed](csv_bytes(table, DRESSES[dress])))
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(tmp_path: Path, layout: str) -> None:
    assert_same(written(tmp_path / "BTCUSDT-1m.csv", made_bars(), layout, "milliseconds"), made_bars())


@pytest.mark.parametrize("time", TIMES)
def test_every_way_to_write_a_time(tmp_path: Path, time: str) -> None:
    for layout in ("lower case", "unnamed index", "ccxt"):
        assert_same(written(tmp_path / f"{layout}.csv", made_bars(), layout, time), made_bars())


@pytest.mark.parametrize("dress", DRESSES)
def test_every_separator_encoding_and_preamble(tmp_path: Path, dress: str) -> None:
    for layout in ("capitals", "Kaggle's Bitstamp", "ccxt", "KuCoin"):
        if DRESSES[dress].trailing and layout == "KuCoin":
            continue
        assert_same(written(tmp_path / f"{layout}.csv", made_bars(), layout, "seconds", dress), made_bars())


@pytest.mark.parametrize("packed", PACKED)
def test_every_packing(tmp_path: Path, packed: str) -> None:
    assert_same(
        written(tmp_path / "misnamed.dat", made_bars(), "one letter", "ISO", "plain", packed), made_bars()
    )


@pytest.mark.parametrize("form", JSON)
def test_every_form_of_json(tmp_path: Path, form: str) -> None:
    bars = made_bars()
    for name, mark in (("a.json", ""), ("b.json", "\ufeff")):
        (tmp_path / name).write_text(mark + JSON[form](bars), encoding="utf-8")
        assert_same(tmp_path / name, bars)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    time=st.sampled_from(sorted(TIMES)),
    dress=st.sampled_from(sorted(DRESSES)),
    packed=st.sampled_from(sorted(PACKED)),
    seed=st.integers(0, 10_000),
    n=st.integers(25, 80),
    scale=st.sampled_from([(42_000.0, 2), (3_000_000.0, 0), (0.08, 6), (1.5e-6, 12), (8e-10, 14)]),
)
def test_what_is_written_is_read_back(
    tmp_path: Path,
    layout: str,
    time: str,
    dress: str,
    packed: str,
    seed: int,
    n: int,
    scale: tuple[float, int],
) -> None:
    bars = made_bars(n, seed=seed, price=scale[0], places=scale[1])
    assert_same(written(tmp_path / "BTCUSDT-1m.csv", bars, layout, time, dress, packed), bars)


@pytest.mark.parametrize("form", ["parquet", "feather", "arrow stream"])
@pytest.mark.parametrize(
    "kind", ["string views", "large strings", "index of pandas", "dictionary", "stamps", "decimals"]
)
def test_every_type_of_a_binary_table(tmp_path: Path, form: str, kind: str) -> None:
    bars = made_bars()
    texts = [TIMES["ISO"](ns) for ns in bars.opens_ns]
    times = {
        "string views": pa.array(texts).cast(pa.string_view()),
        "large strings": pa.array(texts, pa.large_string()),
        "dictionary": pa.array(texts).dictionary_encode(),
    }.get(kind, pa.array(bars.opens_ns, pa.timestamp("ns", tz="Asia/Tokyo")))
    columns = [pa.array([float(text) for text in bars.column(name)]) for name in (*_FIELDS, "volume")]
    if kind == "decimals":
        columns = [pa.array(bars.column(name)).cast(pa.decimal128(20, 8)) for name in (*_FIELDS, "volume")]
    first = "__index_level_0__" if kind == "index of pandas" else "date"
    table = pa.table([*columns, times], [*_FIELDS, "volume", first])
    path = tmp_path / "BTCUSDT-1m.data"
    if form == "parquet":
        pyarrow.parquet.write_table(table, path)
    elif form == "feather":
        pyarrow.feather.write_feather(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table)
    assert_same(path, bars)


_DAYS = [f"2024-01-{day:02}" for day in range(1, 31)]
_YAHOO = {
    "of one ticker, three lines": "Price,Close,High,Low,Open,Volume\nTicker,BTC-USD,BTC-USD,BTC-USD,BTC-USD,BTC-USD\n"
    "Date,,,,,\n",
    "of one ticker, two lines": ",Close,High,Low,Open,Volume\nDate,,,,,\n",
    "of the site": "Date,Close,High,Low,Open,Volume\n",
}


@pytest.mark.parametrize("age", _YAHOO)
def test_yahoo_of_every_age(tmp_path: Path, read: Read, age: str) -> None:
    path = tmp_path / "BTC-USD.csv"
    path.write_text(
        _YAHOO[age] + "".join(f"{day},41969.5,42017.75,41953.25,42000.0,7726600000\n" for day in _DAYS)
    )
    history = open_history([path])
    ticks = read(history)
    assert len(ticks) == 30 and history.instrument.symbol == "BTC/USD"
    assert (ticks["open"][0], ticks["price"][0]) == (42_000.0, 41_969.5)
    if "ticker" in age and "three" in age:
        assert ticks["size"][0] == pytest.approx(7726600000 / 41969.5), "its volume of coins is in dollars"


@pytest.mark.parametrize(
    ("name", "text", "first"),
    [
        ("BTCUSD_M1.csv", "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
         + "".join(f"2024.01.01\t00:{i:02}:00\t5.1\t5.3\t5.0\t5.2\t{i + 1}\t0\t12\n" for i in range(60)), 1),
        ("BTCUSD1.csv", "".join(f"2024.01.01,00:{i:02},5.1,5.3,5.0,5.2,{i + 1}\n" for i in range(60)), 1),
        ("DAT_NT_BTCUSD_M1_2024.csv",
         "".join(f"20240101 00{i:02}00;5.1;5.3;5.0;5.2;{i + 1}\n" for i in range(60)), 1),
        ("EURUSD_Candlestick_1_M_BID.csv", "Gmt time,Open,High,Low,Close,Volume\n"
         + "".join(f"01.01.2024 00:{i:02}:00.000,5.1,5.3,5.0,5.2,{i + 1}\n" for i in range(60)), 1),
        ("dukascopy.csv", "Local time,Open,High,Low,Close,Volume\n"
         + "".join(f"01.01.2024 01:{i:02}:00.000 GMT+0100,5.1,5.3,5.0,5.2,{i + 1}\n" for i in range(60)), 1),
        ("tradestation.csv", '"Date","Time","Open","High","Low","Close","Volume"\n'
         + "".join(f"2024-01-01,00:{i:02},5.1,5.3,5.0,5.2,{i + 1}\n" for i in range(60)), 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_files_of_brokers(
    tmp_path: Path, read: Read, name: str, text: str, first: int, encoding: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    ticks = read(open_history([path]))
    assert len(ticks) == 60 and set(np.diff(ticks["ts_ns"])) == {60 * 10**9}
    assert ticks["ts_ns"][0] == (1_704_067_200 + 60) * 10**9
    assert (ticks["open"][0], ticks["high"][0], ticks["low"][0], ticks["price"][0]) == (5.1, 5.3, 5.0, 5.2)
    assert ticks["size"][0] == first


def test_trading_view_without_volume_says_what_is_assumed(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "COINBASE_BTCUSD, 1.csv"
    path.write_text(
        "time,open,high,low,close\n" + "".join(f"{1704067200 + 60 * i},5,6,4,5\n" for i in range(30))
    )
    history = open_history([path])
    assert (read(history)["size"] == 20_000).all()
    assert any("nothing tells the volume" in note for note in history.report.notes)
    assert (history.instrument.symbol, history.instrument.venue) == ("BTC/USD", "coinbase")


@pytest.mark.parametrize("empty", ["NaN,NaN,NaN,NaN,NaN", ",,,,", "0,0,0,0,0", "null,null,null,null,0"])
def test_a_minute_without_a_trade_is_a_missing_bar(tmp_path: Path, read: Read, empty: str) -> None:
    rows = [f"{1704067200 + 60 * i}," + (empty if i % 3 == 2 else "5.5,6,5,5.5,1") for i in range(60)]
    path = tmp_path / "bitstampUSD_1-min.csv"
    path.write_text("Timestamp,Open,High,Low,Close,Volume\n" + "\n".join(rows) + "\n")
    history = open_history([path])
    assert len(read(history)) == 40
    report = history.report
    assert (report.bad, report.missing_bars, report.dropped["bar without a trade"]) == (0, 19, 20)
    assert (history.instrument.symbol, history.instrument.venue) == ("BTC/USD", "bitstamp")


def test_a_refusal_of_a_venue_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"retCode": 10001, "retMsg": "params error: symbol invalid", "result": {}}))
    with pytest.raises(DataError, match="says 'params error: symbol invalid'"):
        open_history([path])
