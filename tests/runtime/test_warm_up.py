"""A rule that looks far back sees the market from its first moment on, though it trades only later."""

from __future__ import annotations

from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow
from ztb.strategies.loader import load_strategy


def test_each_due_moment_is_seen_once_before_trading_by_warm_up_and_then_by_decide(
    replay, write_bars, monkeypatch
):
    made, warmed = load_strategy("trend").make, []
    warm_up = made.warm_up

    def hear(self, ts_ns, mid):
        warmed.append((ts_ns, mid))
        warm_up(self, ts_ns, mid)

    monkeypatch.setattr(made, "warm_up", hear)
    ran = replay(write_bars(300), "trend")
    decided = [row.ts_ns for row in JournalReader(ran.directory.journal).rows(DecisionRow)]
    before = [(ts_ns, mid) for ts_ns, mid in warmed if ts_ns < decided[0]]
    assert len(before) + ran.summary["decisions"] == 300 and len(before) > 10
    moments = [ts_ns for ts_ns, _ in before] + decided
    assert moments == sorted(set(moments)) and all(mid > 0.0 for _, mid in before)
