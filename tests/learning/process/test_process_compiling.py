"""A learner that compiles says so, and lives, while it does."""

from __future__ import annotations

import os
from collections import defaultdict

import numba
import pytest
from numba.core import event

from learning.process_support import SETTINGS, WEIGHTS
from ztb.learning.process import channel as channels
from ztb.learning.process.channel import Doing, SharedChannel
from ztb.learning.process.worker import Compiling, LearnerWorker, first_state
from ztb.utils.kernel import COMPILED


@pytest.fixture
def channel():
    memory = channels.create(SETTINGS)
    yield SharedChannel(memory)
    os.close(memory)


@pytest.fixture
def listening(channel, monkeypatch):
    """The channel of a learner that is made, but does not run, until the end of the test."""
    monkeypatch.setattr(event, "_registered", defaultdict(list))
    channel.states.publish(first_state(None, WEIGHTS))
    LearnerWorker(channel, -1, os.getppid())
    return channel


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_it_says_so_for_as_long_as_the_outermost_function_takes_and_beats_with_each_pass(
    listening, monkeypatch
):
    channel, seen, before = listening, [], listening.beats
    channel.doing = Doing.LEARNING
    beat = channel.beat
    monkeypatch.setattr(channel, "beat", lambda: (beat(), seen.append(channel.doing)))

    @numba.njit
    def inner(x: float) -> float:
        return x + 1.0

    @numba.njit
    def outer(x: float) -> float:
        return inner(x) * 2.0

    assert outer(1.0) == 4.0
    assert channel.doing is Doing.LEARNING
    # The first step comes before it says so, the last before it says that it is over.
    assert (
        seen[0] is Doing.LEARNING
        and set(seen[1:]) == {Doing.COMPILING}
        and channel.beats - before == len(seen) > 20
    )
    seen.clear()
    assert outer(2.0) == 6.0 and seen == []


def test_one_within_another_does_not_end_it(channel):
    channel.doing = Doing.RESTING
    compiling = Compiling(channel)
    compiling.began()
    compiling.began()
    compiling.ended()
    assert channel.doing is Doing.COMPILING
    compiling.ended()
    assert channel.doing is Doing.RESTING and channel.beats == 4
