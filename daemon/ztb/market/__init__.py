"""Ticks, instruments and books: from files, from recordings, from a venue's streams."""

from __future__ import annotations

from ztb.lazy import attach

TYPE_CHECKING = False  # see ztb/__init__.py
if TYPE_CHECKING:
    from ztb.market.history import History, open_history
    from ztb.market.instrument import Instrument
    from ztb.market.ticks import TICK, Ticks, empty_ticks, join_ticks
    from ztb.market.view import VIEW

__all__ = [
    "TICK",
    "VIEW",
    "History",
    "Instrument",
    "Ticks",
    "empty_ticks",
    "join_ticks",
    "open_history",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "History": "history",
        "Instrument": "instrument",
        "TICK": "ticks",
        "Ticks": "ticks",
        "VIEW": "view",
        "empty_ticks": "ticks",
        "join_ticks": "ticks",
        "open_history": "history",
    },
)
