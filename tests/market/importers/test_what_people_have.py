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


def _stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as stream:
        for batch in table.to_batches(max_chunksize=17):
            stream.write_batch(batch)


_FORMS: dict[str, Callable[[pa.Table, Path], object]] = {
    "parquet": pyarrow.parquet.write_table,
    "parquet of pieces": lambda table, path: pyarrow.parquet.write_table(
        table, path, row_group_size=13, compression="zstd", data_page_version="2.0"
    ),
    "feather": pyarrow.feather.write_feather,
    "feather, zstd": lambda table, path: pyarrow.feather.write_feather(
        table, path, compression="zstd", chunksize=11
    ),
    "arrow stream": _stream,
}
_STAMPS: dict[str, Callable[[list[int]], pa.Array]] = {
    "stamps of nanoseconds": lambda opens: pa.array(opens, pa.timestamp("ns", tz="UTC")),
    "stamps of milliseconds": lambda opens: pa.array([ns // 10**6 for ns in opens], pa.timestamp("ms")),
    "stamps in Tokyo": lambda opens: pa.array(opens, pa.timestamp("ns", tz="Asia/Tokyo")),
    "whole milliseconds": lambda opens: pa.array([ns // 10**6 for ns in opens]),
    "seconds with a point": lambda opens: pa.array([ns / 1e9 for ns in opens]),
    "text": lambda opens: pa.array([TIMES["ISO"](ns) for ns in opens]),
    "large text": lambda opens: pa.array([TIMES["ISO"](ns) for ns in opens], pa.large_string()),
    "views of text": lambda opens: pa.array([TIMES["ISO"](ns) for ns in opens]).cast(pa.string_view()),
    "words": lambda opens: pa.array([TIMES["ISO"](ns) for ns in opens]).dictionary_encode(),
}
_NUMBERS: dict[str, Callable[[list[str]], pa.Array]] = {
    "64 bits": lambda texts: pa.array([float(text) for text in texts]),
    "decimals": lambda texts: pa.array(texts).cast(pa.decimal128(38, 18)),
    "text": pa.array,
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(sorted(_FORMS)),
    stamps=st.sampled_from(sorted(_STAMPS)),
    numbers=st.sampled_from(sorted(_NUMBERS)),
    index=st.sampled_from(["date", "timestamp", "__index_level_0__", "open_time"]),
    shuffled=st.permutations(range(6)),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([(42_000.0, 2), (3_000_000.0, 0), (0.08, 6), (8e-10, 14)]),
)
def test_binary_tables_that_are_written_are_read_back(
    tmp_path: Path,
    form: str,
    stamps: str,
    numbers: str,
    index: str,
    shuffled: list[int],
    seed: int,
    scale: tuple[float, int],
) -> None:
    bars = made_bars(40, seed=seed, price=scale[0], places=scale[1])
    names = [*_FIELDS, "volume", index]
    columns = [_NUMBERS[numbers](bars.column(name)) for name in names[:-1]] + [_STAMPS[stamps](bars.opens_ns)]
    table = pa.table([columns[i] for i in shuffled], [names[i] for i in shuffled])
    path = tmp_path / "BTCUSDT-1m.data"
    _FORMS[form](table, path)
    assert_same(path, bars)


@pytest.mark.parametrize("stamps", _STAMPS)
@pytest.mark.parametrize("form", _FORMS)
def test_every_type_of_a_binary_table(tmp_path: Path, form: str, stamps: str) -> None:
    bars = made_bars()
    columns = [_NUMBERS["64 bits"](bars.column(name)) for name in (*_FIELDS, "volume")]
    path = tmp_path / "BTCUSDT-1m.data"
    _FORMS[form](pa.table([_STAMPS[stamps](bars.opens_ns), *columns], ["date", *_FIELDS, "volume"]), path)
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


@pytest.mark.parametrize(
    ("price", "volume", "said"),
    [
        ("42,000.1", "12.34K", 12_340.0), ("1,042,000.1", "1.5M", 1_500_000.0), ("$42,000.1", "987", 987.0),
        ("$42000.1", "2B", 2e9), ("42,000", "1,234.5", 1234.5), ("€42,000.1", "987", 987.0),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(
    tmp_path: Path, read: Read, price: str, volume: str, said: float
) -> None:
    rows = "".join(f'"{day}","{price}","{price}","{price}","{price}","{volume}"\n' for day in _DAYS)
    path = tmp_path / "BTC_USD.csv"
    path.write_text('"Date","Price","Open","High","Low","Vol."\n' + rows)
    ticks = read(open_history([path]))
    assert len(ticks) == 30 and (ticks["size"] == said).all()
    assert (ticks["price"] == float(price.replace(",", "").lstrip("$€"))).all()


@pytest.mark.parametrize(
    ("separator", "price", "volume"),
    [
        (";", "42.000,5", "1.234,5"), ("\t", "42.000,5", "1.234,5"), (";", "42 000,5", "1 234,5"),
        (";", "42\u00a0000,5", "1\u202f234,5"), (";", "42'000.5", "1'234.5"), (";", "42,000.5", "1,234.5"),
        (",", '"42.000,5"', '"1.234,5"'), (",", '"42.000,5"', '"1,2345K"'), (";", "€42.000,5", "1234,5"),
    ],
)  # fmt: skip
def test_numbers_as_other_people_write_them(
    tmp_path: Path, read: Read, separator: str, price: str, volume: str
) -> None:
    rows = [separator.join([f"{i:02}.01.2024", price, price, price, price, volume]) for i in range(1, 31)]
    path = tmp_path / "BTC_EUR.csv"
    path.write_text(
        separator.join(["Datum", "Zuletzt", "Eröffn.", "Hoch", "Tief", "Vol."]) + "\n" + "\n".join(rows)
    )
    ticks = read(open_history([path]))
    assert len(ticks) == 30 and (ticks["size"] == 1234.5).all() and (ticks["price"] == 42000.5).all()


@pytest.mark.parametrize(
    "header",
    [
        "Fecha,Último,Apertura,Máximo,Mínimo,Vol.", "Дата,Цена,Откр.,Макс.,Мин.,Объём", "时间,收盘,开盘,最高,最低,成交量",
        "Date,Dernier,Ouv.,Plus Haut,Plus Bas,Vol.", "日付,終値,始値,高値,安値,出来高", "Data,Último,Abertura,Máxima,Mínima,Vol.",
        "bar_time,close_px,open_px,high_px,low_px,base_vol", "time/时间,close/收盘,open/开盘,high/最高,low/最低,volume/成交量",
    ],
)  # fmt: skip
def test_headers_in_other_languages(tmp_path: Path, read: Read, header: str) -> None:
    path = tmp_path / "BTC_USD.csv"
    path.write_text(header + "\n" + "".join(f"2024-01-{i:02},5.5,5,6,4,7\n" for i in range(1, 31)))
    tick = read(open_history([path]))[0]
    assert (tick["price"], tick["open"], tick["high"], tick["low"], tick["size"]) == (5.5, 5, 6, 4, 7)


@pytest.mark.parametrize("inner", [name for name in PACKED if name != "as it is"])
@pytest.mark.parametrize("outer", ["gzip", "zip", "xz"])
def test_what_is_packed_twice_is_said_to_be(tmp_path: Path, inner: str, outer: str) -> None:
    text = csv_bytes(LAYOUTS["ccxt"](made_bars(), [str(ns) for ns in made_bars().opens_ns]), DRESSES["plain"])
    path = tmp_path / "BTCUSDT.csv"
    path.write_bytes(PACKED[outer](PACKED[inner](text)))
    with pytest.raises(DataError, match="is packed twice, of which once is read: unpack it"):
        open_history([path])


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


_MINUTES = range(30)
_S = 1_704_067_200


def _lines(header: str, row: str) -> str:
    """`{i}` counts minutes, `{s}` and `{ms}` are the time, `{d}` days."""
    return header + "".join(
        row.format(
            i=f"{i:02}",
            j=f"{i + 1:02}",
            s=_S + 60 * i,
            ms=(_S + 60 * i) * 1000,
            d=f"{i + 1:02}",
            h=_S + 3600 * i,
        )
        + "\n"
        for i in _MINUTES
    )


def _json(
    wrap: Callable[[list[object]], object], row: Callable[[int], object], *, newest_first: bool = False
) -> str:
    rows = [row(i) for i in _MINUTES]
    return json.dumps(wrap(rows[::-1] if newest_first else rows))


_SEEN = {
    "CryptoDataDownload of 2019": (
        "Coinbase_BTCUSD_1h.csv", "https://www.CryptoDataDownload.com\nDate,Symbol,Open,High,Low,Close,Volume BTC,Volume USD\n"
        + "".join(f"2024-01-0{1 + i // 24} {i % 12 or 12:02}-{'AM' if i % 24 < 12 else 'PM'},BTCUSD,5,6,4,5,2,10.1\n"
                  for i in range(29, -1, -1)), "BTC/USD", 2),
    "CryptoDataDownload with a day beside the time": (
        "BTCUSD.csv", _lines("Unix Timestamp,Date,Symbol,Open,High,Low,Close,Volume\n", "{h}.0,2024-01-01,BTCUSD,5,6,4,5,2"),
        "BTC/USD", 2),
    "CoinMarketCap with thousands": (
        "BTC-USD.csv", _lines("Date,Open*,High,Low,Close**,Volume,Market Cap\n",
                          '"Jan {d}, 2024",5.00,6.00,4.00,5.00,"1,000.00","$1,000,000.00"'), "BTC/USD", 200),
    "Binance's REST klines": (
        "BTCUSDT.json", _json(list, lambda i: [(_S + 60 * i) * 1000, "5", "6", "4", "5", "2", (_S + 60 * i + 60) * 1000 - 1,
                                              "10.1", 3, "1", "5", "0"]), "BTC/USDT", 2),
    "HTX's answer": (
        "htx_BTCUSDT.json", _json(lambda rows: {"status": "ok", "data": rows}, lambda i: {
            "id": _S + 60 * i, "open": 5, "close": 5, "low": 4, "high": 6, "amount": 2, "vol": 10.1, "count": 3},
            newest_first=True), "BTC/USDT", 2),
    "Bitstamp's answer": (
        "bitstamp_BTCUSD.json", _json(lambda rows: {"data": {"pair": "BTC/USD", "ohlc": rows}}, lambda i: {
            "timestamp": str(_S + 60 * i), "open": "5", "high": "6", "low": "4", "close": "5", "volume": "2"}),
        "BTC/USD", 2),
    "Deribit's answer": (
        "deribit_BTC-PERPETUAL.json", json.dumps({"result": {
            "volume": [2.0] * 30, "ticks": [(_S + 60 * i) * 1000 for i in _MINUTES], "status": "ok", "open": [5.0] * 30,
            "low": [4.0] * 30, "high": [6.0] * 30, "cost": [10.1] * 30, "close": [5.0] * 30}}), "BTC/USD:BTC", 2),
    "Bybit's linear answer": (
        "bybit.json", _json(lambda rows: {"result": {"category": "linear", "symbol": "BTCUSDT", "list": rows}},
                            lambda i: [str((_S + 60 * i) * 1000), "5", "6", "4", "5", "2", "10.1"], newest_first=True),
        "BTC/USDT:USDT", 2),
    "Bybit's inverse answer": (
        "bybit.json", _json(lambda rows: {"result": {"category": "inverse", "symbol": "BTCUSD", "list": rows}},
                            lambda i: [str((_S + 60 * i) * 1000), "5", "6", "4", "5", "10.1", "2"], newest_first=True),
        "BTC/USD:BTC", 2),
    "InfluxDB's": (
        "BTCUSDT.csv", "#datatype,string,long\n" + _lines(",result,table,_time,open,high,low,close,volume\n",
                                                          ",,0,2024-01-01T00:{i}:00Z,5,6,4,5,2"), "BTC/USDT", 2),
    "quoted": ("BTCUSDT.csv", _lines('"timestamp","open","high","low","close","volume"\n', '"{s}","5","6","4","5","2"'),
               "BTC/USDT", 2),
    "blanks after commas": ("BTCUSDT.csv", _lines("timestamp, open, high, low, close, volume\n", "{s}, 5, 6, 4, 5, 2"),
                            "BTC/USDT", 2),
    "ClickHouse's": ("BTCUSDT.tsv", _lines("", "2024-01-01 00:{i}:00\t5\t6\t4\t5\t2"), "BTC/USDT", 2),
    "quoted decimal commas": ("BTCEUR.csv", _lines('"timestamp","open","high","low","close","volume"\n',
                                                   '"{s}","5,0","6,0","4,0","5,0","2,0"'), "BTC/EUR", 2),
    "German": ("BTCEUR.csv", _lines("Datum;Open;High;Low;Close;Volume\n", "01.01.2024 00:{i};5,0;6,0;4,0;5,0;2,0"),
               "BTC/EUR", 2),
    "TradingView with other lines": (
        "BINANCE_BTCUSDT.P, 60.csv", _lines("time,open,high,low,close,Volume,Volume MA\n", "{h},5,6,4,5,2,NaN"),
        "BTC/USDT:USDT", 2),
    "CoinAPI's": (
        "BTCUSD.csv", _lines("time_period_start;time_period_end;time_open;time_close;price_open;price_high;price_low;"
                             "price_close;volume_traded\n",
                             "2024-01-01T00:{i}:00.0000000Z;2024-01-01T00:{j}:00.0000000Z;2024-01-01T00:{i}:03.1230000Z;"
                             "2024-01-01T00:{i}:59.1230000Z;5;6;4;5;2"), "BTC/USD", 2),
    "BitMEX' bars": (
        "XBTUSD.csv", _lines("timestamp,symbol,open,high,low,close,trades,volume,vwap,lastSize,turnover,homeNotional,"
                             "foreignNotional\n", "2024-01-01T00:{j}:00.000Z,XBTUSD,5,6,4,5,3,10,5,1,100,2,10"),
        "BTC/USD:BTC", 2),
    "Stooq's": (
        "btcusd.txt", "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        + _lines("", "BTCUSD,1,20240101,00{i}00,5,6,4,5,2,0"), "BTC/USD", 2),
    "day and clock in digits": (
        "BTCUSDT.csv", _lines("date,time,open,high,low,close,volume\n", "20240101,00{i},5,6,4,5,2"), "BTC/USDT", 2),
    "day and clock of Sierra Chart": (
        "BTCUSD.txt", _lines("Date, Time, Open, High, Low, Last, Volume, NumberOfTrades, BidVolume, AskVolume\n",
                             "2024/1/1, 00:{i}:00, 5, 6, 4, 5, 2, 3, 1, 1"), "BTC/USD", 2),
    "Investing.com's": (
        "BTC_USD Bitfinex Historical Data.csv", '"Date","Price","Open","High","Low","Vol.","Change %"\n'
        + "".join(f'"Jan {day:02}, 2024","5.0","5.0","6.0","4.0","2.0K","0.1%"\n'
                  for day in range(30, 0, -1)), "BTC/USD", 2000),
    "Investing.com's with days first": (
        "BTC_USD.csv", '"Date","Price","Open","High","Low","Vol.","Change %"\n'
        + "".join(f'"{day:02}/01/2024","5.0","5.0","6.0","4.0","0.002M","-0.1%"\n'
                  for day in range(30, 0, -1)), "BTC/USD", 2000),
    "thousands in short, without quotes": (
        "BTCUSD.tsv", _lines("time\topen\thigh\tlow\tclose\tvolume\n", "{s}\t5\t6\t4\t5\t0.2K"), "BTC/USD", 200),
    "dollars": ("BTCUSD.csv", _lines("time,open,high,low,close,volume\n", "{s},$5,$6.00,$4,$5.0,2"), "BTC/USD", 2),
    "lines of an old Mac": (
        "BTCUSDT.csv", _lines("time,open,high,low,close,volume\n", "{s},5,6,4,5,2").replace("\n", "\r"),
        "BTC/USDT", 2),
    "Alpha Vantage's": (
        "BTCUSD.json", json.dumps({"Meta Data": {"2. Digital Currency Code": "BTC"}, "Time Series Crypto (1min)": {
            f"2024-01-01 00:{29 - i:02}:00": {"1. open": "5", "2. high": "6", "3. low": "4", "4. close": "5", "5. volume": "2"}
            for i in _MINUTES}}), "BTC/USD", 2),
    "Upbit's answer": (
        "upbit.json", _json(list, lambda i: {
            "market": "KRW-BTC", "candle_date_time_utc": f"2024-01-01T00:{i:02}:00",
            "candle_date_time_kst": f"2024-01-01T09:{i:02}:00", "opening_price": 5, "high_price": 6, "low_price": 4,
            "trade_price": 5, "timestamp": (_S + 60 * i) * 1000 + 59_999, "candle_acc_trade_price": 10.1,
            "candle_acc_trade_volume": 2, "unit": 1}, newest_first=True), "BTC/KRW", 2),
    "MEXC's answer": (
        "BTCUSDT.json", _json(list, lambda i: [(_S + 60 * i) * 1000, "5", "6", "4", "5", "2", (_S + 60 * i + 60) * 1000,
                                              "10.1"]), "BTC/USDT", 2),
    "Bitget's answer": (
        "BTCUSDT.json", _json(lambda rows: {"code": "00000", "data": rows}, lambda i: [
            str((_S + 60 * i) * 1000), "5", "6", "4", "5", "2", "10.1", "10.1"]), "BTC/USDT", 2),
    "CryptoCompare's answer": (
        "BTCUSD.json", _json(lambda rows: {"Response": "Success", "Data": {"Data": rows}}, lambda i: {
            "time": _S + 60 * i, "high": 6, "low": 4, "open": 5, "volumefrom": 2, "volumeto": 10.1, "close": 5}),
        "BTC/USD", 2),
    "Hyperliquid's answer": (
        "BTCUSD.json", _json(list, lambda i: {"t": (_S + 60 * i) * 1000, "T": (_S + 60 * i + 60) * 1000 - 1, "s": "BTCUSD",
                                             "i": "1m", "o": "5", "c": "5", "h": "6", "l": "4", "v": "2", "n": 3}),
        "BTC/USD", 2),
    "Binance's contracts that pay in coins": (
        "BTCUSD_PERP-1m.csv", _lines(
            "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,"
            "ignore\n", "{ms},5,6,4,5,2,{ms}9,0,1,1,1,0").replace("9,0,1,1,1,0", ",40,1,1,20,0"), "BTC/USD:BTC", 40),
    "HistData's for MetaStock": (
        "DAT_MS_BTCUSD_M1_2024.csv", _lines("", "BTCUSD,20240101,00{i}00,5,6,4,5,2"), "BTC/USD", 2),
    "Polygon's": ("crypto.csv", _lines("ticker,volume,open,close,high,low,window_start,transactions\n",
                                       "X:BTC-USD,2,5,5,6,4,{ms}000000,3"), "BTC/USD", 2),
    "Polygon's answer": (
        "p.json", _json(lambda rows: {"ticker": "X:BTCUSD", "results": rows}, lambda i: {
            "v": 2, "vw": 5, "o": 5, "c": 5, "h": 6, "l": 4, "t": (_S + 60 * i) * 1000, "n": 3}), "BTC/USD", 2),
    "Alpaca's answer": (
        "a.json", _json(lambda rows: {"bars": {"BTC/USD": rows}}, lambda i: {
            "t": f"2024-01-01T00:{i:02}:00Z", "o": 5, "h": 6, "l": 4, "c": 5, "v": 2, "n": 3, "vw": 5}), "BTC/USD", 2),
    "dYdX' answer": (
        "d.json", _json(lambda rows: {"candles": rows}, lambda i: {
            "startedAt": f"2024-01-01T00:{i:02}:00.000Z", "ticker": "BTC-USD", "low": "4", "high": "6", "open": "5",
            "close": "5", "baseTokenVolume": "2", "usdVolume": "10.1"}, newest_first=True), "BTC/USD", 2),
    "MongoDB's export": (
        "BTCUSDT.json", "".join(json.dumps({
            "_id": {"$oid": f"{i}"}, "date": {"$date": f"2024-01-01T00:{i:02}:00Z"}, "open": 5, "high": 6, "low": 4,
            "close": 5, "volume": {"$numberDecimal": "2"}}) + "\n" for i in _MINUTES), "BTC/USDT", 2),
    "KuCoin's contracts": (
        "kucoinfutures_XBTUSDTM.json", _json(lambda rows: {"code": "200000", "data": rows}, lambda i: [
            (_S + 60 * i) * 1000, 5, 6, 4, 5, 2000]), "BTC/USDT:USDT", 2),
    "Kraken's archive of days": ("kraken_XBTUSD_1440.csv", "".join(f"{_S + 86_400 * i},5,6,4,5,2,3\n" for i in _MINUTES),
                                 "BTC/USD", 2),
}  # fmt: skip


@pytest.mark.parametrize("which", _SEEN)
def test_files_that_were_seen(tmp_path: Path, read: Read, which: str) -> None:
    name, text, symbol, size = _SEEN[which]
    (tmp_path / name).write_text(text)
    history = open_history([tmp_path / name])
    ticks = read(history)
    assert len(ticks) == 30 and history.report.bad == 0
    assert ticks["ts_ns"][0] - ticks["span_ns"][0] == _S * 10**9
    assert set(np.diff(ticks["ts_ns"])) == {history.bar_ns}
    assert (ticks["open"][0], ticks["high"][0], ticks["low"][0], ticks["price"][0]) == (5, 6, 4, 5)
    assert history.instrument.symbol == symbol
    assert ticks["size"] == pytest.approx(size)


_QUOTES = {
    "Dukascopy's": "Gmt time,Ask,Bid,AskVolume,BidVolume\n"
    + "".join(f"01.01.2024 00:00:{i:02}.123,1.1002,1.1001,1.5,2\n" for i in _MINUTES),
    "HistData's": "".join(f"20240101 0000{i:02}123,1.1001,1.1002,0\n" for i in _MINUTES),
    "MetaTrader's": "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n"
    + "".join(f"2024.01.01\t00:00:{i:02}.123\t1.1001\t1.1002\t\t\t6\n" for i in _MINUTES),
    "camelCase": "time,bidPrice,askPrice,bidQty,askQty\n"
    + "".join(f"{(_S + i) * 1000 + 123},1.1001,1.1002,2,1.5\n" for i in _MINUTES),
}


@pytest.mark.parametrize("which", _QUOTES)
def test_quotes_that_were_seen(tmp_path: Path, read: Read, which: str) -> None:
    (tmp_path / "EURUSD.csv").write_text(_QUOTES[which])
    ticks = read(open_history([tmp_path / "EURUSD.csv"]))
    assert ticks["ts_ns"].tolist() == [(_S + i) * 10**9 + 123_000_000 for i in _MINUTES]
    assert (ticks["bid"] == 1.1001).all() and (ticks["ask"] == 1.1002).all()


def test_trades_have_the_time_of_the_venue_not_of_the_database(tmp_path: Path, read: Read) -> None:
    text = "time,created_at,price,amount,side\n"
    text += "".join(f"2024-01-01 00:00:{i // 10:02},2024-02-01T00:00:00.{i:06},5,1,buy\n" for i in _MINUTES)
    (tmp_path / "x.csv").write_text(text)
    assert read(open_history([tmp_path / "x.csv"]))["ts_ns"].tolist() == [
        (_S + i // 10) * 10**9 for i in _MINUTES
    ]


_TRADES = {
    "Gate's archive": ("gate_BTC_USDT.csv", "".join(f"{_S + i}.0,{i},{5 + i}.5,0.25,1\n" for i in _MINUTES), -1, "BTC/USDT"),
    "HTX' archive": ("BTCUSDT-trades.csv", "".join(f"{i},{_S + i}000,{5 + i}.5,0.25,buy\n" for i in _MINUTES), 1, "BTC/USDT"),
    "Bitfinex' columns": (
        "tBTCUSD.csv", "ID,MTS,AMOUNT,PRICE\n" + "".join(f"{i},{_S + i}000,-0.25,{5 + i}.5\n" for i in _MINUTES), -1, "BTC/USD"),
    "Poloniex' answer": (
        "USDT_BTC.json", json.dumps([{"globalTradeID": i, "tradeID": i, "date": f"2024-01-01 00:00:{i:02}", "type": "sell",
                                      "rate": f"{5 + i}.5", "amount": "0.25"} for i in _MINUTES][::-1]), -1, "BTC/USDT"),
    "Upbit's answer": (
        "upbit.json", json.dumps([{"market": "KRW-BTC", "timestamp": (_S + i) * 1000, "trade_price": 5.5 + i,
                                   "trade_volume": 0.25, "ask_bid": "BID", "sequential_id": i} for i in _MINUTES][::-1]),
        1, "BTC/KRW"),
    "Hyperliquid's answer": (
        "hl.json", json.dumps([{"coin": "BTC", "side": "A", "px": f"{5 + i}.5", "sz": "0.25", "time": (_S + i) * 1000, "tid": i}
                               for i in _MINUTES]), -1, None),
    "messages of Binance's stream": (
        "BTCUSDT.jsonl", "".join(json.dumps({"stream": "btcusdt@aggTrade", "data": {
            "e": "aggTrade", "E": 1, "s": "BTCUSDT", "a": i, "p": f"{5 + i}.5", "q": "0.25", "f": i, "l": i,
            "T": (_S + i) * 1000, "m": True, "M": True}}) + "\n" for i in _MINUTES), -1, None),
    "Kraken's archive": ("XBTUSD.csv", "".join(f"{_S + i},{5 + i}.5,0.25\n" for i in _MINUTES), None, "BTC/USD"),
    "bitcoincharts'": (
        "bitstampUSD.csv", "".join(f"{_S + i},{5 + i}.500000000000,0.250000000000\n" for i in _MINUTES), None, "BTC/USD"),
    "Kraken's archive of another pair": (
        "ETHEUR.csv", "".join(f"{_S + i}.0000,{5 + i}.50000,0.25000000\n" for i in _MINUTES), None, "ETH/EUR"),
    "Kraken's answer": (
        "kraken.json", json.dumps({"error": [], "result": {"XXBTZUSD": [
            [f"{5 + i}.5", "0.25", _S + i, "b", "m", "", i] for i in _MINUTES], "last": "1"}}), 1, None),
    "Bitstamp's answer": (
        "bitstamp_BTCUSD.json", json.dumps([{"date": str(_S + i), "tid": str(i), "amount": "0.25", "type": "1",
                                             "price": f"{5 + i}.5"} for i in _MINUTES][::-1]), -1, "BTC/USD"),
    "OKX's answer": (
        "okx.json", json.dumps({"code": "0", "data": [
            {"instId": "BTC-USDT", "side": "sell", "sz": "0.25", "px": f"{5 + i}.5", "tradeId": str(i),
             "ts": str((_S + i) * 1000)} for i in _MINUTES][::-1]}), -1, "BTC/USDT"),
    "Bybit's answer": (
        "bybit.json", json.dumps({"retCode": 0, "result": {"category": "spot", "list": [
            {"execId": f"x{i}", "symbol": "BTCUSDT", "price": f"{5 + i}.5", "size": "0.25", "side": "Buy",
             "time": str((_S + i) * 1000)} for i in _MINUTES][::-1]}}), 1, "BTC/USDT"),
    "KuCoin's answer": (
        "kucoin_BTC-USDT.json", json.dumps({"code": "200000", "data": [
            {"sequence": str(i), "price": f"{5 + i}.5", "size": "0.25", "side": "sell", "time": (_S + i) * 10**9}
            for i in _MINUTES]}), -1, "BTC/USDT"),
    "Kaiko's": (
        "kaiko.csv", "id,exchange,symbol,date,price,amount,sell\n"
        + "".join(f"{i},krkn,btcusd,{(_S + i) * 1000},{5 + i}.5,0.25,true\n" for i in _MINUTES), -1, "BTC/USD"),
}  # fmt: skip


@pytest.mark.parametrize("which", _TRADES)
def test_trades_that_were_seen(tmp_path: Path, read: Read, which: str) -> None:
    name, text, side, symbol = _TRADES[which]
    (tmp_path / name).write_text(text)
    history = open_history([tmp_path / name])
    ticks = read(history)
    assert ticks["ts_ns"].tolist() == [(_S + i) * 10**9 for i in _MINUTES]
    assert ticks["price"].tolist() == [5.5 + i for i in _MINUTES] and (ticks["size"] == 0.25).all()
    assert (ticks["side"] == (side or 0)).all()
    assert symbol in (None, history.instrument.symbol)
    assert any("taker's side" in note for note in history.report.notes) is (side is None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(sorted(JSON)),
    packed=st.sampled_from(sorted(PACKED)),
    mark=st.sampled_from(["", "\ufeff"]),
    seed=st.integers(0, 10_000),
    n=st.integers(25, 60),
    scale=st.sampled_from([(42_000.0, 2), (3_000_000.0, 0), (0.08, 6)]),
)
def test_json_that_is_written_is_read_back(
    tmp_path: Path, form: str, packed: str, mark: str, seed: int, n: int, scale: tuple[float, int]
) -> None:
    bars = made_bars(n, seed=seed, price=scale[0], places=scale[1])
    path = tmp_path / "BTCUSDT-1m.json"
    path.write_bytes(PACKED[packed]((mark + JSON[form](bars)).encode("utf-8")))
    assert_same(path, bars)
