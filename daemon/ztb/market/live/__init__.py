"""Live market data through ccxt: streams, kept alive and complete, as blocks of ticks."""

from ztb.market.live.client import ClientFactory, ClientSettings, VenueClient, client_factory
from ztb.market.live.hosts import refuse_other_hosts
from ztb.market.live.settings import FeedSettings
from ztb.market.live.source import LiveSource, open_live_source

__all__ = [
    "ClientFactory",
    "ClientSettings",
    "FeedSettings",
    "LiveSource",
    "VenueClient",
    "client_factory",
    "open_live_source",
    "refuse_other_hosts",
]
