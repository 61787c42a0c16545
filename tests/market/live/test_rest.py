"""What is said of a request that failed names the venue, the error and the address, and never a signature."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ccxt.async_support as ccxt
import pytest

from ztb.errors import VenueError
from ztb.market.live.rest import Backoff, Rest
from ztb.testing.virtual_time import run_virtual


def test_the_signature_of_a_request_is_in_no_message():
    client: Any = SimpleNamespace(id="binance")
    rest = Rest(client, lambda: Backoff(0.1, 1.0, lambda: 0.5))

    async def fail(_client: Any) -> None:
        raise ccxt.NetworkError(
            "binance DELETE https://api.test/api/v3/order?symbol=BTCUSDT&timestamp=1&signature=5ec7e7 timed out"
        )

    with pytest.raises(VenueError) as raised:
        run_virtual(rest.call(fail))
    said = str(raised.value)
    assert "NetworkError" in said and "https://api.test/api/v3/order?… timed out" in said
    assert "signature" not in said and "5ec7e7" not in said
