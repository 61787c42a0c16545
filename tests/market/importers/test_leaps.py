"""A price far from both its neighbours is remarked on, and stands: markets have had such, files more often."""

from __future__ import annotations

from pathlib import Path

import pytest

from ztb.commands.data import findings
from ztb.market.history import History, open_history

START_MS = 1_700_000_000_000


def read(path: Path, prices: list[float]) -> History:
    rows = (f"{START_MS + 60_000 * i},{p},{p + 0.2},{p - 0.2},{p + 0.1},5" for i, p in enumerate(prices))
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]))
    history = open_history([path])
    assert sum(map(len, history.blocks())) == len(prices)
    return history


@pytest.mark.parametrize("wrong", [100_000.0, 1_100.0, 3.0])
def test_a_price_far_from_both_its_neighbours_is_counted_and_named_by_its_time(wrong, tmp_path):
    report = read(tmp_path / "bars.csv", [100.0] * 50 + [wrong] + [100.0] * 50).report
    assert report.leaps == 1 and report.bad == 0
    (said,) = [line for line in findings(report.to_json()) if "ten times" in line]
    assert said.startswith("1 prices more than ten times off") and "2023-11-14T23:04:20" in said
    assert said == report.said_of_leaps


@pytest.mark.parametrize(
    "prices", [[100.0] * 50 + [1_500.0] * 50, [100.0, 900.0] * 50, [2.0 ** (i / 5) for i in range(100)]]
)
def test_what_rises_and_stays_or_swings_within_that_is_a_market(prices, tmp_path):
    report = read(tmp_path / "bars.csv", prices).report
    assert report.leaps == 0 and report.said_of_leaps == ""
