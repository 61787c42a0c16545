"""`ztb backup|restore`: a run as one file, and a run's folder made of one again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import typer

from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.recovery import backup as archive
from ztb.telemetry import texts


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


def _size(contents: archive.Contents) -> str:
    return f"{len(contents.files):,} files, {contents.bytes / 1e6:,.1f} MB, every byte under its checksum"


def _say(contents: archive.Contents, place: dict[str, Any], said: str, as_json: bool) -> int:
    typer.echo(json.dumps(place | msgspec.to_builtins(contents)) if as_json else said)
    return 0
