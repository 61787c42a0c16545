"""Training on history goes on bit for bit from its state, and from nothing less than all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learning.test_pretrain import SETTINGS, trending
from trading.markets import SPOT
from ztb.learning.pretrain import begin_training
from ztb.learning.training import Training
from ztb.trading.policy.weights import weights_sha256
from ztb.utils import CheckpointManager

TICKS = trending(400)
TINY = replace(SETTINGS, ppo=replace(SETTINGS.ppo, num_envs=4, num_steps=16, minibatch_size=32))


def begin(seed: int = 3, **changes: Any) -> Training:
    return begin_training(TICKS, SPOT, replace(TINY, **changes), seed)[0]


def run(training: Training) -> Training:
    while not training.over:
        training.update()
    return training


def end(training: Training) -> tuple[str, str, Any]:
    """What came of it, to be compared."""
    best = training.best
    return weights_sha256(training.updater.weights()), weights_sha256(best.weights), training.curve


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], tuple[str, str, Any]]:
    """A state after 3 of 6 updates, read back from disk; and what comes of going on without a break."""
    training = begin()
    for _ in range(3):
        training.update()
    with CheckpointManager(tmp_path_factory.mktemp("states")) as manager:
        manager.save(training.state(), "training")
        state = manager.load("training")
    return state, end(run(training))


def test_a_resumed_training_ends_with_the_same_bits(halfway):
    state, expected = halfway
    training = begin()
    training.load_state(state)
    assert end(run(training)) == expected


@pytest.mark.parametrize(
    "place",
    [("updater", "weights"), ("updater", "adam"), ("updater", "generator"), ("collector", "generator"),
     ("collector", "simulation"), ("curve",)],
)  # fmt: skip
def test_leaving_any_part_out_changes_the_end(halfway, place):
    state, expected = halfway
    fresh: Any = begin().state()
    *outer, last = place
    changed = {key: dict(value) if isinstance(value, dict) else value for key, value in state.items()}
    inner = changed
    for key in outer:
        inner, fresh = inner[key], fresh[key]
    inner[last] = fresh[last]
    training = begin()
    training.load_state(changed)
    assert end(run(training)) != expected


def test_the_best_so_far_is_kept_over_a_break(halfway):
    state, _ = halfway
    training = begin()
    training.load_state({**state, "best": {**state["best"], "validation": 1.0}})
    run(training)
    assert training.best.update == state["best"]["update"] and training.best.validation == 1.0
    assert weights_sha256(training.best.weights) == weights_sha256(state["best"]["weights"])


def test_too_many_looks_without_a_gain_end_it_early():
    training = begin(updates=40, patience=2, validate_every=1, ppo=replace(TINY.ppo, learning_rate=0.0))
    run(training)
    assert training.stale and training.updates == training.best.update + 2 < 40


def test_the_held_out_part_begins_at_the_moment_asked_for():
    moment = int(TICKS["ts_ns"][300])
    _, (trained_on, held_out), _ = begin_training(TICKS, SPOT, replace(TINY, validation_from_ns=moment), 0)
    assert int(trained_on.shared.times_ns[-1]) < moment == int(held_out.shared.times_ns[0])
    assert np.isfinite(held_out.shared.features).all()
