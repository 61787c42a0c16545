"""What a person asks of a replay, and what stands in for what was not said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ztb.config import load_config
from ztb.errors import DataError
from ztb.runtime.modes.replay import SHIPPED_PRETRAIN_NS, ReplayRequest, open_data
from ztb.runtime.sources.history import trading_start

_LATE = np.datetime64("2019-09-01", "ns").astype(int).item()
_EARLY = np.datetime64("2017-09-01", "ns").astype(int).item()
_RULES = ("trend", "reversion", "hold", "ema_cross")


def _asked(
    strategy: str, start_ns: int | None = None, end_ns: int | None = None, pretrain_ns: int | None = None
) -> ReplayRequest:
    config = load_config(None, {"strategy.name": strategy}, {}).config
    return ReplayRequest.of(config, (), 0, span_ns=(start_ns, end_ns), pretrain_ns=pretrain_ns)


@pytest.mark.parametrize("strategy", _RULES)
@pytest.mark.parametrize("span", [(_LATE, None), (None, _EARLY), (_LATE, _LATE + 10**15)])
def test_a_rule_trades_all_of_the_part_that_is_asked_for(
    strategy: str, span: tuple[int | None, int | None]
) -> None:
    request = _asked(strategy, *span)
    assert request.pretrain_ns == 0 == trading_start(open_data(request), request.pretrain_ns)


@pytest.mark.parametrize("strategy", [*_RULES, "ppo_online"])
def test_the_whole_shipped_history_is_traded_from_one_moment_by_all(strategy: str) -> None:
    assert _asked(strategy).pretrain_ns == SHIPPED_PRETRAIN_NS


def test_what_learns_is_refused_a_part_too_short_to_learn_on_and_told_so() -> None:
    request = _asked("ppo_online", _LATE)
    with pytest.raises(DataError, match="leaves nothing to trade on"):
        trading_start(open_data(request), request.pretrain_ns)


@pytest.mark.parametrize("strategy", ["hold", "ppo_online"])
@pytest.mark.parametrize("days", [0, 3])
def test_what_is_said_is_obeyed(strategy: str, days: int) -> None:
    given = days * 86_400 * 10**9
    assert _asked(strategy, _LATE, pretrain_ns=given).pretrain_ns == given


def test_a_file_of_ones_own_trains_nobody_unless_told() -> None:
    config = load_config(None, {}, {}).config
    assert ReplayRequest.of(config, (Path("mine.csv"),), 0).pretrain_ns == 0
