"""`ztb train`: train a policy on history, in a folder that `ztb replay --from-generation` serves."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ztb.commands.options import say_if_it_compiles
from ztb.config import load_config
from ztb.errors import UsageError
from ztb.learning.service.initial_policy import parse_span
from ztb.ledger.run_directory import RunDirectory, create_run_directory
from ztb.telemetry.logs import set_log_level
from ztb.utils.moments import parse_span_of

if TYPE_CHECKING:
    from ztb.runtime.modes.train import TrainingRun, TrainRequest
    from ztb.trading.ppo.progress import TrainingProgress

_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The flags of `ztb train` as given."""

    paths: tuple[Path, ...]
    config_path: Path | None
    flags: dict[str, Any]
    seed: int
    out: Path | None
    resume: Path | None
    validation: str | None
    updates: int
    patience: int
    device: str | None
    tensorboard: Path | None
    start: str | None
    end: str | None
    as_json: bool


def train(options: TrainOptions) -> int:
    """Train, or go on training, and print what came of it; returns the exit code."""
    request, directory = _request(options)
    if not options.as_json:
        say_if_it_compiles(lambda text: typer.echo(f"ztb: {text}", err=True))
    set_log_level(request.config.telemetry.log_level)
    with directory.kept_if_begun():
        return _train(options, request, directory)


def _train(options: TrainOptions, request: TrainRequest, directory: RunDirectory) -> int:
    from ztb.runtime.modes.train import TrainingRun

    run = TrainingRun(request, directory)
    try:
        run.resume() if options.resume else run.begin()
        with ExitStack() as stack:
            show = _displays(stack, options, run)
            ended = run.train(show, stack.enter_context(_interruption()))
        if not ended:
            typer.echo(
                f"ztb: stopped after update {run.training.updates} of {request.updates} and saved; go on with: "
                f"ztb train --resume {directory.path}",
                err=True,
            )
            return _INTERRUPTED
        summary = {**run.finish(), "run": str(directory.path)}
    finally:
        run.close()
    _print(summary, directory, options.as_json)
    return 0


def _request(options: TrainOptions) -> tuple[TrainRequest, RunDirectory]:
    """The training to do, and its folder: as the flags say, or as the folder to be resumed does."""
    from ztb.runtime.modes.train import TrainRequest, load_request

    if options.resume is not None:
        directory = RunDirectory(options.resume)
        request = load_request(directory)
        return (request if options.device is None else replace(request, device=options.device)), directory
    request = TrainRequest(
        load_config(options.config_path, options.flags).config,
        options.paths,
        options.seed,
        *parse_span_of(options.start, options.end),
        _validation_ns(options.validation),
        options.updates,
        options.patience,
        options.device or "cpu",
    )
    return request, create_run_directory(options.out, "train")


def _validation_ns(text: str | None) -> int:
    """The span to hold out, 0 for the default. UsageError if there is to be none."""
    span = parse_span(text, "--validation")
    if text is not None and span == 0:
        raise UsageError(f"--validation {text!r}: something must be held out, for the best is chosen by it")
    return span


def _displays(
    stack: ExitStack, options: TrainOptions, run: TrainingRun
) -> Callable[[TrainingProgress], None]:
    """A progress bar on a terminal, TensorBoard where asked for."""
    from rich.console import Console

    from ztb.trading.ppo.progress import Display, TensorBoard, progress_bar

    console = Console(stderr=True, quiet=options.as_json)
    shown: list[Display] = [stack.enter_context(progress_bar(run.total_steps, console))]
    if options.tensorboard is not None:
        board = TensorBoard(options.tensorboard, run.request.config.ppo)
        stack.callback(board.close)
        shown.append(board)

    def show(progress: TrainingProgress) -> None:
        for display in shown:
            display.show(progress)

    return show


@contextmanager
def _interruption() -> Generator[Callable[[], bool]]:
    """A request to stop, by Ctrl-C or SIGTERM: the update under way is finished first. A second one ends it at once."""
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print(summary: dict[str, Any], directory: RunDirectory, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary))
        return
    from ztb.commands.summary_table import print_training

    print_training(summary, directory)
