"""Websocket recordings: depth follows the venue's rules for a local book."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ztb.market.book import CrossingCheck
from ztb.market.history import History, open_history
from ztb.market.ticks import DEPTH, GAP, LAST, QUOTE, SNAPSHOT, TRADE, Flag, Ticks

Read = Callable[[History], Ticks]
Write = Callable[[str, str], Path]
_MS = 1_723_161_255_000


def _line(stream: str, **data: Any) -> dict[str, Any]:
    return {"stream": f"btcusdt@{stream}", "data": {"s": "BTCUSDT", **data}}


def _depth(first: int, last: int, at: int, bid: float, size: float = 1.0, **more: int) -> dict[str, Any]:
    levels = {"b": [[str(bid), str(size)]], "a": []}
    return _line("depth", e="depthUpdate", E=_MS + at, U=first, u=last, **levels, **more)


def _trade(number: int, at: int, **more: Any) -> dict[str, Any]:
    return _line("trade", e="trade", E=_MS + at, T=_MS + at, t=number, p="100.5", q="2", m=True, **more)


def _snapshot(last: int, **more: int) -> dict[str, Any]:
    return {"lastUpdateId": last, "bids": [["100", "1"], ["99", "1"]], "asks": [["101", "1"]], **more}


def _tape(messages: list[dict[str, Any]]) -> str:
    return "".join(f"{1_723_161_253_000_000_000 + i} {json.dumps(m)}\n" for i, m in enumerate(messages))


def test_differences_wait_for_the_snapshot_and_old_ones_are_dropped(write: Write, read: Read) -> None:
    messages = [
        _trade(1, 0, M=True),
        _depth(1, 4, 1, 95.0),
        _depth(5, 8, 2, 98.0),
        _snapshot(6),
        _depth(9, 9, 3, 100.0, 0.0),
    ]
    history = open_history([write("x.jsonl", _tape(messages))])
    ticks = read(history)
    depth = ticks[ticks["kind"] == DEPTH]
    assert list(depth["price"]) == [100, 99, 101, 98, 100], "95 is older than the snapshot"
    assert list(depth["flags"]) == [SNAPSHOT, 0, LAST, LAST, LAST]
    assert list(depth["side"]) == [1, 1, -1, 1, 1]
    assert list(depth["size"]) == [1, 1, 1, 1, 0]
    assert (history.instrument.venue, history.instrument.symbol) == ("binance", "BTC/USDT")


def test_a_missing_difference_is_a_gap_and_a_new_snapshot_heals_it(write: Write, read: Read) -> None:
    messages = [
        _trade(1, 0, X="MARKET"),
        _snapshot(6, T=_MS),
        _depth(5, 8, 2, 98.0, pu=4),
        _depth(12, 14, 3, 97.0, pu=11),
        _snapshot(20, T=_MS + 4),
        _depth(19, 22, 5, 96.0, pu=18),
        _depth(23, 24, 6, 96.0, pu=22),
    ]
    history = open_history([write("x.jsonl", _tape(messages))])
    ticks = read(history)
    ends = ticks[(ticks["flags"] & LAST) != 0]
    assert list(ends["flags"] & GAP) == [0, 0, GAP, 0, 0, 0]
    assert history.instrument.venue == "binanceusdm"
    assert history.instrument.short


def test_spot_quotes_have_no_time_of_their_own(write: Write, read: Read) -> None:
    quote = _line("bookTicker", u=1, b="100.0", B="1", a="101.0", A="2")
    history = open_history([write("x.jsonl", _tape([_trade(1, 5, M=True), quote, _trade(2, 9, M=True)]))])
    ticks = read(history)
    assert list(ticks["kind"]) == [TRADE, QUOTE, TRADE]
    assert list(ticks["ts_ns"] // 10**6 - _MS) == [5, 5, 9]
    assert list(ticks["flags"]) == [0, Flag.NO_TIME, 0]
    assert [ticks[1][f] for f in ("bid", "ask", "bid_size", "ask_size", "price")] == [100, 101, 1, 2, 100.5]


def test_lost_trades_unread_streams_and_broken_lines_are_told(write: Write, read: Read) -> None:
    text = _tape(
        [_trade(1, 0, M=True), _line("kline_1m", e="kline"), _trade(4, 1, M=True), _depth(1, 2, 1, 9.0)]
    )
    history = open_history([write("x.jsonl", text + "1723161253000000009 {broken\n" + text[:90])])
    ticks = read(history)
    report = history.report
    assert list(ticks["flags"]) == [0, GAP]
    assert report.missing_ids == 2
    assert report.dropped["malformed row"] == 2
    assert report.rows == 6
    assert any("kline" in note for note in report.notes)
    assert any("no snapshot" in note for note in report.notes)


def test_a_crossed_book_is_noticed(write: Write, read: Read) -> None:
    messages = [_trade(1, 0, M=True), _snapshot(6), _depth(7, 7, 3, 102.0), _depth(8, 8, 4, 102.0, 0.0)]
    check = CrossingCheck()
    check.see(read(open_history([write("x.jsonl", _tape(messages))])))
    assert check.crossed == 1
