"""The report says what the gate found of each candidate, and in a sentence whether learning helps."""

from __future__ import annotations

import asyncio
import sqlite3

import numpy as np
import pytest

from runtime.lenient import LENIENT
from telemetry.test_report import FINISHED
from ztb.config import load_config
from ztb.ledger.run_directory import create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.telemetry.run_data import load_run
from ztb.telemetry.sections.gate import _sentence, comparisons, course, credit, helping, verdicts


def test_each_verdict_shows_its_figures(make_run):
    shown = verdicts(load_run(make_run()))
    first, second = (row for row in shown.split("<tr>") if "<td>g" in row)
    assert (
        "<td>g2<" in first
        and "too far from the incumbent" in first
        and ">64<" in first
        and "33.1 of 50<" in first
    )
    assert "<td>g1<" in second and "better than the incumbent" in second
    for figure in (
        ">640<",
        ">+2.00<",
        ">+0.10 … +4.00<",
        ">33.1 of 20<",
        ">0.02<",
        ">80",
        ">0.11 / 0.21<",
        "3.1",
        "4.2",
    ):
        assert figure in second, figure
    assert second.count("<svg") == 1


def test_a_course_ends_where_the_sum_does():
    drawn = course([0.5, 1.0], "label")
    assert 'points="0.0,23.0 48.0,12.0 96.0,1.0"' in drawn and "M0 23.0" in drawn
    assert "svg" not in course([1.0], "label")


def test_without_a_test_there_is_no_table(make_run):
    assert verdicts(load_run(make_run(learns=False))) == ""


def test_the_reports_comparisons_are_the_summarys(write_bars, tmp_path):
    flags = {"online.update_every_decisions": 128, "checkpoint.interval_updates": 2} | LENIENT
    request = ReplayRequest(load_config(None, flags, {}).config, (write_bars(900),), 0)
    directory = create_run_directory(tmp_path / "run", "replay")
    summary = asyncio.run(run_to_end(Replay.over(request, open_data(request), directory)))
    found = {one.baseline: one.facts() for one in comparisons(load_run(directory))}
    assert found == summary["helping"] and set(found) == {"unlearnt", "frozen", "hold", "flat"}
    assert summary["helping"]["frozen"]["difference"] == pytest.approx(
        (1 + summary["return"]) / (1 + summary["frozen_return"]) - 1
    )
    assert summary["helping"]["flat"]["difference"] == pytest.approx(summary["return"])


@pytest.mark.parametrize(
    ("low", "high", "begins"),
    [(0.01, 0.05, "Learning helps: the account is 3.0"), (-0.05, -0.01, "Learning hurts"),
     (-0.01, 0.05, "It is not clear"),
     (None, None, "It is too early to say whether learning helps: that needs 413 more decisions.")],
)  # fmt: skip
def test_a_newcomer_gets_a_sentence(low, high, begins):
    from ztb.learning.benchmarks import Comparison

    assert _sentence(Comparison("frozen", 100, 0.03, low, high)).startswith(begins)


def said(summary: dict[str, object], low: float | None, high: float | None) -> dict[str, object]:
    """The summary of a run whose account follows experts."""
    found = {"decisions": 1000, "difference": 0.03, "low": low, "high": high}
    return summary | {"helping": {"unlearnt": found}}


@pytest.mark.parametrize(
    ("low", "high", "short", "long"),
    [(0.01, 0.05, "Learning helps: between +1.0", "Learning helps: the account is 3.0"),
     (-0.05, -0.01, "Learning hurts: between", "Learning hurts: the account is"),
     (-0.01, 0.05, "Whether learning made a difference is not clear", "It is not clear"),
     (None, None, *["It is too early to say whether learning helps: that needs decisions at which the two"] * 2)],
)  # fmt: skip
def test_an_account_that_follows_experts_is_held_against_itself_with_nothing_learnt(
    make_run, low, high, short, long
):
    run = load_run(make_run(experts=True, summary=said(FINISHED, low, high)))
    assert run.learnt_had_weight and credit(run).startswith(short)
    shown = helping(run)
    assert long in shown and "the same with nothing learnt" in shown
    assert "generation 0, with the whole account" in shown and "the policy it began with" not in shown


def test_before_anything_learnt_has_had_weight_nothing_is_credited_whatever_the_figures_say(make_run):
    directory = make_run(experts=True, summary=said(FINISHED, 0.01, 0.05))
    with sqlite3.connect(directory.journal) as connection:
        connection.execute("UPDATE allocations SET weight = 0.0 WHERE expert = 'generation 1'")
    connection.close()
    run = load_run(directory)
    for words in (credit(run), helping(run)):
        assert (
            "Nothing learnt after generation 0 has had a share of the account" in words
            and "Learning helps" not in words
        )


def test_an_unfinished_run_with_experts_does_not_take_generation_0_for_the_yardstick(make_run):
    run = load_run(make_run(experts=True))
    assert credit(run) == "Whether learning helps is said when the run has ended." and credit(run) in helping(
        run
    )


def test_where_nothing_learns_that_is_said(make_run):
    shown = helping(load_run(make_run(learns=False)))
    assert "Nothing has learned" in shown and "generation 0" not in shown and "hold" in shown
    assert not np.isnan(load_run(make_run("other")).marks.hold).any()
