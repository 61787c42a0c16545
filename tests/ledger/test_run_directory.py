"""A run's folder: a new one where one is asked for, and never two writers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ztb.errors import UsageError
from ztb.ledger.run_directory import RunDirectory, create_run_directory, next_run_directory

HOLD = """
import sys
from pathlib import Path
from ztb.ledger.run_directory import RunDirectory
with RunDirectory(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def begin(directory: RunDirectory) -> None:
    directory.journal.touch()


def test_each_start_without_a_name_has_the_next_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [create_run_directory(None, "replay").path for _ in range(3)]
    assert [str(path) for path in made] == ["runs/replay-001", "runs/replay-002", "runs/replay-003"]


def test_a_name_that_holds_a_run_is_refused(tmp_path):
    begin(create_run_directory(tmp_path, "replay"))
    with pytest.raises(UsageError, match="holds a run already; choose another --out"):
        create_run_directory(tmp_path, "replay")


def test_starts_in_one_place_follow_each_other_and_touch_nothing_of_the_earlier(tmp_path):
    found = []
    for _ in range(3):
        found.append(next_run_directory(tmp_path / "replay"))
        begin(found[-1])
    names = [str(each.path.relative_to(tmp_path)) for each in found]
    assert names == ["replay", "replay/run-002", "replay/run-003"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file/run: cannot be created"):
        RunDirectory(tmp_path / "file" / "run").make()


def test_a_second_writer_is_refused_until_the_first_is_gone_however_it_ends(tmp_path: Path):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    with first:
        assert first.stdout is not None and first.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=r"a daemon runs there already; `ztb status --run"):
            with RunDirectory(tmp_path).held():
                raise AssertionError("two writers")
        first.kill()
        first.wait()
    with RunDirectory(tmp_path).held():
        pass
