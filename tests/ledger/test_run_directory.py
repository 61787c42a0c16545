"""A run's folder: a new one where one is asked for, and never two writers."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ztb.errors import DataError, UsageError
from ztb.ledger.run_directory import RunDirectory, create_run_directory, next_free, next_run_directory

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


def test_files_of_a_run_have_their_names():
    run = RunDirectory(Path("x"))
    names = [run.journal, run.summary, run.decisions, run.report, run.checkpoints, run.manifest]
    assert [str(path) for path in names] == [
        "x/journal.sqlite", "x/summary.json", "x/decisions.parquet", "x/report.html", "x/checkpoints", "x/run.json",
    ]  # fmt: skip


def test_what_is_written_as_json_is_read_again_and_what_cannot_be_is_named(tmp_path):
    run = RunDirectory(tmp_path)
    run.write_json(run.summary, {"b": [1, None], "a": "é"})
    assert run.read_json(run.summary) == {"b": [1, None], "a": "é"}
    assert run.summary.read_text().startswith("{\n  ") and run.summary.read_text().endswith("}\n")
    with pytest.raises(ValueError, match="JSON compliant"):
        run.write_json(run.summary, {"a": float("nan")})
    run.summary.write_text("{")
    for path in (run.summary, run.manifest):
        with pytest.raises(
            DataError, match=rf"{path.name}: cannot be read .*; is {tmp_path} a finished run\?"
        ):
            run.read_json(path)


@pytest.mark.parametrize("name", ["journal.sqlite", "run.json"])
def test_a_run_has_begun_where_there_is_a_journal_or_a_manifest(tmp_path, name):
    run = RunDirectory(tmp_path)
    assert not run.holds_run
    (tmp_path / name).touch()
    assert run.holds_run


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path, monkeypatch, error):
    monkeypatch.chdir(tmp_path)
    run = RunDirectory(Path("runs") / "one").make()
    assert run.made
    with pytest.raises(error), run.kept_if_begun(), run.held():
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_or_in_which_a_run_has_begun_or_others_lie_beside_stays(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    there = RunDirectory(Path("there"))
    there.path.mkdir()
    begun, beside = RunDirectory(Path("begun")).make(), RunDirectory(Path("runs") / "one").make()
    (tmp_path / "runs" / "two").mkdir()
    begun.manifest.touch()
    for run in (there.make(), begun, beside):
        with pytest.raises(ValueError, match="no"), run.kept_if_begun():
            raise ValueError("no")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "runs", "there"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["two"]
    with begun.kept_if_begun():
        pass


def test_of_a_run_that_could_not_be_made_manifest_and_journal_are_taken_away(tmp_path):
    run = RunDirectory(tmp_path)
    for name in ("run.json", "journal.sqlite", "journal.sqlite-wal", "summary.json"):
        (tmp_path / name).touch()
    run.remove_begun()
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    run.remove_begun()


def test_whoever_asks_is_told_whether_a_process_holds_it_and_takes_nothing(tmp_path):
    run = RunDirectory(tmp_path)
    assert not run.is_held
    with run.held():
        assert run.is_held and run.is_held
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
        with (
            pytest.raises(UsageError, match=f"{tmp_path}: somebody studies {tmp_path}"),
            run.held("somebody studies {}"),
        ):
            raise AssertionError
    assert not run.is_held
    with run.held():
        pass


def test_who_only_looks_whether_it_is_held_keeps_nobody_from_it(tmp_path, monkeypatch):
    (tmp_path / "lock").touch(0o600)
    with (tmp_path / "lock").open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr(time, "sleep", lambda _s: looking.close())
        with RunDirectory(tmp_path).held():
            assert RunDirectory(tmp_path).is_held


def test_a_folder_that_is_not_ours_to_write_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"gone: cannot be written .*; choose another --out"):
        RunDirectory(tmp_path / "gone").held().__enter__()


def test_names_are_numbered_from_one_on_with_three_digits(tmp_path):
    (tmp_path / "a-001").mkdir()
    assert next_free(tmp_path, "a").name == "a-002" and next_free(tmp_path, "b").name == "b-001"
