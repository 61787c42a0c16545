"""`ztb replay --demo turn`: what was learnt is promoted, has capital, and is rolled back when the market turns."""

from __future__ import annotations

import json
import re

import pytest

from ztb.cli import run as ztb
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import AllocationRow
from ztb.ledger.run_directory import RunDirectory


def test_it_shows_a_promotion_what_it_earns_and_a_rollback_after_the_turn(tmp_path, capsys):
    run = RunDirectory(tmp_path / "demo")
    assert ztb(["replay", "--demo", "turn", "--out", str(run.path)]) == 0
    said = capsys.readouterr().out
    bars = {
        what: int(found[1].replace(",", ""))
        for what in ("is promoted", "the market turns", "is rolled back (alarm: drawdown)")
        if (found := re.search(rf"bar +([\d,]+)  .*{re.escape(what)}", said))
    }
    promoted, turned, back = bars.values()
    assert promoted < turned < back < turned + 500
    summary = json.loads(run.summary.read_text())
    assert summary["return"] > 0.5 and summary["max_drawdown"] < 0.15 and summary["unlearnt_return"] == 0.0
    reader = JournalReader(run.journal)
    weights = {row.expert: row.weight for row in reader.rows(AllocationRow) if row.decision < turned}
    gone = {row.expert: row.weight for row in reader.rows(AllocationRow) if row.decision < back + 10}
    reader.close()
    assert weights["generation 1"] > 0.5 and gone["generation 1"] == 0.0 == weights["generation 0"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--demo", "crash"], "there is: turn"),
        (["--demo", "turn", "--data", "x.csv"], "leave --data out"),
        (["--demo", "turn", "--symbol", "BTC/USD"], "leave --symbol, --venue, --tick-size and --lot-size out"),
        (["runs/replay-001", "--demo", "turn"], "leave out the run to repeat, or --demo"),
    ],
)  # fmt: skip
def test_what_a_made_market_has_no_use_for_is_refused(arguments, said, capsys):
    assert ztb(["replay", *arguments]) == 2
    assert said in capsys.readouterr().err
