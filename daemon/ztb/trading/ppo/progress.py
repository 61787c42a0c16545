"""Displays of training: a bar on a terminal, TensorBoard scalars under the names stable-baselines3 uses."""

from __future__ import annotations

import importlib
import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ztb.errors import ConfigError
from ztb.trading.ppo.config import PPOOptions
from ztb.trading.ppo.losses import total_loss
from ztb.trading.ppo.rollout import UpdateStats


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The state of training after an update, in figures."""

    steps: int
    total_steps: int
    updates: int
    steps_per_s: float
    """Since `train` was called."""
    mean_return: float
    """Of the last 100 finished episodes, in the environment's own rewards; nan before the first."""
    mean_length: float
    """Steps; nan before the first episode has finished."""
    stats: UpdateStats
    validation: float | None = None
    """The latest figure on a held-out part, where there is one."""


class Display(Protocol):
    """Something that shows progress."""

    def show(self, progress: TrainingProgress) -> None:
        """After each update."""
        ...


class _Bar:
    def __init__(self, bar: Progress, total_steps: int) -> None:
        self._bar = bar
        self._task = bar.add_task("training", total=total_steps, speed=0.0, losses="")

    def show(self, progress: TrainingProgress) -> None:
        stats = progress.stats
        losses = f"policy {stats.policy_loss:+.3f} value {stats.value_loss:.3g} entropy {stats.entropy:.2f}"
        if not math.isnan(progress.mean_return):
            losses += f" return {progress.mean_return:.4g}"
        if progress.validation is not None:
            losses += f" validation {progress.validation:+.2e}"
        self._bar.update(self._task, completed=progress.steps, speed=progress.steps_per_s, losses=losses)


_WIDE = 140
"""Columns from which losses find room beside the bar."""


class _Silent:
    def show(self, progress: TrainingProgress) -> None:
        pass


@contextmanager
def progress_bar(total_steps: int, console: Console) -> Generator[Display]:
    """A bar of the steps (decisions taken in training) with steps/s and the time left, where `console` is a terminal;
    nothing elsewhere. Losses only where there is room for them: at 80 columns the rest stays whole.
    """
    if not console.is_terminal:
        yield _Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=14),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps, {task.fields[speed]:,.0f}/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        *([TextColumn("{task.fields[losses]}")] if console.width >= _WIDE else []),
    )
    with Progress(*columns, console=console) as bar:
        yield _Bar(bar, total_steps)


def scalars(progress: TrainingProgress, config: PPOOptions) -> dict[str, float]:
    """The figures of an update by stable-baselines3's names; it has none for churn and dormant units."""
    stats = progress.stats
    figures = {
        "rollout/ep_rew_mean": progress.mean_return,
        "rollout/ep_len_mean": progress.mean_length,
        "time/fps": progress.steps_per_s,
        "time/total_timesteps": progress.steps,
        "train/approx_kl": stats.approx_kl,
        "train/clip_fraction": stats.clip_fraction,
        "train/churn": stats.churn,
        "train/clip_range": config.clip_range,
        "train/dormant": stats.dormant,
        "train/entropy_loss": -stats.entropy,
        "train/explained_variance": stats.explained_variance,
        "train/learning_rate": stats.learning_rate,
        "train/loss": total_loss(stats.policy_loss, stats.value_loss, stats.entropy, config),
        "train/policy_gradient_loss": stats.policy_loss,
        "train/value_loss": stats.value_loss,
    }
    return {name: value for name, value in figures.items() if math.isfinite(value)}


class TensorBoard:
    """Writes scalars to a folder. ConfigError: tensorboard is not installed."""

    def __init__(self, folder: str | Path, config: PPOOptions) -> None:
        try:
            module: Any = importlib.import_module("torch.utils.tensorboard")
        except ImportError as error:
            raise ConfigError("tensorboard is not installed; pip install 'ztb[tensorboard]'") from error
        self._config = config
        self._writer = module.SummaryWriter(str(folder))

    def show(self, progress: TrainingProgress) -> None:
        """After each update."""
        for name, value in scalars(progress, self._config).items():
            self._writer.add_scalar(name, value, progress.steps)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
