"""While a daemon runs, the interpreter's own habits do not hold its loop up; afterwards all is as before."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest

from ztb.commands import run as command
from ztb.commands.run import RunOptions, run_daemon
from ztb.runtime.daemon.daemon import Daemon
from ztb.runtime.daemon.gc_tuning import gc_tuning


class Node:
    """May refer to itself."""

    def __init__(self) -> None:
        self.me = self


def test_what_was_made_before_is_not_searched_for_garbage_and_what_is_made_since_is():
    old = Node()
    before, since = weakref.ref(old), None
    with gc_tuning():
        assert all(thing is not old for thing in gc.get_objects())
        del old
        since = weakref.ref(Node())
        gc.collect()
        assert before() is not None
        assert since() is None
    gc.collect()
    assert before() is None


def test_threads_let_go_of_the_interpreter_sooner_and_it_is_as_before_whatever_happens():
    before = sys.getswitchinterval()
    with pytest.raises(ZeroDivisionError), gc_tuning():
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        raise ZeroDivisionError
    assert sys.getswitchinterval() == before
    assert gc.get_freeze_count() == 0


def test_a_daemon_runs_undisturbed(tmp_path, monkeypatch):
    seen: list[bool] = []

    async def run(self: Daemon) -> dict[str, object]:
        seen.append(gc.get_freeze_count() > 0)
        self.session.abandon("stopped", 0)
        return {}

    monkeypatch.setattr(Daemon, "run", run)
    monkeypatch.setattr(command, "configure_logging", lambda *_, **__: None)
    options = RunOptions(
        "replay", (), None, {"online.learner": "off"}, 0, tmp_path / "run", "t", "max", None, None, as_json=True
    )  # fmt: skip
    assert run_daemon(options) == 0
    assert seen == [True]
