"""`ztb replay`: run a strategy over recorded history."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from ztb.config import load_config
from ztb.market.history import History
from ztb.runtime.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.runtime.run_directory import create_run_directory


def run_replay(
    paths: list[Path],
    config_path: Path | None,
    flags: dict[str, Any],
    seed: int,
    out: Path | None,
    as_json: bool,
) -> int:
    """Replay and print the summary; returns the exit code."""
    config = load_config(config_path, flags).config
    request = ReplayRequest(config, tuple(paths), seed)
    history = open_data(request)
    directory = create_run_directory(out, "replay")
    summary = _run(request, history, directory.path, as_json)
    if as_json:
        print(json.dumps(summary))  # noqa: T201 (the command's output)
    else:
        _print_table(summary, directory.path)
    return 0


def _run(request: ReplayRequest, history: History, out: Path, quiet: bool) -> dict[str, Any]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from ztb.runtime.run_directory import RunDirectory

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, disable=quiet) as bar:
        task = bar.add_task("replay", total=1.0)
        run = Replay(request, history, RunDirectory(out), lambda done: bar.update(task, completed=done))
        return asyncio.run(run_to_end(run))


def _print_table(summary: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{summary['strategy']} on {summary['symbol']}", show_header=False)
    for name in ("status", "ticks", "decisions", "orders", "fills", "return", "hold_return", "frozen_return"):
        table.add_row(name, str(summary[name]))
    console = Console()
    console.print(table)
    console.print(f"run: {out}")
