"""`ztb.replay`: the command's very run, from a script or a notebook, and errors that say what to mend."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import ztb
from runs.conftest import LEARNS
from ztb.errors import ConfigError, DataError, StrategyError, UsageError, ZtbError
from ztb.runs.replaying import await_anywhere

ROOT = Path(__file__).resolve().parents[2]


def digest(run: ztb.Run) -> str:
    return str(run.summary["journal_sha256"])


def test_it_is_the_run_that_the_command_makes(bars: Path, learnt: ztb.Run, tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(LEARNS))
    command = [
        sys.executable,
        "-m",
        "ztb",
        "replay",
        "--data",
        str(bars),
        "--config",
        "config.json",
        "--json",
    ]
    done = subprocess.run(
        [*command, "--pretrain", "4d", "--out", "run"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "daemon")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["journal_sha256"] == digest(learnt)
    assert json.loads(done.stdout)["weights_sha256"] == learnt.summary["weights_sha256"]


async def test_it_is_the_same_run_where_an_event_loop_runs_already(
    bars: Path, learnt: ztb.Run, tmp_path: Path
):
    run = ztb.replay(bars, config=LEARNS, pretrain="4d", out=tmp_path / "run")
    assert digest(run) == digest(learnt)
    await asyncio.sleep(0)


def test_without_out_it_lies_in_a_new_temporary_folder(
    bars: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    one, other = (ztb.replay(bars, strategy="hold") for _ in range(2))
    assert one.path != other.path and one.path.parent == other.path.parent == tmp_path
    assert (one.path / "report.html").exists() and digest(one) == digest(other)


def test_spans_are_given_as_text_dates_or_datetimes(bars: Path, tmp_path: Path):
    spans: list[tuple[Any, Any]] = [
        ("2017-07-16", "2017-07-23T00:00:00Z"),
        (date(2017, 7, 16), datetime(2017, 7, 23, tzinfo=UTC)),
        (datetime(2017, 7, 16), "20170723"),  # noqa: DTZ001 (as people write it)
    ]
    found = {
        digest(ztb.replay([bars], strategy="random_walk", start=start, end=end, out=tmp_path / str(i)))
        for i, (start, end) in enumerate(spans)
    }
    assert len(found) == 1


def test_what_progress_is_told_grows_to_all(bars: Path, tmp_path: Path):
    told: list[tuple[str, float]] = []
    ztb.replay(bars, strategy="hold", out=tmp_path / "run", progress=lambda *word: told.append(word))
    assert {name for name, _ in told} == {"replay"}
    done = [share for _, share in told]
    assert done == sorted(done) and done[-1] == 1.0


def test_progress_is_a_line_on_the_error_stream(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    ztb.replay(bars, strategy="hold", out=tmp_path / "shown", progress=True)
    shown = capsys.readouterr()
    assert "\rreplay 100%" in shown.err and shown.err.endswith("\r") and shown.out == ""
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # a notebook would see it
    ztb.replay(bars, strategy="hold", out=tmp_path / "quiet")
    assert capsys.readouterr() == ("", "")


MINE = """from ztb.trading.strategy import Action


class Strategy:
    def __init__(self, context):
        pass

    def decide(self, moment):
        return Action(moment.ladder.index({exposure}))
"""


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for strategies; what the process knows of others is put back afterwards."""
    import ztb.strategies as mount

    monkeypatch.setenv("ZTB_STRATEGY_PATH", "")
    monkeypatch.setattr(mount, "__path__", list(mount.__path__))
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


def test_a_file_is_a_strategy_and_is_read_again_when_it_has_changed(
    bars: Path, own_folder: Path, tmp_path: Path
):
    file = own_folder / "mine_of_this_test.py"
    shares = []
    for exposure in (0.5, 1.0):
        file.write_text(MINE.format(exposure=exposure))
        os.utime(file, (exposure, exposure))
        run = ztb.replay(bars, strategy=file, out=tmp_path / f"run-{exposure}")
        assert run.summary["strategy"] == "mine_of_this_test"
        shares.append(run.decisions["target"][-1].as_py())
    assert shares == [0.5, 1.0]


WRONG: list[tuple[dict[str, Any], type[ZtbError], str]] = [
    ({"data": "nowhere.csv"}, DataError, "nowhere.csv: no such file or folder"),
    ({"data": []}, UsageError, r"data=\[\]: name files"),
    ({"data": 5}, UsageError, "data=5: give paths"),
    ({"strategy": "trendy"}, ConfigError, "no strategy 'trendy'; did you mean 'trend'"),
    ({"strategy": "nowhere/mine.py"}, ConfigError, "nowhere/mine.py: no file of a strategy"),
    ({"config": {"risks": {}}}, ConfigError, "config: unknown section: 'risks'; did you mean 'risk'"),
    (
        {"config": {"risk": {"max_exposur": 1}}},
        ConfigError,
        "config: unknown key in risk: 'max_exposur'; did you",
    ),
    ({"config": {"risk": {"max_exposure": -1}}}, ConfigError, "config: risk.max_exposure: .*greater than 0"),
    ({"config": {"risk": 1}}, ConfigError, "config: 'risk' must be a section"),
    ({"config": 1}, UsageError, "config=1: give sections"),
    ({"config": "nowhere.json"}, ConfigError, "nowhere.json: cannot be read"),
    (
        {"strategy": "hold", "config": {"strategy": {"name": "flat"}}},
        UsageError,
        "strategy.name is given twice",
    ),
    ({"seed": -1}, UsageError, "seed=-1: give a whole number"),
    ({"seed": 0.5}, UsageError, "seed=0.5"),
    ({"start": "yesterday"}, UsageError, "start 'yesterday': neither ISO 8601"),
    ({"start": "2018-01-01", "end": date(2017, 1, 1)}, UsageError, "start '2018-01-01' is not before end"),
    ({"pretrain": "a while"}, UsageError, "^pretrain 'a while': give a span"),
    ({"learner": "sometimes"}, ConfigError, "online.learner"),
    ({"tick_size": 0.01}, UsageError, "tick_size=0.01: a float is not exact"),
    ({"lot_size": "-1"}, UsageError, "lot_size '-1': must be above 0"),
    ({"from_generation": "nowhere"}, DataError, "nowhere: no run directory or checkpoint folder"),
]


@pytest.mark.parametrize(("arguments", "kind", "words"), WRONG)
def test_a_wrong_argument_is_named_with_what_helps(
    arguments: dict[str, Any], kind: type[ZtbError], words: str, bars: Path, tmp_path: Path
):
    with pytest.raises(kind, match=words) as raised:
        ztb.replay(**({"data": bars, "out": tmp_path / "run"} | arguments))
    assert (tmp_path / "run").exists() == hasattr(raised.value, "__notes__")


def test_a_folder_that_holds_a_run_is_left_alone(rule: ztb.Run, bars: Path):
    with pytest.raises(UsageError, match="holds a run already"):
        ztb.replay(bars, out=rule.path)


def test_increments_are_exact_decimals(bars: Path, tmp_path: Path):
    run = ztb.replay(bars, strategy="hold", tick_size=Decimal("0.01"), lot_size="0.5", out=tmp_path / "run")
    assert run.made_of["instrument"]["lot_size"] == "0.5"
    assert all(quantity % 0.5 == 0 for quantity in run.fills["quantity"].to_pylist())


def test_what_goes_wrong_on_the_way_keeps_what_happened_and_says_where(
    bars: Path, own_folder: Path, tmp_path: Path
):
    file = own_folder / "fails_after_a_while.py"
    file.write_text(
        MINE.format(exposure=0.5).replace(
            "    return", "    assert moment.ts_ns < 15007e14, 'late'\n        return"
        )
    )
    with pytest.raises(StrategyError, match="late") as raised:
        ztb.replay(bars, strategy=file, out=tmp_path / "run")
    assert raised.value.__notes__ == [f"how far it came: ztb.load_run({str(tmp_path / 'run')!r})"]
    run = ztb.load_run(tmp_path / "run")
    assert run.summary["status"].startswith("failed") and run.decisions.num_rows > 50


def test_an_interrupt_ends_it_in_a_notebook_too():
    """A notebook's loop is not `asyncio.run`'s, which takes interrupts for itself.

    Often: the interrupt is sent from the other thread, and may meet this one while it is still starting that.
    """
    ended: list[str] = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def cell() -> None:
        await_anywhere(work())

    # Python's own handler, as in a notebook: who starts us in the background has interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for _ in range(100):
            loop = asyncio.new_event_loop()
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(cell())
            loop.close()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == ["cancelled"] * 100


@pytest.mark.parametrize("name", ["ztb.runs.replaying", "ztb.runs.run"])
def test_the_examples_of_the_docstrings_are_true(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(importlib.import_module(name), extraglobs={"ztb": ztb})
    assert done.attempted > 0 and done.failed == 0
