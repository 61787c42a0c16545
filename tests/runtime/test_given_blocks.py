"""Compiled code is called without a look at its arguments: blocks that it could not take are made so that it can."""

from __future__ import annotations

import numpy as np
import pytest

from execution.exchange_cases import INSTANT, PERP, T0
from ztb.execution.orders import OrderRequest, OrderType
from ztb.execution.paper import PaperExchange
from ztb.market.ticks import TICK, TRADE, Ticks, empty_ticks, plain_ticks
from ztb.trading.decision_clock import DecisionClock, Every

N = 40


def rows(seed: int = 0) -> Ticks:
    ticks = empty_ticks(N)
    ticks["kind"], ticks["ts_ns"] = TRADE, T0 + 1_000_000 * np.arange(N)
    ticks["price"] = 100 + np.random.default_rng(seed).integers(-3, 4, N) * 0.5
    ticks["size"], ticks["side"] = 5.0, 1
    return ticks


def disguised(ticks: Ticks, how: str) -> Ticks:
    """The same rows in a form that kernels cannot take."""
    if how == "repacked":
        return np.concatenate([ticks[:7], ticks[7:]])
    if how == "strided":
        return np.repeat(ticks, 2)[::2]
    given = ticks.copy()
    given.flags.writeable = False
    return given


DISGUISES = ["repacked", "strided", "read-only"]


@pytest.mark.parametrize("how", DISGUISES)
def test_blocks_become_plain_and_plain_ones_stay_themselves(how):
    ticks = rows()
    assert plain_ticks(ticks) is ticks
    made = plain_ticks(disguised(ticks, how))
    assert made.dtype == TICK and made.flags.c_contiguous and made.flags.writeable
    assert np.array_equal(made, ticks)


def traded(blocks: list[Ticks]) -> bytes:
    venue = PaperExchange(PERP, INSTANT, 0, 10_000.0)
    for number, block in enumerate(blocks):
        i = 0
        while i < len(block):
            i = venue.advance(block, i, len(block))
            venue.events()
        venue.submit(OrderRequest(number + 1, 1, 4, OrderType.MARKET), int(block["ts_ns"][-1]))
    return b"".join(array.tobytes() for array in venue.state().values())


def due(blocks: list[Ticks]) -> list[int]:
    clock = DecisionClock(Every.TICKS, 7)
    found = []
    for block in blocks:
        i = 0
        while (row := clock.find_due(block, i, len(block))) < len(block):
            found.append(int(block["ts_ns"][row]))
            i = row + 1
    return found


@pytest.mark.parametrize("how", DISGUISES)
def test_exchange_and_clock_see_the_rows_of_any_block(how):
    given = [disguised(rows(seed), how) for seed in range(3)]
    plain = [rows(seed) for seed in range(3)]
    assert traded(given) == traded(plain)
    assert due(given) == due(plain) != []


def test_a_block_that_is_written_anew_is_seen_anew():
    buffer = np.repeat(rows(), 2)[::2]
    venue, plain = PaperExchange(PERP, INSTANT, 0, 1.0), PaperExchange(PERP, INSTANT, 0, 1.0)
    for seed in range(3):
        buffer[:] = rows(seed)
        venue.advance(buffer, 0, N)
        plain.advance(rows(seed), 0, N)
        assert venue.view.tobytes() == plain.view.tobytes()
