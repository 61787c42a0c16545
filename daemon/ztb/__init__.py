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

from ztb.lazy import attach
from ztb.trading.registration import register_with_gymnasium

TYPE_CHECKING = False  # typing itself would take longer to import than all the rest
if TYPE_CHECKING:
    from ztb.runs.replaying import replay
    from ztb.runs.run import Run, load_run
    from ztb.studies.reading import load_study, run_study

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "load_run", "load_study", "replay", "run_study"]

register_with_gymnasium()

__getattr__, __dir__ = attach(
    __name__,
    {
        "Run": "runs.run",
        "load_run": "runs.run",
        "load_study": "studies.reading",
        "replay": "runs.replaying",
        "run_study": "studies.reading",
    },
)
