"""The watchdog's own program: reads what to do, waits for its input to end, and cancels what the daemon left open."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import structlog

from ztb.config import MarketSection
from ztb.execution.orders import is_protective
from ztb.secrets import known_secrets
from ztb.telemetry.logs import configure_logging

_TRIES = 20
_BETWEEN_S = 1.0


async def cancel_left_over(market: MarketSection, symbol: str, prefix: str) -> int:
    """Cancel the orders of ours that are open now; how many. A daemon that has started again keeps its new ones."""
    # Imported here alone: until it is needed, the watchdog is a small process.
    from ztb.runtime.venue.client import is_unknown_order, private_client

    client = private_client(market, os.environ)
    left: list[str] | None = None
    count = 0
    for _ in range(_TRIES):
        try:
            if left is None:
                rows: list[dict[str, Any]] = await client.fetch_open_orders(symbol)
                left = [str(row["id"]) for row in rows if _decided(str(row.get("clientOrderId")), prefix)]
            while left:
                await client.cancel_order(left[-1], symbol, {})
                left.pop()
                count += 1
            break
        except Exception as error:  # noqa: BLE001 (a supervisor: the next try may do it)
            if left and is_unknown_order(error):
                left.pop()  # it has ended by itself
                continue
            structlog.get_logger().warning("watchdog_tries_again", reason=type(error).__name__)
            await asyncio.sleep(_BETWEEN_S)
    await client.close()
    return count


def _decided(client_id: str, prefix: str) -> bool:
    """Whether an order is ours, and no protective stop: that is what is left of us."""
    number = client_id.removeprefix(prefix)
    return client_id.startswith(prefix) and not (number.isdecimal() and is_protective(int(number)))


def main() -> None:
    """Wait, then act, unless the daemon said that it leaves on purpose."""
    orders = json.loads(sys.stdin.readline())
    if sys.stdin.readline().startswith("released"):
        return
    configure_logging(secrets=known_secrets())
    market = MarketSection.model_validate(orders["market"])
    count = asyncio.run(cancel_left_over(market, orders["symbol"], orders["prefix"]))
    structlog.get_logger().warning("watchdog_cancelled", orders=count)


if __name__ == "__main__":
    main()
