"""Event time never falls; what is missing, late, repeated or untimed is marked and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from ztb.errors import DataError
from ztb.market.history import History, open_history
from ztb.market.ticks import GAP, Flag, Ticks

Read = Callable[[History], Ticks]
Write = Callable[[str, str], Path]
Bars = Callable[[Iterable[str]], Path]
_MS = 1_600_000_000_000


def _trades(rows: Iterable[tuple[int, int | str]]) -> str:
    """(id, milliseconds) as Binance trades."""
    return "".join(f"{i},5.5,1,5.5,{'' if t == '' else _MS + int(t)},true\n" for i, t in rows)


def test_a_little_step_back_keeps_its_place_and_takes_the_running_maximum(write: Write, read: Read) -> None:
    history = open_history([write("x.csv", _trades([(1, 0), (2, 900), (3, 100), (4, 901)]))])
    ticks = read(history)
    assert list(ticks["ts_ns"] // 10**6 - _MS) == [0, 900, 900, 901]
    assert history.report.out_of_order == 1


def test_a_large_step_back_is_refused_with_its_row(write: Write, read: Read) -> None:
    history = open_history([write("x.csv", _trades([(1, 0), (2, 3_700_000), (3, 100)]))])
    with pytest.raises(DataError, match=r"x\.csv: row 3: time steps back by 3700 s.*sort"):
        read(history)


def test_rows_without_a_time_are_flagged_and_counted(write: Write, read: Read) -> None:
    history = open_history([write("x.csv", _trades([(1, ""), (2, 5), (3, ""), (4, 7)]))])
    ticks = read(history)
    assert list(ticks["ts_ns"] // 10**6 - _MS) == [5, 5, 7]
    assert list(ticks["flags"] & Flag.NO_TIME) == [0, Flag.NO_TIME, 0]
    assert history.report.no_time == 1
    assert history.report.dropped["no time yet"] == 1


def test_missing_and_repeated_ids(write: Write, read: Read) -> None:
    history = open_history([write("x.csv", _trades([(1, 0), (2, 1), (2, 1), (5, 2), (6, 3)]))])
    ticks = read(history)
    assert list(ticks["flags"]) == [0, 0, GAP, 0]
    assert (history.report.duplicated, history.report.missing_ids, history.report.gaps) == (1, 2, 1)


def test_silence_is_a_gap(write: Write, read: Read) -> None:
    rows = [(i, i * 1000 + (721_000 if i >= 50 else 0)) for i in range(100)]
    history = open_history([write("x.csv", _trades(rows))])
    assert list(np.flatnonzero(read(history)["flags"] & GAP)) == [50]
    assert history.report.longest_gap_ns == 722 * 10**9


def test_missing_bars_are_a_gap_and_repeated_ones_dropped(bars_csv: Bars, read: Read) -> None:
    history = open_history([bars_csv(["0", "1", "1", "2", "6", "7"])])
    ticks = read(history)
    assert list(ticks["flags"]) == [0, 0, 0, GAP, 0]
    report = history.report
    assert (report.duplicated, report.missing_bars, report.gaps) == (1, 3, 1)
    assert report.examples["duplicate"].endswith("row 3: duplicate")


def test_bars_out_of_order_are_sorted_in_a_small_file(bars_csv: Bars, read: Read) -> None:
    history = open_history([bars_csv(["3", "1", "0", "2", "4"])])
    assert set(np.diff(read(history)["ts_ns"])) == {60 * 10**9}
    assert history.report.out_of_order == 3
    assert any("sorted" in note for note in history.report.notes)


def test_bars_out_of_order_are_refused_in_a_large_file(
    bars_csv: Bars, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ztb.market.importers.sources.SORTED_ROWS", 2)
    with pytest.raises(DataError, match=r"row 4: bar is older .* sort it by time"):
        read(open_history([bars_csv(["0", "1", "2", "1", "4"])]))


def test_files_are_joined_by_time_and_overlap_is_dropped(write: Write, read: Read) -> None:
    late = write("a.csv", _trades([(i, i) for i in range(3, 9)]))
    early = write("b.csv", _trades([(i, i) for i in range(5)]))
    history = open_history([late, early])
    assert list(read(history)["ts_ns"] // 10**6 - _MS) == list(range(9))
    assert history.report.duplicated == 2
    twice = open_history([early, early])
    assert len(read(twice)) == 5
    assert twice.report.duplicated == 5


def test_overlap_is_dropped_however_long_it_is(
    write: Write, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("clean", "validation"):
        monkeypatch.setattr(f"ztb.market.importers.{module}.ID_WINDOW", 1)
    early, late = (
        write(n, _trades([(i, i) for i in rows])) for n, rows in (("a", range(9)), ("b", range(2, 12)))
    )
    history = open_history([early, late])
    assert list(read(history)["ts_ns"] // 10**6 - _MS) == list(range(12))
    assert history.report.duplicated == 7


def test_bars_of_overlapping_files_are_taken_once(write: Write, read: Read) -> None:
    def bars(minutes: range) -> str:
        return "".join(f"{_MS + 60_000 * i},5,6,4,5,{i}\n" for i in minutes)

    history = open_history([write("b.csv", bars(range(3, 9))), write("a.csv", bars(range(6)))])
    assert list(read(history)["size"]) == list(range(9))
    assert history.report.duplicated == 3
    assert history.report.gaps == 0


def test_the_span_cuts_by_when_a_row_begins(bars_csv: Bars, read: Read) -> None:
    path = bars_csv([str(i) for i in range(10)])
    opens = (1_600_000_020 + 60 * np.arange(10)) * 10**9
    whole = read(open_history([path]))
    first = read(open_history([path], end_ns=int(opens[4])))
    rest = read(open_history([path], start_ns=int(opens[4])))
    assert first.tobytes() + rest.tobytes() == whole.tobytes()
    assert len(first) == 4
    assert len({open_history([path], start_ns=s).digest for s in (None, int(opens[4]), int(opens[5]))}) == 3
