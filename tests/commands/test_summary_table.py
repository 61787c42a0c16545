"""The table at the end of a replay: what the account did, what others would have, who has what of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ztb.commands.summary_table import print_summary
from ztb.ledger.run_directory import RunDirectory

SUMMARY: dict[str, Any] = {
    "strategy": "ppo_online", "symbol": "BTC/USD", "decisions": 3, "trade_first_ts": 10**18, "last_ts": 2 * 10**18,
    "ticks": 9, "gaps": 0, "dropped": 0, "refusals": 0, "orders": 1, "fills": 1, "rejects": 0, "return": 0.01,
    "start_equity": 100.0, "end_equity": 101.0, "frozen_return": -0.3, "unlearnt_return": 0.02, "hold_return": 0.4,
    "sharpe": None, "max_drawdown": 0.01, "fees": 0.1, "turnover": 1.0, "updates": 2, "generation_0": "random",
    "generations": {"made": 3, "promoted": 1, "rejected": 1, "rolled_back": 0}, "remark": None, "allocation": None,
}  # fmt: skip
EXPERTS = {
    "trend": {"weight": 0.125, "log_evidence": 1.5, "return": 0.5},
    "generation 1": {"weight": 0.25, "log_evidence": 1e6, "return": None},
}


@pytest.fixture
def printed(capsys, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("COLUMNS", "160")

    def show(**changed: Any) -> str:
        print_summary(SUMMARY | changed, RunDirectory(tmp_path))
        return " ".join(capsys.readouterr().out.replace("│", " ").split())

    return show


def test_each_expert_has_a_row_with_its_share_of_the_account(printed):
    said = printed(allocation=EXPERTS)
    assert "capital at the end 37.5 % over all experts; the rest is flat" in said
    assert "trend 12.5 % evidence 4.5, at full size +50.00 %" in said
    assert "generation 1 25.0 % evidence 1e+304, at full size –" in said
    assert "nothing learnt +2.00 %" in said and "generation 0, full size −30.00 %" in said
    assert "had it not learned" not in said


def test_without_experts_the_policy_itself_is_compared_with(printed):
    said = printed()
    assert "generation 0, frozen −30.00 % the same policy had it not learned" in said
    assert "capital" not in said and "nothing learnt" not in said
