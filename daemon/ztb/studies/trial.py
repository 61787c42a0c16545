"""One trial: a fold trained on and traded with one configuration and one seed, by the replay that everything else is.

An order and its result are plain data, so that they can go to another process or another machine.
"""

from __future__ import annotations

import shutil
import time
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from ztb.errors import ConfigError, ResourceError, expected_error
from ztb.studies.folds import Fold
from ztb.utils.full_disk import says_full_disk

Kind = Literal["trial", "rule"]
_FIGURES = (
    "return", "sharpe", "max_drawdown", "turnover", "fees", "hold_return", "frozen_return", "unlearnt_return",
    "start_equity", "end_equity", "decisions", "orders", "fills", "rejects", "refusals", "updates", "gaps", "dropped",
    "first_ts", "last_ts", "trade_first_ts", "journal_sha256", "weights_sha256", "config_hash", "remark",
)  # fmt: skip
"""Of a run's summary, what a study keeps: what the same trial gives again, bit for bit."""

_FULL = "the disk is full: make room and go on with --resume; what was done is kept"


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """An order for a trial: `config` as JSON and `settings`, which the study changes in it; `data` are files, none:
    shipped.

    `folder`: where its run is written; it is removed unless `keep`. `code_version`: who ordered it.
    """

    key: str
    kind: Kind
    data_set: int
    fold: Fold
    configuration: int
    seed: int
    settings: dict[str, Any]
    config: dict[str, Any]
    data: tuple[str, ...]
    period_ns: int
    folder: str
    keep: bool
    code_version: str


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of an order. `returns`: simple returns of its account in each period of the fold's test.

    `figures`, `returns`: empty where it failed, and `error` says why. `seconds` are of the wall.
    """

    key: str
    kind: Kind
    data_set: int
    fold: int
    configuration: int
    seed: int
    settings: dict[str, Any]
    error: str | None
    figures: dict[str, Any]
    returns: tuple[float, ...]
    seconds: float

    @property
    def reproducible(self) -> dict[str, Any]:
        """The part that another executor must get too, as JSON."""
        return {
            "key": self.key,
            "settings": self.settings,
            "failed": self.error is not None,
            "figures": self.figures,
            "returns": list(self.returns),
        }


def key_of(kind: Kind, name: str, data_set: int, fold: int, seed: int) -> str:
    """The name of a trial in its study; `name` is the number of its configuration, or of a rule its own."""
    return f"{kind}-{name}-d{data_set}-f{fold:04}-s{seed}"


def run_trial(order: TrialOrder) -> TrialResult:
    """Run it. What goes wrong with it is its result; ResourceError: the machine ran short of something."""
    began, figures, returns, error = time.perf_counter(), dict[str, Any](), tuple[float, ...](), None
    folder = Path(order.folder)
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted one left
    try:
        summary, times, equities = _replayed(order, folder)
        figures = {name: summary[name] for name in _FIGURES}
        returns = _returns(times, equities, summary, order)
    except Exception as failure:
        if says_full_disk(failure):
            raise ResourceError(f"{folder}: {_FULL}") from None
        if isinstance(failure, ResourceError):
            raise
        error = _said(failure)
    finally:
        if not order.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return replace(
        _nothing(order), error=error, figures=figures, returns=returns, seconds=time.perf_counter() - began
    )


def _said(failure: BaseException) -> str:
    if isinstance(failure, BaseExceptionGroup):
        failure = expected_error(failure) or failure
    return f"{type(failure).__name__}: {failure}"


def failed(order: TrialOrder, error: str) -> TrialResult:
    """The result of an order that no process lived to finish."""
    return replace(_nothing(order), error=error)


def _nothing(order: TrialOrder) -> TrialResult:
    return TrialResult(
        key=order.key,
        kind=order.kind,
        data_set=order.data_set,
        fold=order.fold.number,
        configuration=order.configuration,
        seed=order.seed,
        settings=order.settings,
        error=None,
        figures={},
        returns=(),
        seconds=0.0,
    )


def _replayed(order: TrialOrder, folder: Path) -> tuple[dict[str, Any], list[int], list[float]]:
    """The summary of its run, and the times and equities of its decisions."""
    # Imported here alone: a driver that hands its trials to others needs none of it.
    import pyarrow.parquet as pq

    from ztb.config import Config, with_settings
    from ztb.ledger.run_directory import create_run_directory
    from ztb.runs.replaying import await_anywhere
    from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
    from ztb.telemetry.logs import set_log_level
    from ztb.utils.installation import code_version

    if code_version() != order.code_version:
        raise ConfigError(
            f"this machine runs ztb {code_version()}, the study {order.code_version}: install the same on both"
        )
    set_log_level("error")
    fold = order.fold
    request = ReplayRequest(
        config=with_settings(Config.model_validate(order.config), order.settings, "space"),
        paths=tuple(Path(path) for path in order.data),
        seed=order.seed,
        start_ns=fold.train_from,
        end_ns=fold.test_to,
        pretrain_ns=fold.test_from - fold.train_from,
        embargo_ns=fold.embargo_ns,
    )
    run = Replay.over(request, open_data(request), create_run_directory(folder, "replay"))
    summary = await_anywhere(run_to_end(run, is_look=False))
    decided: dict[str, list[Any]] = pq.read_table(
        run.directory.decisions, columns=["ts_ns", "equity"]
    ).to_pydict()
    return summary, decided["ts_ns"], decided["equity"]


def _returns(
    times: list[int], equities: list[float], summary: dict[str, Any], order: TrialOrder
) -> tuple[float, ...]:
    """Simple returns in each period: the account is worth what it was at the last decision before the period's end."""
    ends = order.fold.ends(order.period_ns)
    worth = [summary["start_equity"]]
    for end in ends:
        before = bisect_right(times, end)
        worth.append(equities[before - 1] if before else worth[0])
    worth[-1] = summary["end_equity"] if summary["end_equity"] is not None else worth[-1]
    return tuple(after / before - 1.0 if before > 0.0 else 0.0 for before, after in pairwise(worth))
