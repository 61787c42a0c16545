"""Studies in a test: small ones of real replays, and driven ones whose trials are a formula."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ztb.studies.directory import StudyDirectory
from ztb.studies.executors import InProcess
from ztb.studies.spec import StudySpec
from ztb.studies.study import Study
from ztb.studies.trial import TrialOrder, TrialResult, failed


def made_up(order: TrialOrder) -> TrialResult:
    """Returns that are a formula of the order: the nearer `fast` is to 10 the better; `fast` 13 fails."""
    if order.settings.get("strategy.options.fast") == 13:
        return failed(order, "ConfigError: unlucky")
    key = [order.fold.number, order.seed, order.configuration + 1]
    noise = np.random.Generator(np.random.PCG64(key)).normal(0.0, 0.01, len(order.fold.ends(order.period_ns)))
    edge = (
        0.0
        if order.kind == "rule"
        else 0.01 - 0.001 * abs(order.settings.get("strategy.options.fast", 0) - 10)
    )
    returns = tuple((noise + edge).tolist())
    return TrialResult(
        order.key, order.kind, order.data_set, order.fold.number, order.configuration, order.seed, order.settings,
        None, {"return": sum(returns)}, returns, 0.5,
    )  # fmt: skip


SPACE = {"strategy.options.fast": {"low": 2, "high": 20}}


@pytest.fixture
def drive(write_bars: Callable[..., Path], tmp_path: Path) -> Callable[..., Study]:
    """A study of made-up trials over 1,200 hours, in `tmp_path/NAME`."""
    data = write_bars(1200)

    def make(name: str = "study", run: Any = made_up, listener: Any = lambda *_: None, **asked: Any) -> Study:
        content = {
            "data": [[str(data)]], "folds": 9, "train": "10d", "test": "4d", "rules": ["hold"],
            "config": {"strategy": {"name": "ema_cross"}}, **asked,
        }  # fmt: skip
        return Study(
            StudySpec.of(content, "test"), StudyDirectory(tmp_path / name), InProcess(run), listener=listener
        )

    return make
