"""The same study on Ray: the same digest, on loopback alone, with a token; a node that dies costs its trials."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ztb.cli import run
from ztb.studies.reading import run_study

SMALL = {
    "folds": 2, "train": "14d", "test": "6d", "seeds": 2, "rules": ["hold"],
    "config": {"strategy": {"name": "ema_cross"}},
}  # fmt: skip
HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="the extra cluster is not installed")

ON_LOOPBACK = """
import json, re, subprocess, sys
from ztb.studies.reading import run_study
seen = []
def look(*_):
    for line in subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True).stdout.splitlines():
        found = re.search(r"pid=(\\d+)", line)
        if found and "ztb-ray-" in open(f"/proc/{found[1]}/cmdline").read():
            seen.append(line.split()[3])
study = run_study(sys.argv[1], out=sys.argv[2], cluster="local", workers=2, listener=look)
print(json.dumps({"digest": study.summary["digest"], "listens": sorted(set(seen)),
                  "kept": sum((study.directory.runs / key / "report.html").exists() for key in study.results)}))
"""

TWO_NODES = """
import json, sys
from ray.cluster_utils import Cluster
from ztb.studies.reading import run_study
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
done = []
def kill_one(*_):
    done.append(1)
    if len(done) == 2:
        cluster.remove_node(second, allow_graceful=False)
study = run_study(sys.argv[1], out=sys.argv[2], cluster=cluster.address, listener=kill_one)
print(json.dumps({"digest": study.summary["digest"], "failed": study.summary["failed"]}))
cluster.shutdown()
"""


def in_python(code: str, *arguments: Path, **environment: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@needs_ray
def test_a_node_of_our_own_gets_the_same_digest_and_listens_on_loopback_alone(write_bars, tmp_path):
    asked = tmp_path / "ask.json"
    asked.write_text(json.dumps({**SMALL, "data": [str(write_bars(700))]}))
    here = run_study(asked, executor="here", out=tmp_path / "here")
    found = in_python(ON_LOOPBACK, asked, tmp_path / "ray")
    assert here.summary is not None and found["digest"] == here.summary["digest"] and found["kept"] == 4
    listens = found["listens"]
    assert isinstance(listens, list) and listens
    assert all(re.match(r"127\.0\.0\.1:|\[::1\]:|\[::ffff:127\.0\.0\.1\]:", place) for place in listens), (
        listens
    )


@needs_ray
@pytest.mark.proof
def test_a_node_that_dies_costs_its_running_trials_only(write_bars, tmp_path):
    asked = tmp_path / "ask.json"
    asked.write_text(json.dumps({**SMALL, "data": [str(write_bars(700))], "seeds": 3}))
    here = run_study(asked, executor="here", out=tmp_path / "here")
    found = in_python(
        TWO_NODES, asked, tmp_path / "ray",
        RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="ab" * 32, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    )  # fmt: skip
    assert here.summary is not None and found == {"digest": here.summary["digest"], "failed": 0}


def test_a_cluster_without_a_token_is_refused(write_bars, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    arguments = [
        "study",
        "run",
        "--data",
        str(write_bars(700)),
        "--strategy",
        "hold",
        "--cluster",
        "127.0.0.1:6379",
    ]
    assert run([*arguments, "--out", str(tmp_path / "s")]) == 78
    assert "RAY_AUTH_MODE=token" in capsys.readouterr().err and not (tmp_path / "s").exists()


def test_ray_that_is_missing_is_named_with_its_extra(write_bars, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    arguments = ["study", "run", "--data", str(write_bars(700)), "--strategy", "hold", "--cluster", "auto"]
    assert run([*arguments, "--out", str(tmp_path / "s")]) == 78
    assert "pip install 'ztb[cluster]'" in capsys.readouterr().err
