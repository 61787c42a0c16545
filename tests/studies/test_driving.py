"""A study decides by results alone: it goes the same way whoever runs it, and after every kill."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from studies.conftest import SPACE, made_up
from ztb.errors import DataError
from ztb.ledger.looks import Looks
from ztb.studies.directory import StudyDirectory
from ztb.studies.executors import InProcess
from ztb.studies.reading import LoadedStudy
from ztb.studies.study import Study
from ztb.studies.trial import TrialOrder, TrialResult

TUNED = {"space": SPACE, "trials": 12, "seeds": 2}


def test_tuning_finds_the_best_and_prunes_what_falls_behind(drive):
    study = drive(**TUNED)
    summary = study.run()
    tried = {
        one.configuration: one.settings["strategy.options.fast"]
        for one in study.directory.results().values()
        if one.kind == "trial"
    }
    best = summary["settings"]["strategy.options.fast"]
    assert abs(best - 10) == min(abs(value - 10) for value in tried.values() if value != 13)
    lengths = {one.number: len(one.parts) for one in study.outcomes()}
    assert len(lengths) == 12 and set(lengths.values()) >= {1, 9}
    assert all(isinstance(value, int) for value in tried.values())


def test_without_pruning_every_configuration_finishes_every_fold(drive):
    study = drive(**TUNED, prune=False)
    study.run()
    assert {len(one.parts) + one.failed for one in study.outcomes() if not one.failed} == {9}


class Killed(BaseException):
    """Stands in for a kill: nothing after it runs but what closes."""


def killed_after(count: int) -> Callable[[TrialOrder], TrialResult]:
    done = 0

    def run(order: TrialOrder) -> TrialResult:
        nonlocal done
        if done == count:
            raise Killed
        done += 1
        return made_up(order)

    return run


@pytest.mark.parametrize("every", [5, 31])
def test_a_study_killed_again_and_again_ends_as_if_nothing_had_happened(drive, every):
    whole = drive("whole", **TUNED).run()
    ends = 0
    while True:
        try:
            summary = drive("killed", run=killed_after(every), **TUNED).run()
            break
        except Killed:
            ends += 1
    assert ends > 1 and summary["digest"] == whole["digest"]
    assert {**summary, "looks_by_kind": 0} == {**whole, "looks_by_kind": 0}


def test_a_torn_last_line_costs_that_trial_alone(drive, tmp_path):
    whole = drive("study", **TUNED).run()
    file = tmp_path / "study" / "trials.jsonl"
    content = file.read_bytes()
    file.write_bytes(content[:-200])
    ran: list[str] = []

    def counted(order: TrialOrder) -> TrialResult:
        ran.append(order.key)
        return made_up(order)

    again = drive("study", run=counted, **TUNED).run()
    assert len(ran) == 1 and again["digest"] == whole["digest"]


def test_a_damaged_line_is_an_error_that_names_it(drive, tmp_path):
    drive("study").run()
    file = tmp_path / "study" / "trials.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"returns"', b'"rturns"', 1))
    with pytest.raises(DataError, match=r"trials.jsonl:1: "):
        drive("study").run()


def test_what_changed_since_it_began_is_refused(drive, tmp_path, write_bars):
    drive("study").run()
    write_bars(1200, seed=5)
    with pytest.raises(DataError, match="the data changed since it began"):
        drive("study").run()


def test_a_failed_trial_is_a_result_and_never_the_best(drive):
    study = drive(space={"strategy.options.fast": {"choices": [13, 5]}}, trials=8)
    summary = study.run()
    assert summary["failed"] > 0 and summary["settings"] == {"strategy.options.fast": 5}
    assert any(one.error == "ConfigError: unlucky" for one in study.directory.results().values())


def test_when_every_trial_fails_that_is_an_error_that_says_why(drive):
    study = drive(space={"strategy.options.fast": {"choices": [13]}}, trials=2, rules=[])
    with pytest.raises(DataError, match="every trial failed; the first: ConfigError: unlucky"):
        study.run()


def test_a_look_is_counted_for_each_configuration_and_seed_and_once(drive, tmp_path):
    drive("one", **TUNED).run()
    drive("two", **TUNED).run()  # the same study again
    different = {
        one.settings["strategy.options.fast"]
        for one in StudyDirectory(tmp_path / "one").results().values()
        if one.kind == "trial"
    }
    looks = Looks.beside(tmp_path / "one").all()
    assert len(looks) == 2 * len(different) and {look.kind for look in looks} == {"study"}
    assert drive("three", seeds=3).run()["looks"] == len(looks) + 3


def test_a_study_is_read_while_it_goes_on_and_after(drive, tmp_path):
    seen: list[dict[str, object]] = []

    def look(*_: object) -> None:
        seen.append(LoadedStudy(tmp_path / "study").facts())

    drive(listener=look, seeds=1).run()
    assert [facts["done"] for facts in seen] == list(range(1, 19)) and {facts["state"] for facts in seen} == {
        "running"
    }
    study = LoadedStudy(tmp_path / "study")
    assert study.facts()["state"] == "finished" and study.trials.num_rows == 18
    assert json.dumps(study.statistics, allow_nan=False)
    assert study.returns.num_rows == sum(len(one.returns) for one in study.results.values())
    assert str(study.returns.schema.field("end").type) == "timestamp[ns, tz=UTC]"


def test_two_processes_never_run_one_study(drive):
    study = drive("study")

    def again(order: TrialOrder) -> TrialResult:
        other = Study(study.spec, StudyDirectory(study.directory.path), InProcess(made_up))
        with pytest.raises(Exception, match="is being run already"):
            other.run()
        return made_up(order)

    drive("study", run=again, seeds=1, folds=1).run()
