"""`ztb backup|restore|prune`: runs kept as files, made again of them, and taken away by size and age, each said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import typer

from ztb.errors import UsageError
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.clock import SystemClock
from ztb.runtime.recovery import backup as archive
from ztb.runtime.recovery.pruning import OldRun, remove, runs_in, spent
from ztb.telemetry import texts

_GB, _DAY_NS = 1_000_000_000, 86_400 * 10**9


def back_up(run: Path, target: Path, recordings: bool, as_json: bool) -> int:
    """Write a run to a file; returns the exit code."""
    contents = archive.back_up(RunDirectory(run), target, recordings)
    said = f"{run} is backed up in {target}: {_size(contents)}"
    return _say(contents, {"file": str(target)}, said, as_json)


def restore(source: Path, folder: Path, as_json: bool) -> int:
    """Make a folder of a backup; returns the exit code."""
    contents = archive.restore(source, folder)
    said = (
        f"{folder} is {contents.run} as of {texts.moment(contents.made_ns, seconds=True)} UTC: {_size(contents)}\n"
        "a halt is kept; what ran with real money is armed again by `ztb arm`, once nothing else trades the account"
    )
    return _say(contents, {"folder": str(folder)}, said, as_json)


def _size(contents: archive.BackupContents) -> str:
    return f"{len(contents.files):,} files, {contents.bytes / 1e6:,.1f} MB, every byte under its checksum"


def _say(contents: archive.BackupContents, place: dict[str, Any], said: str, as_json: bool) -> int:
    typer.echo(json.dumps(place | msgspec.to_builtins(contents)) if as_json else said)
    return 0


def prune(folder: Path, keep_gb: float, keep_days: float, dry_run: bool, as_json: bool) -> int:
    """Remove what is beyond the limits, or say what would be; returns the exit code."""
    if not keep_gb and not keep_days:
        raise UsageError("say what stays: --keep-gb, --keep-days, or both; without either every run stays")
    runs = runs_in(folder)
    gone = spent(runs, round(keep_gb * _GB), round(keep_days * _DAY_NS), SystemClock().now_ns())
    for run in gone:
        if not dry_run:
            remove(run)
        if not as_json:
            typer.echo(f"{'would remove' if dry_run else 'removed'}  {_said(run)}")
    kept = [run for run in runs if run not in gone]
    if as_json:
        removed = [{"run": str(run.path), "bytes": run.bytes} for run in gone]
        stays = [{"run": str(run.path), "bytes": run.bytes, "kept_for": run.kept_for or None} for run in kept]
        typer.echo(json.dumps({"removed": removed, "kept": stays, "dry_run": dry_run}))
        return 0
    for run in kept:
        typer.echo(f"kept  {_said(run)}{f': {run.kept_for}' if run.kept_for else ''}")
    size = sum(run.bytes for run in kept) / 1e6
    typer.echo(
        f"{len(gone)} of {len(runs)} runs {'would go' if dry_run else 'are gone'}; the rest takes {size:,.1f} MB"
    )
    return 0


def _said(run: OldRun) -> str:
    return f"{run.path} ({run.bytes / 1e6:,.1f} MB)"
