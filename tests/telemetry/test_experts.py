"""The courses of experts are those of the journal, at every decision; charts, cards and sentences are made of them."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from telemetry.test_report import FINISHED, read
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import AllocationRow
from ztb.telemetry.figures import key_figures
from ztb.telemetry.plots import capital, equity_lines
from ztb.telemetry.run_data import RunData, load_run
from ztb.telemetry.sections.overview import verdict


@pytest.fixture
def directory(make_run):
    return make_run(experts=True)


@pytest.fixture
def run(directory) -> RunData:
    return load_run(directory)


def rows(directory, expert: str) -> list[AllocationRow]:
    return [row for row in JournalReader(directory.journal).rows(AllocationRow) if row.expert == expert]


def test_at_each_decision_an_expert_has_what_was_journaled_last(directory, run):
    assert [one.name for one in run.experts] == ["trend", "generation 0", "generation 1"]
    for one in run.experts:
        told = rows(directory, one.name)
        for decision in range(40):
            known = [row for row in told if row.decision <= decision]
            assert one.weight[decision] == (known[-1].weight if known else 0.0)
            assert not known or one.equity[decision] == known[-1].equity
    assert [one.generation for one in run.experts] == [None, 0, 1] and all(one.present for one in run.experts)


def test_before_it_came_and_after_it_left_an_expert_has_nothing(directory):
    with sqlite3.connect(directory.journal) as connection:
        without = b'{"trend": 1.0, "generation 0": 0.5}'
        connection.execute("UPDATE decisions SET aims = ? WHERE decision >= 35", (without,))
    connection.close()
    one = load_run(directory).experts[2]
    assert (
        not one.present
        and np.isnan(one.equity[[0, 19, 35, 39]]).all()
        and np.isfinite(one.equity[20:35]).all()
    )
    assert (one.weight[[0, 19, 35, 39]] == 0.0).all() and (one.weight[22:35] > 0.0).all()
    told = rows(directory, "generation 1")
    last = [row.equity for row in told if row.decision < 35][-1]
    assert one.at_full_size == pytest.approx(last / told[0].equity - 1)


def test_a_run_that_follows_nobody_has_none(make_run):
    run = load_run(make_run())
    assert run.experts == () and "Capital" not in read(make_run("other")).text


def test_the_chart_of_capital_has_a_stepped_line_for_each(run):
    drawn = capital(run, {}).encode()
    assert [line["name"] for line in drawn["lines"]] == ["trend", "generation 0", "generation 1"]
    assert all(line["stepped"] for line in drawn["lines"])
    assert drawn["lines"][0]["values"] == pytest.approx(run.experts[0].weight.tolist(), rel=1e-6)
    assert len({line["color"] for line in drawn["lines"]}) == 3 and drawn["low"] == 0


def test_rules_are_drawn_as_if_they_had_had_the_whole_account(run):
    figures = key_figures(run)
    lines = {line.name: line for line in equity_lines(run, figures)}
    assert list(lines) == ["account", "hold", "generation 0, full size", "trend, full size", "flat"]
    trend = lines["trend, full size"].values
    assert trend[0] == pytest.approx(figures.start_equity)
    assert trend[-1] / trend[0] - 1 == pytest.approx(run.experts[0].at_full_size)
    assert figures.at_full_size == {"trend": run.experts[0].at_full_size}


def test_the_first_screen_says_what_each_would_have_done_and_the_section_who_has_what(directory, run):
    said = verdict(run, key_figures(run))
    for words in ("the account", "generation 0, with the whole account,", "holding", "and the rule trend gained",
                  "its experts never had more than"):  # fmt: skip
        assert words in said, words
    text = read(directory).text
    for words in ("Generation 0, full size", "Trend, full size", "Capital with experts", "Highest weight", "rule",
                  "40\N{NO-BREAK SPACE}% over all of them while nothing is known", "shadow", "leads"):  # fmt: skip
        assert words in text or words.replace("\N{NO-BREAK SPACE}", " ") in text, words


def test_what_a_rule_did_in_a_finished_run_is_what_its_summary_says(make_run):
    ended = {"trend": {"weight": 0.1, "log_evidence": 0.0, "return": 0.25}}
    run = load_run(make_run(experts=True, summary=FINISHED | {"allocation": ended, "unlearnt_return": 0.5}))
    figures = key_figures(run)
    assert figures.at_full_size == {"trend": 0.25} and figures.unlearnt_return == 0.5
