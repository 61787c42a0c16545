"""`ztb why`: what led to an order, a fill, a refusal or a moment, recomputed from what lies on disk."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ztb.errors import DataError
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.why import Explanation, explain


def why(what: str, run: Path, as_json: bool) -> int:
    """Explain `what` (see `telemetry.why.question.find`) of the run in folder `run`.

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
