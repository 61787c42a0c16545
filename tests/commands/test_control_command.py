"""Whom `ztb status` and its like ask: the daemon that is there."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ztb.commands.control import ask, find_run
from ztb.control import SOCKET_NAME, Status, short_address
from ztb.errors import UsageError, VenueError
from ztb.ledger.run_directory import RunDirectory


@contextlib.contextmanager
def listening(run: Path) -> Iterator[None]:
    """A daemon's socket; it stays there, unheard, when the daemon is gone."""
    run.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as door, short_address(run / SOCKET_NAME) as address:
        door.bind(address)
        door.listen()
        yield


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("runs")


def test_the_only_one_that_runs_is_asked_though_a_dead_one_left_its_socket(place):
    with listening(place / "dead"):
        pass
    with listening(place / "alive"):
        assert find_run(None) == place / "alive"


def test_several_or_none_are_told_apart(place):
    with pytest.raises(UsageError, match="no daemon runs below runs/; start one with `ztb run`"):
        find_run(None)
    with listening(place / "a"), listening(place / "b"):
        with pytest.raises(
            UsageError, match=r"say which daemon with --run DIR; below runs/ there are runs/a, runs/b"
        ):
            find_run(None)
        assert find_run(place / "b") == place / "b"


def test_the_start_that_runs_is_found_in_the_place_of_all_starts(place):
    with listening(place / "replay"):
        pass
    with listening(place / "replay" / "run-002"):
        assert find_run(place / "replay") == place / "replay" / "run-002"


def test_one_that_starts_is_found_and_said_to_start(place):
    with RunDirectory(place / "paper-ztb").make().held():
        with pytest.raises(VenueError, match="runs/paper-ztb: the daemon there is starting or stopping"):
            ask(find_run(None), Status())
    with pytest.raises(UsageError, match="no daemon runs below"):
        find_run(None)


def test_where_nobody_is_that_is_said(place):
    with pytest.raises(VenueError, match="runs/gone: no daemon answers there"):
        ask(find_run(place / "gone"), Status())
