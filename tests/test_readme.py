"""The README's words are true: its Python runs, its commands are the ones that CI runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ztb.ledger.journal import JournalReader
from ztb.ledger.records import GenerationRow, NoteRow

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def marked(kind: str, name: str) -> str:
    found = re.search(rf"<!-- {kind}: {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, f"README.md has no {kind} {name!r}"
    return found[1]


def test_the_tutorials_strategy_learns_with_its_own_feature_reward_and_network(write_bars, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "contrarian.py").write_text(marked("file", "contrarian.py"))
    command = marked("command", "own strategy").split()
    assert command[:2] == ["ZTB_STRATEGY_PATH=mine", ".venv/bin/ztb"]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "daemon"),
        "ZTB_STRATEGY_PATH": "mine",
        "ZTB_ONLINE__UPDATE_EVERY_DECISIONS": "64",
        "ZTB_CHECKPOINT_INTERVAL": "1",
        "ZTB_PPO__NUM_ENVS": "8",
        "ZTB_PPO__NUM_STEPS": "16",
    }
    arguments = [*command[2:], "--data", str(write_bars(700)), "--out", "run", "--json", "--pretrain", "12d"]
    done = subprocess.run(
        [sys.executable, "-m", "ztb", *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["strategy"] == "contrarian" and summary["updates"] >= 3 and summary["fills"] > 0
    made = list(JournalReader(tmp_path / "run" / "journal.sqlite").rows(GenerationRow, "event = 'made'"))
    assert len({row.weights_sha256 for row in made}) == len(made) >= 3
    why = subprocess.run(
        [sys.executable, "-m", "ztb", "why", "1", "--run", "run", "--json"], env=environment, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert why.returncode == 0, why.stderr + why.stdout


@pytest.mark.parametrize("name", ["replay", "test"])
def test_the_two_commands_do_all_the_set_up_themselves(name):
    command = marked("command", name).strip()
    assert "\n" not in command
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_every_file_and_folder_that_is_named_exists():
    named = set(re.findall(r"`((?:daemon|strategies|config|systemd|tests)/[\w./@-]*)`", README))
    assert named
    assert [place for place in sorted(named) if not (ROOT / place).exists()] == []


def shell(block: str, folder: Path, seconds: int, typed: str = "") -> str:
    """Run a block of the README, its last command stopped after `seconds`; what it said on both streams."""
    block = block.replace(".venv/bin/python", sys.executable).replace(
        ".venv/bin/ztb", f"{sys.executable} -m ztb"
    )
    *first, last = block.strip().splitlines()
    script = "\n".join([*first, f"timeout --signal=TERM {seconds} {last}"])
    done = subprocess.run(
        ["bash", "-c", f"trap 'kill $(jobs -p)' EXIT\n{script}"], cwd=folder, text=True, input=typed,
        capture_output=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT / "daemon")}, timeout=170,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.proof
def test_paper_and_live_trade_on_the_local_exchange_as_told(tmp_path):
    paper, live = marked("command", "paper"), marked("command", "live")
    exchange = paper.splitlines()[0]
    said = shell(paper, tmp_path, 50)
    summary = json.loads((tmp_path / "runs" / "paper-ztb" / "summary.json").read_text())
    assert summary["status"] == "stopped" and summary["decisions"] > 3, said
    (tmp_path / "exchange.json").unlink()  # the first exchange is gone, and what it said
    typed = "trade 50000 on 4dda468d5794\n"
    said = shell(f"{exchange}\n{local_config(paper)}\n{live}", tmp_path, 50, typed)
    summary = json.loads((tmp_path / "runs" / "live-ztb" / "summary.json").read_text())
    assert summary["status"] == "stopped" and summary["decisions"] > 3, said
    journal = JournalReader(tmp_path / "runs" / "live-ztb" / "journal.sqlite")
    assert "mismatch" not in {row.kind for row in journal.rows(NoteRow)}


def local_config(block: str) -> str:
    """The lines that write local.json."""
    lines = block.splitlines()
    return "\n".join(lines[1 : lines.index('"') + 1])
