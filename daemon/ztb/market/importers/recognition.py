"""Recognition of the layout of a table with named columns, by the names and by its first rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ztb.market.importers.columns import KNOWN_SIDES
from ztb.market.importers.headerless import Rows, is_clock, is_date, is_turnover, numbers
from ztb.market.importers.layouts import (
    ALIASES,
    GENERIC,
    LAYOUTS,
    SIZES,
    ColumnOrder,
    Layout,
    named,
    plain,
    snapshot,
)
from ztb.market.importers.timeunit import is_time
from ztb.market.symbols import is_coin, is_money
from ztb.market.ticks import BAR, QUOTE, TRADE

Pair = tuple[str, str]
_ADJUSTED = ("adj_close", "dividends", "stock_splits", "yahoo")
_CAPITALISATION = ("market_cap", "marketcap", "market_capitalization")
_LEAST_DISTINCT = 0.02
_SIGNED = 5
_TIMES = ("time", "date", "clock")
_VOLUME_OF = re.compile(r"(?:volume|vol)_([a-z0-9]{2,6})|([a-z0-9]{2,6})_(?:volume|vol)")
_SHOWN_SIZES = (*SIZES, "coin_size")


@dataclass(frozen=True, slots=True)
class _Seen:
    """A table's plain names (the first column of each), its sampled rows, and the pair that it is of."""

    columns: Sequence[str]
    plain: Mapping[str, str]
    rows: Rows
    pair: Pair | None

    def texts(self, column: str) -> list[str]:
        """A column's sampled texts that are not empty."""
        at = list(self.columns).index(column)
        return [row[at].strip() for row in self.rows if at < len(row) and row[at].strip()]

    def all(self, column: str, check: Callable[[str], bool]) -> bool:
        """True if a column's sampled texts all pass; True where nothing was sampled."""
        return all(check(text) for text in self.texts(column))

    def values(self, column: str) -> NDArray[np.float64]:
        """(n,) a column's sampled numbers, NaN where there is none."""
        at = list(self.columns).index(column)
        return numbers([row[at] if at < len(row) else "" for row in self.rows])


def recognise(columns: Sequence[str], rows: Rows = (), pair: Pair | None = None) -> Layout | None:
    """The layout of a table with these columns, a known one before a generic one; None if it is neither.

    `rows` are some of its first rows as text, `pair` what the file's name says is traded; both help where
    names alone do not tell.
    """
    known = by_name(columns)
    if known is not None:
        return known
    return _generic(_Seen(columns, {plain(c): c for c in reversed(columns)}, rows, pair))


def by_name(columns: Sequence[str]) -> Layout | None:
    """The row of the table of layouts that a table with these columns fits, or None."""
    found = snapshot(columns)
    return found or next(filter(None, (named(layout, columns) for layout in LAYOUTS)), None)


def _generic(seen: _Seen) -> Layout | None:
    roles = {role: c for role in ALIASES if role not in _TIMES and (c := _first(seen, role)) is not None}
    roles |= _time(seen, {"open", "high", "low", "close"} <= set(roles))
    if "side" in roles:
        roles |= _numbered_side(seen, roles.pop("side"))
    for name, kind, needed, optional in GENERIC:
        sizes = _sizes(seen, roles, kind) if kind != QUOTE else {}
        all_roles = {r: c for r, c in roles.items() if r not in _SHOWN_SIZES} | sizes
        has = set(all_roles) | ({"time"} if {"date", "clock", "end"} & set(all_roles) else set())
        has |= {"size"} if sizes else set()
        if not has.issuperset(needed) or not (
            "time" in all_roles or "date" in all_roles or "end" in all_roles
        ):
            continue
        shown = ("time", "date", "clock", *needed, *optional, *SIZES, "signed_size")
        layout = Layout(f"table of {name}", kind, {r: all_roles[r] for r in shown if r in all_roles})
        return replace(_decided(layout, seen), doubt=_doubt(seen, sizes.get("size"), roles, kind))
    return None


def _numbered_side(seen: _Seen, column: str) -> dict[str, str]:
    """The role of a column of sides: one of 0 and 1 is Bitstamp's if it is called type (0 bought), else not known."""
    words = set(seen.texts(column))
    if plain(column) == "type" and words and words <= {"0", "1"}:
        return {"maker": column}
    return {} if "0" in words and words <= {"0", "1"} else {"side": column}


def _first(seen: _Seen, role: str) -> str | None:
    check = _CHECKS.get(role)
    for name in ALIASES[role]:
        column = seen.plain.get(name)
        if column is not None and (check is None or seen.all(column, check)):
            return column
    return None


_CHECKS: dict[str, Callable[[str], bool]] = {
    "side": lambda text: text.lower() in KNOWN_SIDES or not text[:1].isalpha(),
    "clock": is_clock, "date": is_date,
    "buyer": lambda text: text.lower() in ("true", "false", "0", "1", "t", "f", "0.0", "1.0"),
}  # fmt: skip


def _time(seen: _Seen, bars: bool) -> dict[str, str]:
    """The column of times: the first that changes with (nearly) each row; or a day and a clock."""
    candidates = [seen.plain[name] for name in ALIASES["time"] if name in seen.plain]
    fallback = [c for c in candidates[:1] if plain(c)] or [
        seen.plain[n] for n in ("id",) if bars and n in seen.plain
    ]
    candidates = [c for c in candidates if seen.all(c, is_time)] or fallback
    if not seen.rows:
        return {"time": candidates[0]} if candidates else {}
    distinct = [len(set(seen.texts(c))) for c in candidates]
    # Each bar has a time of its own; several trades may share one, but a day is no time of a trade.
    least = max(distinct, default=0) * (1.0 if bars else _LEAST_DISTINCT)
    best = next((c for c, count in zip(candidates, distinct, strict=True) if count >= least), None)
    date, clock = _first(seen, "date"), _first(seen, "clock")
    if date is not None and clock not in (None, date) and best in (None, date, clock):
        return {"date": date, "clock": clock}
    return {} if best is None else {"time": best}


def _sizes(seen: _Seen, roles: Mapping[str, str], kind: int) -> dict[str, str]:
    """The column of quantities by role: as coins where that shows, else as its name says."""
    columns = {column: role for role in reversed(_SHOWN_SIZES) if (column := roles.get(role)) is not None}
    for name, column in seen.plain.items():
        found = _VOLUME_OF.fullmatch(name)
        currency = (found[1] or found[2]).upper() if found is not None else ""
        if _is_currency(currency, seen.pair) and column not in columns and column not in roles.values():
            role = _role_of_currency(currency, seen.pair)
            columns |= {column: role} if role not in columns.values() else {}
    price = roles.get("close" if kind == BAR else "price")
    if price is not None and kind == BAR:
        shown = _shown_by_turnover(seen, list(columns), seen.values(price)) if seen.rows else None
        if shown is not None:
            return {"base_size": shown}
    by_role = {role: column for column, role in columns.items()}
    for role in ("base_size", "size", "coin_size", "quote_size", "tick_size"):
        if role in by_role:
            return _named_size(seen, {"size" if role == "coin_size" else role: by_role[role]}, by_role)
    return {}


def _doubt(seen: _Seen, size: str | None, roles: Mapping[str, str], kind: int) -> str:
    """A note on a column of money that is not what the quantities cost; nothing where it is, or is not there."""
    money, price = roles.get("quote_size"), roles.get("close" if kind == BAR else "price")
    if size is None or money is None or price is None or not seen.rows:
        return ""
    values = [seen.values(column) for column in (money, size, price)]
    if not (np.logical_and.reduce([v > 0 for v in values])).any() or is_turnover(*values):
        return ""
    return f"{money!r} is not what {size!r} costs at its price: its quantities may be contracts"


def _named_size(seen: _Seen, size: dict[str, str], by_role: Mapping[str, str]) -> dict[str, str]:
    """MetaTrader's real volume is often all 0: its count of ticks stands in."""
    column = size.get("size")
    if (
        column is not None
        and "tick_size" in by_role
        and seen.rows
        and not np.nan_to_num(seen.values(column)).any()
    ):
        return {"tick_size": by_role["tick_size"]}
    return size


def _is_currency(text: str, pair: Pair | None) -> bool:
    return text == "CURRENCY" or is_money(text) or is_coin(text) or (pair is not None and text in pair)


def _role_of_currency(currency: str, pair: Pair | None) -> str:
    if pair is not None and currency in pair:
        return "base_size" if currency == pair[0] else "quote_size"
    return "quote_size" if is_money(currency) or currency == "CURRENCY" else "base_size"


def _shown_by_turnover(seen: _Seen, columns: Sequence[str], price: NDArray[np.float64]) -> str | None:
    """The column of coins, where another one is what they cost; None near a price of 1, where all look alike."""
    positive = price[price > 0]
    if len(positive) == 0 or np.median(np.abs(np.log(positive))) < 0.5:
        return None
    values = {column: seen.values(column) for column in columns}
    for base in columns:
        if any(is_turnover(values[quote], values[base], price) for quote in columns if quote != base):
            return base
    return None


def _decided(layout: Layout, seen: _Seen) -> Layout:
    """The choices that only the rows tell: bars without an opening time, signed quantities, Yahoo's volume."""
    columns, order = dict(layout.columns), ColumnOrder.BY_TIME if layout.kind == BAR else ColumnOrder.AS_FILED
    closes = "time" not in columns and "date" not in columns
    if closes:
        columns["time"] = columns.pop("end")
    elif "end" in columns and columns.get("time") == columns["end"]:
        closes = True
        del columns["end"]
    sideless = layout.kind == TRADE and not {"side", "maker", "buyer", "maker_side"} & set(columns)
    if sideless and "size" in columns and seen.rows:
        sold = int((seen.values(columns["size"]) < 0).sum())
        if sold >= (1 if plain(columns["size"]) == "amount" else _SIGNED):
            columns["signed_size"] = columns.pop("size")
    decided = replace(layout, columns=columns, order=order, closes=closes)
    if layout.kind == BAR and any(name in seen.plain for name in _ADJUSTED):
        return _yahoo(decided, seen.pair)
    if layout.kind == BAR and "size" in columns and any(name in seen.plain for name in _CAPITALISATION):
        columns["quote_size"] = columns.pop("size")
        return replace(
            decided, columns=columns, assumes="volume is quote currency, as where capitalisation is told"
        )
    return decided


def with_told_volume(layout: Layout, names: Sequence[str], rows: Rows) -> Layout:
    """`layout` less its column of volume where that is empty or 0 in all first rows, though their prices moved."""
    sizes = [layout.columns[role] for role in SIZES if role in layout.columns]
    if layout.kind != BAR or not sizes or not rows:
        return layout

    def values(column: str) -> NDArray[np.float64]:
        at = list(names).index(column)
        return numbers([row[at] if at < len(row) else "" for row in rows])

    told = any(np.nan_to_num(values(column)).any() for column in sizes)
    if told or not (values(layout.columns["high"]) > values(layout.columns["low"])).any():
        return layout
    return replace(layout, columns={role: c for role, c in layout.columns.items() if role not in SIZES})


def _yahoo(layout: Layout, pair: Pair | None) -> Layout:
    columns = dict(layout.columns)
    coins = pair is not None and is_money(pair[1]) and not is_money(pair[0])
    if coins and "size" in columns:
        columns["quote_size"] = columns.pop("size")
    return replace(
        layout,
        name="Yahoo Finance",
        columns=columns,
        assumes="volume is quote currency for coins, shares else",
    )
