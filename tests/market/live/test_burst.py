"""A burst of the real market, ten times as fast, while the policy learns: every trade once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from market.live.burst import play

DATA = Path(os.environ.get("ZTB_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
SAMPLED = float(os.environ.get("ZTB_PROOF_SHARE", "1")) < 1.0
CASES = [("usdm", 10.0, 20.0), ("spot", 10.0, 20.0)] if SAMPLED else [
    ("usdm", 1.0, 0.0), ("usdm", 10.0, 0.0), ("spot", 1.0, 0.0), ("spot", 10.0, 0.0)
]  # fmt: skip


@pytest.mark.proof
@pytest.mark.parametrize(("tape", "speed", "seconds"), CASES)
async def test_no_trade_of_a_burst_is_lost_or_counted_twice(tmp_path, tape, speed, seconds):
    path = DATA / "ticks" / f"{tape}_btcusdt_20240808.jsonl.zst"
    if not path.exists():
        pytest.skip(f"the recordings are not here ({path}): set ZTB_SHARED_DATA")
    burst = await play(path, speed, seconds, tmp_path)
    assert len(burst.sent) > 1000
    assert burst.received == burst.sent
    assert burst.summary["decisions"] > 0
    if seconds == 0.0:
        assert burst.summary["updates"] > 0
