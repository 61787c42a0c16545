"""All that the venue knows: its books and accounts, bars, and who may do what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ztb.testing.exchange.candles import Candles
from ztb.testing.exchange.listing import Listing
from ztb.testing.exchange.venue import Venue

USER = "user"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key of the account `USER`, made up, and its rights."""

    key: str = "local-exchange-key"
    secret: str = "local-exchange-secret"
    withdrawals: bool = False


@dataclass(slots=True)
class State:
    """The venue, bars of each symbol by the minute, and the one key."""

    venue: Venue
    candles: dict[str, Candles]
    credentials: Credentials = field(default_factory=Credentials)

    @classmethod
    def of(cls, listings: Sequence[Listing], credentials: Credentials) -> State:
        """Nothing has happened yet."""
        candles = {listing.symbol: Candles() for listing in listings}
        return cls(Venue.of(listings), candles, credentials)
