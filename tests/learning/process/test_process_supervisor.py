"""Who looks after the learner: restarts with growing pauses, what hangs is killed, what is dropped is counted."""

from __future__ import annotations

import pytest

from learning.process_support import EVERY, SETTINGS, WEIGHTS, completed, nothing_left
from ztb.learning.process import supervisor
from ztb.learning.process.channel import Doing
from ztb.learning.process.settings import Care
from ztb.learning.process.supervisor import LearnerProcess
from ztb.learning.process.worker import first_state

CARE = Care(
    hang_timeout_s=10.0, start_timeout_s=100.0, compile_timeout_s=400.0, backoff_first_s=1.0, backoff_most_s=5.0
)  # fmt: skip


class FakeChild:
    """A process in name only: the test says when it dies."""

    pid = 0
    refused = 0
    last: FakeChild

    def __init__(self, descriptor: int, wake: int, nice: int) -> None:
        if FakeChild.refused:
            FakeChild.refused -= 1
            raise OSError("no more processes")
        self.code: int | None = None
        self.killed = False
        FakeChild.last = self

    def poll(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self.killed = True

    def last_words(self) -> str:
        return "MemoryError"

    def release(self) -> None:
        pass


class FakeClock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(supervisor, "Child", FakeChild)
    return FakeClock()


@pytest.fixture
def process(clock):
    with nothing_left():
        made = LearnerProcess(SETTINGS, first_state(None, WEIGHTS), CARE, clock)
        yield made
        made.close()
        made.close()
        del made


def kinds(process: LearnerProcess) -> list[str]:
    return [event.kind for event in process.watch()]


def test_one_that_always_dies_is_restarted_after_pauses_that_double_up_to_the_longest(process, clock):
    for pause in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert kinds(process) == ["learner_started"] and kinds(process) == []
        FakeChild.last.code = -9
        (died,) = process.watch()
        assert died.kind == "learner_died"
        told = {"exit": -9, "said": "MemoryError", "doing": "starting", "restart_in_s": pause, "waiting": 0}
        assert died.detail == told
        clock.now += pause - 0.01
        assert kinds(process) == []
        clock.now += 0.01
    assert process.counts.deaths == process.counts.starts == 5


def test_one_that_cannot_even_be_started_is_tried_again(process, clock):
    FakeChild.refused = 2
    (event,) = process.watch()
    assert event.kind == "learner_not_started" and event.detail["why"] == "no more processes"
    clock.now += 1.0
    assert kinds(process) == ["learner_not_started"]
    clock.now += 2.0
    assert kinds(process) == ["learner_started"]


def test_one_that_shows_no_sign_of_life_is_killed_and_restarted(process, clock):
    process.watch().__next__()
    process._channel.ready = True
    for _ in range(5):
        clock.now += 9.0
        process._channel.beat()
        assert kinds(process) == []
    clock.now += 10.0
    assert kinds(process) == []
    clock.now += 0.1
    assert kinds(process) == ["learner_hung"] and FakeChild.last.killed
    clock.now += 1.0
    assert kinds(process) == ["learner_started"] and process.counts.hangs == 1


def test_one_that_is_starting_up_has_longer(process, clock):
    process.watch().__next__()
    clock.now += 99.0
    assert kinds(process) == []
    clock.now += 2.0
    assert kinds(process) == ["learner_hung"]


@pytest.mark.parametrize("ready", [False, True])
def test_one_that_compiles_is_not_hung_and_nothing_that_waits_for_it_is_lost(process, clock, ready):
    kinds(process)
    for number in range(EVERY):
        process.push(completed(number))
    process._channel.ready, process._channel.doing = ready, Doing.COMPILING
    clock.now += 399.0
    assert kinds(process) == [] and process.doing == "compiling"
    # A step of the compiler is a sign of life as any other.
    process._channel.beat()
    assert kinds(process) == []
    clock.now += 399.0
    assert kinds(process) == [] and process.waiting == EVERY
    # Done with that, it has the usual time again.
    process._channel.ready, process._channel.doing = True, Doing.LEARNING
    process._channel.beat()
    assert kinds(process) == [] and process.doing == "learning"
    clock.now += 10.1
    assert kinds(process) == ["learner_hung"]


def test_one_that_hangs_while_it_compiles_is_found_too_and_said_so(process, clock):
    kinds(process)
    process._channel.doing = Doing.COMPILING
    assert kinds(process) == []
    clock.now += 400.1
    (event,) = process.watch()
    assert event.kind == "learner_hung" and event.detail["doing"] == "compiling" and process.doing == ""
    clock.now += 1.0
    assert kinds(process) == ["learner_started"] and process.doing == "starting"


def test_what_finds_the_ring_full_is_dropped_and_said_once(process):
    capacity = SETTINGS.transitions()
    for number in range(capacity + 7):
        process.push(completed(number))
    assert process.waiting == capacity and process.counts.dropped == 7
    first, *_ = process.watch()
    assert (first.kind, first.detail) == ("transitions_dropped", {"decisions": [[capacity, capacity + 6]]})
    assert "transitions_dropped" not in kinds(process)


def test_transitions_survive_one_death_but_not_a_second_without_an_update_between(process, clock):
    for number in range(EVERY):
        process.push(completed(number))
    for waiting in (EVERY, 0):
        kinds(process)
        FakeChild.last.code = 1
        assert kinds(process) == ["learner_died"]
        assert process.waiting == waiting
        clock.now += 5.0
    assert process._channel.skipped_to == EVERY
    assert kinds(process) == ["transitions_dropped", "learner_started"]


def test_one_that_was_asked_to_stop_is_not_restarted(process):
    kinds(process)
    assert not process.ask_to_stop()
    FakeChild.last.code = 0
    assert process.ask_to_stop() and kinds(process) == []
    assert process._channel.stopping
