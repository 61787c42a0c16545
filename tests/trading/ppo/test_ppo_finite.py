"""One number that is not finite: nothing is learnt from it, nothing is kept of it, and it is said where it was."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from trading.ppo.test_ppo_update import CONTINUOUS, SHAPES, SHARED, moved, rollout_of
from trading.test_ppo_trainer import SMALL
from ztb.errors import NonFiniteError, ZtbError
from ztb.trading.ppo.adam import Adam
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.finite import check_rollout, unsound
from ztb.trading.ppo.losses import APPROX_KL
from ztb.trading.ppo.saving import BackgroundSaver
from ztb.trading.ppo.update import PPOUpdater
from ztb.trading.ppo_trainer import PPOTrainer
from ztb.utils import CheckpointManager

CONFIG = PPOConfig(minibatch_size=16, epochs=3, anneal_learning_rate=False)
BAD = [math.nan, math.inf, -math.inf]


def bits(state: Any) -> Any:
    """`state` with its arrays as bytes, to be compared."""
    if isinstance(state, dict):
        return {key: bits(value) for key, value in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state


def updater_of(shape: Any = SHARED) -> PPOUpdater:
    """One that has learnt already, so that it has moments."""
    made = PPOUpdater(shape, CONFIG, moved(shape, 1, 0.1), 7)
    made.update(rollout_of(shape, 2))
    return made


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["observations", "rewards", "logprobs", "values"])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_with_one_bad_number_leaves_everything_as_it_was_and_names_the_place(shape, name, bad):
    updater, rollout = updater_of(shape), rollout_of(shape, 3)
    before = bits(updater.state())
    array = getattr(rollout, name)
    array[5, 2] = bad
    with pytest.raises(NonFiniteError, match="of environment 2 at step 5") as error:
        updater.update(rollout)
    assert bits(updater.state()) == before
    assert (error.value.env, error.value.step, error.value.exit_code) == (2, 5, 3)
    assert error.value.given == (name in ("observations", "rewards"))
    # Learning goes on as if that update had never been asked for.
    updater.update(rollout_of(shape, 4))
    other = updater_of(shape)
    other.update(rollout_of(shape, 4))
    assert bits(updater.state()) == bits(other.state())


def test_a_bad_action_is_one_too():
    updater, rollout = updater_of(CONTINUOUS), rollout_of(CONTINUOUS, 3)
    rollout.actions[1, 3, 0] = math.nan
    with pytest.raises(NonFiniteError, match="action nan of environment 3 at step 1"):
        updater.update(rollout)


def test_what_is_masked_or_not_looked_at_may_be_anything():
    rollout = rollout_of(SHARED, 3)
    rollout.truncated[:-1] = False
    rollout.mask[4, 1] = False
    rollout.observations[4, 1] = rollout.rewards[4, 1] = math.nan
    rollout.next_values[:-1] = math.nan
    rollout.terminated[-1, 0], rollout.next_values[-1, 0] = True, math.inf
    check_rollout(rollout)
    updater_of().update(rollout)
    rollout.next_values[-1, 1], rollout.terminated[-1, 1] = math.nan, False
    with pytest.raises(NonFiniteError, match="value nan of environment 1 at step 15"):
        check_rollout(rollout)


def test_a_value_that_is_masked_and_bad_spoils_the_target_of_the_one_before_it():
    updater, rollout = updater_of(), rollout_of(SHARED, 3)
    before = bits(updater.state())
    rollout.truncated[:] = rollout.terminated[:] = False
    rollout.mask[4, 1], rollout.values[4, 1] = False, math.nan
    with pytest.raises(NonFiniteError, match="target"):
        updater.update(rollout)
    assert bits(updater.state()) == before


@pytest.mark.parametrize("at", [0, 5])
def test_a_gradient_that_is_not_finite_moves_nothing_not_even_what_moved_before_it(monkeypatch, at):
    """In the first minibatch of the update, and in its sixth."""
    updater = updater_of()
    before, calls = bits(updater.state()), [0]
    backward = updater.network.backward

    def spoilt(gradient: torch.Tensor, by_log_std: torch.Tensor) -> None:
        backward(gradient, by_log_std)
        if calls[0] == at:
            updater.network.gradients[11] = math.nan
        calls[0] += 1

    monkeypatch.setattr(updater.network, "backward", spoilt)
    with pytest.raises(NonFiniteError, match="gradient"):
        updater.update(rollout_of(SHARED, 3))
    assert calls[0] == at + 1 and bits(updater.state()) == before


@pytest.mark.parametrize("bad", BAD)
def test_adam_takes_no_step_against_a_gradient_that_is_not_finite(bad):
    parameters = torch.ones(6)
    adam = Adam(parameters, 1e-5)
    adam.step(torch.ones(6), 1e-3)
    before, kept = bits(adam.state()), parameters.clone()
    gradients = torch.ones(6)
    gradients[2] = bad
    with pytest.raises(NonFiniteError):
        adam.step(gradients, 1e-3, limit=0.5)
    assert bits(adam.state()) == before and torch.equal(parameters, kept)


@pytest.mark.parametrize("limit", [None, 0.01])
def test_a_loss_that_is_not_finite_though_its_gradient_is_drops_the_update(monkeypatch, limit):
    """Also where it would have stopped the update: an infinite divergence is no sign that the rest was good."""
    updater = updater_of()
    updater.reconfigure(replace(CONFIG, target_kl=limit))
    before, loss, calls = bits(updater.state()), updater._loss, [0]

    def spoilt(*arguments: Any, **named: Any) -> Any:
        gradient, figures, by_log_std = loss(*arguments, **named)
        calls[0] += 1
        figures[APPROX_KL] = math.inf if calls[0] == 3 else 0.0
        return gradient, figures, by_log_std

    monkeypatch.setattr(updater, "_loss", spoilt)
    with pytest.raises(NonFiniteError, match="loss"):
        updater.update(rollout_of(SHARED, 3))
    assert calls[0] == (12 if limit is None else 3) and bits(updater.state()) == before


@pytest.mark.parametrize("part", ["weights", "moments"])
def test_a_state_that_is_bad_is_found_before_anything_is_learnt_with_it(part):
    updater = updater_of()
    if part == "weights":
        updater.network.parameters[3] = math.nan
    else:
        updater._optimizer._square[3] = math.inf
    with pytest.raises(NonFiniteError) as error:
        updater.update(rollout_of(SHARED, 3))
    assert error.value.what == part and not error.value.given


@pytest.mark.parametrize(("part", "name"), [("weights", "trunk.0.bias"), ("adam", "mean")])
def test_a_state_that_is_bad_is_not_taken_over(part, name):
    updater = updater_of()
    before, state = bits(updater.state()), updater_of().state()
    state[part][name][0] = math.nan
    with pytest.raises(NonFiniteError, match=f"{name} is not finite"):
        updater.load_state(state)
    assert bits(updater.state()) == before


def test_what_is_unsound_is_named_by_its_place():
    state = {"a": [1.0, {"b": np.zeros(3)}], "c": "nan", "d": None, "e": np.arange(3)}
    assert unsound(state) == ""
    state["a"][1]["b"][2] = math.inf  # type: ignore[index]
    assert unsound(state) == "a[1].b"
    assert unsound({"x": {"y": math.nan}}) == "x.y"


class Spoilt(gym.Env[np.ndarray, int]):
    """Ten steps an episode; at the `at`-th step that it ever takes, counted from 0, it gives `bad`."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = gym.spaces.Discrete(3, start=-1)

    def __init__(self, what: str = "", at: int = -1, bad: float = math.nan) -> None:
        self.what, self.at, self.bad = what, at, bad
        self.taken = 0
        self.t = 0

    def seen(self) -> np.ndarray:
        return np.random.default_rng(self.taken).standard_normal(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.t = 0
        observation = self.seen()
        observation[1] = self.bad if self.what == "reset" else observation[1]
        return observation, {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        hit = self.taken == self.at
        self.taken += 1
        self.t += 1
        observation, reward = self.seen(), float(action)
        if hit and self.what == "observation":
            observation[1] = self.bad
        if hit and self.what == "reward":
            reward = self.bad
        return observation, reward, False, self.t >= 10, {}


def vector_of(mode: gym.vector.AutoresetMode, *envs: Spoilt) -> gym.vector.SyncVectorEnv:
    return gym.vector.SyncVectorEnv([lambda env=env: env for env in envs], autoreset_mode=mode)


MODES = list(gym.vector.AutoresetMode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad", [*BAD, 1e39])
@pytest.mark.parametrize("what", ["observation", "reward"])
def test_training_stops_at_the_environment_and_step_and_keeps_the_last_good_state(tmp_path, mode, bad, what):
    """Also at a number too large for float32, in which all is learnt."""
    spoilt = Spoilt(what, at=104, bad=bad)
    envs = vector_of(mode, Spoilt(), spoilt, Spoilt())
    heard: list[Any] = []
    with CheckpointManager(tmp_path) as manager:
        trainer = PPOTrainer(envs, SMALL, seed=1, checkpoints=manager, checkpoint_interval=2)
        with pytest.raises(NonFiniteError, match=f"environment 1: its {what}") as error:
            trainer.train(100_000, on_update=heard.append)
        saved = manager.list("ppo")
        assert all(unsound(manager.load("ppo", each.number)["updater"]) == "" for each in saved)
        last, state = manager.load("ppo"), trainer.state()
        # With an environment that was mended it goes on.
        spoilt.what = ""
        trainer.train(trainer.steps + 2 * 96)
    # 104 steps of ten to an episode; where a reset takes a step, ten of those came in between.
    step = 104 + (10 if mode is gym.vector.AutoresetMode.NEXT_STEP else 0)
    assert (error.value.env, error.value.step) == (1, step)
    assert f"step {step} " in str(error.value) and error.value.exit_code == 3
    assert len(heard) == last["updates"] == state["updates"] == step // SMALL.num_steps
    assert bits(last["updater"]) == bits(state["updater"]) and last["environment"] is None
    assert trainer.updates == last["updates"] + 2


def test_an_environment_that_begins_with_what_is_not_finite_is_named():
    with pytest.raises(NonFiniteError, match=r"environment 1: its observation\[1\] after a reset"):
        PPOTrainer(vector_of(MODES[0], Spoilt(), Spoilt("reset")), SMALL, seed=1)


def test_no_state_that_is_not_finite_gets_through_to_a_checkpoint(tmp_path, monkeypatch):
    saved: list[object] = []
    monkeypatch.setattr(BackgroundSaver, "save", lambda _self, save: saved.append(save))
    with CheckpointManager(tmp_path) as manager:
        trainer = PPOTrainer(Spoilt(), SMALL, seed=1, checkpoints=manager, checkpoint_interval=1)
        state = trainer.state()
        state["updater"]["weights"]["trunk.0.bias"][0] = math.nan
        monkeypatch.setattr(PPOTrainer, "state", lambda _self: state)
        with pytest.raises(ZtbError, match=r"weights\.trunk\.0\.bias is not finite"):
            trainer.train(10_000)
    assert saved == []
