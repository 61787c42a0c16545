"""Studies of real replays: the same figures whoever runs them; processes that die cost what they were at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studies.dying import die_once
from ztb.cli import run
from ztb.ledger.looks import Looks
from ztb.ledger.run_directory import RunDirectory
from ztb.studies.executors import ProcessPool
from ztb.studies.folds import Fold
from ztb.studies.reading import run_study
from ztb.studies.trial import TrialOrder

SMALL = {
    "folds": 2, "train": "14d", "test": "6d", "seeds": 2, "rules": ["hold"],
    "config": {"strategy": {"name": "ema_cross"}},
}  # fmt: skip
LEARNS = {
    "online": {"update_every_decisions": 64, "window_decisions": 128, "rollout_lanes": 4},
    "ppo": {"num_envs": 4, "num_steps": 8, "minibatch_size": 16, "epochs": 1, "hidden": [8]},
    "allocation": {"folds": 0, "rules": []},
}


def test_one_process_and_a_pool_get_the_same_digest(write_bars, tmp_path):
    asked = {**SMALL, "data": [str(write_bars(700))]}
    here = run_study(asked, executor="here", out=tmp_path / "here")
    pool = run_study(asked, executor="processes", workers=2, out=tmp_path / "pool")
    assert here.summary is not None and pool.summary is not None
    assert here.summary["digest"] == pool.summary["digest"] and here.summary["failed"] == 0
    assert all(one.figures["decisions"] > 100 for one in here.results.values())
    kept = {folder.name for folder in (tmp_path / "pool" / "runs").iterdir()}
    assert kept == {key for key in pool.results if key.startswith("trial")}


def test_a_policy_trains_on_the_first_part_and_trades_the_second(write_bars, tmp_path):
    asked = {**SMALL, "seeds": 1, "folds": 1, "data": [str(write_bars(700))], "config": LEARNS}
    study = run_study(asked, executor="here", out=tmp_path / "study", keep="all")
    (trial,) = (one for one in study.results.values() if one.kind == "trial")
    assert trial.error is None and trial.figures["weights_sha256"]
    fold = study.made_of.data[0].folds[0]
    assert fold.test_from < trial.figures["trade_first_ts"] <= fold.test_from + 2 * 3_600_000_000_000
    manifest = json.loads((tmp_path / "study" / "runs" / trial.key / "run.json").read_text())
    assert manifest["embargo_ns"] == fold.embargo_ns > 0
    directory = RunDirectory(tmp_path / "study" / "runs" / trial.key)
    assert run(["replay", str(directory.path), "--out", str(tmp_path / "again")]) == 0


def test_what_happens_in_the_embargo_changes_nothing_that_was_learnt(write_bars, tmp_path):
    """Prices of the embargo differ; weights of generation 0 do not: it was not trained on them."""
    weights = []
    for name, shift in (("a.csv", None), ("b.csv", 14 * 24 - 12)):
        data = write_bars(20 * 24, name=name, shift_after=shift)
        asked = {
            **SMALL, "seeds": 1, "folds": 1, "data": [str(data)], "embargo": "1d", "rules": [],
            "config": {**LEARNS, "online": {"learner": "off"}},
        }  # fmt: skip
        study = run_study(asked, executor="here", out=tmp_path / f"study-{name}")
        weights.append(next(iter(study.results.values())).figures["weights_sha256"])
    assert weights[0] == weights[1] is not None


def test_a_trial_that_fails_is_named_and_the_others_go_on(write_bars, tmp_path, capsys):
    space = tmp_path / "space.json"
    space.write_text('{"strategy.options.slow": {"choices": [5, 60]}}')
    arguments = [
        "study", "run", "--data", write_bars(700), "--strategy", "ema_cross", "--space", space, "--trials", "6",
        "--folds", "1", "--train", "14d", "--test", "6d", "--seeds", "1", "--executor", "here",
        "--out", tmp_path / "study", "--json",
    ]  # fmt: skip
    assert run([str(one) for one in arguments]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    errors = {json.dumps(one["settings"]): one["error"] for one in lines[:-1]}
    assert "needs 1 <= fast < slow" in errors['{"strategy.options.slow": 5}']
    assert errors['{"strategy.options.slow": 60}'] is None and lines[-1]["settings"] == {
        "strategy.options.slow": 60
    }


def test_a_process_that_dies_costs_its_trial_alone(tmp_path):
    pool = ProcessPool(2, die_once)
    for seed in range(8):
        pool.submit(
            TrialOrder(
                f"t{seed}", "trial", 0, Fold(0, 0, 1, 2, 0), 0, seed, {}, {}, (), 1, str(tmp_path / f"{seed}"), False, ""
            )
        )  # fmt: skip
    said = {one.key: one.error or "" for one in pool.results()}
    pool.close()
    assert len(said) == 8 and "died 2 times" in said.pop("t5")
    assert all(text.startswith("lived in") for text in said.values())


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_is_killed_loses_running_trials_only(write_bars, tmp_path, sign):
    asked = {**SMALL, "folds": 4, "test": "3d", "seeds": 2, "data": [[str(write_bars(700))]]}
    (tmp_path / "ask.json").write_text(json.dumps(asked))
    whole = run_study(tmp_path / "ask.json", executor="here", out=tmp_path / "whole")
    command = [sys.executable, "-m", "ztb", "study", "run", "--workers", "2"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    first = subprocess.Popen(
        [*command, str(tmp_path / "ask.json"), "--out", str(tmp_path / "study")], env=environment,
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    results = tmp_path / "study" / "trials.jsonl"
    while lines_of(results) < 3:
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(sign)
    assert first.wait(60) == (-9 if sign == signal.SIGKILL else 130)
    kept = lines_of(results)
    assert 3 <= kept < 12
    done = subprocess.run(
        [*command, "--resume", str(tmp_path / "study"), "--json"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(printed) - 1 == 12 - kept and whole.summary is not None
    assert printed[-1]["digest"] == whole.summary["digest"]


def test_replays_and_studies_of_the_same_data_are_counted_together(write_bars, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = str(write_bars(700))
    assert run(["replay", "--data", data, "--strategy", "ema_cross", "--pretrain", "14d"]) == 0
    assert run(["replay", "runs/replay-001"]) == 0  # the same once more is no new look
    study = run_study({**SMALL, "data": [data]}, executor="here")
    assert study.statistics["looks_by_kind"] == {"replay": 1, "study": 2}
    capsys.readouterr()
    assert run(["study", "looks", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["looks"]) == 3
    assert Looks.beside(Path("runs/x")).path == tmp_path / "looks.jsonl"
    assert (
        run(["replay", "--data", data, "--strategy", "hold", "--pretrain", "14d", "--out", "runs/last"]) == 0
    )
    assert "4 looks" in (tmp_path / "runs" / "last" / "report.html").read_text()


def test_run_trial_leaves_nothing_that_is_not_to_be_kept(write_bars, tmp_path):
    study = run_study(
        {**SMALL, "data": [str(write_bars(700))], "folds": 1},
        executor="here",
        out=tmp_path / "s",
        keep="none",
    )
    assert study.summary is not None and study.summary["failed"] == 0
    assert not any((tmp_path / "s" / "runs").iterdir())
