"""`ztb run`: the daemon, on history, on paper, or with real money."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import typer

from ztb.commands.options import say_if_it_compiles
from ztb.config import Config, load_config
from ztb.errors import UsageError
from ztb.learning.service.initial_policy import parse_span
from ztb.ledger.run_directory import RunDirectory, create_run_directory, next_run_directory
from ztb.ports import Source
from ztb.runtime.build.compiling import compile_ahead
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.daemon.gc_tuning import gc_tuning
from ztb.runtime.daemon.observers import configured_observers, service_manager
from ztb.runtime.modes.live import live_daemon
from ztb.runtime.modes.paper import TradingRequest, paper_daemon
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data
from ztb.runtime.sources.history import PacedSource, parse_speed
from ztb.secrets import Redactor, known_secrets
from ztb.telemetry.logs import configure_logging


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The flags of `ztb run` as given."""

    mode: str
    paths: tuple[Path, ...]
    config_path: Path | None
    flags: dict[str, Any]
    seed: int
    out: Path | None
    instance: str
    speed: str
    from_generation: str | None
    pretrain: str | None
    as_json: bool


def run_daemon(options: RunOptions) -> int:
    """Run until the data end or somebody stops it; returns the exit code."""
    makers = {"replay": _on_history, "paper": _on_paper, "live": _on_venue}
    if options.mode not in makers:
        raise UsageError(f"--mode {options.mode!r}: give {', '.join(makers)}")

    def load() -> Config:
        return load_config(options.config_path, options.flags).config

    parse_speed(options.speed)
    config = load()
    telemetry = config.telemetry
    configure_logging(telemetry.log_level, telemetry.log_format, known_secrets(), daemon=True)
    directory = _directory(options)

    async def run() -> dict[str, Any]:
        daemon = await makers[options.mode](options, config, load, directory)
        daemon.watch(configured_observers(config, options.instance, daemon.session, SystemClock()))
        daemon.watch(service_manager(daemon.progress))
        with gc_tuning():
            return await daemon.run()

    log = structlog.get_logger("ztb.run")
    log.info("starting", mode=options.mode, run=str(directory.path))
    say_if_it_compiles(log.info)
    with directory.kept_if_begun():
        if options.mode != "replay":
            compile_ahead(config)
        with directory.held():
            summary = asyncio.run(run())
    if options.as_json:
        typer.echo(json.dumps({**summary, "run": str(directory.path)}))
    else:
        from ztb.commands.summary_table import print_summary

        print_summary(summary, directory)
    return 0


def _directory(options: RunOptions) -> RunDirectory:
    """The instance's own, gone on with if it is there; a new one for each start of a replay, which is a new run."""
    name = f"{options.mode}-{options.instance}"
    if options.mode != "replay":
        return RunDirectory(options.out or Path("runs") / name).make()
    return next_run_directory(options.out) if options.out else create_run_directory(None, name)


async def _on_history(
    options: RunOptions, config: Config, load: Callable[[], Config], directory: RunDirectory
) -> Daemon:
    request = ReplayRequest(
        config,
        options.paths,
        options.seed,
        pretrain_ns=parse_span(options.pretrain),
        from_generation=options.from_generation,
    )
    session = Replay.over(request, open_data(request), directory, watched=True)
    speed = parse_speed(options.speed)
    source: Source = session.source if speed is None else PacedSource(session.source, speed)
    asked = DaemonOptions(options.instance, load, lambda: session.dropped, Redactor(known_secrets()))
    return Daemon(session, source, SystemClock(), asked)


async def _on_paper(
    options: RunOptions, config: Config, load: Callable[[], Config], directory: RunDirectory
) -> Daemon:
    request = TradingRequest(config, directory, options.seed, options.from_generation)
    asked = DaemonOptions(options.instance, load, redact=Redactor(known_secrets()))
    return await paper_daemon(request, asked, SystemClock())


async def _on_venue(
    options: RunOptions, config: Config, load: Callable[[], Config], directory: RunDirectory
) -> Daemon:
    request = TradingRequest(config, directory, options.seed, options.from_generation)
    asked = DaemonOptions(options.instance, load, redact=Redactor(known_secrets()))
    return await live_daemon(request, asked, SystemClock())
