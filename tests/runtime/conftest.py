"""Whole replays in a test, and what must hold of every run whatever its data."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ztb.config import load_config
from ztb.execution.orders import is_protective
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import FillRow, MarkRow, OrderRow, RefusalRow
from ztb.ledger.run_directory import RunDirectory, create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end

_SUMMARY = frozenset(
    "mode strategy symbol seed config_hash code_version ticks decisions orders fills rejects fees first_ts last_ts "
    "start_equity end_equity return sharpe max_drawdown turnover hold_return frozen_return generations updates "
    "journal_sha256 weights_sha256 ticks_per_s peak_rss_mb gaps dropped".split()
)


@dataclass(frozen=True)
class Ran:
    """A finished replay."""

    summary: dict[str, Any]
    directory: RunDirectory

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """The rows of `decisions.parquet`."""
        return pq.read_table(self.directory.decisions).to_pylist()


@pytest.fixture
def replay(tmp_path: Path) -> Callable[..., Ran]:
    """Replay `paths` with `strategy`; other keywords are settings, `section__key=value`."""
    count = 0

    def run(paths: Path | Sequence[Path], strategy: str = "ppo_online", **settings: Any) -> Ran:
        nonlocal count
        count += 1
        flags = {key.replace("__", "."): value for key, value in settings.items()} | {
            "strategy.name": strategy
        }
        files = (paths,) if isinstance(paths, Path) else tuple(paths)
        request = ReplayRequest(load_config(None, flags, {}).config, files, seed=0)
        directory = create_run_directory(tmp_path / f"run-{count}", "replay")
        made = Replay.over(request, open_data(request), directory)
        return Ran(asyncio.run(run_to_end(made)), directory)

    return run


@pytest.fixture
def check_books() -> Callable[[Ran], None]:
    """Asserts of a run what must hold of every one: see `_check_books`."""
    return _check_books


def _check_books(ran: Ran) -> None:
    """The summary is complete and finite and counts what the journal holds; the journal's money adds up."""
    summary = _strict_json(ran.directory.summary)
    assert summary == ran.summary and summary.keys() >= _SUMMARY and summary["status"] == "complete"
    reader = JournalReader(ran.directory.journal)
    assert reader.sha256() == summary["journal_sha256"]
    fills, orders = list(reader.rows(FillRow)), list(reader.rows(OrderRow))
    refused = sum(1 for _ in reader.rows(RefusalRow))
    decided = sum(not is_protective(order.order_id) for order in orders)
    assert (decided, len(fills), refused) == (summary["orders"], summary["fills"], summary["refusals"])
    _check_fills(fills, {order.order_id: order for order in orders})
    _check_marks(reader, summary)
    assert len(ran.decisions) == summary["decisions"]
    reader.close()


def _strict_json(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> float:
        raise AssertionError(f"{path} holds {constant}")

    content: dict[str, Any] = json.loads(path.read_text(), parse_constant=refuse)
    return content


def _check_fills(fills: Sequence[FillRow], orders: dict[int, OrderRow]) -> None:
    assert len({fill.fill_id for fill in fills}) == len(fills)
    filled: Counter[int] = Counter()
    for fill in fills:
        order = orders[fill.order_id]
        filled[fill.order_id] += fill.lots
        assert fill.side == order.side and fill.ts_ns > order.ts_ns and Decimal(fill.fee) >= 0
        if order.order_type == "limit":
            assert fill.side * fill.price_ticks <= order.side * order.price_ticks
    assert all(lots <= orders[number].lots for number, lots in filled.items())


def _check_marks(reader: JournalReader, summary: dict[str, Any]) -> None:
    """At every mark equity is cash and position, and both are what the fills so far come to, exactly added."""
    cash, position, fees = Decimal(repr(summary["start_equity"])), Decimal(0), Decimal(0)
    for row in _in_order(reader, FillRow, MarkRow):
        if isinstance(row, FillRow):
            quantity = row.side * Decimal(row.quantity)
            cash -= quantity * Decimal(row.price) + Decimal(row.fee)
            position += quantity
            fees += Decimal(row.fee)
            continue
        assert math.isclose(row.cash + row.position * row.mid, row.equity, rel_tol=1e-9)
        apart = abs(float(cash) - row.cash) + abs(float(position) - row.position) * row.mid
        assert apart < 1e-9 * abs(row.equity)
    assert math.isclose(float(fees), summary["fees"], abs_tol=1e-6)


def _in_order(reader: JournalReader, *records: type[Any]) -> list[Any]:
    """The rows of several tables in the order in which they were journaled."""
    rows = [placed for record in records for placed in reader.numbered(record)]
    return [row for _, row in sorted(rows, key=lambda placed: placed[0])]
