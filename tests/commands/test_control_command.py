"""Whom `ztb status` and its like ask: the daemon that is there."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from telemetry.made_up import WORDS, snapshot
from ztb.commands import control
from ztb.commands.control import ask, find_run
from ztb.control import SOCKET_NAME, Answer, Status, short_address
from ztb.errors import UsageError, VenueError
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.snapshot import ComparisonFact, ProtectiveStopFact


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
    with pytest.raises(VenueError, match="no daemon runs below runs/; start one with `ztb run`"):
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
    with pytest.raises(VenueError, match="no daemon runs below"):
        find_run(None)


def test_where_nobody_is_that_is_said(place):
    with pytest.raises(VenueError, match="runs/gone: no daemon answers there"):
        ask(find_run(place / "gone"), Status())


def printed(capsys, monkeypatch, **changed: object) -> str:
    """What `ztb status` says of a daemon."""
    told = Answer(True, "trading", detail=msgspec.to_builtins(snapshot(**changed)))
    monkeypatch.setattr(control, "find_run", lambda run: run)
    monkeypatch.setattr(control, "ask", lambda run, command: told)
    assert control.status(Path("run"), as_json=False) == 0
    return " ".join(capsys.readouterr().out.split())


def test_status_says_what_capital_each_expert_has_and_what_speaks_for_it(capsys, monkeypatch):
    said = printed(capsys, monkeypatch)
    assert "expert trend has 12.50 % of the account, evidence 4.48 " in said
    assert "expert generation 3 has 25.00 % of the account, evidence 7.39, leads" in said
    assert "+22.60 against generation 0 at full size" in said
    waiting = WORDS.plain("waiting", "nothing has earned a share", 0)
    waits = printed(capsys, monkeypatch, conditions=(waiting,))
    assert "state waiting waiting: nothing has earned a share" in waits


@pytest.mark.parametrize(
    ("unlearnt", "words"),
    [((0.0, None, None), "learning made no difference so far"),
     ((0.01, None, None), "learning too early to say whether it helps: that needs 400 more decisions"),
     ((0.01, -0.01, 0.03), "learning may have made no difference: between −1.00 % and +3.00 % is due to it"),
     ((0.02, 0.01, 0.03), "learning helps: between +1.00 %"), ((-0.02, -0.03, -0.01), "learning hurts: between −3.00 %")],
)  # fmt: skip
def test_status_holds_the_account_against_itself_with_nothing_learnt(capsys, monkeypatch, unlearnt, words):
    better = ComparisonFact("frozen", 0.5, 0.4, 0.6)  # the allocator's small size, no merit of learning
    assert words in printed(
        capsys,
        monkeypatch,
        helping=(ComparisonFact("unlearnt", *unlearnt, missing="400 more decisions"), better),
    )


def test_status_without_experts_holds_it_against_generation_0(capsys, monkeypatch):
    said = printed(capsys, monkeypatch, experts=(), helping=(ComparisonFact("frozen", 0.5, 0.4, 0.6),))
    assert "learning helps: between +40.00 %" in said and "against frozen" in said and "expert" not in said


@pytest.mark.parametrize(("mode", "where"), [("paper", "on paper"), ("live", "at the venue")])
def test_status_says_where_the_protective_stop_is(capsys, monkeypatch, mode, where):
    said = printed(capsys, monkeypatch, mode=mode, protective_stop=ProtectiveStopFact(0.5, 4_750.25))
    assert f"stop 0.5 BTC sold {where} below 4,750.25" in said
    assert "stop 0.5" not in printed(capsys, monkeypatch, mode=mode)
