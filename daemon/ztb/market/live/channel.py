"""The base of all kinds of streams: reading, the check by REST, and their health."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ztb.errors import InvariantError
from ztb.market.live.client import VenueClient
from ztb.market.live.decoding.formats import MessageDecoder
from ztb.market.live.intake import Intake
from ztb.market.live.local_book import LocalBook
from ztb.market.live.rest import Rest
from ztb.market.ticks import Flag, Ticks

TAINTED = int(Flag.TAINTED)
GAP = int(Flag.GAP)


@dataclass(slots=True)
class Health:
    """The health of a stream. `last_ns` is when it last brought something; `fault` is why it was last connected anew.

    `gaps` counts times at which something was missing, `recovered` rows that REST gave back, `lost` trades that it
    did not, `duplicates` trades that came again, `bad` entries that could not be true.
    """

    name: str
    last_ns: int | None = None
    stale: bool = True
    reconnects: int = 0
    gaps: int = 0
    recovered: int = 0
    lost: int = 0
    duplicates: int = 0
    bad: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class SymbolContext:
    """Parts that the channels of one symbol share. `unit` is base currency in one unit of the venue's quantities."""

    symbol: str
    unit: float
    rest: Rest
    intake: Intake
    now_ns: Callable[[], int]
    decoder_of: Callable[[str], MessageDecoder | None]
    """The decoder of a stream by its name; None: its messages come by way of ccxt."""


class MarketChannel(ABC):
    """One kind of data of one symbol. The way of its rows goes through `put`, which marks what follows an outage.

    `decoder` decodes the venue's messages of it; without one they come by way of ccxt.
    """

    def __init__(self, name: str, line: SymbolContext, stale_s: float) -> None:
        self.line = line
        self.stale_s = stale_s
        self.health = Health(name)
        self.resuming = False
        self.decoder = line.decoder_of(name)

    @abstractmethod
    def streams(self, client: VenueClient) -> bool:
        """True if the venue has a stream of this."""

    @abstractmethod
    async def read(self, client: VenueClient) -> Any:
        """Wait for the stream's next message and return it. Nothing may be lost if this is cancelled."""

    @abstractmethod
    async def accept(self, message: Any, recv_ns: int) -> None:
        """Hand on what `read` gave."""

    def of_book(self, book: LocalBook) -> Any:
        """The message that `accept` takes, of a local book; None if it has nothing to tell. Streams that are of no
        book: never.
        """
        raise InvariantError(f"{self.health.name}: made of a book")

    @abstractmethod
    async def check(self, marks: int) -> bool:
        """Ask by REST. Whether there was news that the stream did not bring; it is handed on flagged `marks`."""

    def put(self, ticks: Ticks, recv_ns: int, marks: int = 0) -> None:
        """Hand on rows; `marks` are set on all of them, but a gap lies before the first alone."""
        if marks:
            ticks["flags"] |= marks & ~GAP
            ticks["flags"][:1] |= marks & GAP
        self.health.last_ns = recv_ns
        self.line.intake.put(ticks, recv_ns)

    def interrupted(self) -> None:
        """The stream is connected anew: something may be missing before its next message."""
        self.resuming = True

    def take_marks(self) -> int:
        """Marks of the first row after an outage, 0 at other times."""
        if not self.resuming:
            return 0
        self.resuming = False
        self.health.gaps += 1
        return GAP | TAINTED
