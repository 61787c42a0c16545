"""`ztb report` and `ztb why`: what a run's files tell, as a page, or about one order, fill, refusal or moment."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from ztb.errors import DataError
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.report import write_report
from ztb.telemetry.why import Explanation, explain


def report(run: Path, as_json: bool) -> int:
    """Write `report.html` of the run in folder `run` and say where; returns the exit code."""
    path = write_report(RunDirectory(run))
    print(json.dumps({"report": str(path), "bytes": path.stat().st_size}) if as_json else path)  # noqa: T201
    return 0


def why(what: str, run: Path, as_json: bool) -> int:
    """Explain `what` (see `telemetry.why.explanation.find`) of the run in folder `run`.

    Returns 0, or `DataError.exit_code` if the decision cannot be made again from disk with the same bits.
    """
    answer = explain(RunDirectory(run), what)
    if as_json:
        print(as_text(answer))  # noqa: T201 (the command's output)
    else:
        _show(answer)
    return 0 if answer.holds else DataError.exit_code


def as_text(answer: Explanation) -> str:
    """Everything as one JSON object; `observation` and `uniforms` are base64."""
    content = {**msgspec.to_builtins(answer), "holds": answer.holds}
    return msgspec.json.encode(content).decode()


def _show(answer: Explanation) -> None:
    from rich.console import Console

    from ztb.telemetry.why.rendering import show

    show(answer, Console(highlight=False))
