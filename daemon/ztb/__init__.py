"""ztb: a trading daemon that keeps learning.

    import ztb

    run = ztb.replay(data=["bars.parquet"], strategy="trend")    # makes a run
    run = ztb.load_run("runs/replay-001")                        # reads one back
    run.summary; run.equity; run.trades
    study = ztb.run_study(data=["bars.parquet"], folds=8)        # many runs as one piece of evidence
    study.trials; study.statistics

`import ztb` makes the environments known to Gymnasium (`gymnasium.make("ztb/Trading-v0")`) and imports nothing else;
each name is imported from where it lives when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module

from ztb.trading.registration import register_with_gymnasium

TYPE_CHECKING = False  # typing itself would take longer to import than all the rest
if TYPE_CHECKING:
    from ztb.runs.replaying import replay
    from ztb.runs.run import Run, load_run
    from ztb.studies.reading import load_study, run_study

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "load_run", "load_study", "replay", "run_study"]

_HOMES = {
    "Run": "ztb.runs.run",
    "load_run": "ztb.runs.run",
    "load_study": "ztb.studies.reading",
    "replay": "ztb.runs.replaying",
    "run_study": "ztb.studies.reading",
}

register_with_gymnasium()


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
