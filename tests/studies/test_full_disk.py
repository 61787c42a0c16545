"""A disk that is full is no trial's fault: the study ends and says so, what was done is read, and it goes on later."""

from __future__ import annotations

import errno
import json
import os
import resource
import sqlite3
import subprocess
import sys

import pytest

from studies.conftest import SPACE
from studies.dying import out_of_room
from ztb.cli import run
from ztb.errors import ResourceError, UsageError, ZtbError
from ztb.studies.executors import ProcessPool
from ztb.studies.folds import Fold
from ztb.studies.reading import LoadedStudy, run_study
from ztb.studies.trial import TrialOrder
from ztb.utils.full_disk import says_full_disk

SMALL = {
    "folds": 2, "train": "14d", "test": "4d", "seeds": 2, "rules": ["hold"],
    "config": {"strategy": {"name": "ema_cross"}},
}  # fmt: skip

A_DISK_THAT_FILLS = """
import sys
from ztb.ledger import journal
plain, made, after, pages = journal._connect, [], int(sys.argv[1]), int(sys.argv[2])
def connect(path, *given):
    connection = plain(path, *given)
    made.append(path)
    if len(made) > after:
        connection.execute(f"PRAGMA max_page_count={pages}")  # SQLite then says that the disk is full
    return connection
journal._connect = connect
from ztb.cli import run
sys.exit(run(sys.argv[3:]))
"""


def sqlite_full() -> sqlite3.Error:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("PRAGMA max_page_count=2")
    with pytest.raises(sqlite3.Error) as caught:
        connection.execute("INSERT INTO t VALUES (?)", (b"x" * 100_000,))
    return caught.value


def test_a_full_disk_is_known_whoever_says_so_and_however_deep():
    wrapped = ZtbError("the journal cannot be written")
    wrapped.__cause__ = sqlite_full()
    for error in (
        OSError(errno.ENOSPC, "no space"), OSError(errno.EDQUOT, "quota"), sqlite_full(), wrapped,
        ExceptionGroup("tasks", [ValueError("x"), ExceptionGroup("more", [wrapped])]),
    ):  # fmt: skip
        assert says_full_disk(error), error
    locked = sqlite3.OperationalError("database is locked")
    for error in (OSError(errno.EACCES, "no"), locked, ValueError("the disk is full"), ZtbError("x")):
        assert not says_full_disk(error), error


@pytest.mark.parametrize("pages", [5, 16], ids=["while it begins", "while it trades"])
def test_a_full_disk_ends_a_study_and_it_goes_on_when_there_is_room(write_bars, tmp_path, capsys, pages):
    asked = tmp_path / "ask.json"
    asked.write_text(json.dumps({**SMALL, "data": [str(write_bars(700))]}))
    whole = run_study(asked, executor="here", out=tmp_path / "whole")
    study = tmp_path / "study"
    done = subprocess.run(
        [sys.executable, "-c", A_DISK_THAT_FILLS, "8", str(pages), "study", "run", str(asked), "--executor", "here",
         "--out", str(study)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 75, done.stderr
    assert "the disk is full" in done.stderr and "--resume" in done.stderr and "Traceback" not in done.stderr
    assert run(["study", "status", str(study), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "stopped" and told["done"] == 4
    assert run(["study", "show", str(study)]) == 0 and (study / "report.html").exists()
    assert all(one.error is None for one in LoadedStudy(study).results.values())
    again = run_study(resume=study, executor="here")
    assert again.summary is not None and whole.summary is not None
    assert again.summary["digest"] == whole.summary["digest"]


def test_a_result_that_finds_no_room_is_made_again(drive, tmp_path):
    """The kernel refuses in the middle of a line: that trial is begun again, those before it are not."""
    whole = drive("whole", space=SPACE, trials=4).run()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    results = tmp_path / "study" / "trials.jsonl"

    def shut(_result: object, progress: object) -> None:
        if results.read_bytes().count(b"\n") == 20:
            resource.setrlimit(resource.RLIMIT_FSIZE, (results.stat().st_size + 100, before[1]))

    try:
        with pytest.raises(ResourceError, match=r"cannot be written.*make room.*--resume"):
            drive("study", space=SPACE, trials=4, listener=shut).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not results.read_bytes().endswith(b"\n") and len(LoadedStudy(tmp_path / "study").results) == 20
    assert drive("study", space=SPACE, trials=4).run()["digest"] == whole["digest"]


def test_figures_are_said_before_a_page_that_finds_no_place(drive, tmp_path, capsys):
    drive("study").run()
    (tmp_path / "study" / "report.html.partial").mkdir()
    assert run(["study", "show", str(tmp_path / "study")]) == UsageError.exit_code
    told = capsys.readouterr()
    assert (
        "deflated Sharpe ratio" in told.out and "report.html: cannot be written (Is a directory)" in told.err
    )


def test_a_full_disk_of_a_process_ends_the_pool(tmp_path):
    pool = ProcessPool(2, out_of_room)
    for seed in range(4):
        pool.submit(
            TrialOrder(
                f"t{seed}", "trial", 0, Fold(0, 0, 1, 2, 0), 0, seed, {}, {}, (), 1, str(tmp_path), False, ""
            )
        )  # fmt: skip
    with pytest.raises(ResourceError, match="the disk is full"):
        list(pool.results())
    pool.close()
