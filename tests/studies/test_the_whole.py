"""One large study: the same digest in one process, in a pool, on two nodes one of which dies, and after many kills.

In full it is 27 folds × 16 configurations × 3 seeds of the shipped history, of a rule and of a policy that trains and
learns, in small settings; with a share of the proofs it is smaller.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studies.test_cluster import needs_ray, on_nodes
from ztb.studies.reading import run_study

WHOLE = float(os.environ.get("ZTB_PROOF_SHARE", "1")) >= 1.0
FOLDS, TRIALS, SEEDS, KILLS = (27, 16, 3, 20) if WHOLE else (3, 2, 2, 3)
ENDED = FOLDS * (TRIALS * SEEDS + 1)
ASKED = {
    "folds": FOLDS, "train": "8d", "test": "4d", "embargo": "1d", "trials": TRIALS, "seeds": SEEDS, "prune": False,
    "rules": ["hold"],
}  # fmt: skip
STRATEGIES = {
    "rule": {
        "config": {"strategy": {"name": "ema_cross"}},
        "space": {"strategy.options.fast": {"low": 2, "high": 20}, "strategy.options.slow": {"low": 21, "high": 60}},
    },
    "learner": {
        "config": {
            "online": {"update_every_decisions": 64, "window_decisions": 128, "rollout_lanes": 4},
            "ppo": {"num_envs": 4, "num_steps": 8, "minibatch_size": 16, "epochs": 1, "hidden": [8]},
            "allocation": {"folds": 0, "rules": []},
        },
        "space": {"ppo.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "ppo.gamma": {"low": 0.8}},
    },
}  # fmt: skip
pytestmark = pytest.mark.proof


@pytest.fixture(scope="module", params=list(STRATEGIES))
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / "study.json"
    path.write_text(json.dumps(ASKED | STRATEGIES[request.param]))
    return path


@pytest.fixture(scope="module")
def digest(asked: Path) -> str:
    """Of one process."""
    study = run_study(asked, executor="here", keep="none", out=asked.with_name("here"))
    assert study.summary is not None and len(study.results) == ENDED
    assert {one.error for one in study.results.values()} == {None}
    learns = "ppo" in study.spec.config
    assert (
        sum(one.figures["updates"] > 0 for one in study.results.values()) == learns * FOLDS * TRIALS * SEEDS
    )
    found: str = study.summary["digest"]
    return found


def test_in_a_pool(asked: Path, digest: str):
    study = run_study(asked, executor="processes", workers=2, keep="none", out=asked.with_name("pool"))
    assert study.summary is not None and study.summary["digest"] == digest


@needs_ray
def test_on_two_nodes_one_of_which_is_killed_in_the_middle(asked: Path, digest: str):
    found = on_nodes("two", asked, asked.with_name("nodes"), str(ENDED // 2))
    assert found == {"digest": digest, "failed": 0, "killed": True}


def test_after_kills_at_seeded_moments(asked: Path, digest: str):
    out, moments = asked.with_name("killed"), random.Random(int(os.environ.get("ZTB_PROOF_SEED", "0")))
    command = [sys.executable, "-m", "ztb", "study", "run", "--workers", "2", "--keep", "none"]
    begin, go_on = [*command, str(asked), "--out", str(out)], [*command, "--resume", str(out)]
    for kill in range(KILLS):
        process = subprocess.Popen(
            go_on if kill else begin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        lived = lines_of(out) + moments.randint(0, 7 * ENDED // (5 * (KILLS + 2)))  # it must not end before
        while lines_of(out) <= lived:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.05)
        time.sleep(moments.uniform(0.0, 0.2))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    study = run_study(resume=out, executor="processes", workers=2, keep="none")
    assert study.summary is not None and study.summary["digest"] == digest


def lines_of(study: Path) -> int:
    results = study / "trials.jsonl"
    return results.read_bytes().count(b"\n") if results.exists() else 0
