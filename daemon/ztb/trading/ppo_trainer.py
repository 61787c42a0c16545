"""PPO for any Gymnasium environment: Box observations; Discrete, MultiDiscrete or Box actions.

Schulman et al. 2017, "Proximal Policy Optimization Algorithms" (arXiv:1707.06347), with the details of
Huang et al. 2022; `ppo/config.py` names them. The parts are in `ppo/`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch import nn

from ztb.trading.policy.evaluator import Actor
from ztb.trading.policy.weights import NetworkShape, Weights, initial_weights
from ztb.trading.ppo.collector import RolloutCollector
from ztb.trading.ppo.config import PROFILES, PPOConfig
from ztb.trading.ppo.environment_state import environment_state, load_environment_state
from ztb.trading.ppo.finite import check_state
from ztb.trading.ppo.loop import TrainingLoop
from ztb.trading.ppo.normalizer import Normalizer
from ztb.trading.ppo.progress import Display, TensorBoard, TrainingProgress, progress_bar
from ztb.trading.ppo.rollout import empty_rollout
from ztb.trading.ppo.saving import Checkpoints, background_saver, checkpoint_interval
from ztb.trading.ppo.spaces import actions_of, flat, observation_size
from ztb.trading.ppo.update import PPOUpdater
from ztb.trading.ppo.vector import EnvSource, GymEnvironments, Stepper, as_vector

__all__ = ["PROFILES", "PPOConfig", "PPOTrainer", "TrainingProgress"]

_STATE_VERSION = 2


class PPOTrainer:
    """Collects rollouts and learns from them.

    `env`: an id, an Env (alone: it takes the steps of `num_envs`), a VectorEnv (as it is), or a callable that
    makes one. `module`: a network of your own, called with observations (B, D), that returns logits or means
    (B, A) and values (B,). `checkpoints`: a CheckpointManager; it saves the state as `checkpoint_name` each
    `checkpoint_interval` updates (default: ZTB_CHECKPOINT_INTERVAL, or 10) while training goes on.
    ConfigError: spaces that PPO cannot learn on.
    """

    def __init__(
        self,
        env: EnvSource,
        config: PPOConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
        checkpoints: Checkpoints | None = None,
        *,
        checkpoint_name: str = "ppo",
        checkpoint_interval: int | None = None,
        tensorboard: str | Path | None = None,
        module: nn.Module | None = None,
        console: Console | None = None,
    ) -> None:
        self.config = config or PPOConfig()
        self.envs = as_vector(env, self.config.num_envs)
        self._saving = (checkpoints, checkpoint_name, checkpoint_interval)
        self._tensorboard, self._console = tensorboard, console
        seeds = [int(word) for word in np.random.SeedSequence(seed).generate_state(5)]
        self._actions = actions_of(self.envs.single_action_space, self.config.squash_actions)
        self.shape = self._network_shape()
        self.updater = PPOUpdater(
            shape=self.shape,
            config=self.config,
            weights=self._start(seeds[0]),
            seed=seeds[1],
            device=device,
            module=module,
        )
        self._actor = Actor(self.shape, self.updater.evaluator())
        self._stepper = Stepper(self.envs, seeds[2])
        self._generator, self._predicting = (np.random.Generator(np.random.PCG64(word)) for word in seeds[3:])
        normalizer = Normalizer(self.shape.observation_size, self.envs.num_envs, self.config)
        self._environments = GymEnvironments(self._stepper, self._actions, normalizer)
        steps = self.config.num_steps * (self.config.num_envs if self.envs.num_envs == 1 else 1)
        rollout = empty_rollout(self.shape, steps, self.envs.num_envs)
        collector = RolloutCollector(self._environments, self._actor, rollout, self._generator)
        self._loop = TrainingLoop(collector, self.updater)

    def _network_shape(self) -> NetworkShape:
        return NetworkShape(
            observation_size=observation_size(self.envs.single_observation_space),
            heads=self._actions.heads,
            hidden=self.config.hidden,
            shared_trunk=self.config.shared_trunk,
            continuous=self._actions.continuous,
        )

    def _start(self, seed: int) -> Weights:
        weights = initial_weights(self.shape, seed, self.config.orthogonal_init)
        if self.shape.continuous:
            weights["log_std"][:] = self.config.log_std
        return weights

    def train(
        self, total_steps: int, on_update: Callable[[TrainingProgress], bool | None] | None = None
    ) -> None:
        """Learn until `self.steps` has reached `total_steps`, counted over all environments and all calls.

        The last rollout is as short as that needs. A step size that anneals reaches 0 there, so that a run that was
        interrupted and resumed with the same `total_steps` ends with the same bits. `on_update` is called after
        each update; where it returns False, training stops there. On a terminal there is a progress bar.

        NonFiniteError: an observation, a reward or the loss is not finite; of which environment and at which step, it
        says. Nothing was learnt from it, and the state as of the update before is saved where states are. Called
        again, training goes on from there with new episodes.
        """
        began, first = time.monotonic(), self.steps
        with ExitStack() as stack:
            displays = self._displays(stack, total_steps)
            if self._stepper.failed:
                self._begin_episodes()
            save, every = self._saver(stack)
            update = partial(self._update, total_steps, lambda: _speed(self.steps - first, began))
            for progress in self._loop.run(update, lambda: self.steps >= total_steps, save, every):
                for display in displays:
                    display.show(progress)
                if on_update and on_update(progress) is False:
                    break

    def _displays(self, stack: ExitStack, total_steps: int) -> list[Display]:
        """The progress bar and TensorBoard, until `stack` is left."""
        console = self._console or Console(stderr=True)
        displays = [stack.enter_context(progress_bar(total_steps, console))]
        if self._tensorboard:
            board = TensorBoard(self._tensorboard, self.config)
            stack.callback(board.close)
            displays.append(board)
        return displays

    def _saver(self, stack: ExitStack) -> tuple[Callable[[], None], int]:
        """Saves the state in the background, until `stack` is left; and after how many updates it is to."""
        checkpoints, name, interval = self._saving
        if not checkpoints:
            return lambda: None, 1
        saver = stack.enter_context(background_saver())

        def save() -> None:
            state = self.state()
            check_state([state["updater"], state["normalizer"]], "the state to be saved")
            saver.save(lambda: checkpoints.save_async(state, name))

        return save, interval or checkpoint_interval()

    def _update(self, total_steps: int, speed: Callable[[], float]) -> TrainingProgress:
        """One rollout and one update."""
        _, stats = self._loop.iterate(1 - self.steps / total_steps, most=total_steps - self.steps)
        episodes = self._environments.episodes
        return TrainingProgress(
            steps=self.steps,
            total_steps=total_steps,
            updates=self.updates,
            steps_per_s=speed(),
            mean_return=fmean(episodes.returns) if episodes.returns else math.nan,
            mean_length=fmean(episodes.lengths) if episodes.lengths else math.nan,
            stats=stats,
        )

    @property
    def steps(self) -> int:
        """Transitions trained on, over all environments and all calls."""
        return self._loop.steps

    @property
    def updates(self) -> int:
        """Updates made, over all calls."""
        return self._loop.updates

    def predict(self, observation: NDArray[Any], deterministic: bool = True) -> Any:
        """The action for an observation, as `env.step` takes it; for a batch of them, as a VectorEnv's takes it.

        The most probable action (or the mean), or a draw.
        """
        seen = np.asarray(observation)
        single = seen.shape == self.envs.single_observation_space.shape
        rows = self._environments.normalizer.observations(flat(seen, self.shape.observation_size))
        random = self._actor.random(self._predicting, len(rows))
        chosen = np.empty(random.shape, np.float32 if self.shape.continuous else np.int64)
        self._actor.act(rows, random, chosen, np.empty(len(rows), np.float32), greedy=deterministic)
        actions = self._actions.to_env(chosen)
        return actions[0] if single else actions

    def weights(self) -> Weights:
        """Copies of the network's weights, as a ServingPolicy of `self.shape` takes them."""
        return self.updater.weights()

    def state(self) -> dict[str, Any]:
        """Everything that training goes on from, copied: plain data and numpy arrays.

        `environment` is None where the environment's state cannot be saved (see ppo/environment_state.py), or is of no
        use because it gave what is not finite.
        """
        return {
            "version": _STATE_VERSION,
            "steps": self.steps,
            "updates": self.updates,
            "updater": self.updater.state(),
            "normalizer": self._environments.normalizer.state(),
            "episodes": self._environments.episodes.state(),
            "generators": [part.bit_generator.state for part in (self._generator, self._predicting)],
            "observations": self._stepper.observations.copy(),
            "resetting": self._stepper.resetting.copy(),
            "environment": None if self._stepper.failed else environment_state(self.envs),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`: bit for bit where it holds the environment's, else with new episodes.

        ConfigError: it is of another network.
        """
        self.updater.load_state(state["updater"])
        self._loop.steps, self._loop.updates = int(state["steps"]), int(state["updates"])
        self._environments.normalizer.load_state(state["normalizer"])
        self._environments.episodes.load_state(state["episodes"])
        for generator, kept in zip((self._generator, self._predicting), state["generators"], strict=True):
            generator.bit_generator.state = kept
        self._stepper.taken = self.steps // self.envs.num_envs
        if state["environment"] is None:
            self._begin_episodes()
            return
        load_environment_state(self.envs, state["environment"])
        self._stepper.observations = np.array(state["observations"])
        self._stepper.resetting = np.array(state["resetting"])
        self._stepper.failed = False

    def _begin_episodes(self) -> None:
        self._stepper.restart(int(self._generator.integers(2**31)))

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _speed(steps: int, began: float) -> float:
    """Steps a second since `began`, seconds of the monotonic clock."""
    return steps / (time.monotonic() - began)
