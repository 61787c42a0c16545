"""The live source: streams in, each on a connection that is made anew when it dies, blocks of ticks out.

Also here: how live market data is read: which streams, how patiently, in what pieces.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ztb.errors import VenueError, ZtbError
from ztb.market.instrument import Instrument
from ztb.market.live.bars import Bars, bar_span_ns
from ztb.market.live.channel import TAINTED, Health, MarketChannel, SymbolContext
from ztb.market.live.client import ClientFactory, VenueClient, close_client
from ztb.market.live.decoded_stream import DecodedStream
from ztb.market.live.decoding import decoder_of
from ztb.market.live.decoding.formats import MessageDecoder
from ztb.market.live.instrument import contract_size, instrument_of
from ztb.market.live.intake import Intake
from ztb.market.live.rest import Backoff, Rest
from ztb.market.live.streams import Depth, Quotes, Trades
from ztb.market.live.venue_clock import VenueClock
from ztb.market.ticks import Ticks

StreamKind = Literal["trades", "quotes", "depth", "bars"]


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """`streams` are read by websocket where the venue has one, else polled every `poll_s`.

    A stream silent for `stale_s` (bars: a bar longer) is checked by REST. Rows wait at most `flush_ms` before they
    are handed on, in blocks of at most `block_rows`; at most `capacity_rows` wait. `cache_trades` is how many
    trades a stream keeps while nobody reads. `decoders`: messages of known venues are decoded here, and not by ccxt.
    `warm_up_s` of history is fetched at the start. Reconnecting waits
    `backoff_s`, doubled each time up to `backoff_most_s`, with jitter.
    """

    streams: tuple[StreamKind, ...] = ("trades", "quotes")
    timeframe: str = "1m"
    depth_levels: int = 20
    poll_s: float = 2.0
    stale_s: float = 10.0
    flush_ms: float = 5.0
    block_rows: int = 4096
    capacity_rows: int = 65_536
    cache_trades: int = 100_000
    decoders: bool = True
    warm_up_s: float = 0.0
    backoff_s: float = 0.25
    backoff_most_s: float = 30.0


_CLOCK_EVERY_S = 60.0
_GRACE_S = 0.25
_GATHER_S = 0.001

Keep: TypeAlias = Callable[[Ticks, NDArray[np.int64]], None]
"""Takes each block with its receive times, before anybody else sees it."""


def _keep_nothing(_ticks: Ticks, _recv_ns: NDArray[np.int64]) -> None:
    """Nobody records."""


class ChannelRunner:
    """Runs one channel on a client of its own, so that the fault of one stream is no other's.

    `connect` makes a client; a channel without a stream is asked by REST every `poll_s` instead. `most` trades wait
    to be read.
    """

    def __init__(
        self,
        channel: MarketChannel,
        connect: Callable[[], VenueClient],
        backoff: Backoff,
        poll_s: float,
        most: int,
    ) -> None:
        self.channel = channel
        self._connect = connect
        self._backoff = backoff
        self._poll_s = poll_s
        self._most = most

    async def run(self) -> None:
        """Until cancelled. What the venue or ccxt does wrong ends a connection, never this task."""
        while True:
            client = self._connect()
            try:
                await self._serve(client)
            except* VenueError as faults:
                self._failed(str(faults.exceptions[0]))
            finally:
                await close_client(client)
            await asyncio.sleep(self._backoff.next_s())

    def _failed(self, fault: str) -> None:
        health = self.channel.health
        health.fault, health.stale = fault, True
        health.reconnects += 1
        self.channel.interrupted()

    async def _serve(self, client: VenueClient) -> None:
        channel, decoder = self.channel, self.channel.decoder
        if not channel.streams(client):
            await self._poll()
        if decoder is None:
            await self._listen(lambda: _heard(channel, client), 0.0)
            return
        stream = DecodedStream(channel, decoder, client, self._most)
        async with asyncio.TaskGroup() as tasks:
            name = f"{channel.health.name}-by-ccxt"
            tasks.create_task(stream.follow(lambda: _heard(channel, client)), name=name)
            await self._listen(stream.read, _GATHER_S)

    async def _listen(self, read: Callable[[], Awaitable[Any]], pause_s: float) -> None:
        """Hand on what `read` brings, until it raises. In a pause more gathers, which costs as little as one."""
        channel = self.channel
        while True:
            await channel.line.intake.room()
            message = await self._next(read)
            if message is not None:
                await channel.accept(message, channel.line.now_ns())
                channel.health.stale = False
                self._backoff.reset()
                if pause_s:
                    await asyncio.sleep(pause_s)

    async def _poll(self) -> None:
        while True:
            await self.channel.line.intake.room()
            await self.channel.check(0)
            self.channel.health.stale = False
            self._backoff.reset()
            await asyncio.sleep(self._poll_s)

    async def _next(self, read: Callable[[], Awaitable[Any]]) -> Any:
        """The next message; None if the stream is silent and REST knows no news either. VenueError if it is dead."""
        name, patience = self.channel.health.name, self.channel.stale_s
        # The second time is for us: if this process stood still, what came meanwhile waits to be read.
        for seconds in (patience, _GRACE_S):
            try:
                async with asyncio.timeout(seconds):
                    return await read()
            except TimeoutError:
                continue
        self.channel.health.stale = True
        if await self.channel.check(TAINTED):
            raise VenueError(f"{name}: silent for {patience:g} s while the venue had news")
        self.channel.health.stale = False
        return None


async def _heard(channel: MarketChannel, client: VenueClient) -> Any:
    """The messages that the channel reads. Whatever ccxt raises, a future cancelled by its own closing too, is a
    VenueError.
    """
    task = asyncio.current_task()
    try:
        return await channel.read(client)
    except asyncio.CancelledError:
        if task is not None and task.cancelling():
            raise
        raise VenueError(f"{channel.health.name}: the connection was closed") from None
    except (ZtbError, TimeoutError):
        raise
    except Exception as error:
        raise VenueError(f"{channel.health.name}: {type(error).__name__}: {error}") from error


@dataclass(slots=True)
class LiveSource:
    """Ticks of one instrument as they come. Run `run` as a task of the session, consume `blocks` in another.

    `blocks` ends after `close`. `keep` records. History fetched at the start comes first: `history` is set
    when it has, and rows may be traded on. `bar_ns`: how long a bar lasts, where only bars are read.
    """

    instrument: Instrument
    settings: FeedSettings
    intake: Intake
    rest: Rest
    clock: VenueClock
    feeds: Sequence[ChannelRunner]
    keep: Keep = _keep_nothing
    bar_ns: int | None = None
    history: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _handed_s: float = -math.inf

    async def run(self) -> None:
        """Fetch history, then keep the streams alive until `close`. VenueError if history cannot be had."""
        try:
            await self._warm_up()
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(feed.run(), name=f"feed-{feed.channel.health.name}")
                    for feed in self.feeds
                ]
                running.append(tasks.create_task(self.clock.run(), name="venue-clock"))
                await self._stop.wait()
                for task in running:
                    task.cancel()
        finally:
            self.intake.close()
            await self.rest.close()

    def close(self) -> None:
        """Read no more; blocks that wait are still handed on."""
        self._stop.set()

    async def blocks(self) -> AsyncIterator[Ticks]:
        """Blocks in arrival order, as they fill, but no more often than every `flush_ms`."""
        while await self.intake.filled():
            await self._pace()
            ticks, recv_ns = self.intake.take(self.settings.block_rows)
            self.keep(ticks, recv_ns)
            yield ticks

    @property
    def health(self) -> list[Health]:
        """The health of each stream."""
        return [feed.channel.health for feed in self.feeds]

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = self._handed_s + self.settings.flush_ms / 1000.0 - loop.time()
        if wait_s > 0.0 and self.intake.waiting < self.settings.block_rows:
            await asyncio.sleep(wait_s)
        self._handed_s = loop.time()

    async def _warm_up(self) -> None:
        if self.settings.warm_up_s > 0.0:
            now_ns = self.feeds[0].channel.line.now_ns()
            since_ms = now_ns // 1_000_000 - int(self.settings.warm_up_s * 1000.0)
            for feed in self.feeds:
                if isinstance(feed.channel, Trades | Bars):
                    await feed.channel.warm_up(since_ms)
        self.history.set()


async def open_live_source(
    make: ClientFactory,
    symbol: str,
    settings: FeedSettings,
    now_ns: Callable[[], int],
    uniform: Callable[[], float],
) -> LiveSource:
    """Load the venue's markets and make the source of `symbol`.

    `now_ns` is wall time, `uniform` draws from [0, 1) for the jitter of reconnects. VenueError if the venue does not
    answer, ConfigError if it has no such market.
    """

    def backoff() -> Backoff:
        return Backoff(settings.backoff_s, settings.backoff_most_s, uniform)

    rest = Rest(make(), backoff)
    try:
        await rest.call(lambda client: client.load_markets())
        instrument = instrument_of(rest.client, symbol)
        line = SymbolContext(
            symbol=symbol,
            unit=float(contract_size(rest.client.markets[symbol])),
            rest=rest,
            intake=Intake(settings.capacity_rows),
            now_ns=now_ns,
            decoder_of=_decoder_of(rest.client, symbol, settings),
        )
        channels = _channels(line, settings)
    except BaseException:
        await rest.close()
        raise

    def connect() -> VenueClient:
        return _sibling(make, rest.client)

    return LiveSource(
        instrument=instrument,
        settings=settings,
        intake=line.intake,
        rest=rest,
        clock=VenueClock(rest, now_ns, _CLOCK_EVERY_S),
        feeds=[
            ChannelRunner(
                channel=channel,
                connect=connect,
                backoff=backoff(),
                poll_s=settings.poll_s,
                most=settings.cache_trades,
            )
            for channel in channels
        ],
        bar_ns=bar_span_ns(rest.client, settings.timeframe) if settings.streams == ("bars",) else None,
    )


def _sibling(make: ClientFactory, first: Any) -> VenueClient:
    """A client that shares the first one's markets and throttle."""
    client = make()
    client.set_markets_from_exchange(first)
    client.throttler = first.throttler
    return client


def _decoder_of(client: Any, symbol: str, settings: FeedSettings) -> Callable[[str], MessageDecoder | None]:
    def decoder(stream: str) -> MessageDecoder | None:
        return decoder_of(client.id, stream, client.markets[symbol]) if settings.decoders else None

    return decoder


def _channels(line: SymbolContext, settings: FeedSettings) -> list[MarketChannel]:
    stale_s, span_ns = settings.stale_s, bar_span_ns(line.rest.client, settings.timeframe)
    made: dict[str, Callable[[], MarketChannel]] = {
        "trades": lambda: Trades(line, stale_s),
        "quotes": lambda: Quotes(line, stale_s),
        "depth": lambda: Depth(line, stale_s, settings.depth_levels),
        "bars": lambda: Bars(line, stale_s + span_ns / 1e9, settings.timeframe, span_ns),
    }
    return [made[name]() for name in settings.streams]
