"""Each layout that users have is told by its content and says what its source says."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import zstandard

from ztb.errors import DataError, UsageError
from ztb.market.history import History, open_history
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, Ticks

Read = Callable[[History], Ticks]
Write = Callable[[str, str], Path]

_MS = 1_600_000_000_000
_NS = _MS * 10**6
_KLINE = "{t},10.0,12.0,9.0,11.0,5.5,{e},60.5,7,2.5,27.5,0\n"


def _klines(unit: int = 1, start: int = _MS) -> str:
    rows = [(start + i * 60_000) * unit for i in range(5)]
    return "".join(_KLINE.format(t=t, e=t + 60_000 * unit - 1) for t in rows)


@pytest.mark.parametrize("header", [True, False])
def test_binance_klines_with_and_without_header(write: Write, read: Read, header: bool) -> None:
    names = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    text = (names + "taker_buy_quote_volume,ignore\n" if header else "") + _klines()
    history = open_history([write("BTCUSDT-1m.csv", text)])
    ticks = read(history)
    assert history.bar_ns == 60 * 10**9
    assert history.instrument.venue == ("binanceusdm" if header else "binance")
    assert history.instrument.symbol == ("BTC/USDT:USDT" if header else "BTC/USDT")
    assert history.instrument.short is header
    first = ticks[0]
    assert (first["kind"], first["ts_ns"], first["span_ns"]) == (BAR, _NS + 60 * 10**9, 60 * 10**9)
    assert [first[f] for f in ("open", "high", "low", "price", "size", "buy_volume")] == [
        10,
        12,
        9,
        11,
        5.5,
        2.5,
    ]


def test_binance_spot_is_in_microseconds_from_2025_on(write: Write, read: Read) -> None:
    old = open_history([write("BTCUSDT-1m-2024-12.csv", _klines())])
    new = open_history([write("BTCUSDT-1m-2025-01.csv", _klines(1000))])
    assert read(old).tobytes() == read(new).tobytes()
    both = write("a.csv", _klines()), write("b.csv", _klines(1000, _MS + 300_000))
    assert set(np.diff(read(open_history(both))["ts_ns"])) == {60 * 10**9}


def test_binance_trades(write: Write, read: Read) -> None:
    text = f"7,100.5,0.25,25.125,{_MS},true\n8,100.6,0.5,50.3,{_MS + 5},false\n"
    history = open_history([write("ETHUSDT-trades.csv", text)])
    ticks = read(history)
    assert list(ticks["kind"]) == [TRADE, TRADE]
    assert list(ticks["side"]) == [-1, 1], "a maker who buys means a taker who sells"
    assert list(ticks["price"]) == [100.5, 100.6]
    assert list(ticks["size"]) == [0.25, 0.5]
    assert list(ticks["ts_ns"]) == [_NS, _NS + 5 * 10**6]
    assert history.instrument.symbol == "ETH/USDT"
    assert history.bar_ns is None


def test_binance_spot_aggtrades_without_header(write: Write, read: Read) -> None:
    text = "".join(f"{i},0.02818200,2.02000000,{2 * i},{2 * i + 1},{_MS + i},False,True\n" for i in range(3))
    ticks = read(open_history([write("ETHBTC-aggTrades.csv", text)]))
    assert list(ticks["side"]) == [1, 1, 1]
    assert list(ticks["price"]) == [0.028182] * 3


def test_binance_book_ticker(write: Write, read: Read) -> None:
    text = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
    text += f"1,99.5,2,100.5,3,{_MS},{_MS + 1}\n"
    ticks = read(open_history([write("BTCUSDT.csv", text)]))
    assert [ticks[0][f] for f in ("kind", "bid", "ask", "bid_size", "ask_size", "price")] == [
        QUOTE, 99.5, 100.5, 2, 3, 100,
    ]  # fmt: skip


def test_tardis_quotes_have_the_ask_first_and_microseconds(write: Write, read: Read) -> None:
    text = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n"
    text += f"bybit,BTCUSDT,{_MS}000,{_MS}999,7,100.5,99.5,2\n"
    history = open_history([write("x.csv", text)])
    ticks = read(history)
    assert [ticks[0][f] for f in ("ts_ns", "bid", "ask", "bid_size", "ask_size")] == [_NS, 99.5, 100.5, 2, 7]
    assert (history.instrument.venue, history.instrument.symbol) == ("bybit", "BTC/USDT:USDT")


def test_contracts_of_a_hundred_dollars(write: Write, read: Read) -> None:
    text = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n"
    text += f"huobi-dm-swap,BTC-USD,{_MS}000,{_MS}999,40,8000,4000,20\n"
    ticks = read(open_history([write("x.csv", text)]))
    assert (ticks[0]["ask_size"], ticks[0]["bid_size"]) == (0.5, 0.5)


def test_contracts_of_inverse_venues_become_base_currency(write: Write, read: Read) -> None:
    text = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    text += f"bitmex,XBTUSD,{_MS}000,{_MS}999,a-b,sell,8000,2000\n"
    history = open_history([write("x.csv", text)])
    ticks = read(history)
    assert history.instrument.symbol == "BTC/USD:BTC"
    assert (ticks[0]["side"], ticks[0]["size"]) == (-1, 0.25)


def test_tardis_snapshots_are_whole_books(write: Write, read: Read) -> None:
    sides = [f"{s}[{i}].{w}" for i in range(2) for s in ("asks", "bids") for w in ("price", "amount")]
    text = "exchange,symbol,timestamp,local_timestamp," + ",".join(sides) + "\n"
    text += f"binance-futures,BTCUSDT,{_MS}000,{_MS}009,101,1,100,2,102,3,99,4\n"
    text += f"binance-futures,BTCUSDT,{_MS}500,{_MS}509,101,1,100,2,,,99,4\n"
    ticks = read(open_history([write("x.csv", text)]))
    assert set(ticks["kind"]) == {DEPTH}
    assert list(ticks["price"]) == [101, 100, 102, 99, 101, 100, 99]
    assert list(ticks["side"]) == [-1, 1, -1, 1, -1, 1, 1]
    assert list(ticks["flags"]) == [SNAPSHOT, 0, 0, LAST, SNAPSHOT, 0, LAST]


def test_tardis_increments_are_grouped_by_message(write: Write, read: Read) -> None:
    text = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
    rows = [
        (1, "true", "ask", 101),
        (1, "true", "bid", 100),
        (2, "false", "ask", 101),
        (3, "false", "bid", 99),
    ]
    rows += [(3, "false", "bid", 98), (4, "true", "bid", 97)]
    text += "".join(f"binance,BTCUSDT,{_MS}000,{_MS}00{m},{s},{side},{p},1\n" for m, s, side, p in rows)
    ticks = read(open_history([write("x.csv", text)]))
    assert list(ticks["flags"]) == [SNAPSHOT, LAST, LAST, 0, LAST, SNAPSHOT | LAST]


def test_bitflyer_executions_are_put_in_order_of_id(write: Write, read: Read) -> None:
    text = '"domain","product_code","loaded","id","exec_date","side","price","size"\n'
    row = '"bitflyer.jp","BTC_JPY","2018-01-26T00:00:06.5+09:00","{i}","{t}","{s}","1000.0","0.01"\n'
    text += row.format(i=3, t="", s="") + row.format(i=2, t="2018-01-26T09:00:01.5+09:00", s="BUY")
    text += row.format(i=1, t="2018-01-26T09:00:00.000+09:00", s="SELL")
    history = open_history([write("x.csv", text)])
    ticks = read(history)
    assert list(ticks["side"]) == [-1, 1, 0]
    assert list(ticks["ts_ns"]) == [
        1_516_924_800 * 10**9,
        1_516_924_801_500_000_000,
        1_516_924_801_500_000_000,
    ]
    assert history.report.no_time == 1
    assert (history.instrument.venue, history.instrument.symbol) == ("bitflyer", "BTC/JPY")


def test_a_ticker_that_is_closed_is_left_out_and_marked(write: Write, read: Read) -> None:
    text = "domain,product_code,status,timestamp,best_bid,best_ask,best_bid_size,best_ask_size\n"
    states = ("RUNNING", "CLOSED", "CLOSED", "RUNNING", "RUNNING")
    for minute, state in enumerate(states):
        text += f"bitflyer.jp,BTC_JPY,{state},2018-01-21T00:0{minute}:00+09:00,99,101,1,1\n"
    history = open_history([write("x.csv", text)])
    assert list(read(history)["flags"]) == [0, 1, 0]
    assert history.report.dropped["market halted"] == 2
    assert history.report.bad == 0


def test_ccxt_and_freqtrade_json(write: Write, read: Read) -> None:
    bars = json.dumps([[_MS + i * 60_000, 10.0, 12.0, 9.0, 11, 5.5] for i in range(3)])
    assert open_history([write("BTC_USDT-1m.json", bars)]).bar_ns == 60 * 10**9
    rows = [[_MS + i, str(i), None, "sell" if i else "buy", 0.1 + 0.2, 3.0, 0.9] for i in range(3)]
    history = open_history([write("XRP_ETH-trades.json", json.dumps(rows))])
    ticks = read(history)
    assert list(ticks["side"]) == [1, -1, -1]
    assert list(ticks["price"]) == [0.3] * 3, "rounding noise is taken off"
    assert history.instrument.tick_size == Decimal("0.1")
    trades = [
        {"timestamp": _MS, "id": "1", "side": "buy", "price": 5.0, "amount": 1.0, "symbol": "BTC/USDT:USDT"}
    ]
    perpetual = open_history([write("t.json", json.dumps(trades))])
    assert perpetual.instrument.symbol == "BTC/USDT:USDT"
    assert perpetual.instrument.short


@pytest.mark.parametrize("kind", ["int ms", "timestamp", "date text", "float seconds", "32 bits"])
def test_columns_may_have_other_types(tmp_path: Path, read: Read, kind: str) -> None:
    ms = [_MS + i * 60_000 for i in range(5)]
    times = {
        "int ms": pa.array(ms),
        "timestamp": pa.array(ms, pa.timestamp("ms", tz="UTC")),
        "date text": pa.array(
            [f"2020-09-13 12:2{6 + i}:40" for i in range(3)] + ["2020-09-13T12:29:40", None]
        ),
        "float seconds": pa.array([t / 1000 for t in ms]),
        "32 bits": pa.array(ms),
    }[kind]
    price = pa.array([61_800.3] * 5, pa.float32() if kind == "32 bits" else pa.float64())
    names = ["date", "open", "high", "low", "close", "volume"]
    table = pa.table([times, price, price, price, price, pa.array([1.0] * 5)], names)
    pyarrow.parquet.write_table(table, tmp_path / "p.parquet")
    pyarrow.feather.write_feather(table, tmp_path / "p.feather")
    for name in ("p.parquet", "p.feather"):
        history = open_history([tmp_path / name])
        ticks = read(history)
        assert list(ticks["ts_ns"][:3]) == [_NS + (i + 1) * 60 * 10**9 for i in range(3)]
        assert set(ticks["price"]) == {61_800.3}
        assert history.instrument.tick_size == Decimal("0.1")


def test_compression_is_told_by_content_and_changes_nothing(tmp_path: Path, read: Read) -> None:
    text = _klines().encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("BTCUSDT-1m.csv", text)
    half = text.index(b"\n", len(text) // 2) + 1
    frames = zstandard.compress(text[:half]) + zstandard.compress(text[half:])
    contents = {"plain": text, "gz": gzip.compress(text), "zst": frames, "zip": archive.getvalue()}
    found: set[bytes] = set()
    for name, content in contents.items():
        (tmp_path / f"misnamed.{name}.dat").write_bytes(content)
        found.add(read(open_history([tmp_path / f"misnamed.{name}.dat"])).tobytes())
    assert len(found) == 1


def test_a_line_of_credit_before_the_table_is_passed_over(write: Write, read: Read) -> None:
    text = "https://www.CryptoDataDownload.com\nUnix Timestamp,Open,High,Low,Close,Volume BTC\n"
    text += "".join(f"{_MS // 1000 + 3600 * (5 - i)},5,6,4,5,1\n" for i in range(5))
    history = open_history([write("x.csv", text)])
    assert set(np.diff(read(history)["ts_ns"])) == {3_600 * 10**9}, "newest first is sorted"


def test_what_is_given_is_not_inferred(write: Write) -> None:
    history = open_history(
        [write("x.csv", _klines())],
        symbol="LTC-EUR",
        venue="kraken",
        tick_size=Decimal("0.5"),
        maker_fee=Decimal(0),
    )
    instrument = history.instrument
    assert (instrument.symbol, instrument.venue) == ("LTC/EUR", "kraken")
    assert (instrument.tick_size, instrument.maker_fee) == (Decimal("0.5"), Decimal(0))
    assert instrument.inferred == ("lot_size", "taker_fee", "min_notional", "spread_bps")


def test_nothing_told_is_said_and_dear(write: Write, read: Read) -> None:
    text = "timestamp,price,amount\n" + "".join(f"{_MS + i},5.5,1\n" for i in range(3))
    history = open_history([write("x.csv", text)])
    read(history)
    assert history.instrument.venue == "unknown"
    assert history.instrument.spread_bps > 0 < history.instrument.taker_fee
    assert any("--symbol" in note for note in history.report.notes)
    assert any("--venue" in note for note in history.report.notes)


def test_different_things_are_not_mixed(write: Write) -> None:
    a, b = write("BTCUSDT.csv", _klines()), write("ETHUSDT.csv", _klines())
    with pytest.raises(DataError, match=r"BTC/USDT \(BTCUSDT.csv\), ETH/USDT.*--symbol"):
        open_history([a, b])
    assert open_history([a, b], symbol="ETHUSDT").files == [b]
    hours = write("BTCUSDT-1h.csv", "".join(f"{_MS + i * 3_600_000},5,6,4,5,1\n" for i in range(5)))
    with pytest.raises(DataError, match="bars of one length"):
        open_history([a, hours])
    with pytest.raises(UsageError, match="BASE/QUOTE"):
        open_history([a], symbol="bitcoin")
