"""The README's words are true: its Python runs, its commands are the ones that CI runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runtime.daemons import wait_for
from runtime.venue.live_runs import instrument_at, ledger_of, venue_holds
from ztb.errors import ZtbError
from ztb.ledger.accounts import Account
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow, GenerationRow, NoteRow

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "daemon")}
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
        # Bars without an edge: who means what he does trades nothing, and gets nothing to trade with.
        "ZTB_ALLOCATION__BY": "none",
        "ZTB_STRATEGY__SAMPLE": "true",
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
    assert summary["strategy"] == "contrarian" and summary["updates"] >= 3 and summary["decisions"] > 0
    made = list(JournalReader(tmp_path / "run" / "journal.sqlite").rows(GenerationRow, "event = 'made'"))
    assert len({row.weights_sha256 for row in made}) == len(made) >= 3
    why = subprocess.run(
        [sys.executable, "-m", "ztb", "why", "1", "--run", "run", "--json"], env=environment, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert why.returncode == 0, why.stderr + why.stdout


def test_the_program_makes_a_run_and_shows_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", marked("program", "replay")], env=ENVIRONMENT, cwd=tmp_path, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.split()[0])
    assert (folder / "summary.json").exists() and "net_profit" in done.stdout
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["replay", "test"])
def test_the_two_commands_do_all_the_set_up_themselves(name):
    command = marked("command", name).strip()
    assert "\n" not in command
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_every_file_and_folder_that_is_named_exists():
    named = set(re.findall(r"`((?:daemon|strategies|config|systemd|tests)/[\w./@-]*)`", README))
    assert named
    assert [place for place in sorted(named) if not (ROOT / place).exists()] == []


IN_FULL = float(os.environ.get("ZTB_PROOF_SHARE", "1")) >= 1.0


def as_here(block: str) -> str:
    """A block of the README for this Python."""
    return block.replace(".venv/bin/python", sys.executable).replace(
        ".venv/bin/ztb", f"{sys.executable} -m ztb"
    )


@contextmanager
def exchange_as_told(folder: Path) -> Iterator[dict[str, Any]]:
    """The exchange that the README starts first; the options of its clients."""
    first = as_here(marked("command", "paper").splitlines()[0])
    process = subprocess.Popen(
        ["bash", "-c", f"trap 'kill $(jobs -p)' EXIT\ntrap exit TERM\n{first}\necho up\nwait"], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    try:
        yield json.loads((folder / "exchange.json").read_text().splitlines()[0])
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def daemon_as_told(block: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A block of the README whose last line runs the daemon; what it says goes to `said`."""
    *first, last = as_here("\n".join(block)).strip().splitlines()
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            ["bash", "-c", "\n".join([*first, f"exec {last}"])], cwd=folder, env=ENVIRONMENT, text=True,
            stdin=subprocess.PIPE, stdout=said, stderr=said,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()


def decisions_of(folder: Path) -> int:
    """How many a run has made so far; 0 before its journal is there."""
    try:
        reader = JournalReader(folder / "journal.sqlite")
    except ZtbError:
        return 0
    count = sum(1 for _ in reader.rows(DecisionRow))
    reader.close()
    return count


@pytest.mark.proof
@pytest.mark.parametrize("mode", ["paper", "live"])
def test_it_trades_on_paper_learns_and_saves_on_the_local_exchange_as_told(mode: str, tmp_path: Path) -> None:
    _, *paper = marked("command", "paper").splitlines()
    local_config = paper[: paper.index('"') + 1]
    block = paper if mode == "paper" else [*local_config, *marked("command", "live").splitlines()]
    folder = tmp_path / "runs" / f"{mode}-ztb"
    with exchange_as_told(tmp_path) as options:
        with daemon_as_told(block, tmp_path) as daemon:
            assert daemon.stdin is not None
            daemon.stdin.write("trade 50000 on 4dda468d5794\n")
            daemon.stdin.close()
            wait_for(lambda: decisions_of(folder) > 3, daemon)
            time.sleep(600.0 if IN_FULL else 0.0)
            daemon.terminate()
            assert daemon.wait(30.0) == 0, (tmp_path / "said").read_text()
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["status"] == "stopped" and summary["decisions"] > 3
        if mode == "live":
            _, ledger = ledger_of(folder, Account(instrument_at(options), Decimal(0)))
            assert ledger == venue_holds(options)
    assert "mismatch" not in {row.kind for row in JournalReader(folder / "journal.sqlite").rows(NoteRow)}
    if mode == "live":
        assert summary["orders"] == 0  # nothing has trained the policy, and chance does not trade real money
    if IN_FULL:
        assert (summary["fills"] > 0) is (mode == "paper") and summary["updates"] > 0
        assert len(list((folder / "checkpoints").rglob("gen-*.ckpt"))) > 1
