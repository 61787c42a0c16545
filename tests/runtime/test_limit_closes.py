"""A strategy that only ever turns round is closed out, not locked in, when a limit forbids new risk or so large an order."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np

from ztb.execution.risk import RefusalReason
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow, OrderRow, RefusalRow
from ztb.market.instrument import Instrument
from ztb.market.recording import RecordingWriter
from ztb.market.ticks import TRADE, empty_ticks

D = Decimal
INSTRUMENT = Instrument(
    "BTC/USDT:USDT", "BTC", "USDT", "binanceusdm", D("0.1"), D("0.001"), D(5), D("0.0002"), D("0.0005"), 0.5,
    short=True,
)  # fmt: skip
N = 4000


def swinging(path: Path) -> Path:
    """Ten trades a second whose price swings by a percent every twenty seconds."""
    ticks = empty_ticks(N)
    seconds = np.arange(N) / 10.0
    ticks["kind"], ticks["size"], ticks["side"] = TRADE, 2.0, np.where(np.arange(N) % 2, 1, -1)
    ticks["ts_ns"] = 1_600_000_000_000_000_000 + (seconds * 1e9).astype(np.int64)
    ticks["price"] = np.round(20_000.0 + 100.0 * np.sin(seconds * np.pi / 10.0), 1)
    with RecordingWriter(path, INSTRUMENT) as writer:
        writer.append(ticks, ticks["ts_ns"])
    return path


def test_below_the_drawdown_limit_a_turn_closes_the_position_and_opens_none(replay, check_books, tmp_path):
    options = {"fast": 5, "slow": 10}
    ran = replay(
        swinging(tmp_path / "ticks"), "ema_cross", decision__interval_ms=1000,
        risk__max_drawdown_fraction=0.01, strategy__options=options,
    )  # fmt: skip
    check_books(ran)
    reader = JournalReader(ran.directory.journal)
    rows, orders = list(reader.rows(DecisionRow)), list(reader.rows(OrderRow))
    refused = [row for row in reader.rows(RefusalRow) if row.reason == RefusalReason.DRAWDOWN]
    first = refused[0].decision
    held = rows[first].position
    assert held != 0.0 and refused[0].side * held < 0.0
    closing = [order for order in orders if order.decision >= first]
    assert [order.decision for order in closing] == [first]
    assert closing[0].lots == round(abs(held) / 0.001) and closing[0].reduce_only
    assert {row.position for row in rows[first + 3 :]} == {0.0}


def test_a_turn_that_is_too_large_for_one_order_is_two_each_within_equity(replay, check_books, tmp_path):
    ran = replay(
        swinging(tmp_path / "ticks"), "ema_cross", decision__interval_ms=1000,
        risk__max_drawdown_fraction=1.0, risk__max_daily_loss_fraction=1.0,
        strategy__options={"fast": 5, "slow": 10},
    )  # fmt: skip
    check_books(ran)
    reader = JournalReader(ran.directory.journal)
    rows, orders = list(reader.rows(DecisionRow)), list(reader.rows(OrderRow))
    pairs = [
        (first, second)
        for first, second in pairwise(orders)
        if first.decision == second.decision and first.side == second.side
    ]
    assert len(pairs) > 5
    for closing, opening in pairs:
        row = rows[closing.decision]
        assert closing.lots == round(abs(row.position) / 0.001) and closing.side * row.position < 0.0
        assert opening.lots * 0.001 * row.mid / row.equity < 1.001  # of the equity when it was decided
        assert rows[closing.decision + 2].position * row.position < 0.0
    assert ran.summary["refusals"] == 0 and not any(order.reduce_only for order in orders)
