"""`ztb doctor`: every check as a row, and what to do where one is not good."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ztb.config import load_config
from ztb.errors import DataError
from ztb.runtime.doctor import Finding, Patient, Severity, diagnose

_COLOURS = {Severity.GOOD: "green", Severity.WARNING: "yellow", Severity.BAD: "red", Severity.SKIPPED: "dim"}


def doctor(config: Path | None, folder: Path | None, as_json: bool) -> int:
    """Examine what a run with `config` in `folder` (default: runs) would meet; exit code 3 if anything is bad."""
    patient = Patient(load_config(config).config, folder or Path("runs"), os.environ)
    findings = diagnose(patient)
    ok = all(finding.verdict is not Severity.BAD for finding in findings)
    if as_json:
        print(msgspec.json.encode({"ok": ok, "findings": findings}).decode())  # noqa: T201 (the command's output)
    else:
        _show(findings)
    return 0 if ok else DataError.exit_code


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("check", "verdict", "found"):
        table.add_column(column, no_wrap=column != "found", overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.verdict]
        said = escape(finding.found) + (f"\n[bold]{escape(finding.remedy)}[/bold]" if finding.remedy else "")
        table.add_row(finding.check, f"[{colour}]{finding.verdict}[/{colour}]", said)
    Console(highlight=False).print(table)
