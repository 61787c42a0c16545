"""A run read back: market units, UTC, and figures that agree with each other and with its summary."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import ztb
from ztb.errors import DataError, UsageError, ZtbError
from ztb.ledger.journal import Journal
from ztb.ledger.records import MarkRow, NoteRow
from ztb.ledger.run_directory import RunDirectory

TABLES = ("equity", "decisions", "orders", "fills", "trades", "open_trades", "generations", "allocation")


def total(column: pa.ChunkedArray) -> float:
    return math.fsum(column.to_pylist())


def close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)


@pytest.mark.parametrize("which", ["rule", "learnt"])
def test_what_trades_earned_is_the_change_of_equity(which: str, request: pytest.FixtureRequest):
    run: ztb.Run = request.getfixturevalue(which)
    summary = run.summary
    assert run.is_finished and summary["status"] == "complete"
    earned = total(run.trades["net_profit"]) + total(run.open_trades["net_profit"])
    assert run.trades.num_rows > (20 if which == "rule" else 0)
    assert close(earned, summary["end_equity"] - summary["start_equity"])
    assert close(run.equity["equity"][-1].as_py(), summary["end_equity"])
    assert close(total(run.trades["fees"]) + total(run.open_trades["fees"]), summary["fees"])
    assert close(total(run.fills["fee"]), summary["fees"]) and close(
        total(run.orders["fees"]), summary["fees"]
    )


def test_tables_are_as_long_as_the_summary_says(rule: ztb.Run):
    summary = rule.summary
    assert (rule.equity.num_rows, rule.decisions.num_rows) == (summary["decisions"],) * 2
    assert rule.orders.num_rows == summary["orders"] and rule.fills.num_rows == summary["fills"] > 20
    assert rule.generations.num_rows == rule.allocation.num_rows == 0


def test_prices_quantities_and_times_are_the_markets(rule: ztb.Run):
    first = rule.fills.slice(0, 1).to_pylist()[0]
    mids = {row["decision"]: row for row in rule.equity.to_pylist()}
    decided = mids[first["decision"]]
    assert abs(first["price"] / decided["mid"] - 1) < 0.05
    for row in rule.equity.to_pylist():
        so_far = [fill for fill in rule.fills.to_pylist() if fill["time"] < row["time"]]
        signs = [1 if fill["side"] == "buy" else -1 for fill in so_far]
        paid = [s * f["price"] * f["quantity"] + f["fee"] for s, f in zip(signs, so_far, strict=True)]
        assert close(row["cash"], rule.summary["start_equity"] - sum(paid))
        assert close(row["position"], sum(s * f["quantity"] for s, f in zip(signs, so_far, strict=True)))
    assert rule.equity.schema.field("time").type == pa.timestamp("ns", tz="UTC")
    assert (
        datetime(2017, 7, 14, tzinfo=UTC)
        < decided["time"].to_pydatetime()
        < datetime(2017, 7, 28, tzinfo=UTC)
    )
    told = {row["order"]: row for row in rule.orders.to_pylist()}[first["order"]]
    assert told["status"] == "filled" and close(told["filled"], first["quantity"])
    assert close(told["mean_price"], first["price"]) and told["side"] == first["side"] == "buy"
    limits = rule.orders.filter(pc.equal(rule.orders["type"], "limit")).to_pylist()
    assert limits and all(abs(row["price"] / mids[row["decision"]]["mid"] - 1) < 0.05 for row in limits)
    markets = rule.orders.filter(pc.equal(rule.orders["type"], "market"))
    assert markets["price"].null_count == markets.num_rows > 0


def test_a_trade_holds_from_its_entry_to_its_exit(rule: ztb.Run):
    fills: dict[int, list[dict[str, Any]]] = {}
    for row in rule.fills.to_pylist():
        fills.setdefault(row["order"], []).append(row)
    for trade in rule.trades.to_pylist():
        entered, left = fills[trade["entry_order"]], fills[trade["exit_order"]]
        assert (
            trade["side"] == ("long" if entered[0]["side"] == "buy" else "short")
            and left[0]["side"] == "sell"
        )
        assert min(f["price"] for f in entered) <= trade["entry_price"] * (1 + 1e-12)
        assert trade["exit_price"] <= max(f["price"] for f in left) * (1 + 1e-12)
        assert trade["holding_time"] == trade["exit_time"] - trade["entry_time"] > timedelta(0)
        assert trade["quantity"] <= sum(f["quantity"] for f in entered) + 1e-12
        gain = (trade["exit_price"] - trade["entry_price"]) * trade["quantity"]
        assert close(trade["net_profit"], gain - trade["fees"])


def test_a_run_that_learnt_tells_of_its_generations_and_of_who_had_what(learnt: ztb.Run):
    generations = learnt.generations.to_pylist()
    assert [row["generation"] for row in generations] == list(range(len(generations)))
    assert len(generations) == learnt.summary["generations"]["made"] > 2
    assert sum(row["decisions"] for row in generations) == learnt.summary["decisions"]
    assert all(row["made"] is not None and row["parent"] is not None for row in generations[1:])
    assert set(learnt.trades["generation"].to_pylist()) <= {row["generation"] for row in generations}
    weights = learnt.allocation.to_pylist()
    assert {"generation 0", "trend"} <= {row["expert"] for row in weights}
    last = {row["expert"]: row["weight"] for row in weights}
    assert last == {name: one["weight"] for name, one in learnt.summary["allocation"].items()}


def test_a_killed_run_tells_what_its_journal_knows(copied: Callable[[], RunDirectory], rule: ztb.Run):
    directory = copied()
    directory.summary.unlink()
    run = ztb.load_run(directory.path)
    assert not run.is_finished and run.summary["status"] == "unfinished"
    for name in (
        "symbol",
        "seed",
        "decisions",
        "orders",
        "fills",
        "fees",
        "return",
        "hold_return",
        "max_drawdown",
    ):
        assert run.summary[name] == pytest.approx(rule.summary[name]), name
    assert all(getattr(run, name).equals(getattr(rule, name)) for name in TABLES)
    assert "unfinished" in repr(run) and str(directory.path) in repr(run)


def test_a_run_that_goes_on_is_shown_as_it_was_when_it_was_loaded(copied: Callable[[], RunDirectory]):
    directory = copied()
    with directory.held():
        journal = Journal(directory.journal, reopen=True)
        run = ztb.load_run(directory.path)
        assert not run.is_finished and run.summary["status"] == "running"
        before = run.summary["decisions"]
        journal.append(NoteRow(0, "start", "again"))
        journal.append(MarkRow(before, 1_700_000_000_000_000_000, 1.0, 1.0, 0.0, 1.0, 0.0, None, None))
        journal.flush()
        assert run.equity.num_rows == before
        assert ztb.load_run(directory.path).equity.num_rows == before + 1
        journal.close()
    assert ztb.load_run(directory.path).is_finished


@pytest.mark.parametrize("named", ["summary.json", "journal.sqlite", "report.html"])
def test_a_file_of_the_run_names_it_too(rule: ztb.Run, named: str):
    assert ztb.load_run(str(rule.path / named)).path == rule.path


def test_what_is_no_run_is_said_so(tmp_path: Path, rule: ztb.Run):
    (tmp_path / "empty").mkdir()
    (tmp_path / "training" / "checkpoints").mkdir(parents=True)
    told: list[tuple[Any, type[ZtbError], str]] = [
        (tmp_path / "nowhere", DataError, "nowhere: no such folder; give the folder of a run"),
        (tmp_path / "empty", DataError, "empty: no run is there: its folder would hold journal.sqlite"),
        (tmp_path / "training", DataError, "checkpoints alone, as a training leaves"),
        (rule.path.parent, DataError, "it holds the runs run; give one of them"),
        (7, UsageError, r"load_run\(7\): give the folder of a run as text or Path"),
    ]
    for path, kind, words in told:
        with pytest.raises(kind, match=words):
            ztb.load_run(path)


def test_damage_is_named_with_its_file(copied: Callable[[], RunDirectory]):
    directory = copied()
    directory.summary.write_text("{")
    with pytest.raises(DataError, match=r"summary\.json: cannot be read"):
        _ = ztb.load_run(directory.path).summary
    directory.journal.write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match=r"journal\.sqlite: not a journal of ztb"):
        ztb.load_run(directory.path)


def test_a_run_without_a_decision_has_empty_tables_of_the_same_columns(
    rule: ztb.Run, bars: Path, tmp_path: Path
):
    run = ztb.replay(bars, strategy="hold", end="2017-07-15", out=tmp_path / "short")
    assert run.summary["decisions"] == 0
    for name in TABLES:
        table = getattr(run, name)
        assert table.num_rows == 0 and table.schema == getattr(rule, name).schema


def test_pandas_polars_and_duckdb_read_the_very_columns(rule: ztb.Run):
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    pytest.importorskip("pandas")
    equity = rule.equity
    column = equity["equity"].chunk(0)
    frame = equity.to_pandas(split_blocks=True, zero_copy_only=False)
    assert str(frame["time"].dtype) == "datetime64[ns, UTC]"
    assert frame["equity"].to_numpy().__array_interface__["data"][0] == column.buffers()[1].address
    values = polars.from_arrow(equity)["equity"].to_numpy(allow_copy=False)
    assert values.__array_interface__["data"][0] == column.buffers()[1].address
    query = duckdb.sql("SELECT count(*), max(equity) FROM equity").fetchall()
    assert query == [(equity.num_rows, pc.max(equity["equity"]).as_py())]
