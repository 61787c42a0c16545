"""A stream decoded below ccxt, at its client's socket; what a decoder does not know goes on to ccxt.

ccxt connects, subscribes, answers pings and makes books of snapshots; the decoder takes over what comes often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from ztb.errors import VenueError
from ztb.market.live.channel import MarketChannel
from ztb.market.live.client import VenueClient
from ztb.market.live.decoding.formats import (
    BookSnapshot,
    BookUpdate,
    Fit,
    MessageDecoder,
    Text,
    Told,
    Unfamiliar,
)
from ztb.market.live.local_book import LocalBook
from ztb.market.live.messages import Touch, Trade


class DecodedStream:
    """On `client`, which reads `channel` alone. `read` takes the place of the channel's own.

    Trades wait until they are read, `most` of them; then they are forgotten, and asked for by REST as after an outage.
    Of touches and books only the latest waits. A change missing in a book ends the connection, as with ccxt.
    """

    def __init__(
        self, channel: MarketChannel, decoder: MessageDecoder, client: VenueClient, most: int
    ) -> None:
        self._channel = channel
        self._decoder: MessageDecoder | None = decoder
        self._client = client
        self._most = most
        self._trades: list[Trade] = []
        self._latest: Any = None
        self._book: LocalBook | None = None
        self._fault: VenueError | None = None
        self._news = asyncio.Event()
        _listen_before(client, self._hear)

    async def read(self) -> Any:
        """The messages heard since the last call, as soon as there is one. VenueError when the connection is over."""
        while (told := self._waiting()) is None:
            if self._fault is not None:
                raise self._fault
            self._news.clear()
            await self._news.wait()
        return told

    def _waiting(self) -> Any:
        """The messages that wait to be read, None if there are none."""
        trades, latest = self._trades, self._latest
        self._trades, self._latest = [], None
        if isinstance(latest, LocalBook):
            return self._channel.of_book(latest)
        return latest or trades or None

    async def follow(self, heard: Callable[[], Awaitable[Any]]) -> None:
        """Take what comes by way of ccxt, which `heard` gives, until the connection is over."""
        try:
            while True:
                told = await heard()
                if isinstance(told, list):
                    self._wait_to_be_read(told)
                elif self._book is None:  # else it is older than ours
                    self._latest = told
                self._news.set()
        except VenueError as error:
            self._end(error)

    def _hear(self, text: Text) -> bool:
        """Decode a frame; False if it is ccxt's."""
        if self._decoder is None or self._fault is not None:
            return False
        try:
            return self._take(self._decoder.decode(text), self._decoder)
        except Unfamiliar as reason:
            self._step_aside(reason)
            return False

    def _take(self, told: Told, decoder: MessageDecoder) -> bool:
        if told is None:
            return False
        if isinstance(told, Touch):
            self._latest = told
        elif isinstance(told, list):
            self._wait_to_be_read(told)
        elif isinstance(told, BookSnapshot):
            self._book = self._latest = None
            return False
        elif not self._apply(told, decoder):
            return False
        if not self._news.is_set():
            self._news.set()
        return True

    def _wait_to_be_read(self, trades: list[Trade]) -> None:
        self._trades += trades
        if len(self._trades) > self._most:
            self._trades = trades
            self._channel.interrupted()

    def _apply(self, update: BookUpdate, decoder: MessageDecoder) -> bool:
        """Change our book; False if there is none, since ccxt has not made one yet."""
        book = self._book or self._copied(update.first is not None)
        if book is None:
            return False
        self._book, fit = book, decoder.form.fits(book.nonce, update)
        if fit is Fit.GAP:
            self._end(VenueError(f"{self._channel.health.name}: changes of the book are missing"))
        elif fit is Fit.NEXT:
            book.apply(update.bids, update.asks, decoder.form.keep)
            book.nonce, book.ms = update.last, update.ms
            self._latest = book
        return True

    def _copied(self, numbered: bool) -> LocalBook | None:
        """The book that ccxt has made of a snapshot and of what came since, None if that is still to come."""
        made = self._client.orderbooks.get(self._channel.line.symbol)
        if made is None or (numbered and made["nonce"] is None):
            return None
        return LocalBook(made["bids"], made["asks"], made["nonce"])

    def _step_aside(self, reason: Unfamiliar) -> None:
        """From here on everything is ccxt's. Where the book was ours, it makes one anew, on a new connection."""
        channel = self._channel
        structlog.get_logger().warning(
            "decoder_stepped_aside", stream=channel.health.name, venue=self._client.id, reason=str(reason)
        )
        self._decoder = channel.decoder = None
        if self._book is not None:
            self._end(VenueError(f"{channel.health.name}: {reason}"))

    def _end(self, fault: VenueError) -> None:
        self._fault = self._fault or fault
        self._news.set()


def _listen_before(client: Any, hear: Callable[[Text], bool]) -> None:
    """Have `hear` get the text of each frame first; those that it gives False for go on to ccxt."""
    connect = client.client

    def connected(url: str) -> Any:
        known = url in (client.clients or {})
        socket = connect(url)
        if not known:
            onward = socket.handle_text_or_binary_message

            def handle(text: Text) -> None:
                if not hear(text):
                    onward(text)

            socket.handle_text_or_binary_message = handle
        return socket

    client.client = connected
