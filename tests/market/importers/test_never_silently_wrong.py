"""What would be another quantity, time, side, market or series is read as what it is, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest

from market.importers.writers import TIMES, made_bars
from ztb.errors import DataError, UsageError
from ztb.market.history import YEAR_NS, History, open_history
from ztb.market.symbols import parse_symbol, symbol_in_name
from ztb.market.ticks import Ticks
from ztb.market.venues import NAMES

Read = Callable[[History], Ticks]
Write = Callable[[str, str], Path]
_S = 1_704_067_200
_BARS = "time,open,high,low,close,volume\n"


def _minutes(times: list[str], header: str = _BARS) -> str:
    return header + "".join(f"{time},5,6,4,5,{i + 1}\n" for i, time in enumerate(times))


# --- times -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "first"),
    [
        ([f"20240101{i // 60:02}{i % 60:02}" for i in range(180)], "2024-01-01T00:00"),
        ([f"240101{i // 60:02}{i % 60:02}" for i in range(180)], "2024-01-01T00:00"),
        ([f"170101{i // 60:02}{i % 60:02}" for i in range(180)], "2017-01-01T00:00"),
        ([f"090101{i // 60:02}{i % 60:02}" for i in range(180)], "2009-01-01T00:00"),
        ([f"20240101{i // 60:02}{i % 60:02}00" for i in range(180)], "2024-01-01T00:00"),
        ([f"202401{i + 1:02}" for i in range(31)], "2024-01-01T00:00"),
        ([f"{d:02}/01/2024" for d in range(1, 32)], "2024-01-01T00:00"),
        ([f"01/{d:02}/2024" for d in range(1, 32)], "2024-01-01T00:00"),
        ([f"24-01-{d:02}" for d in range(1, 32)], "2024-01-01T00:00"),
        ([f"{_S + 60 * i}" for i in range(180)], "2024-01-01T00:00"),
        (
            [f"{1 + i // 1440:02}/01/24 {i // 60 % 24:02}:{i % 60:02}" for i in range(4000)],
            "2024-01-01T00:00",
        ),
        ([f"2024-Jan-01 00:{i:02}" for i in range(50)], "2024-01-01T00:00"),
        ([f"2024年1月1日 00:{i:02}" for i in range(50)], "2024-01-01T00:00"),
        ([f"2024. 01. 01. 00:{i:02}:00" for i in range(50)], "2024-01-01T00:00"),
        ([f"2024:01:01 00:{i:02}:00" for i in range(50)], "2024-01-01T00:00"),
        ([f"2024-01-01t00:{i:02}:00z" for i in range(50)], "2024-01-01T00:00"),
        ([f"01Jan2024 00:{i:02}" for i in range(50)], "2024-01-01T00:00"),
        ([f"2024-01-01 00:{i:02}-05" for i in range(50)], "2024-01-01T05:00"),
        ([f"{1_701_010_000 + 60 * i}" for i in range(180)], "2023-11-26T14:46:40"),
    ],
)
def test_dates_in_digits_are_no_numbers_of_seconds(
    write: Write, read: Read, times: list[str], first: str
) -> None:
    ticks = read(open_history([write("BTCUSD.csv", _minutes(times))]))
    assert len(ticks) == len(times)
    assert np.datetime64(int(ticks["ts_ns"][0] - ticks["span_ns"][0]), "ns") == np.datetime64(first, "ns")


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ([f"{1_704_067_200_000 + i}" for i in range(50)], "bars would last 1 ms"),
        ([f"{638_396_640_000_000_000 + i * 600_000_000}" for i in range(50)], "bars would last 600 ms"),
        ([f"{_S + 10**9 + 60 * i}" for i in range(50)], "its time is 2055-09-09.*yet to come"),
        ([f"01/02/2024 00:{i:02}" for i in range(50)], "day, month and year cannot be told apart"),
        ([f"2024013{i}0000" for i in range(50)], "yet to come"),
        ([f"{45_292 + i / 1440:.8f}" for i in range(50)], "a spreadsheet's count of days"),
        ([f"2024-01-01 00:{i:02}:00 EST" for i in range(50)], "is no number or time"),
    ],
)
def test_what_cannot_be_a_time_is_refused(write: Write, read: Read, times: list[str], reason: str) -> None:
    path = write("BTCUSD.csv", _minutes(times))
    with pytest.raises(DataError, match=rf"BTCUSD\.csv.*({reason})"):
        read(open_history([path], latest_ns=_S * 10**9 + YEAR_NS))


@pytest.mark.parametrize("last", ["59.999", "59", "59.999999"])
@pytest.mark.parametrize(
    "header",
    [
        f"{name},open,high,low,close,volume\n"
        for name in ("timestamp", "close_time", "Close Date", "barEnd", "period_end")
    ],
)
def test_the_end_of_a_bar_is_not_its_beginning(write: Write, read: Read, last: str, header: str) -> None:
    times = [f"2024-01-01T00:{i:02}:{last}Z" for i in range(50)]
    ticks = read(open_history([write("BTCUSD.csv", _minutes(times, header))]))
    assert ticks["ts_ns"].tolist() == [(_S + 60 * (i + 1)) * 10**9 for i in range(50)]


@pytest.mark.parametrize("name", ["close_time", "Close Date", "barEnd", "period_end", "timeClose"])
def test_a_whole_time_of_closing_is_the_end_by_its_name(write: Write, read: Read, name: str) -> None:
    times = [str(_S + 60 * (i + 1)) for i in range(50)]
    text = _minutes(times, f"{name},open,high,low,close,volume\n")
    assert read(open_history([write("BTCUSD.csv", text)]))["ts_ns"][0] == (_S + 60) * 10**9


def test_the_opening_time_comes_before_any_other(write: Write, read: Read) -> None:
    text = "timeOpen;timeClose;timeHigh;name;open;high;low;close;volume;marketCap;timestamp\n"
    for i in range(1, 31):
        day = f'"2024-01-{i:02}T00:00:00.000Z";"2024-01-{i:02}T23:59:59.999Z"'
        text += f'{day};"x";"2781";50;60;40;50;5000;1e12;"2024-01-{i:02}T23:59:59.999Z"\n'
    ticks = read(open_history([write("BTC.csv", text)]))
    assert ticks["ts_ns"][0] == (_S + 86_400) * 10**9
    assert (ticks["size"] == 100).all(), "its volume is in dollars"


# --- quantities --------------------------------------------------------------------------------------------------


def _trades(header: str, row: str, n: int = 30) -> str:
    return header + "\n" + "".join(row.format(t=_S + i, ms=(_S + i) * 1000, i=i) + "\n" for i in range(n))


_BYBIT = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"


@pytest.mark.parametrize(
    ("name", "text", "symbol", "size"),
    [
        ("bybit/BTCUSD2024-01-01.csv", _trades(_BYBIT, "{t}.0,BTCUSD,Sell,4000,40000,Z,a-{i},1,0.1,4000"),
         "BTC/USD:BTC", 0.1),
        ("bybit/BTCUSDT2024-01-01.csv", _trades(_BYBIT, "{t}.0,BTCUSDT,Buy,0.1,40000,Z,a-{i},1,0.1,4000"),
         "BTC/USDT:USDT", 0.1),
        ("bybit/BTCUSDT_2024-01-01.csv", _trades("id,timestamp,price,volume,side", "{i},{ms},40000,0.1,buy"),
         "BTC/USDT", 0.1),
        ("bitmex/trades.csv", _trades(_BYBIT, "2024-01-01D00:00:{i:02}.000000000,XBTUSD,Sell,4000,40000,Z,a{i},1,0.1,1"),
         "BTC/USD:BTC", 0.1),
        ("okx/BTC-USDT-SWAP-trades.csv", _trades("instId,tradeId,px,sz,side,ts", "BTC-USDT-SWAP,{i},40000,10,buy,{ms}"),
         "BTC/USDT:USDT", 0.1),
        ("okx/BTC-USDT-trades.csv", _trades("instId,tradeId,px,sz,side,ts", "BTC-USDT,{i},40000,0.1,buy,{ms}"),
         "BTC/USDT", 0.1),
        ("okx/BTC-USD-SWAP.csv", _trades("instId,tradeId,px,sz,side,ts", "BTC-USD-SWAP,{i},40000,40,buy,{ms}"),
         "BTC/USD:BTC", 0.1),
        ("bybit/BTCPERP2024-01-01.csv", _trades(_BYBIT, "{t}.0,BTCPERP,Buy,0.1,40000,Z,a-{i},1,0.1,4000"),
         "BTC/USDC:USDC", 0.1),
        ("kraken/PI_XBTUSD.csv", _trades("time,price,size,side", "{t},40000,4000,buy"), "BTC/USD:BTC", 0.1),
        ("kraken/PF_XBTUSD.csv", _trades("time,price,size,side", "{t},40000,0.1,buy"), "BTC/USD:USD", 0.1),
        ("deribit/BTC-PERPETUAL.csv", _trades("timestamp,price,amount,side", "{ms},40000,4000,buy"), "BTC/USD:BTC", 0.1),
        ("BTCUSD_PERP-aggTrades.csv", _trades(
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
            "{i},40000,40,{i},{i},{ms},true"), "BTC/USD:BTC", 0.1),
        ("BTCUSD_240329-trades.csv", _trades("id,price,qty,base_qty,time,is_buyer_maker", "{i},40000,40,0.1,{ms},true"),
         "BTC/USD:BTC", 0.1),
        ("ARBUSD_PERP-trades.csv", _trades("id,price,qty,base_qty,time,is_buyer_maker", "{i},2,1,5,{ms},true"),
         "ARB/USD:ARB", 5),
        ("pi_xbtusd.csv", _trades("time,price,size,side", "{t},40000,4000,buy"), "BTC/USD:BTC", 0.1),
        ("FX.csv", _trades("id,exec_date,side,price,size,product_code,domain",
                           "{i},2024-01-01 00:00:{i:02},BUY,5000000,0.1,FX_BTC_JPY,bitflyer.jp"), "BTC/JPY:JPY", 0.1),
        ("kucoin/XBTUSDTM.csv", _trades("symbol,time,price,size,side", "XBTUSDTM,{t},40000,100,buy"),
         "BTC/USDT:USDT", 0.1),
    ],
)  # fmt: skip
def test_quantities_are_coins_whatever_the_market_counts(
    tmp_path: Path, read: Read, name: str, text: str, symbol: str, size: float
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    history = open_history([path])
    assert read(history)["size"] == pytest.approx(size)
    instrument = history.instrument
    assert (instrument.symbol, instrument.short) == (symbol, ":" in symbol)


@pytest.mark.parametrize("spot", [True, False])
def test_candles_of_okx_tell_coins_by_what_they_cost(write: Write, read: Read, spot: bool) -> None:
    symbol, other = ("BTC-USDT", "2") if spot else ("BTC-USDT-SWAP", "200")
    volumes = f"{'2' if spot else '200'},{'80000' if spot else '2'},80000"
    text = "ts,o,h,l,c,vol,volCcy,volCcyQuote,confirm\n"
    text += "".join(f"{(_S + 60 * i) * 1000},40000,40010,39990,40000,{volumes},1\n" for i in range(30))
    history = open_history([write(f"okx_{symbol}_1m.csv", text)])
    assert (read(history)["size"] == 2).all(), other
    assert history.instrument.short is not spot


def test_contracts_of_a_size_that_is_not_known_are_refused(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "okx"
    path.mkdir()
    (path / "WIF.csv").write_text(
        _trades("instId,tradeId,px,sz,side,ts", "WIF-USDT-SWAP,{i},2.5,10,buy,{ms}")
    )
    with pytest.raises(DataError, match=r"WIF\.csv: its quantities are contracts.*volCcy or homeNotional"):
        read(open_history([path]))


@pytest.mark.parametrize(
    ("header", "volumes", "coins"),
    [
        ("Volume USD", "80000", 2.0),
        ("Volume BTC,Volume USD", "2,80000", 2.0),
        ("Volume USD,Volume BTC", "80000,2", 2.0),
        ("volume,quoteVolume", "80000,2", 2.0),
        ("turnover", "80000", 2.0),
        ("volumefrom,volumeto", "2,80000", 2.0),
        ("quote_asset_volume", "80000", 2.0),
        ("volume_usdt", "80000", 2.0),
        ("volume", "2", 2.0),
    ],
)
def test_volume_in_money_is_no_volume_of_coins(
    write: Write, read: Read, header: str, volumes: str, coins: float
) -> None:
    text = f"unix,open,high,low,close,{header}\n"
    text += "".join(f"{_S + 3600 * i},40000,40010,39990,40000,{volumes}\n" for i in range(30))
    assert read(open_history([write("FTX_BTCUSD_1h.csv", text)]))["size"] == pytest.approx(coins)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("coin_Bitcoin.csv", "SNo,Name,Symbol,Date,High,Low,Open,Close,Volume,Marketcap\n"
         + "".join(f"{i},Bitcoin,BTC,2024-01-{i:02} 23:59:59,6,4,5,5,1000,1e12\n" for i in range(1, 31))),
        ("bitcoin.csv", "Start,End,Open,High,Low,Close,Volume,Market Cap\n"
         + "".join(f"2024-01-{i:02},2024-01-{i + 1:02},5,6,4,5,1000,1e12\n" for i in range(1, 31))),
        ("c.json", json.dumps({"data": {"name": "Bitcoin", "quotes": [
            {"timeOpen": f"2024-01-{i:02}T00:00:00.000Z", "timeClose": f"2024-01-{i:02}T23:59:59.999Z", "quote": {
                "open": 5, "high": 6, "low": 4, "close": 5, "volume": 1000, "marketCap": 1e12}}
            for i in range(1, 31)]}})),
        ("yf.csv", "Ticker,BTC-USD,BTC-USD,BTC-USD,BTC-USD,BTC-USD\nPrice,Open,High,Low,Close,Volume\nDate,,,,,\n"
         + "".join(f"2024-01-{i:02},5,6,4,5,1000\n" for i in range(1, 31))),
    ],
)  # fmt: skip
def test_where_capitalisation_or_yahoo_tell_it_volume_is_money(
    write: Write, read: Read, name: str, text: str
) -> None:
    ticks = read(open_history([write(name, text)]))
    assert len(ticks) == 30 and (ticks["size"] == 200).all()
    assert ticks["ts_ns"][0] - ticks["span_ns"][0] == _S * 10**9


@pytest.mark.parametrize(
    "contract", [(80000 / 100, "huobi-dm-swap/BTC-USD.json"), (80000, "htx_BTCUSDT.json")]
)
def test_candles_of_htx_have_coins_in_amount(tmp_path: Path, read: Read, contract: tuple[float, str]) -> None:
    vol, name = contract
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    row = {"open": 40000, "close": 40000, "low": 39990, "high": 40010, "amount": 2, "vol": vol, "count": 3}
    path.write_text(json.dumps({"status": "ok", "data": [{"id": _S + 60 * i} | row for i in range(30)]}))
    assert (read(open_history([path]))["size"] == 2).all()


@pytest.mark.parametrize("volume", ["0", "0.0", "", "NaN"])
@pytest.mark.parametrize("header", [_BARS, "Date,Open,High,Low,Close,Adj Close,Volume\n", ""])
def test_a_volume_that_is_never_told_is_none(write: Write, read: Read, volume: str, header: str) -> None:
    adjusted = "5," if "Adj" in header else ""
    text = header + "".join(f"{_S + 60 * i},5,6,4,5,{adjusted}{volume}\n" for i in range(60))
    history = open_history([write("EURUSD.csv", text)])
    assert (read(history)["size"] == 20_000).all()
    assert any("nothing tells the volume" in note for note in history.report.notes)


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("t,o,h,l,c,v,sum", "{s},40000,40010,39990,40000,200,800", True),
        ("time,open,high,low,close,volume,turnover", "{s},40000,40010,39990,40000,5,2000", True),
        ("time,open,high,low,close,volume,quote_volume", "{s},40000,40010,39990,40000,2,80000000", True),
        ("t,o,h,l,c,v,sum", "{s},40000,40010,39990,40000,2,80010", False),
        ("time,open,high,low,close,volume,quote_volume", "{s},40000,40010,39990,40000,0,0", False),
        ("time,open,high,low,close,volume", "{s},40000,40010,39990,40000,2", False),
    ],
)
def test_money_that_is_not_what_the_quantities_cost_is_said(
    write: Write, read: Read, header: str, row: str, said: bool
) -> None:
    text = header + "\n" + "".join(row.format(s=_S + 60 * i) + "\n" for i in range(30))
    history = open_history([write("BTCUSDT.csv", text)])
    assert len(read(history)) == 30
    assert any("may be contracts" in note for note in history.report.notes) is said


# --- the taker's side --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "buy", "sell"),
    [
        ("isBuyerMaker", "False", "True"), ("is_buyer_maker", "false", "true"), ("buyer_is_maker", "0", "1"),
        ("side", "BUYER", "SELLER"), ("side", "Buy", "Sell"), ("side", "b", "s"), ("side", "1", "-1"),
        ("takerSide", "bid", "ask"), ("buy", "True", "False"), ("isBuy", "1", "0"), ("type", "buy", "sell"),
        ("type", "0", "1"), ("side", "1", "2"), ("side", "1.0", "-1.0"),
        ("side", "+", "-"), ("side", "B", "A"), ("side", "买", "卖"), ("ask_bid", "BID", "ASK"), ("buy_sell", "b", "s"),
        ("taker", "buyer", "seller"),
        ("maker_side", "sell", "buy"), ("aggressor", "TAKER_BUY", "TAKER_SELL"), ("isSell", "false", "true"),
    ],
)  # fmt: skip
def test_the_takers_side_however_it_is_spelled(
    write: Write, read: Read, column: str, buy: str, sell: str
) -> None:
    text = f"id,price,qty,time,{column}\n"
    text += "".join(f"{i},5.5,1,{(_S + i) * 1000},{buy if i % 3 else sell}\n" for i in range(30))
    history = open_history([write("BTCUSDT-trades.csv", text)])
    assert read(history)["side"].tolist() == [1 if i % 3 else -1 for i in range(30)]
    assert not any("taker's side" in note for note in history.report.notes)


@pytest.mark.parametrize(("venue", "bought"), [("gate", 2), ("okx", 1), ("kraken", 1)])
def test_sides_of_1_and_2_are_those_of_the_venue_and_said(
    tmp_path: Path, read: Read, venue: str, bought: int
) -> None:
    path = tmp_path / f"{venue}_BTCUSDT.csv"
    path.write_text("time,price,qty,side\n" + "".join(f"{_S + i},5.5,1,{1 + i % 2}\n" for i in range(30)))
    history = open_history([path])
    assert read(history)["side"].tolist() == [1 if 1 + i % 2 == bought else -1 for i in range(30)]
    assert any("1 and 2 are taken for" in note for note in history.report.notes)


@pytest.mark.parametrize("column", ["amount", "size", "qty"])
def test_the_sign_of_a_quantity_is_the_takers_side(write: Write, read: Read, column: str) -> None:
    text = f"time,price,{column}\n" + "".join(f"{_S + i},5.5,{'-' if i % 3 else ''}2\n" for i in range(30))
    ticks = read(open_history([write("BTCUSDT.csv", text)]))
    assert ticks["side"].tolist() == [-1 if i % 3 else 1 for i in range(30)] and (ticks["size"] == 2).all()


@pytest.mark.parametrize("first", [0, 1])
def test_sides_of_0_and_1_are_no_sides_but_bitstamps(write: Write, read: Read, first: int) -> None:
    """Which of them bought is told by nobody but Bitstamp, whose column is called type."""
    text = "id,price,qty,time,side\n" + "".join(
        f"{i},5.5,1,{(_S + i) * 1000},{(i + first) % 2}\n" for i in range(30)
    )
    history = open_history([write("BTCUSDT-trades.csv", text)])
    assert not read(history)["side"].any()
    assert any("side" in note for note in history.report.notes)


@pytest.mark.parametrize("numbers", [(1, 2), (1, -1), (1.0, -1.0)])
def test_sides_in_numbers_of_a_binary_table(tmp_path: Path, read: Read, numbers: tuple[float, float]) -> None:
    columns = [pa.array([(_S + i) * 1000 for i in range(30)]), pa.array([5.5] * 30), pa.array([1.0] * 30)]
    table = pa.table(
        [*columns, pa.array([numbers[i % 2] for i in range(30)])], ["time", "price", "qty", "side"]
    )
    pyarrow.feather.write_feather(table, tmp_path / "BTCUSDT.feather")
    ticks = read(open_history([tmp_path / "BTCUSDT.feather"]))
    assert ticks["side"].tolist() == [-1 if i % 2 else 1 for i in range(30)]


@pytest.mark.parametrize(("column", "value"), [("side", "Kauf"), ("side", "X"), ("comment", "none")])
def test_trades_without_a_side_are_said_to_have_none(
    write: Write, read: Read, column: str, value: str
) -> None:
    text = f"id,price,qty,time,{column}\n" + "".join(
        f"{i},5.5,1,{(_S + i) * 1000},{value}\n" for i in range(30)
    )
    history = open_history([write("BTCUSDT-trades.csv", text)])
    assert not read(history)["side"].any()
    assert any("side" in note for note in history.report.notes)


def test_the_side_of_coinbase_is_the_makers_and_bitfinex_signs_its_quantities(
    write: Write, read: Read
) -> None:
    text = _trades("time,trade_id,price,size,side", "2024-01-01T00:00:{i:02}Z,{i},40000,0.5,sell")
    assert (read(open_history([write("a.csv", text)]))["side"] == 1).all()
    rows = [[i, (_S + i) * 1000, -0.5 if i % 2 else 0.5, 40_000] for i in range(30)]
    ticks = read(open_history([write("b.json", json.dumps(rows))]))
    assert ticks["side"].tolist() == [-1 if i % 2 else 1 for i in range(30)] and (ticks["size"] == 0.5).all()


# --- symbols and markets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("GRTUSD", ("GRT", "USD")), ("FETUSD", ("FET", "USD")), ("GMTUSD", ("GMT", "USD")),
        ("ARBUSD", ("ARB", "USD")), ("USDTUSD", ("USDT", "USD")), ("SHIBUSD", ("SHIB", "USD")),
        ("BNBUSD", ("BNB", "USD")), ("USTUSD", ("UST", "USD")), ("XYZTUSD", ("XYZT", "USD")),
        ("BTCBUSD", ("BTC", "BUSD")), ("ETHTUSD", ("ETH", "TUSD")), ("BTCFDUSD", ("BTC", "FDUSD")),
        ("USDCUSDT", ("USDC", "USDT")), ("ETHBTC", ("ETH", "BTC")), ("XBTUSD", ("BTC", "USD")),
        ("XXBTZUSD", ("BTC", "USD")), ("XDGUSD", ("DOGE", "USD")), ("tBTCUSD", ("BTC", "USD")),
        ("tDOGE:USD", ("DOGE", "USD")), ("btcusdt", ("BTC", "USDT")), ("1000SHIBUSDT", ("1000SHIB", "USDT")),
        ("X:BTC-USD", ("BTC", "USD")), ("BINANCE:BTCUSDT", ("BTC", "USDT")), ("BTC:USD", ("BTC", "USD")),
        ("FX_BTC_JPY", ("BTC", "JPY")), ("XETHXXBT", ("ETH", "BTC")), ("USDTZUSD", ("USDT", "USD")),
        ("ETHXUSD", ("ETHX", "USD")), ("4/USDT", ("4", "USDT")),
        ("EURUSD", ("EUR", "USD")), ("BTCPLN", ("BTC", "PLN")), ("BTC_JPY", ("BTC", "JPY")),
    ],
)  # fmt: skip
def test_symbols_are_cut_at_the_right_place(text: str, pair: tuple[str, str]) -> None:
    found = parse_symbol(text)
    assert found is not None and found.pair == pair


@pytest.mark.parametrize("text", ["bitcoin", "BINANCE_SPOT_BTC_USDT", "BTC USDT", "a_b_c_d", ":USD"])
def test_what_is_no_symbol_is_none(text: str) -> None:
    assert parse_symbol(text) is None


def test_where_there_is_no_plain_dollar_the_longer_quote_is_meant() -> None:
    found = parse_symbol("ARBUSD", binance=True)
    assert found is not None and found.pair == ("AR", "BUSD")


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("GRTUSD_60.csv", ("GRT", "USD")), ("Bitstamp_FETUSD_d.csv", ("FET", "USD")),
        ("COINBASE_BTCUSD, 60.csv", ("BTC", "USD")), ("BTCUSD2024-01-01.csv", ("BTC", "USD")),
        ("XBTUSD_1.csv", ("BTC", "USD")), ("BTCUSD1.csv", ("BTC", "USD")), ("btcusdt_1m.csv", ("BTC", "USDT")),
        ("bitstampUSD_1-min.csv", ("BTC", "USD")), ("coinbase_BTC_USD_1h.csv", ("BTC", "USD")),
        ("deribit_trades_2024-01-01_BTC-PERPETUAL.csv.gz", ("BTC", "USD")), ("CME_BTC1!, 1D.csv", None),
        ("BTC%2FUSDT-1m.csv", ("BTC", "USDT")), ("tBTCUSD_1m.csv", ("BTC", "USD")), ("KRW-BTC.csv", ("BTC", "KRW")),
        ("trades_FX_BTC_JPY_20180121.csv", ("BTC", "JPY")), ("XBTUSDTM-1m.json", ("BTC", "USDT")),
        ("DAT_ASCII_EURUSD_M1_2024.csv", ("EUR", "USD")), ("trades-2024.csv", None), ("history.csv", None),
    ],
)  # fmt: skip
def test_symbols_in_names_of_files(name: str, pair: tuple[str, str] | None) -> None:
    found = symbol_in_name(name, NAMES)
    assert (found and found.pair) == pair


@pytest.mark.parametrize(
    ("name", "market"),
    [
        ("BTCUSDT_240628-trades-2024-01-01.csv", "contract"), ("BTCUSDT_202401.csv", None),
        ("BTCUSDT_240105.csv", None), ("BTCUSDT-202012.csv", None), ("pi_xbtusd.csv", "inverse"),
        ("PF_XBTUSD_1m.csv", "linear"), ("FX_BTC_JPY_2018.csv", "linear"), ("XBTUSDTM.csv", "contract"),
        ("BTCUSDT_PERP.csv", "contract"), ("BYBIT_BTCUSDT.P, 5.csv", "contract"), ("BTCUSDT.csv", None),
    ],
)  # fmt: skip
def test_names_of_files_tell_contracts_and_not_days(name: str, market: str | None) -> None:
    found = symbol_in_name(name, NAMES)
    assert found is not None and found.market == market


@pytest.mark.parametrize(
    ("name", "venue", "symbol"),
    [
        ("Binance_UM_BTCUSDT_1h.csv", "binanceusdm", "BTC/USDT:USDT"), ("spot/BTCUSDT_1h.csv", "unknown", "BTC/USDT"),
        ("binance_spot_BTCUSDT.csv", "binance", "BTC/USDT"), ("kraken_spot_BTCUSD.csv", "kraken", "BTC/USD"),
        ("spot_kraken_BTCUSD.csv", "kraken", "BTC/USD"), ("bitget_BTCUSDT.csv", "bitget", "BTC/USDT"),
    ],
)  # fmt: skip
def test_a_venue_is_told_by_its_own_words(tmp_path: Path, name: str, venue: str, symbol: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(_minutes([str(_S + 60 * i) for i in range(30)]))
    instrument = open_history([path]).instrument
    assert (instrument.venue, instrument.symbol) == (venue, symbol)


def _feather(path: Path, price: float = 42_000.0) -> None:
    n = 60
    columns = [pa.array([(_S + 3600 * i) * 1000 for i in range(n)], pa.timestamp("ms", tz="UTC"))]
    columns += [pa.array([price * f + i for i in range(n)]) for f in (1.0, 1.001, 0.999, 1.0)]
    pyarrow.feather.write_feather(
        pa.table([*columns, pa.array([1.5] * n)], ["date", "open", "high", "low", "close", "volume"]), path
    )


@pytest.mark.parametrize(
    ("name", "symbol", "taker"),
    [
        ("BTC_USDT_USDT-1h-futures.feather", "BTC/USDT:USDT", "0.00075"),
        ("BTC_USD_BTC-1h-futures.feather", "BTC/USD:BTC", "0.00075"),
        ("ETH_USDC_USDC-1h-futures.feather", "ETH/USDC:USDC", "0.00075"),
        ("BTC_USDT-1h.feather", "BTC/USDT", "0.002"),
    ],
)
def test_futures_of_freqtrade_are_contracts(
    tmp_path: Path, read: Read, name: str, symbol: str, taker: str
) -> None:
    _feather(tmp_path / name)
    history = open_history([tmp_path])
    assert (read(history)["size"] == 1.5).all()
    instrument = history.instrument
    assert (instrument.symbol, instrument.short, instrument.taker_fee) == (
        symbol,
        ":" in symbol,
        Decimal(taker),
    )


def test_the_folder_that_freqtrade_makes_is_read_for_its_futures(tmp_path: Path, read: Read) -> None:
    for kind, price in (
        ("futures", 42_000.0),
        ("mark", 42_001.0),
        ("index", 41_999.0),
        ("funding_rate", 1e-4),
    ):
        _feather(tmp_path / f"BTC_USDT_USDT-1h-{kind}.feather", price)
    history = open_history([tmp_path])
    assert [path.name for path in history.files] == ["BTC_USDT_USDT-1h-futures.feather"]
    assert read(history)["open"][0] == 42_000.0 and history.report.duplicated == 0


# --- series ------------------------------------------------------------------------------------------------------


def test_a_second_series_with_other_prices_is_no_duplicate(tmp_path: Path, read: Read) -> None:
    for kind, price in (("futures", 42_000.0), ("index", 42_100.0)):
        _feather(tmp_path / f"BTC_USDT_USDT-1h-{kind}.feather", price)
    paths = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"an earlier file has other prices for the same time.*two series"):
        read(open_history(paths))


@pytest.mark.parametrize(("minutes", "longer"), [(40, 3600), (500, 300), (30, 86_400)])
def test_bars_of_two_lengths_are_no_series(write: Write, read: Read, minutes: int, longer: int) -> None:
    """A bar of an hour among those of a minute would be known before its end."""
    times = [_S + 60 * i for i in range(minutes)]
    times += [times[-1] + 60 + longer * i for i in range(1, 25)]
    path = write("BTCUSDT.csv", _minutes([str(time) for time in times]))
    with pytest.raises(
        DataError, match=rf"row \d+: bars lie {longer} s apart .*, 60 s before: .*two lengths"
    ):
        read(open_history([path]))


@pytest.mark.parametrize("block", [1 << 20, 300])
@pytest.mark.parametrize("pause", ["of each night", "of each other minute, for a while", "of any length"])
def test_a_thin_market_is_one_series(
    write: Write, read: Read, monkeypatch: pytest.MonkeyPatch, pause: str, block: int
) -> None:
    monkeypatch.setattr("ztb.market.importers.csv_tables._BLOCK", block)
    monkeypatch.setattr("ztb.market.importers.sources.SORTED_ROWS", 10)
    steps = {
        "of each night": ([60] * 30 + [36_000]) * 30,
        "of each other minute, for a while": ([60] * 50 + [120] * 19) * 3,
        "of any length": [60 * int(n) for n in np.random.default_rng(0).geometric(0.5, 900)],
    }[pause]
    times = [_S, *(_S + np.cumsum(steps)).tolist()]
    history = open_history([write("BTCUSDT.csv", _minutes([str(time) for time in times]))])
    assert len(read(history)) == len(times)


def test_two_pauses_that_bars_lie_between_are_not_one(
    write: Write, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a block of the file ends: at the end of the first pause too."""
    monkeypatch.setattr("ztb.market.importers.csv_tables._BLOCK", 300)
    monkeypatch.setattr("ztb.market.importers.sources.SORTED_ROWS", 10)
    for before in (19, 20, 21):
        for between in (13, 14, 15, 27, 28, 29):
            steps = [60] * before + [120] * 19 + [60] * between + [120] * 19 + [60] * 30
            times = [_S, *(_S + np.cumsum(steps)).tolist()]
            rows = "".join(f"{time},5,6,4,5,{i % 9 + 1}\n" for i, time in enumerate(times))
            assert len(read(open_history([write("BTCUSDT.csv", _BARS + rows)]))) == len(times)


@pytest.mark.parametrize("n", [4, 30, 3000])
@pytest.mark.parametrize("layout", ["Bitstamp's answer", "Coinbase's answer", "columns by name"])
def test_trades_that_come_newest_first_are_turned_around(
    write: Write, read: Read, n: int, layout: str
) -> None:
    """Several of one time keep the order in which they happened."""
    seconds = [_S + i // 3 * 5 for i in range(n)][::-1]
    if layout == "Bitstamp's answer":
        rows = [
            {"date": str(s), "tid": n - i, "amount": "1", "type": "0", "price": f"{n - i}"}
            for i, s in enumerate(seconds)
        ]
        path = write("bitstamp_BTCUSD.json", json.dumps(rows))
    elif layout == "Coinbase's answer":
        stamps = [np.datetime64(s, "s").item().isoformat() + "Z" for s in seconds]
        rows = [
            {"time": s, "trade_id": n - i, "price": f"{n - i}", "size": "1", "side": "sell"}
            for i, s in enumerate(stamps)
        ]
        path = write("BTC-USD.json", json.dumps(rows))
    else:
        path = write(
            "BTCUSD.csv", "time,price,size\n" + "".join(f"{s},{n - i},1\n" for i, s in enumerate(seconds))
        )
    history = open_history([path])
    ticks = read(history)
    assert ticks["price"].tolist() == list(range(1, n + 1))
    assert ticks["ts_ns"].tolist() == [s * 10**9 for s in seconds[::-1]]
    assert any("newest first" in note for note in history.report.notes)


def test_one_series_in_two_files_that_overlap_is_one(tmp_path: Path, read: Read) -> None:
    bars = made_bars(90)
    lines = [
        f"{TIMES['seconds'](ns)},{','.join(row)}" for ns, row in zip(bars.opens_ns, bars.rows, strict=True)
    ]
    for name, part in (("a", lines[:50]), ("b", lines[30:70]), ("c", lines[40:])):
        (tmp_path / f"{name}.csv").write_text(_BARS + "\n".join(part) + "\n")
    history = open_history([tmp_path])
    assert (read(history)["ts_ns"] - 60 * 10**9).tolist() == bars.opens_ns
    assert (history.report.duplicated, history.report.bad, history.report.gaps) == (50, 0, 0)


@pytest.mark.parametrize("order", ["unfinished first", "finished first", "in another file", "three of them"])
def test_of_a_bar_told_twice_the_finished_one_stays(tmp_path: Path, read: Read, order: str) -> None:
    lines = [f"{_S + 60 * i},5,6,4,5.5,{i + 1}" for i in range(60)]
    unfinished = f"{_S + 60 * 29},5,5,5,5,0.01"
    files = {
        "unfinished first": [[*lines[:29], unfinished, *lines[29:]]],
        "finished first": [[*lines[:30], unfinished, *lines[30:]]],
        "in another file": [[*lines[:29], unfinished], lines[25:]],
        "three of them": [[*lines[:29], unfinished, f"{_S + 60 * 29},5,5.5,5,5.5,2", *lines[29:]]],
    }[order]
    for i, part in enumerate(files):
        (tmp_path / f"{i}.csv").write_text(_BARS + "\n".join(part) + "\n")
    history = open_history([tmp_path])
    ticks = read(history)
    assert (len(ticks), ticks[29]["size"], ticks[29]["high"]) == (60, 30, 6)
    assert history.report.dropped["unfinished bar"] == (2 if order == "three of them" else 1)
    assert history.report.bad == 0


def test_bars_that_contradict_each_other_are_counted_as_bad(write: Write, read: Read) -> None:
    lines = [f"{_S + 60 * i},5,6,4,5.5,1" for i in range(60)]
    lines.insert(30, f"{_S + 60 * 29},7,8,6.5,7,1")
    history = open_history([write("x.csv", _BARS + "\n".join(lines) + "\n")])
    assert read(history)[29]["open"] == 7, "the later one"
    assert history.report.bad == 1


def test_overlap_does_not_depend_on_the_size_of_blocks(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{_S + 60 * i},5,6,4,5.5,{i + 1}" for i in range(3000)]
    (tmp_path / "a.csv").write_text(_BARS + "\n".join([*lines[:2000], f"{_S + 120_000},5,5,5,5,0.1"]) + "\n")
    (tmp_path / "b.csv").write_text(_BARS + "\n".join(lines[1000:]) + "\n")
    whole = read(open_history([tmp_path])).tobytes()
    for block, most in ((2_000, 1_000_000), (700, 10), (50_000, 10)):
        monkeypatch.setattr("ztb.market.importers.csv_tables._BLOCK", block)
        monkeypatch.setattr("ztb.market.importers.sources.SORTED_ROWS", most)
        assert read(open_history([tmp_path])).tobytes() == whole
    assert len(read(open_history([tmp_path]))) == 3000


# --- what was asked for ------------------------------------------------------------------------------------------


def test_a_symbol_that_the_rows_contradict_is_refused(write: Write) -> None:
    text = "time,open,high,low,close,volume,symbol\n" + "".join(
        f"{_S + 60 * i},5,6,4,5,1,BTCUSDT\n" for i in range(9)
    )
    path = write("x.csv", text)
    with pytest.raises(DataError, match=r"its rows are of BTCUSDT, not of ETH/USDT: leave out --symbol"):
        open_history([path], symbol="ETH/USDT")
    assert open_history([path], symbol="BTC/USDT").instrument.base == "BTC"


def test_a_symbol_that_the_name_contradicts_is_said(write: Write, read: Read) -> None:
    history = open_history(
        [write("BTCUSDT.csv", _minutes([str(_S + 60 * i) for i in range(9)]))], symbol="ETH/USDT"
    )
    read(history)
    assert any("seems to be of BTC/USDT" in note for note in history.report.notes)


@pytest.mark.parametrize(("start", "end"), [(_S + 10**7, None), (None, _S - 5), (_S - 500, _S - 60)])
def test_a_span_beyond_the_data_is_refused(
    write: Write, read: Read, start: int | None, end: int | None
) -> None:
    path = write("BTCUSDT.csv", _minutes([str(_S + 60 * i) for i in range(30)]))
    history = open_history([path], start_ns=start and start * 10**9, end_ns=end and end * 10**9)
    with pytest.raises(
        DataError, match=r"BTCUSDT\.csv: nothing lies .*the data begin at 2024-01-01T00:00:00"
    ):
        read(history)


@pytest.mark.parametrize("price", ["8.123e-10", "1.2345e-6", "0.0000000008157", "1.5e-12"])
def test_prices_keep_their_digits_however_small(write: Write, read: Read, price: str) -> None:
    p = Decimal(price)
    rows = [f"{_S + 60 * i},{p:f},{p * 2:f},{p / 2:f},{p + p / 1000 * i:f},1000" for i in range(60)]
    history = open_history([write("X.csv", _BARS + "\n".join(rows) + "\n")])
    ticks = read(history)
    assert ticks["open"].tolist() == [float(p)] * 60
    assert ticks["price"].tolist() == [float(p + p / 1000 * i) for i in range(60)]
    assert 0 < history.instrument.tick_size < p


def test_an_increment_that_makes_nothing_of_a_price_is_refused(write: Write, read: Read) -> None:
    rows = [f"{_S + 60 * i},8e-10,9e-10,7e-10,8e-10,1" for i in range(60)]
    path = write("X.csv", _BARS + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"no multiple of the tick size 0\.00000001 given"):
        read(open_history([path], tick_size=Decimal("1e-8")))


def test_prices_without_a_grid_are_read_and_said_to_have_none(write: Write, read: Read) -> None:
    walk = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 1e-3, 60)))
    for values in (walk, (walk / 1000).astype(np.float32).astype(float), walk * 1e-7):
        rows = [f"{_S + 60 * i},{v!r},{v * 1.5!r},{v / 2!r},{v!r},1" for i, v in enumerate(values.tolist())]
        history = open_history([write("X.csv", _BARS + "\n".join(rows) + "\n")])
        ticks = read(history)
        assert ticks["price"] == pytest.approx(values, rel=1e-7)
        assert any("no grid" in note for note in history.report.notes)


def test_a_symbol_that_cannot_be_cut_is_a_mistake_of_the_call(write: Write) -> None:
    with pytest.raises(UsageError, match="BASE/QUOTE"):
        open_history([write("x.csv", _minutes([str(_S + 60 * i) for i in range(9)]))], symbol="bitcoin")
