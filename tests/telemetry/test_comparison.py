"""Runs are compared by their own figures, on one page, and what a comparison cannot say is said."""

from __future__ import annotations

import json

from ztb.cli import run


def test_runs_are_compared_in_a_table_and_on_a_page(write_bars, tmp_path, capsys):
    data = str(write_bars(300))
    for strategy in ("hold", "ema_cross"):
        assert run(["replay", "--data", data, "--strategy", strategy, "--out", str(tmp_path / strategy)]) == 0
    capsys.readouterr()
    page = tmp_path / "both.html"
    names = [str(tmp_path / "hold"), str(tmp_path / "ema_cross")]
    assert run(["compare", *names, "--out", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    for facts in told["runs"]:
        summary = json.loads((tmp_path / facts["strategy"] / "summary.json").read_text())
        assert {name: facts[name] for name in ("return", "sharpe", "orders", "max_drawdown")} == {
            name: summary[name] for name in ("return", "sharpe", "orders", "max_drawdown")
        }
        assert facts["looks"] == 2
    text = page.read_text()
    assert (
        text.count("<polyline") == 2
        and "<h2" in text
        and "Their span has had 2 looks" in text
        and "<script" not in text
    )
    assert run(["compare", *names, "--out", str(page)]) == 0
    assert "ema_cross" in capsys.readouterr().out


def test_one_run_is_no_comparison(tmp_path, capsys):
    assert run(["compare", str(tmp_path)]) == 2
    assert "two runs or more" in capsys.readouterr().err


def test_a_folder_without_a_run_is_named(tmp_path, capsys):
    assert run(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 3
    assert str(tmp_path / "a") in capsys.readouterr().err
