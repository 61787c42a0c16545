"""The curve of adaptation shows in which stretch of a run learning paid, and is there only where something learns."""

from __future__ import annotations

import numpy as np
import pytest

from telemetry.test_report import Reader
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.charts import ChartLine
from ztb.telemetry.plots import adaptation
from ztb.telemetry.report import write_report
from ztb.telemetry.run_data import load_run


def charts(directory: RunDirectory) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = Reader(write_report(directory).read_text()).data["charts"]
    return found


def test_each_stretch_shows_what_a_decision_in_it_earned(make_run):
    run = load_run(make_run(decisions=81))
    steps = np.repeat([1e-4, -2e-4, 3e-4, 0.0], 20)
    equity = np.exp(np.append(0.0, np.cumsum(steps)))
    (line,) = adaptation(run, [ChartLine("one", "ours", equity)], {}).lines
    assert len(line.values) == 11
    assert line.values[[0, 1, 3, 4, 6, 9]] == pytest.approx([1.0, 1.0, -2.0, -2.0, 3.0, 0.0], abs=1e-9)


def test_the_policy_is_beside_generation_0_with_the_generations_marked(make_run):
    chart = charts(make_run())["adaptation"]
    names = [line["name"] for line in chart["lines"]]
    assert names[:3] == ["ppo_online", "hold", "generation 0, frozen"]
    assert {event["generation"] for event in chart["events"]} == {1, 2}


def test_where_nothing_learns_there_is_no_such_curve(make_run):
    directory = make_run(learns=False)
    assert "adaptation" not in charts(directory)
    assert "follows the market" not in directory.report.read_text()


def test_a_ruined_account_leaves_a_hole_in_the_curve(make_run):
    run = load_run(make_run(decisions=33))
    equity = np.linspace(1.0, -0.5, 33)
    (line,) = adaptation(run, [ChartLine("one", "ours", equity)], {}).encode()["lines"]
    assert None in line["values"] and line["values"][0] is not None
