"""For tests, ours and our users': a clock, and a local exchange to trade against."""

from ztb.testing.exchange.connections import Close, Connection, WebSocketFrame
from ztb.testing.exchange.exchange import Exchange, Response
from ztb.testing.exchange.faults import Fault, FaultKind
from ztb.testing.exchange.gateway import CallOutcome, Gateway, Reply
from ztb.testing.exchange.local import LocalExchange
from ztb.testing.exchange.setup import Setup, open_exchange
from ztb.testing.virtual_time import VirtualClock

__all__ = [
    "CallOutcome",
    "Close",
    "Connection",
    "Exchange",
    "Fault",
    "FaultKind",
    "Gateway",
    "LocalExchange",
    "Reply",
    "Response",
    "Setup",
    "VirtualClock",
    "WebSocketFrame",
    "open_exchange",
]
