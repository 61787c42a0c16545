"""A real replay's report and answers."""

from __future__ import annotations

import asyncio
import math

import pytest

from runtime.lenient import LENIENT
from ztb.config import load_config
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import DecisionRow, FillRow
from ztb.ledger.run_directory import RunDirectory, create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.telemetry.figures import key_figures
from ztb.telemetry.report import write_report
from ztb.telemetry.run_data import load_run
from ztb.telemetry.why import explain

FLAGS = LENIENT | {"online.update_every_decisions": 64, "checkpoint.interval_updates": 1}


@pytest.fixture
def directory(write_bars, tmp_path) -> RunDirectory:
    request = ReplayRequest(load_config(None, FLAGS, {}).config, (write_bars(700),), 0)
    directory = create_run_directory(tmp_path / "run", "replay")
    asyncio.run(run_to_end(Replay(request, open_data(request), directory)))
    return directory


def test_decisions_of_every_generation_are_made_again_bit_for_bit_and_features_have_names(directory):
    reader = JournalReader(directory.journal)
    decisions = list(reader.rows(DecisionRow))
    generations = {row.generation for row in decisions}
    assert len(generations) >= 2
    for row in [next(row for row in decisions if row.generation == g) for g in sorted(generations)]:
        answer = explain(directory, str(row.ts_ns))
        assert answer.holds and answer.subject.decision.generation == row.generation
    fill = next(reader.rows(FillRow))
    answer = explain(directory, f"fill:{fill.fill_id}")
    assert answer.holds and not any(name.startswith("feature ") for name, _ in answer.features)


def test_the_journal_alone_gives_the_figures_of_the_summary(directory):
    finished = key_figures(load_run(directory))
    directory.summary.unlink()
    directory.decisions.unlink()
    unfinished = key_figures(load_run(directory))
    for name in (
        "total_return",
        "hold_return",
        "frozen_return",
        "sharpe",
        "max_drawdown",
        "fees",
        "turnover",
    ):
        one, two = getattr(finished, name), getattr(unfinished, name)
        assert math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9), name
    assert finished.generations == unfinished.generations
    write_report(directory)
    assert directory.decisions.exists()
