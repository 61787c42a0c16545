"""Looks are counted once each, over everything that lies beside each other, whatever dies while it writes."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest

from ztb.errors import DataError, ResourceError
from ztb.ledger.looks import Look, Looks, by_kind, said


def look(key: str, first: int = 0, last: int = 10, data: str = "d") -> Look:
    return Look(data, first, last, "replay", key, "runs/x")


def test_the_same_key_is_the_same_look(tmp_path):
    looks = Looks(tmp_path / "looks.jsonl")
    looks.add([look("a"), look("b"), look("a")])
    looks.add([look("b"), look("c")])
    assert [one.key for one in looks.all()] == ["a", "b", "c"]
    assert by_kind(looks.all()) == {"replay": 3} and said(looks.all()) == "3 looks (3 by replay)"


def test_only_looks_that_saw_something_of_the_span_count(tmp_path):
    looks = Looks(tmp_path / "looks.jsonl")
    looks.add([look("before", 0, 10), look("in", 12, 15), look("over", 0, 90), look("after", 20, 30)])
    looks.add([look("other", 12, 15, data="e")])
    assert {one.key for one in looks.at("d", 10, 20)} == {"in", "over"}


def test_a_torn_line_costs_that_look_alone(tmp_path):
    looks = Looks(tmp_path / "looks.jsonl")
    looks.add([look("a")])
    with looks.path.open("a") as file:
        file.write('{"data": "d", "fir')
    looks.add([look("b")])
    assert [one.key for one in looks.all()] == ["a", "b"]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "looks.jsonl").mkdir()
    with pytest.raises(DataError, match=r"looks.jsonl: looks cannot be counted"):
        Looks(tmp_path / "looks.jsonl").add([look("a")])


def test_they_lie_in_the_working_folder_or_beside_a_run_elsewhere(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    monkeypatch.chdir(here)
    assert Looks.beside(Path("runs/one")).path == here / "looks.jsonl"
    assert Looks.beside(Path("studies/deep/er")).path == here / "looks.jsonl"
    assert Looks.beside(Path(tempfile.gettempdir()) / "run").path == here / "looks.jsonl"
    assert Looks.beside(there / "run").path == there / "looks.jsonl"


def _add(path: str, first: int) -> None:
    for number in range(first, first + 40):
        Looks(Path(path)).add([look(str(number))])


def test_two_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    path = str(tmp_path / "looks.jsonl")
    both = [context.Process(target=_add, args=(path, first)) for first in (0, 20)]
    for one in both:
        one.start()
    for one in both:
        one.join()
        assert one.exitcode == 0
    assert sorted(int(one.key) for one in Looks(Path(path)).all()) == list(range(60))
    assert len((tmp_path / "looks.jsonl").read_text().splitlines()) == 60


def test_the_count_is_said_in_words_and_by_what():
    def of(kind: str, times: int) -> list[Look]:
        return [Look("d", 0, 1, kind, f"{kind}{n}", "r") for n in range(times)]  # type: ignore[arg-type]

    assert said([]) == "none counted"
    assert said(of("train", 1)) == "1 look (1 by train)"
    assert said(of("study", 1500) + of("replay", 2)) == "1,502 looks (2 by replay, 1,500 by study)"
    assert by_kind(of("study", 3) + of("train", 1)) == {"study": 3, "train": 1}


def test_before_the_first_look_there_is_none_and_lines_that_are_no_looks_are_left_out(tmp_path):
    looks = Looks(tmp_path / "looks.jsonl")
    assert looks.all() == [] == looks.at("d", 0, 100)
    looks.path.write_bytes(b'{"data": "d"}\n[1]\n\xff\xfe\n')
    looks.add([look("a")])
    assert looks.all() == [look("a")] and looks.path.read_bytes().endswith(b"}\n")


def test_a_look_that_only_touches_a_span_saw_nothing_of_it(tmp_path):
    looks = Looks(tmp_path / "looks.jsonl")
    looks.add(
        [look("till", 0, 10), look("from", 20, 30), look("a little", 9, 11), look("at the end", 19, 25)]
    )
    assert [one.key for one in looks.at("d", 10, 20)] == ["a little", "at the end"]


def test_who_counts_holds_the_file_from_before_it_reads_so_that_no_look_is_counted_twice(tmp_path):
    class Watched(Looks):
        held = 0

        def all(self) -> list[Look]:
            with self.path.open("rb") as other, pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
            Watched.held += 1
            return super().all()

    Watched(tmp_path / "looks.jsonl").add([look("a")])
    assert Watched.held == 1 and len(Looks(tmp_path / "looks.jsonl").all()) == 1


def test_a_full_disk_is_said_to_be_one(tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match=r"looks.jsonl: the disk is full: make room"):
        Looks(tmp_path / "looks.jsonl").add([look("a")])
