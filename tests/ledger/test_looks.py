"""Looks are counted once each, over everything that lies beside each other, whatever dies while it writes."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path

import pytest

from ztb.errors import DataError
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
