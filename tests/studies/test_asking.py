"""What is asked is one strict file: folds follow each other, options are known and in bounds, mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ztb.cli import run
from ztb.errors import ConfigError, UsageError
from ztb.studies.folds import period_of, walk
from ztb.studies.space import dimensions, rungs
from ztb.studies.spec import StudySpec, study_schema

DAY = 86_400_000_000_000
ROOT = Path(__file__).resolve().parents[2]


def test_tests_follow_each_other_to_the_end_of_the_data_and_never_reach_into_their_training():
    spec = StudySpec(folds=5, train="20d", test="7d", embargo="2d")
    folds = walk(spec, 0, 100 * DAY)
    assert [fold.number for fold in folds] == [0, 1, 2, 3, 4] and folds[-1].test_to == 100 * DAY
    for before, after in zip(folds, folds[1:], strict=False):
        assert before.test_to == after.test_from
    for fold in folds:
        assert fold.test_from - fold.train_from == 20 * DAY and fold.test_to - fold.test_from == 7 * DAY
        assert fold.embargo_ns == 2 * DAY


def test_a_study_says_nothing_and_gets_folds_that_share_the_data():
    folds = walk(StudySpec(), 0, 120 * DAY)
    assert len(folds) == 4 and folds[0].train_from == 0
    assert {fold.test_to - fold.test_from for fold in folds} == {20 * DAY}
    assert {fold.test_from - fold.train_from for fold in folds} == {40 * DAY}


def test_as_many_folds_as_fit_where_lengths_are_given():
    assert len(walk(StudySpec(train="365d", test="30d"), 0, 838 * DAY)) == 15


def test_folds_that_do_not_fit_are_refused_with_how_many_would():
    with pytest.raises(UsageError, match=r"27 times 30 days.*15 fit"):
        walk(StudySpec(folds=27, train="365d", test="30d"), 0, 838 * DAY)
    with pytest.raises(UsageError, match="--embargo"):
        walk(StudySpec(train="10d", test="5d", embargo="10d"), 0, 100 * DAY)
    with pytest.raises(UsageError, match="--train"):
        walk(StudySpec(train="200d"), 0, 100 * DAY)


def test_periods_are_the_longest_that_a_test_has_twenty_of():
    assert period_of(30 * DAY) == DAY and period_of(140 * DAY) == 7 * DAY
    assert period_of(4 * DAY) == DAY // 6 and period_of(60 * 10**9) == 10**9


def test_the_end_of_the_last_period_is_the_end_of_the_test():
    fold = walk(StudySpec(folds=1, train="10d", test="5d"), 0, 100 * DAY)[0]
    ends = fold.ends(2 * DAY)
    assert ends == [fold.test_from + 2 * DAY, fold.test_to]


def test_rungs_triple_up_to_all_folds():
    assert rungs(27, True) == [3, 9, 27] and rungs(4, True) == [1, 3, 4] and rungs(1, True) == [1]
    assert rungs(27, False) == [27]


def test_bounds_that_are_not_given_are_those_of_the_configuration():
    spec = StudySpec.of(
        {"space": {"ppo.gamma": {}, "online.passes": {"high": 8}, "strategy.sample": {}}}, "f"
    )
    gamma, passes, sample = dimensions(spec, "f")
    assert (gamma.low, gamma.high, gamma.whole) == (0.0, 1.0, False)
    assert (passes.low, passes.high, passes.whole) == (1.0, 8.0, True)
    assert sample.choices == (False, True)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"ppo.learning_rat": {"low": 1, "high": 2}}, "did you mean 'ppo.learning_rate'"),
        ({"ppo.gamma": {"low": 0.5, "high": 1.5}}, "1.5 is beyond what the configuration allows"),
        ({"allocation.forgetting": {"low": 0.5, "high": 0.9}}, "0.5 is beyond"),
        ({"online.passes": {"low": 1.5, "high": 3}}, "whole numbers"),
        ({"ppo.gamma": {"low": 0.9, "high": 0.5}}, "low must be below high"),
        ({"strategy.options.fast": {"low": 2}}, "give low and high"),
        ({"market.client": {}}, "give choices"),
    ],
)
def test_a_space_that_cannot_be_is_refused_by_name(space, said):
    with pytest.raises(ConfigError, match="space: ") as error:
        dimensions(StudySpec.of({"space": space}, "file"), "space")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"fold": 3}', "unknown key: 'fold'; did you mean 'folds'?"),
        ('{"folds": 0}', "folds: Input should be greater than or equal to 1 (got 0)"),
        ('{"space": {"ppo.gamma": {"choices": [1], "low": 0}}}', "give choices, or low and high"),
        ('{"config": {"risk": {"max_exposur": 1}}}', "did you mean 'max_exposure'?"),
        ('{"folds": ', ":1:"),
        ("[]", "holds no JSON object"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(capsys, tmp_path, content, said):
    path = tmp_path / "study.json"
    path.write_text(content)
    assert run(["study", "run", str(path), "--out", str(tmp_path / "out")]) == 78
    text = capsys.readouterr().err
    assert said in text and "Traceback" not in text
    assert not (tmp_path / "out").exists()


def test_an_option_that_nobody_knows_ends_it_before_anything_is_made(capsys, tmp_path, write_bars):
    space = tmp_path / "space.json"
    space.write_text('{"ppo.learning_rat": {"low": 1e-4, "high": 1e-2}}')
    arguments = ["study", "run", "--data", str(write_bars(900)), "--space", str(space)]
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 78
    told = capsys.readouterr().err
    assert "no such option of the configuration; did you mean 'ppo.learning_rate'?" in told
    assert "Traceback" not in told and not (tmp_path / "out").exists()


def test_the_published_schema_is_the_one_that_is_used():
    published = json.loads((ROOT / "config" / "study.schema.json").read_text())
    assert published == study_schema()


def test_optuna_that_is_missing_is_named_with_its_extra(capsys, tmp_path, write_bars, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    space = tmp_path / "space.json"
    space.write_text('{"strategy.options.fast": {"low": 2, "high": 20}}')
    arguments = [
        "study",
        "run",
        "--data",
        write_bars(900),
        "--strategy",
        "ema_cross",
        "--out",
        tmp_path / "s",
    ]
    assert run([str(one) for one in [*arguments, "--space", space]]) == 78
    assert "pip install 'ztb[tune]'" in capsys.readouterr().err
