"""For tests, ours and our users': a clock, and a local exchange to trade against."""

from ztb.testing.exchange.connections import Close, Connection, Frame
from ztb.testing.exchange.exchange import Exchange, Response
from ztb.testing.exchange.faults import Fault, Kind
from ztb.testing.exchange.gateway import Gateway, Outcome, Reply
from ztb.testing.exchange.local import LocalExchange
from ztb.testing.exchange.setup import Setup, open_exchange
from ztb.testing.virtual_time import VirtualClock

__all__ = [
    "Close",
    "Connection",
    "Exchange",
    "Fault",
    "Frame",
    "Gateway",
    "Kind",
    "LocalExchange",
    "Outcome",
    "Reply",
    "Response",
    "Setup",
    "VirtualClock",
    "open_exchange",
]
