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


def in_python(code: str, *arguments: Path | str, **environment: str) -> dict[str, object]:
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


def on_nodes(verb: str, *arguments: Path | str, **environment: str) -> dict[str, object]:
    """What `nodes.py` prints, where a cluster asks for a token and stays on loopback, unless `environment` differs."""
    said = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "ab" * 32,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    } | environment
    return in_python("import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')",
                     Path(__file__).with_name("nodes.py"), verb, *arguments, **said)  # fmt: skip


@needs_ray
@pytest.mark.proof
def test_a_node_that_dies_costs_its_running_trials_only(write_bars, tmp_path):
    asked = tmp_path / "ask.json"
    asked.write_text(json.dumps({**SMALL, "data": [str(write_bars(700))], "seeds": 3}))
    here = run_study(asked, executor="here", out=tmp_path / "here")
    found = on_nodes("two", asked, tmp_path / "ray", "2")
    assert here.summary is not None
    assert found == {"digest": here.summary["digest"], "failed": 0, "killed": True}


@needs_ray
def test_a_cluster_that_lets_everybody_in_is_refused_though_we_have_a_token(write_bars, tmp_path):
    asked = tmp_path / "ask.json"
    asked.write_text(json.dumps({**SMALL, "data": [str(write_bars(700))]}))
    found = on_nodes("open", asked, tmp_path / "ray", RAY_AUTH_MODE="disabled")
    assert found["code"] == 78 and "lets everybody who reaches it run code on it" in str(found["said"])
    assert "Traceback" not in str(found["said"]) and not (tmp_path / "ray").exists()


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


@needs_ray
@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        ("127.0.0.1:1", 75, "cannot be reached (Connection refused): is it running"),
        ("127.0.0.1:99999", 75, "cannot be reached"),
        ("somewhere", 2, "give HOST:PORT, auto or local"),
        ("ray://127.0.0.1:1", 2, "give HOST:PORT, auto or local"),
    ],
)
def test_a_cluster_out_of_reach_is_said_at_once(
    write_bars, tmp_path, capsys, monkeypatch, address, code, said
):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    arguments = ["study", "run", "--data", str(write_bars(700)), "--strategy", "hold", "--cluster", address]
    assert run([*arguments, "--out", str(tmp_path / "s")]) == code
    assert said in capsys.readouterr().err and not (tmp_path / "s").exists()


def test_ray_that_is_missing_is_named_with_its_extra(write_bars, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    arguments = ["study", "run", "--data", str(write_bars(700)), "--strategy", "hold", "--cluster", "auto"]
    assert run([*arguments, "--out", str(tmp_path / "s")]) == 78
    assert "pip install 'ztb[cluster]'" in capsys.readouterr().err
