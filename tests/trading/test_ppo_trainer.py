"""The trainer: what predict gives, exact resume, checkpoints while training, what it shows."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from rich.console import Console

from ztb.errors import ConfigError
from ztb.trading.policy.serving import ServingPolicy
from ztb.trading.policy.weights import weights_sha256
from ztb.trading.ppo.environment_state import environment_state, load_environment_state
from ztb.trading.ppo.saving import checkpoint_interval
from ztb.trading.ppo_trainer import PPOConfig, PPOTrainer, TrainingProgress
from ztb.utils import CheckpointManager

SMALL = PPOConfig(
    num_envs=4, num_steps=32, minibatch_size=32, epochs=2, hidden=(16,), normalize_observations=True
)


def digest(trainer: PPOTrainer) -> str:
    return weights_sha256(trainer.weights())


class Continuous(gym.Env[np.ndarray, np.ndarray]):
    """An environment that keeps its state where it cannot be read."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2, 2))
    action_space = gym.spaces.Box(-1.0, 1.0, (1,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        self.hidden = iter(range(20))
        return np.zeros((2, 2), np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        over = next(self.hidden, None) is None
        return self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32), float(action[0]), over, False, {}


class OwnState(Continuous):
    """The same, but it offers to save it."""

    def state(self) -> dict[str, Any]:
        left = list(self.hidden)
        self.hidden = iter(left)
        return {"left": left, "generator": self.np_random.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        self.hidden = iter(state["left"])
        self.np_random.bit_generator.state = state["generator"]


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", OwnState])
def test_a_resumed_training_ends_with_the_same_bits(env: Any) -> None:
    total = 6 * 128
    straight = PPOTrainer(env, SMALL, seed=3)
    straight.train(total)
    first = PPOTrainer(env, SMALL, seed=3)
    first.train(total, on_update=lambda progress: progress.updates < 3)
    assert first.updates == 3
    state = first.state()
    first.train(total)
    assert digest(first) == digest(straight)
    resumed = PPOTrainer(env, SMALL, seed=99)
    resumed.load_state(state)
    resumed.train(total)
    assert digest(resumed) == digest(straight)
    assert resumed.state()["episodes"] is not None
    assert list(resumed._environments.episodes.returns) == list(straight._environments.episodes.returns)


def test_each_part_of_the_state_matters() -> None:
    total = 8 * 128
    first = PPOTrainer("CartPole-v1", SMALL, seed=3)
    first.train(total, on_update=lambda progress: progress.updates < 4)
    state = first.state()
    first.train(total)
    other = PPOTrainer("CartPole-v1", SMALL, seed=99).state()
    parts = ["updater", "normalizer", "generators", "observations", "environment", "steps"]
    for part in parts:
        resumed = PPOTrainer("CartPole-v1", SMALL, seed=3)
        resumed.load_state({**state, part: other[part]})
        resumed.train(total)
        assert digest(resumed) != digest(first), part


def test_an_environment_that_cannot_be_saved_starts_new_episodes() -> None:
    trainer = PPOTrainer(Continuous, SMALL, seed=1)
    trainer.train(256)
    state = trainer.state()
    assert state["environment"] is None
    digests = set()
    for _ in range(2):
        resumed = PPOTrainer(Continuous, SMALL, seed=2)
        resumed.load_state(state)
        resumed.train(512)
        digests.add(digest(resumed))
    assert len(digests) == 1


def test_the_state_of_an_environment_is_restored_through_its_wrappers() -> None:
    env = gym.wrappers.RecordEpisodeStatistics(gym.make("CartPole-v1"))
    env.reset(seed=1)
    env.unwrapped.remembered = deque([1, (2, {"a": np.float64(3)})], maxlen=5)
    for step in range(5):
        env.step(step % 2)
    state = environment_state(env)
    assert state is not None
    first = [env.step(step % 2) for step in range(20)]
    other = gym.wrappers.RecordEpisodeStatistics(gym.make("CartPole-v1"))
    other.reset(seed=9)
    other.unwrapped.remembered = deque(maxlen=5)
    load_environment_state(other, state)
    assert other.unwrapped.remembered == deque([1, (2, {"a": 3.0})], maxlen=5)
    for left, right in zip(first, [other.step(step % 2) for step in range(20)], strict=True):
        np.testing.assert_array_equal(left[0], right[0])
        assert left[1:4] == right[1:4]


_KILLED = """
import os, signal, sys
from ztb.trading.ppo_trainer import PPOConfig, PPOTrainer
from ztb.utils import CheckpointManager
config = PPOConfig(num_envs=4, num_steps=32, minibatch_size=32, epochs=2, hidden=(16,), normalize_observations=True)
trainer = PPOTrainer("CartPole-v1", config, 3, checkpoints=CheckpointManager(sys.argv[1]), checkpoint_interval=1)
def watch(progress):
    if progress.updates == 5:
        os.kill(os.getpid(), signal.SIGKILL)
trainer.train(8 * 128, on_update=watch)
"""


def test_a_killed_training_resumed_from_its_checkpoint_ends_with_the_same_bits(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], env=environment)
    assert done.returncode == -signal.SIGKILL
    resumed = PPOTrainer("CartPole-v1", SMALL, seed=99)
    resumed.load_state(CheckpointManager(str(tmp_path)).load("ppo", as_numpy=True))
    assert resumed.updates >= 4
    resumed.train(8 * 128)
    straight = PPOTrainer("CartPole-v1", SMALL, seed=3)
    straight.train(8 * 128)
    assert digest(resumed) == digest(straight)


class Recording:
    """Stands in for a CheckpointManager; each save takes a turn of its loop."""

    def __init__(self, fails: bool = False) -> None:
        self.saved: list[tuple[str, int, str]] = []
        self.fails = fails

    async def save_async(self, model_state: dict[str, Any], name: str) -> None:
        before = weights_sha256(model_state["updater"]["weights"])
        await asyncio.sleep(0)
        if self.fails:
            raise OSError("no space left")
        after = weights_sha256(model_state["updater"]["weights"])
        self.saved.append((name, model_state["updates"], "same" if before == after else "changed"))


def test_checkpoints_are_saved_each_interval_of_states_that_do_not_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZTB_CHECKPOINT_INTERVAL", "3")
    checkpoints = Recording()
    PPOTrainer("CartPole-v1", SMALL, checkpoints=checkpoints, checkpoint_name="exp").train(7 * 128)
    assert checkpoints.saved == [("exp", 3, "same"), ("exp", 6, "same")]


def test_a_failing_save_is_not_swallowed() -> None:
    trainer = PPOTrainer("CartPole-v1", SMALL, checkpoints=Recording(fails=True), checkpoint_interval=1)
    with pytest.raises(OSError, match="no space left"):
        trainer.train(256)


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "often", ""])
def test_an_interval_that_is_no_number_of_updates_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="ZTB_CHECKPOINT_INTERVAL"):
        checkpoint_interval({"ZTB_CHECKPOINT_INTERVAL": text})
    assert checkpoint_interval({}) == 10


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", Continuous])
@pytest.mark.parametrize("deterministic", [True, False])
def test_predict_gives_what_step_takes(env: Any, deterministic: bool) -> None:
    trainer = PPOTrainer(env, SMALL)
    made = gym.make(env) if isinstance(env, str) else env()
    observation, _ = made.reset(seed=0)
    action = trainer.predict(observation, deterministic)
    assert made.action_space.contains(action)
    made.step(action)
    batch = trainer.predict(np.stack([observation] * 3), deterministic)
    assert trainer.envs.single_action_space.contains(batch[0])
    assert batch.shape == (3, *np.shape(action))


def test_prediction_leaves_training_alone_and_deterministic_repeats() -> None:
    trainers = [PPOTrainer("CartPole-v1", SMALL, seed=1) for _ in range(2)]
    seen = np.zeros(4, np.float32)
    assert len({int(trainers[0].predict(seen)) for _ in range(20)}) == 1
    assert len({int(trainers[0].predict(seen, deterministic=False)) for _ in range(50)}) == 2
    for trainer in trainers:
        trainer.train(256)
    assert digest(trainers[0]) == digest(trainers[1])


def test_what_was_trained_can_be_served() -> None:
    trainer = PPOTrainer("CartPole-v1", PPOConfig(num_envs=2, hidden=(16,)), seed=1)
    trainer.train(512)
    policy = ServingPolicy(trainer.shape, trainer.weights())
    for seed in range(50):
        seen = np.random.default_rng(seed).standard_normal(4).astype(np.float32)
        assert policy.decide(seen, np.zeros(1), deterministic=True).actions == (int(trainer.predict(seen)),)


def test_seeds_repeat_and_differ() -> None:
    digests = []
    for seed in (1, 1, 2):
        trainer = PPOTrainer("CartPole-v1", SMALL, seed=seed)
        trainer.train(256)
        digests.append(digest(trainer))
    assert digests[0] == digests[1] != digests[2]


def test_training_counts_over_calls_and_stops_where_it_is_told() -> None:
    trainer = PPOTrainer("CartPole-v1", SMALL)
    seen: list[TrainingProgress] = []
    trainer.train(256, on_update=seen.append)
    trainer.train(256, on_update=seen.append)
    assert [progress.steps for progress in seen] == [128, 256]
    trainer.train(300, on_update=seen.append)
    assert (trainer.steps, trainer.updates) == (300, 3)
    trainer.train(10_000, on_update=lambda progress: progress.updates < 5)
    assert (trainer.steps, trainer.updates) == (556, 5)


def test_one_environment_alone_takes_the_steps_of_all() -> None:
    with PPOTrainer(gym.make("CartPole-v1"), SMALL) as trainer:
        trainer.train(256)
        assert (trainer.steps, trainer.updates) == (256, 2)


def test_a_users_module_is_trained_and_predicts() -> None:
    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Linear(4, 8)
            self.head = torch.nn.Linear(8, 3)

        def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            outputs = self.head(torch.relu(self.body(observations)))
            return outputs[:, :2], outputs[:, 2]

    torch.manual_seed(0)
    trainer = PPOTrainer("CartPole-v1", SMALL, module=Module())
    before = digest(trainer)
    trainer.train(256)
    assert digest(trainer) != before
    assert int(trainer.predict(np.zeros(4, np.float32))) in (0, 1)


def test_a_terminal_gets_a_bar_with_speed_time_left_and_losses() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=160)
    PPOTrainer("CartPole-v1", SMALL, console=console).train(256)
    shown = screen.getvalue()
    assert all(
        part in shown
        for part in ("100%", "256/256 steps", "/s,", "0:00:0", "policy", "value", "entropy", "return")
    )


def test_a_pipe_gets_nothing() -> None:
    pipe = io.StringIO()
    PPOTrainer("CartPole-v1", SMALL, console=Console(file=pipe)).train(256)
    assert pipe.getvalue() == ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_scalars_under_the_names_of_stable_baselines3(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    heard: list[TrainingProgress] = []
    PPOTrainer("CartPole-v1", SMALL, tensorboard=tmp_path).train(256, heard.append)
    written = EventAccumulator(str(tmp_path)).Reload()
    train = (
        "approx_kl",
        "clip_fraction",
        "clip_range",
        "entropy_loss",
        "explained_variance",
        "learning_rate",
    )
    losses = ("loss", "policy_gradient_loss", "value_loss")
    ours = ("churn", "dormant")
    names = {f"train/{name}" for name in train + losses + ours}
    names |= {"rollout/ep_rew_mean", "rollout/ep_len_mean", "time/fps", "time/total_timesteps"}
    assert set(written.Tags()["scalars"]) == names
    last = {name: written.Scalars(name)[-1] for name in names}
    assert {point.step for point in last.values()} == {256}
    stats = heard[-1].stats
    assert last["train/value_loss"].value == pytest.approx(stats.value_loss)
    assert last["train/entropy_loss"].value == pytest.approx(-stats.entropy)
    assert last["rollout/ep_rew_mean"].value == pytest.approx(heard[-1].mean_return)
    assert last["time/total_timesteps"].value == 256


def test_tensorboard_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"ztb\[tensorboard\]"):
        PPOTrainer("CartPole-v1", SMALL, tensorboard="folder").train(256)


def test_spaces_that_cannot_be_learnt_on_are_named() -> None:
    class Texts(Continuous):
        observation_space = gym.spaces.Discrete(3)  # type: ignore[assignment]

    with pytest.raises(ConfigError, match="Discrete"):
        PPOTrainer(Texts, SMALL)
