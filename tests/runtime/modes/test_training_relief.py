"""A training that runs short of memory learns in smaller minibatches, waits, or leaves with everything saved."""

from __future__ import annotations

import pytest

from learning.test_training import begin
from ztb.errors import ResourceError
from ztb.learning.training import Training
from ztb.runtime.modes.train import TrainingRelief


def relief(training: Training, *shares: float) -> tuple[TrainingRelief, list[float]]:
    """A relief that finds these shares of 1 GB in use, the last one for ever; and the seconds it slept."""
    slept: list[float] = []
    left = list(shares)
    made = TrainingRelief(
        training, 1.0, slept.append, lambda: int((left.pop(0) if len(left) > 1 else left[0]) * 1e9)
    )
    return made, slept


def test_minibatches_are_halved_and_stay_so_over_a_resume():
    training, saves = begin(), []
    training.update()
    made, slept = relief(training, 0.81, 0.84)
    made(lambda: saves.append(1)), made(lambda: saves.append(1))
    assert training.updater.config.minibatch_size == 8 and not saves and not slept
    assert [(event["kind"], event["update"]) for event in made.events] == [("memory_shrink", 1)] * 2
    other = begin()
    again, _ = relief(other, 0.1)
    again.load_state(made.state())
    assert other.updater.config.minibatch_size == 8 and again.events == made.events


def test_it_saves_and_waits_until_there_is_room():
    training, saves = begin(), []
    made, slept = relief(training, 0.91, 0.91, 0.91, 0.5)
    made(lambda: saves.append(1))
    assert len(saves) == 1 and len(slept) == 3
    assert [event["kind"] for event in made.events][-2:] == ["memory_pause", "memory_resume"]


def test_it_waits_for_a_minute_at_the_most():
    saves: list[int] = []
    made, slept = relief(begin(), 0.92)
    with pytest.raises(ResourceError, match="for a minute"):
        made(lambda: saves.append(1))
    assert sum(slept) == 60 and len(saves) == 2


def test_it_leaves_at_once_where_there_is_none():
    saves: list[int] = []
    made, slept = relief(begin(), 0.96)
    with pytest.raises(ResourceError, match="ended cleanly"):
        made(lambda: saves.append(1))
    assert saves == [1] and not slept
