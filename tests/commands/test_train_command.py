"""`ztb train`: what it leaves serves, what is killed goes on bit for bit, and mistakes end in one clear line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ztb.strategies
from ztb.cli import run
from ztb.config import load_config
from ztb.learning.luck import Luck
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data
from ztb.trading.ppo.finite import unsound
from ztb.utils import CheckpointManager

SMALL = {
    "ZTB_PPO__NUM_ENVS": "4", "ZTB_PPO__NUM_STEPS": "16", "ZTB_PPO__MINIBATCH_SIZE": "32",
    "ZTB_PPO__HIDDEN": "[8]", "ZTB_CHECKPOINT_INTERVAL": "2",
}  # fmt: skip
UPDATES = 20


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def train(capsys: pytest.CaptureFixture[str], write_bars: Callable[..., Path]) -> Callable[..., Any]:
    """Trains in this process on 500 bars: (exit code, standard output, standard error)."""
    data = write_bars(500)

    def call(*arguments: object, data: Path | None = data, updates: int = UPDATES) -> tuple[int, str, str]:
        given = ["--data", str(data)] if data else []
        code = run(["train", *given, "--updates", str(updates), *map(str, arguments)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return call


def test_what_is_trained_is_served_with_its_normaliser_and_features(train, write_bars, tmp_path, capsys):
    out, later = tmp_path / "trained", write_bars(200, seed=5, name="later.csv")
    code, text, _ = train("--out", out, "--json", "--seed", 3)
    summary = json.loads(text)
    assert code == 0 and summary == {**json.loads((out / "summary.json").read_text()), "run": str(out)}
    assert set(summary["validation_mean_reward"]) == {"policy", "flat", "hold", "random"}
    assert summary["trained_on"]["last_ts"] < summary["held_out"]["first_ts"]
    request = ReplayRequest(load_config(None).config, (later,), 0, from_generation=str(out))
    (tmp_path / "served").mkdir()
    replay = Replay.over(request, open_data(request), RunDirectory(tmp_path / "served"))
    saved = CheckpointManager(out / "checkpoints").load("policy")
    assert replay.policy is not None and replay.policy.info.sha256 == summary["weights_sha256"]
    state = replay.engine.normaliser.state()
    assert state.keys() == saved["normaliser"].keys()
    assert all(np.array_equal(state[name], saved["normaliser"][name]) for name in state)
    replay.journal.close()
    served = ["replay", "--data", str(later), "--from-generation", str(out), "--learner", "off", "--json"]
    assert run([*served, "--out", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr()
    replayed = json.loads(shown.out)
    trained_later = replayed["trade_first_ts"] <= summary["trained_on"]["last_ts"]
    assert ("was trained on what happened until" in shown.err) is trained_later
    assert run(["replay", "--data", str(write_bars(500)), *served[3:], "--out", str(tmp_path / "again")]) == 0
    assert "was trained on what happened until" in capsys.readouterr().err
    assert replayed["weights_sha256"] == summary["weights_sha256"] and replayed["decisions"] > 0


def test_a_generation_of_other_features_or_none_at_all_is_refused(
    train, tmp_path, monkeypatch, capsys, write_bars
):
    out = tmp_path / "trained"
    assert train("--out", out, updates=4)[0] == 0
    served = ["replay", "--data", str(write_bars(200, name="b.csv")), "--out"]
    assert run([*served, str(tmp_path / "one"), "--from-generation", f"{out}:99"]) == 3
    assert "gen-00000099.ckpt: there is no such generation" in capsys.readouterr().err
    monkeypatch.setenv("ZTB_FEATURES__NAMES", '["rsi_14"]')
    assert run([*served, str(tmp_path / "two"), "--from-generation", str(out)]) == 78
    assert "made for feature schema" in capsys.readouterr().err


def started(*arguments: object) -> subprocess.Popen[str]:
    """`ztb train` in a process of its own."""
    command = [sys.executable, "-m", "ztb", "train", *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ.copy(), stderr=subprocess.PIPE, text=True)


def saved(out: Path) -> int:
    """The number of the newest state from which training would go on; 0: there is none."""
    kept = CheckpointManager(out / "checkpoints").list("training")
    return max((generation.number for generation in kept if generation.fault is None), default=0)


def when_saved(process: subprocess.Popen[str], out: Path, states: int) -> None:
    """Wait until that many states have been saved."""
    deadline = time.monotonic() + 120
    while saved(out) < states:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def test_interrupted_and_killed_it_goes_on_to_the_same_bits(train, tmp_path, write_bars):
    data, whole, broken = write_bars(500), tmp_path / "whole", tmp_path / "broken"
    updates = 200
    assert train("--out", whole, "--patience", 0, updates=updates)[0] == 0
    process = started("--data", data, "--updates", updates, "--patience", 0, "--out", broken)
    when_saved(process, broken, 1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and f"ztb train --resume {broken}" in said
    assert not (broken / "summary.json").exists()
    process = started("--resume", broken)
    when_saved(process, broken, saved(broken) + 2)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert train("--resume", broken, data=None)[0] == 0
    first, second = (json.loads((out / "summary.json").read_text()) for out in (whole, broken))
    del first["peak_rss_mb"], second["peak_rss_mb"]
    assert first == second


def test_nothing_that_changed_underneath_is_resumed(train, tmp_path, write_bars):
    out = tmp_path / "trained"
    data = write_bars(500)
    process = started("--data", data, "--updates", 5000, "--patience", 0, "--out", out)
    when_saved(process, out, 1)
    process.kill()
    process.communicate()
    data.write_text(data.read_text().replace(",5", ",6", 1))
    code, _, said = train("--resume", out, data=None)
    assert code == 3 and "the data have changed" in said


def test_mistakes_are_named(train, tmp_path, write_bars):
    assert train("--out", tmp_path / "a", data=tmp_path / "gone.csv")[0] == 3
    code, _, said = train("--out", tmp_path / "b", "--from", "2031-01-01")
    assert code == 3 and "nothing lies from --from 2031-01-01" in said and "the data begin at" in said
    code, _, said = train("--out", tmp_path / "c", data=write_bars(40, name="short.csv"))
    assert code == 3 and "too few" in said
    code, _, said = train("--out", tmp_path / "d", "--validation", "9000d")
    assert code == 3 and "too few to train on" in said
    code, _, said = train("--out", tmp_path / "e", "--strategy", "hold")
    assert code == 78 and "'hold' learns nothing" in said
    code, _, said = train("--out", tmp_path / "f", "--device", "abacus")
    assert code == 78 and "--device 'abacus'" in said
    assert train("--validation", "long")[0] == 2
    for nothing in ("none", "0d"):
        code, _, said = train("--out", tmp_path / "n", "--validation", nothing)
        assert code == 2
        assert "must be held out" in said
    assert train("--updates", 0)[0] == 2


NAN_IN_THE_END = """
import numpy as np

class Strategy:
    learns = True
    features = ("rsi_14",)
    calls = 0
    def __init__(self, context):
        self.policy = context.policy
    def decide(self, moment):
        return self.policy.act(moment.observation, moment.uniforms)
    @staticmethod
    def reward(before, after):
        Strategy.calls += 1
        return np.log(after / before) * (np.nan if Strategy.calls == {bad} else 1.0)
"""


@pytest.mark.parametrize("bad", [3, 5 * 16 + 3])
def test_an_own_reward_that_is_no_number_is_named_and_what_was_learnt_before_it_is_kept(
    train, tmp_path, monkeypatch, bad
):
    """In the first rollout, when there is nothing to keep, and in the sixth."""
    folder, out, name = tmp_path / "strategies", tmp_path / "trained", f"ends_at_{bad}"
    folder.mkdir()
    (folder / f"{name}.py").write_text(NAN_IN_THE_END.format(bad=bad))
    monkeypatch.setenv("ZTB_STRATEGY_PATH", str(folder))
    monkeypatch.setattr(ztb.strategies, "__path__", [*ztb.strategies.__path__, str(folder)])
    code, printed, said = train("--out", out, "--strategy", name, "--json")
    assert (
        code == 78 and json.loads(printed)["error"] == "StrategyError" and not (out / "summary.json").exists()
    )
    assert f"strategy {name}: reward: not finite at decision " in said and f"{name}.py:12" in said
    manager = CheckpointManager(out / "checkpoints")
    if bad == 3:
        assert manager.list("training") == []
        return
    state = manager.load("training")
    assert len(state["curve"]) == 5 and unsound(state["updater"]) == ""
    code, printed, _ = train("--resume", out, "--json", data=None)
    assert code == 0 and json.loads(printed)["updates"] == UPDATES


def test_what_is_not_finite_otherwise_ends_it_with_environment_and_step(train, tmp_path, monkeypatch):
    step, calls = Luck.step, [0]

    def spoilt(self: Luck, actions: Any) -> Any:
        luck, simulation = step(self, actions), self._simulation
        calls[0] += simulation.num_lanes == 4
        if calls[0] == 2 * 16 + 10:
            simulation.outcome.observations[3, 0] = np.nan
        return luck

    monkeypatch.setattr(Luck, "step", spoilt)
    code, _, said = train("--out", tmp_path / "trained", "--json")
    assert code == 3 and "observation nan of environment 3 at step 10, of update 3" in said
    assert len(CheckpointManager(tmp_path / "trained" / "checkpoints").load("training")["curve"]) == 2


def test_a_folder_that_cannot_be_used_is_named(train, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, said = train("--out", tmp_path / "file" / "x")
    assert code == 2 and "cannot be created" in said
    code, _, said = train("--resume", tmp_path / "nowhere", data=None)
    assert code == 3 and "run.json: cannot be read" in said
    assert train("--out", tmp_path / "t", updates=2)[0] == 0
    code, _, said = train("--out", tmp_path / "t", updates=2)
    assert code == 2 and "holds a run already" in said
    code, _, said = train("--resume", tmp_path / "t", data=None)
    assert code == 2 and "finished" in said
