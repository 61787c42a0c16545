"""`ztb data`: what it prints, writes and returns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ztb.commands.data import SourceChoice, import_, info, verify
from ztb.errors import DataError
from ztb.market.history import open_history
from ztb.market.ticks import join_ticks

Bars = Callable[[Iterable[str]], Path]


def test_info_tells_what_was_inferred_and_found(bars_csv: Bars, capsys: pytest.CaptureFixture[str]) -> None:
    assert info([bars_csv(["0", "1", "1", "5"])], as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["instrument"]["tick_size"] == "0.1"
    assert told["bar_ns"] == 60 * 10**9
    assert "symbol" in told["instrument"]["inferred"]
    report = told["report"]
    assert (report["duplicated"], report["missing_bars"], report["low"], report["high"]) == (1, 3, 10.0, 11.0)


def test_info_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert info([]) == 0
    shown = capsys.readouterr().out
    for words in (
        "BTC/USD at coinbase",
        "20,111 bars",
        "2017-07-01 12:00:00 to 2019-10-17 10:00:00",
        "60 minutes",
    ):
        assert words in shown


def test_import_is_read_back_as_the_same_ticks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "all.ztb"
    assert import_([], out, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == out.stat().st_size
    original, copy = open_history(None), open_history([out])
    assert copy.instrument == original.instrument
    assert copy.bar_ns == original.bar_ns
    assert join_ticks(list(copy.blocks())).tobytes() == join_ticks(list(original.blocks())).tobytes()
    with pytest.raises(DataError, match="never overwritten"):
        import_([], out)


def test_a_failed_import_leaves_nothing(tmp_path: Path, bars_csv: Bars) -> None:
    path = bars_csv([str(i) for i in range(1001)] + ["1001,1.23,1.23,1.23,1.23,1"])
    with pytest.raises(DataError, match="tick size"):
        import_([path], tmp_path / "out.ztb")
    assert list(tmp_path.iterdir()) == [path]


def test_verify_passes_gaps_and_fails_damage(
    tmp_path: Path, bars_csv: Bars, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify([bars_csv(["0", "1", "1", "5"])]) == 0
    assert "sound" in capsys.readouterr().out
    assert verify([bars_csv(["0", "1", "2,0,0,0,0,1", "3"])], as_json=True) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["files"][0]["report"]["dropped"] == {"price not positive": 1}
    (tmp_path / "empty.csv").write_text("")
    assert verify([tmp_path]) == 3
    shown = capsys.readouterr().out
    assert "is empty" in shown.replace("\n", " ")
    assert "failed" in shown


def test_choice_reaches_the_history(bars_csv: Bars, capsys: pytest.CaptureFixture[str]) -> None:
    info([bars_csv(["0", "1", "2"])], as_json=True, choice=SourceChoice(symbol="ETH-EUR", venue="kraken"))
    instrument = json.loads(capsys.readouterr().out)["instrument"]
    assert (instrument["symbol"], instrument["venue"]) == ("ETH/EUR", "kraken")
