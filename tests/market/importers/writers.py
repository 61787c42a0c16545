"""Market data in the layouts that people have: each kind of difference is a table, and a file is one of each."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import zstandard

MINUTE_NS = 60 * 10**9


@dataclass(frozen=True)
class Bars:
    """Minutes in text: exact decimals, so that what is read can be compared bit by bit."""

    opens_ns: list[int]
    rows: list[tuple[str, str, str, str, str]]

    def column(self, name: str) -> list[str]:
        return [row[("open", "high", "low", "close", "volume").index(name)] for row in self.rows]

    def turnover(self) -> list[str]:
        return [str(Decimal(row[3]) * Decimal(row[4])) for row in self.rows]


def made_bars(
    n: int = 60, *, seed: int = 0, price: float = 42_000.0, places: int = 2, start_ns: int = 0
) -> Bars:
    """`n` minutes of a random walk from 2024-01-01 on, none of them flat."""
    rng = np.random.default_rng(seed)
    unit = Decimal(1).scaleb(-places)
    last = Decimal(str(price)).quantize(unit)
    step = max(unit, (Decimal(str(price)) / 1000).quantize(unit))
    rows = []
    for _ in range(n):
        first = last
        last = max(unit, first + step * int(rng.integers(-3, 4)))
        high, low = (
            max(first, last) + unit * int(rng.integers(1, 9)),
            min(first, last) - unit * int(rng.integers(1, 9)),
        )
        low = max(low, unit)
        rows.append(
            (
                f"{first:f}",
                f"{high:f}",
                f"{low:f}",
                f"{last:f}",
                f"{Decimal(int(rng.integers(1, 10**6))) / 10**4:f}",
            )
        )
    begin = start_ns or 1_704_067_200 * 10**9
    return Bars([begin + i * MINUTE_NS for i in range(n)], rows)


def _text(pattern: str) -> Callable[[int], str]:
    return lambda ns: datetime.fromtimestamp(ns // 10**9, UTC).strftime(pattern)


TIMES: dict[str, Callable[[int], str]] = {
    "seconds": lambda ns: str(ns // 10**9),
    "seconds with a point": lambda ns: f"{ns // 10**9}.0",
    "milliseconds": lambda ns: str(ns // 10**6),
    "microseconds": lambda ns: str(ns // 10**3),
    "nanoseconds": str,
    "YYYYMMDDHHMM": _text("%Y%m%d%H%M"),
    "YYYYMMDDHHMMSS": _text("%Y%m%d%H%M%S"),
    "YYMMDDHHMM": _text("%y%m%d%H%M"),
    "ISO": _text("%Y-%m-%d %H:%M:%S"),
    "ISO with T and Z": _text("%Y-%m-%dT%H:%M:%SZ"),
    "ISO to the minute": _text("%Y-%m-%d %H:%M"),
    "of a database, +00": _text("%Y-%m-%d %H:%M:%S+00"),
    "of a database, UTC": _text("%Y-%m-%d %H:%M:%S UTC"),
    "with an offset": lambda ns: _text("%Y-%m-%d %H:%M:%S+09:00")(ns + 9 * 3600 * 10**9),
    "milliseconds after the point": _text("%Y-%m-%d %H:%M:%S.000"),
    "slashes": _text("%Y/%m/%d %H:%M"),
    "dots": _text("%Y.%m.%d %H:%M:%S"),
    "day first, dots": _text("%d.%m.%Y %H:%M:%S.000"),
    "compact with a blank": _text("%Y%m%d %H%M%S"),
    "AM and PM": _text("%Y-%m-%d %I:%M:%S %p"),
    "months by name": _text("%d-%b-%Y %H:%M"),
}

Table = tuple[list[str] | None, list[list[str]]]
"""(header or None, rows)."""


def _named(*names: str) -> Callable[[Bars, list[str]], Table]:
    """Columns by name: `time` in the first place, `=` and a figure of ours after each of the others."""

    def table(bars: Bars, times: list[str]) -> Table:
        columns, header = [], []
        for name in names:
            shown, _, what = name.partition("=")
            header.append(shown)
            columns.append(_column(bars, times, what))
        return header, [list(row) for row in zip(*columns, strict=True)]

    return table


def _column(bars: Bars, times: list[str], what: str) -> list[str]:
    if what == "time":
        return times
    if what == "turnover":
        return bars.turnover()
    if what == "about":  # what was paid on average is not the close
        return [str(Decimal(paid) * Decimal("1.003")) for paid in bars.turnover()]
    if what in ("open", "high", "low", "close", "volume"):
        return bars.column(what)
    return [what] * len(times)


def _bare(*what: str) -> Callable[[Bars, list[str]], Table]:
    return lambda bars, times: (
        None,
        [list(r) for r in zip(*(_column(bars, times, w) for w in what), strict=True)],
    )


_OHLC = ("open", "high", "low", "close")
LAYOUTS: dict[str, Callable[[Bars, list[str]], Table]] = {
    "lower case": _named("timestamp=time", "open=open", "high=high", "low=low", "close=close", "volume=volume"),
    "capitals": _named("Date=time", "Open=open", "High=high", "Low=low", "Close=close", "Volume=volume"),
    "one letter": _named("t=time", "o=open", "h=high", "l=low", "c=close", "v=volume"),
    "camel case": _named("openTime=time", "openPrice=open", "highPrice=high", "lowPrice=low", "closePrice=close",
                         "baseVolume=volume", "quoteVolume=about"),
    "another order": _named("volume=volume", "close=close", "time=time", "low=low", "high=high", "open=open"),
    "unnamed index": _named("=time", "open=open", "high=high", "low=low", "close=close", "volume=volume"),
    "index and number": _named("=7", "date=time", "open=open", "high=high", "low=low", "close=close",
                               "volume=volume"),
    "Kaggle's Bitstamp": _named("Timestamp=time", "Open=open", "High=high", "Low=low", "Close=close",
                                "Volume_(BTC)=volume", "Volume_(Currency)=about", "Weighted_Price=close"),
    "CryptoDataDownload": _named("unix=time", "symbol=BTC/USDT", "open=open", "high=high", "low=low",
                                 "close=close", "Volume BTC=volume", "Volume USDT=about"),
    "quote volume alone": _named("time=time", "open=open", "high=high", "low=low", "close=close",
                                 "Volume USD=turnover"),
    "volume that is quote": _named("time=time", "high=high", "low=low", "open=open", "close=close",
                                   "volume=about", "quoteVolume=volume", "weightedAverage=close"),
    "OKX": _named("ts=time", "o=open", "h=high", "l=low", "c=close", "vol=volume", "volCcy=about"),
    "ccxt": _bare("time", *_OHLC, "volume"),
    "Coinbase": _bare("time", "low", "high", "open", "close", "volume"),
    "Bitfinex": _bare("time", "open", "close", "high", "low", "volume"),
    "Kraken's archive": _bare("time", *_OHLC, "volume", "12"),
    "Bybit": _bare("time", *_OHLC, "volume", "about"),
    "KuCoin": _bare("time", "open", "close", "high", "low", "volume", "about"),
    "Kraken": _bare("time", *_OHLC, "close", "volume", "3"),
    "OKX, bare": _bare("time", *_OHLC, "volume", "about", "about", "1"),
    "Gate": _bare("time", "about", "close", "high", "low", "open", "volume", "true"),
}  # fmt: skip

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}


@dataclass(frozen=True)
class Dress:
    """How a text is written down."""

    separator: str = ","
    decimal: str = "."
    before: str = ""
    trailing: str = ""
    newline: str = "\n"
    encoding: str = "utf-8"


DRESSES: dict[str, Dress] = {
    "plain": Dress(),
    "semicolons": Dress(";"),
    "tabs": Dress("\t"),
    "bars": Dress("|"),
    "decimal commas": Dress(";", ","),
    "decimal commas and tabs": Dress("\t", ","),
    "Windows": Dress(newline="\r\n"),
    "mark": Dress(encoding="utf-8-sig"),
    "UTF-16": Dress(encoding="utf-16"),
    "UTF-16 of tabs": Dress("\t", encoding="utf-16"),
    "a blank line first": Dress(before="\n"),
    "blank lines and comments": Dress(before="# made by hand\n\n// twice\n"),
    "a line of credit": Dress(before="https://www.CryptoDataDownload.com\n"),
    "Excel's own line": Dress(";", before="sep=;\n"),
    "a separator at each end": Dress(trailing=","),
}


def csv_bytes(table: Table, dress: Dress) -> bytes:
    """A table as text."""
    header, rows = table
    lines = [] if header is None else [dress.separator.join(header)]
    for row in rows:
        shown = [value.replace(".", dress.decimal) if _is_number(value) else value for value in row]
        lines.append(dress.separator.join(shown) + dress.trailing)
    text = dress.before.replace("\n", dress.newline) + "".join(line + dress.newline for line in lines)
    return text.encode(dress.encoding)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _zip(content: bytes, *, mac: bool) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("BTCUSDT-1m.csv", content)
        if mac:
            archive.writestr("__MACOSX/._BTCUSDT-1m.csv", b"\x00\x05\x16\x07" * 20)
            archive.writestr(".DS_Store", b"\x00\x00\x00\x01")
    return out.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "as it is": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda content: _zip(content, mac=False),
    "zip of a Mac": lambda content: _zip(content, mac=True),
}


def _values(rows: Sequence[Sequence[str]]) -> list[list[object]]:
    return [[json.loads(value) if _is_number(value) else value for value in row] for row in rows]


def _records(bars: Bars) -> list[dict[str, object]]:
    header, rows = LAYOUTS["lower case"](bars, [str(ns // 10**6) for ns in bars.opens_ns])
    assert header is not None
    return [dict(zip(header, row, strict=True)) for row in _values(rows)]


def _by_column(bars: Bars) -> dict[str, list[object]]:
    records = _records(bars)
    return {name: [record[name] for record in records] for name in records[0]}


def _lists(bars: Bars, layout: str = "ccxt", unit: int = 10**6) -> list[list[object]]:
    return _values(LAYOUTS[layout](bars, [str(ns // unit) for ns in bars.opens_ns])[1])


def _strings(bars: Bars, layout: str, unit: int = 10**6) -> list[list[str]]:
    return LAYOUTS[layout](bars, [str(ns // unit) for ns in bars.opens_ns])[1]


JSON: dict[str, Callable[[Bars], str]] = {
    "lists": lambda bars: json.dumps(_lists(bars)),
    "records": lambda bars: json.dumps(_records(bars)),
    "lines of records": lambda bars: "".join(json.dumps(record) + "\n" for record in _records(bars)),
    "lines of lists": lambda bars: "".join(json.dumps(row) + "\n" for row in _lists(bars)),
    "columns": lambda bars: json.dumps(_by_column(bars)),
    "columns of an index": lambda bars: json.dumps(
        {name: {str(i): v for i, v in enumerate(values)} for name, values in _by_column(bars).items()}
    ),
    "split": lambda bars: json.dumps(
        {
            "columns": list(_records(bars)[0]),
            "index": list(range(len(bars.rows))),
            "data": [list(record.values()) for record in _records(bars)],
        }
    ),
    "index": lambda bars: json.dumps({str(r.pop("timestamp")): r for r in _records(bars)}),
    "TradingView's": lambda bars: json.dumps(
        {"s": "ok", **{name[0]: values for name, values in _by_column(bars).items()}}
    ),
    "Bybit's answer": lambda bars: json.dumps(
        {
            "retCode": 0,
            "result": {"category": "spot", "symbol": "BTCUSDT", "list": _strings(bars, "Bybit")[::-1]},
        }
    ),
    "OKX's answer": lambda bars: json.dumps(
        {"code": "0", "msg": "", "data": _strings(bars, "OKX, bare")[::-1]}
    ),
    "KuCoin's answer": lambda bars: json.dumps(
        {"code": "200000", "data": _strings(bars, "KuCoin", 10**9)[::-1]}
    ),
    "Kraken's answer": lambda bars: json.dumps(
        {"error": [], "result": {"XXBTZUSD": _strings(bars, "Kraken", 10**9), "last": 1}}
    ),
    "Coinbase's answer": lambda bars: json.dumps(_lists(bars, "Coinbase", 10**9)[::-1]),
    "Bitfinex' answer": lambda bars: json.dumps(_lists(bars, "Bitfinex")[::-1]),
}
