"""What a key may do beyond trading, where the venue tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from ztb.errors import ConfigError
from ztb.market.live.rest import Rest
from ztb.runtime.venue.client import PrivateClient

_ASK: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "binance": ("sapi_get_account_apirestrictions", lambda told: bool(told.get("enableWithdrawals"))),
    "bybit": (
        "private_get_v5_user_query_api",
        lambda told: "Withdraw" in told["result"]["permissions"].get("Wallet", []),
    ),
}
"""By ccxt's id: the call of its client that tells a key's rights, and how to read withdrawal off its answer."""


async def refuse_withdrawal_rights(client: PrivateClient, rest: Rest) -> bool:
    """ConfigError if the key may withdraw; whether the venue could tell. VenueError if it does not answer."""
    if client.id not in _ASK:
        return False
    method, may_withdraw = _ASK[client.id]
    ask = cast(Callable[[], Awaitable[Any]], getattr(client, method))
    if may_withdraw(await rest.call(lambda _client: ask())):
        raise ConfigError(
            f"the key of {client.id} may withdraw: make one that may trade only, nothing here needs more"
        )
    return True
