"""A local exchange on a port of its own, and an unmodified client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import ccxt.pro
import pytest

from ztb.testing import LocalExchange
from ztb.testing.exchange.listing import BTCUSDT


@pytest.fixture
async def exchange() -> AsyncIterator[LocalExchange]:
    async with LocalExchange(seed=1, listings=(BTCUSDT,)) as running:
        yield running


@pytest.fixture
async def client(exchange: LocalExchange) -> AsyncIterator[Any]:
    connected = ccxt.pro.binance(exchange.ccxt_options())
    yield connected
    await connected.close()
