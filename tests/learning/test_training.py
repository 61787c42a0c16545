"""Training on history goes on bit for bit from its state, and from nothing less than all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learning.test_pretrain import SETTINGS, trending
from trading.markets import SPOT
from ztb.errors import NonFiniteError, StrategyError
from ztb.learning.holdout import HoldoutScore
from ztb.learning.pretrain import begin_training
from ztb.learning.training import Training
from ztb.trading.policy.weights import weights_sha256
from ztb.trading.ppo.finite import unsound
from ztb.trading.strategy import checked_reward
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


def test_a_figure_that_does_not_exist_is_none_in_the_state_and_comes_back_as_it_was():
    training = begin()
    assert training.state()["best"]["validation"] is None
    training.update()
    point = training.curve[0]
    training.curve[0] = replace(point, stats=replace(point.stats, explained_variance=float("nan")))
    state = training.state()
    assert state["curve"][0]["stats"]["explained_variance"] is None
    assert unsound([state["best"], state["curve"], state["updater"]]) == ""
    other = begin()
    other.load_state(state)
    assert other.best.validation == -np.inf and np.isnan(other.curve[0].stats.explained_variance)


def spoil(training: Training, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Environment 2 gives what is not finite at step 5 of the third rollout."""
    environments = training._loop.collector.environments
    step, count = environments._luck.step, [0]

    def spoilt(actions: Any) -> Any:
        luck = step(actions)
        count[0] += 1
        if count[0] == 2 * 16 + 6 - (what == "observations"):
            getattr(environments.simulation.outcome, what)[2] = np.nan
        return luck

    monkeypatch.setattr(environments._luck, "step", spoilt)


@pytest.mark.parametrize("what", ["rewards", "observations"])
def test_what_is_not_finite_ends_it_with_environment_and_step_and_the_state_of_the_update_before(
    monkeypatch, what
):
    training = begin()
    spoil(training, monkeypatch, what)
    training.update(), training.update()
    weights = weights_sha256(training.updater.weights())
    with pytest.raises(
        NonFiniteError, match=f"{what[:-1]} nan of environment 2 at step 5, of update 3"
    ) as error:
        training.update()
    assert "step 37 of the training" in str(error.value) and error.value.exit_code == 3
    assert training.updates == 2 and weights_sha256(training.updater.weights()) == weights
    assert unsound(training.state()["updater"]) == ""


def test_an_own_reward_that_is_not_finite_is_its_authors_to_mend_and_named_with_its_file():
    def reward(before: Any, after: Any) -> Any:
        return np.log(after / before) / np.abs(np.sign(after - before))

    training = begin(own_reward=checked_reward(reward))
    line = reward.__code__.co_firstlineno
    said = rf"not finite at decision \d+ \({__file__}:{line}\): reward\(([\d.]+), \1\) is nan"
    with pytest.raises(StrategyError, match=said) as error:
        run(training)
    assert error.value.exit_code == 78


def test_a_held_out_part_without_a_figure_ends_it_too(monkeypatch):
    training = begin()
    monkeypatch.setattr(training._examination, "policy", lambda _policy: HoldoutScore(0.0, np.nan))
    with pytest.raises(NonFiniteError, match="held-out part is nan at update 2"):
        run(training)


def test_the_best_is_chosen_by_what_it_earned_less_its_luck(monkeypatch):
    looks = iter([HoldoutScore(1.0, 0.1), HoldoutScore(2.0, 0.3), HoldoutScore(9.0, 0.2)])
    training = begin(validate_every=2)
    monkeypatch.setattr(training._examination, "policy", lambda _policy: next(looks))
    run(training)
    assert (training.best.update, training.best.reward, training.best.validation) == (4, 2.0, 0.3)
