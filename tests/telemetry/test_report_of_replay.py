"""A real replay's report and answers."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from runtime.lenient import LENIENT
from ztb.config import load_config
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import AllocationRow, DecisionRow, FillRow
from ztb.ledger.run_directory import RunDirectory, create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.telemetry.figures import key_figures
from ztb.telemetry.report import write_report
from ztb.telemetry.run_data import load_run
from ztb.telemetry.why import explain

FLAGS = LENIENT | {"online.update_every_decisions": 64, "checkpoint.interval_updates": 1}
SHARED = FLAGS | {
    "allocation.prior": 0.5, "allocation.rules": ["hold"], "execution.band_fraction": 0.001, "allocation.block_decisions": 4,
    "ppo.minibatch_size": 512, "ppo.entropy_coef": 0.01, "ppo.target_kl": 0.03,  # of which one candidate passes here
}  # fmt: skip


def replayed(path: Path, flags: dict[str, Any], tmp_path: Path, pretrain_ns: int = 0) -> RunDirectory:
    request = ReplayRequest(load_config(None, flags, {}).config, (path,), 0, pretrain_ns=pretrain_ns)
    directory = create_run_directory(tmp_path / "run", "replay")
    asyncio.run(run_to_end(Replay.over(request, open_data(request), directory)))
    return directory


@pytest.fixture
def directory(write_bars, tmp_path) -> RunDirectory:
    """Of one whose policy trades the whole account itself."""
    return replayed(write_bars(700), FLAGS | {"allocation.by": "none", "strategy.sample": True}, tmp_path)


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
        assert one is two is None or math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9), name
    assert finished.sharpe is None, "of fewer than thirty days there is no ratio a year"
    assert finished.generations == unfinished.generations
    write_report(directory)
    assert directory.decisions.exists()


def test_where_experts_share_the_account_every_part_is_made_again_and_the_summary_says_who_has_what(
    write_bars, tmp_path
):
    directory = replayed(write_bars(900, seed=2), SHARED, tmp_path, 100 * 3_600_000_000_000)
    reader = JournalReader(directory.journal)
    decisions = list(reader.rows(DecisionRow))
    firsts = [
        next(row for row in decisions if row.generation == g) for g in {row.generation for row in decisions}
    ]
    assert len(firsts) >= 2
    hows: set[str] = set()
    for row in [*firsts, *decisions[::29]]:
        answer = explain(directory, str(row.ts_ns))
        assert answer.holds and answer.capital is not None, row.decision
        hows.add(answer.capital.how)
    assert hows == {"moved", "stayed"}
    fill = next(reader.rows(FillRow))
    assert explain(directory, f"fill:{fill.fill_id}").holds

    summary = directory.read_json(directory.summary)
    told = {row.expert: row for row in reader.rows(AllocationRow)}
    found = summary["allocation"]
    assert {"hold", "generation 0", f"generation {decisions[-1].generation}"} <= set(found)
    for name, one in found.items():
        assert (one["weight"], one["log_evidence"]) == (told[name].weight, told[name].log_evidence)
    assert found["generation 0"]["return"] == pytest.approx(summary["frozen_return"])
    assert found["hold"]["return"] == pytest.approx(summary["hold_return"], abs=0.02)
    assert summary["unlearnt_return"] != summary["return"]
    assert summary["helping"]["unlearnt"]["difference"] == pytest.approx(
        (1 + summary["return"]) / (1 + summary["unlearnt_return"]) - 1, abs=1e-3
    )
    assert summary["frozen_return"] not in (summary["return"], summary["unlearnt_return"])


def test_where_nothing_was_learnt_the_account_is_the_one_that_had_learnt_nothing(write_bars, tmp_path):
    directory = replayed(
        write_bars(600), SHARED | {"online.learner": "off"}, tmp_path, 300 * 3_600_000_000_000
    )
    summary = directory.read_json(directory.summary)
    assert (
        summary["unlearnt_return"] == summary["return"]
        and summary["helping"]["unlearnt"]["difference"] == 0.0
    )
    assert "so none of this is credited to learning" in write_report(directory).read_text()


def test_a_strategy_that_does_not_learn_has_no_such_figures(write_bars, tmp_path):
    summary = replayed(write_bars(300), {"strategy.name": "hold"}, tmp_path).summary
    assert '"allocation": null' in summary.read_text() and '"unlearnt_return": null' in summary.read_text()
