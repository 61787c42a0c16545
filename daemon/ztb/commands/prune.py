"""`ztb prune`: old runs taken away, by size and age, each said."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from ztb.errors import UsageError
from ztb.runtime.clock import SystemClock
from ztb.runtime.recovery.pruning import OldRun, remove, runs_in, spent

_GB, _DAY_NS = 1_000_000_000, 86_400 * 10**9


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
