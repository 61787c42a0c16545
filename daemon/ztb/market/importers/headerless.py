"""Tables without names of columns: rows of a CSV, and the lists that venues answer with.

Their columns are told by what can be true: the high is the highest, the low the lowest, turnover is price times
quantity. So the venues that change the order are told from those that do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztb.market.importers.columns import KNOWN_SIDES
from ztb.market.importers.layouts import ColumnOrder, Layout
from ztb.market.importers.timeunit import is_time
from ztb.market.ticks import BAR, QUOTE, TRADE

Rows = Sequence[Sequence[str]]

_FITTING_SHARE = 0.9
_DIGITS_OF_A_CLOCK = re.compile(r"([01]\d|2[0-3])[0-5]\d([0-5]\d)?")
_TURNOVER = (0.8, 1.25)
_SPENT = ("count", "flag", "other", "vwap", "date", "clock", "symbol")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A layout told by its order of `roles`. `flag` is a truth value, `other` anything, `count` a whole number."""

    name: str
    kind: int
    roles: tuple[str, ...]
    venue: str | None = None
    market: str | None = None
    gapless: bool = False
    assumes: str = ""

    def layout(self) -> Layout:
        """The layout, whose columns are named as their roles are."""
        columns = {role: role for role in self.roles if role not in ("flag", "other", "count", "vwap")}
        order = ColumnOrder.BY_TIME if self.kind == BAR else ColumnOrder.AS_FILED
        return Layout(
            name=self.name,
            kind=self.kind,
            columns=columns,
            venue=self.venue,
            order=order,
            gapless=self.gapless,
            market=self.market,
            assumes=self.assumes,
        )


def _roles(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_BROKER = "times are the broker's, taken for UTC; volume counts changes of price, not coins"

PATTERNS: tuple[Pattern, ...] = (
    Pattern("Binance klines", BAR, _roles(
        "time open high low close size end quote_size count buys buys_quote other"), "binance", "spot"),
    Pattern("Binance klines", BAR, _roles(
        "time open high low close size end quote_size count buys buys_quote"), "binance", "spot"),
    Pattern("Binance trades", TRADE, _roles("id price size cost time maker flag"), "binance", "spot", True),
    Pattern("Binance trades", TRADE, _roles("id price size cost time maker"), "binance", "spot", True),
    Pattern("Binance aggTrades", TRADE, _roles(
        "id price size first last time maker flag"), "binance", "spot", True),
    Pattern("Binance aggTrades", TRADE, _roles("id price size first last time maker"), "binance", "spot", True),
    Pattern("freqtrade trades", TRADE, _roles("time id other side price size cost")),
    Pattern("MetaTrader 5 bars", BAR, _roles(
        "date clock open high low close tick_size other other"), assumes=_BROKER),
    Pattern("MetaTrader bars", BAR, _roles("date clock open high low close tick_size other"), assumes=_BROKER),
    Pattern("MetaTrader bars", BAR, _roles("date clock open high low close tick_size"), assumes=_BROKER),
    Pattern("HistData and MetaStock bars", BAR, _roles("symbol date clock open high low close tick_size"),
            assumes="volume counts changes of price, not coins"),
    Pattern("OKX spot candles", BAR, _roles(
        "time open high low close base_size other quote_size flag"), "okx"),
    Pattern("OKX contract candles", BAR, _roles(
        "time open high low close other base_size quote_size flag"), "okx", "contract",
        assumes="coins are those of volCcy"),
    Pattern("Kraken OHLC answers", BAR, _roles("time open high low close vwap size count"), "kraken", "spot"),
    Pattern("Gate candles", BAR, _roles("time quote_size close high low open base_size flag"), "gate"),
    Pattern("OKX and Bitget candles", BAR, _roles("time open high low close base_size quote_size other")),
    Pattern("MEXC klines", BAR, _roles("time open high low close base_size end quote_size"), "mexc"),
    Pattern("Bybit candles", BAR, _roles("time open high low close base_size quote_size"), "bybit"),
    Pattern("Bybit candles", BAR, _roles("time open high low close quote_size base_size"), "bybit", "inverse"),
    Pattern("KuCoin candles", BAR, _roles("time open close high low base_size quote_size"), "kucoin"),
    Pattern("Kraken archive bars", BAR, _roles("time open high low close size count"), "kraken", "spot"),
    Pattern("KuCoin candles", BAR, _roles("time open close high low size other"), "kucoin"),
    Pattern("bars with one more column", BAR, _roles("time open high low close size other")),
    Pattern("bars", BAR, _roles("time open high low close size")),
    Pattern("Coinbase candles", BAR, _roles("time low high open close size"), "coinbase", "spot"),
    Pattern("Bitfinex candles", BAR, _roles("time open close high low size"), "bitfinex"),
    Pattern("Kraken trade answers", TRADE, _roles("price size time side other other count"), "kraken", "spot"),
    Pattern("Kraken trade answers", TRADE, _roles("price size time side other other"), "kraken", "spot"),
    Pattern("Gate archive trades", TRADE, _roles("time id price size side"), "gate",
            assumes="1 sold, 2 bought"),
    Pattern("HTX archive trades", TRADE, _roles("id time price size side"), "htx"),
    Pattern("bars without volume", BAR, _roles("time open high low close")),
    Pattern("HistData ticks", QUOTE, _roles("time bid ask other")),
    Pattern("trades with a side", TRADE, _roles("time price size side")),
    Pattern("Bitfinex trades", TRADE, _roles("id time signed_size price"), "bitfinex"),
    Pattern("Kraken archive trades, bitcoincharts", TRADE, _roles("time price size")),
)  # fmt: skip
"""Tables whose columns have no names, the first that fits its first rows."""


def recognise_rows(rows: Rows) -> tuple[Layout, list[str]] | None:
    """(layout, names of the columns) of rows without a header; None if they are nothing known."""
    width = len(rows[0])
    whole = [row for row in rows if len(row) == width]
    for pattern in PATTERNS:
        if len(pattern.roles) == width and _fits(pattern.roles, whole):
            names = [
                role if pattern.roles.count(role) == 1 else f"{role}_{i}"
                for i, role in enumerate(pattern.roles)
            ]
            return pattern.layout(), names
    return None


def numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """(n,) the texts as numbers, with a point or a comma; NaN where one is empty or none."""
    return np.array([_number(text) for text in texts], np.float64)


def _number(text: str) -> float:
    try:
        return float(text.strip().replace(",", ".") or "nan")
    except ValueError:
        return float("nan")


def _fits(roles: Sequence[str], rows: Rows) -> bool:
    columns = dict(zip(roles, zip(*rows, strict=True), strict=True))
    for role, texts in columns.items():
        check = _CHECKS.get(role, _is_numeric)
        present = [text.strip() for text in texts if not _is_empty(text)]
        if not present and role in ("time", "date", "clock", "price"):
            return False
        if present and np.mean([check(text) for text in present]) < _FITTING_SHARE:
            return False
        if role == "id" and 2 * len(set(present)) < len(present):
            return False
    values = {role: numbers(texts) for role, texts in columns.items() if role not in _SPENT or role == "vwap"}
    return _prices_hold(values) and _turnover_holds(values)


def _prices_hold(values: dict[str, NDArray[np.float64]]) -> bool:
    if "bid" in values:
        return bool(np.mean(values["bid"] <= values["ask"]) >= _FITTING_SHARE)
    if "signed_size" in values:
        return bool((values["signed_size"] < 0).any())
    if "high" not in values:
        return bool(np.mean(values["price"] > 0) >= _FITTING_SHARE)
    there = np.isfinite(values["open"]) & (values["open"] > 0)
    if not there.any():
        return False
    low, high = values["low"][there], values["high"][there]
    inside = [values[r][there] for r in ("open", "close", "vwap") if r in values]
    # An average is rounded, and 0 where nothing was traded.
    slack = 1e-6 * high
    holds = [(low - slack <= v) & (v <= high + slack) | ((v == 0) & ("vwap" in values)) for v in inside]
    return bool(np.mean(np.logical_and.reduce(holds)) >= _FITTING_SHARE)


def _turnover_holds(values: dict[str, NDArray[np.float64]]) -> bool:
    if "base_size" not in values or "quote_size" not in values:
        return True
    return is_turnover(values["quote_size"], values["base_size"], values["close"])


def is_turnover(quote: NDArray[np.float64], base: NDArray[np.float64], price: NDArray[np.float64]) -> bool:
    """True if `quote` is what `base` costs at about `price`, in the middle of all rows that traded."""
    traded = (base > 0) & (quote > 0) & (price > 0)
    if not traded.any():
        return False
    ratio = float(np.median(quote[traded] / base[traded] / price[traded]))
    return _TURNOVER[0] < ratio < _TURNOVER[1]


def _is_empty(text: str) -> bool:
    return text.strip().lower() in ("", "nan", "null", "none")


def _is_numeric(text: str) -> bool:
    return bool(np.isfinite(_number(text)))


def _is_whole(text: str) -> bool:
    return _is_numeric(text) and _number(text) == int(_number(text))


def _is_truth(text: str) -> bool:
    return text.lower() in ("true", "false", "0", "1", "t", "f")


def _is_word_of_truth(text: str) -> bool:
    return text.lower() in ("true", "false", "t", "f")


def is_clock(text: str) -> bool:
    """True if a text is a time of day, such as 00:01, 13:30:59.999 or 133059."""
    parts = text.strip().split(":")
    if len(parts) == 1:
        return bool(_DIGITS_OF_A_CLOCK.fullmatch(parts[0]))
    return len(parts) in (2, 3) and parts[0].isdigit() and _is_numeric(parts[1]) and len(parts[0]) <= 2


def is_date(text: str) -> bool:
    """True if a text is a day without a time of day."""
    return is_time(text) and ":" not in text and len(text.strip()) <= 12


_CHECKS: dict[str, Callable[[str], bool]] = {
    "time": is_time, "end": is_time, "date": is_date, "clock": is_clock, "flag": _is_truth,
    "maker": _is_word_of_truth, "count": _is_whole, "id": lambda text: True, "other": lambda text: True,
    "side": lambda text: text.lower() in KNOWN_SIDES, "symbol": lambda text: text[:1].isalpha(),
}  # fmt: skip
