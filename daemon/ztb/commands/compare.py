"""`ztb compare`: runs beside each other, as a table and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from ztb.errors import UsageError
from ztb.telemetry.comparison import HEADS, RunComparison


def compare(runs: list[Path], out: Path, as_json: bool) -> int:
    """Compare the runs in these folders; returns the exit code."""
    if len(runs) < 2:
        raise UsageError("name two runs or more: ztb compare runs/replay-001 runs/replay-002")
    comparison = RunComparison(runs)
    try:
        out.write_text(comparison.page(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror}); choose another --out") from None
    if as_json:
        typer.echo(json.dumps({"runs": comparison.facts(), "page": str(out)}))
        return 0
    from rich.console import Console
    from rich.table import Table

    # A column a run: a row of so many figures has no room on a terminal.
    names, *figures = zip(HEADS, *comparison.rows(), strict=True)
    shown = Table(names[0])
    for name in names[1:]:
        shown.add_column(name, justify="right", overflow="fold")
    for row in figures:
        shown.add_row(*row)
    Console().print(shown)
    typer.echo(str(out))
    return 0
