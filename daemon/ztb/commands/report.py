"""`ztb report`: the page about a run, made (again) from its journal."""

from __future__ import annotations

import json
from pathlib import Path

from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.report import write_report


def report(run: Path, as_json: bool) -> int:
    """Write `report.html` of the run in folder `run` and say where; returns the exit code."""
    path = write_report(RunDirectory(run))
    print(json.dumps({"report": str(path), "bytes": path.stat().st_size}) if as_json else path)  # noqa: T201
    return 0
