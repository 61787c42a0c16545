"""Plays a recording of Binance's streams on loopback to whoever subscribes, as fast as it is told to.

`python tape_server.py TAPE SPEED SECONDS`: prints its port, waits until the three streams were subscribed, plays the
busiest SECONDS of the tape (0: all of it), prints how many trades went out at SPEED, and stays. Until stdin brings
something, it plays as slowly as it was recorded. Times in messages are those of sending.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from bisect import bisect_left
from pathlib import Path
from typing import Any

import pyarrow as pa
from aiohttp import WSMsgType, web

from market.live.memory_binance import EXCHANGE_INFO

STREAMS = ("trade", "bookTicker", "depth")
_TIME = re.compile(r'"([ET])":\d+')
Message = tuple[int, str, str]
"""Local nanoseconds, the stream's kind, and the message with %d for each time in it."""


def read_tape(path: Path, seconds: float = 0.0) -> tuple[list[Message], dict[str, Any]]:
    """(messages in order, the book's snapshot); only the busiest `seconds` if they are not 0."""
    with pa.CompressedInputStream(pa.OSFile(str(path), "r"), "zstd") as stream:
        lines = stream.read().decode().split("\n")
    messages: list[Message] = []
    snapshot: dict[str, Any] = {}
    for line in filter(None, lines):
        moment, _, text = line.partition(" ")
        decoded = json.loads(text)
        if "stream" in decoded:
            body = text[text.index('"data":') + 7 : -1]
            messages.append((int(moment), decoded["stream"].split("@")[1], _TIME.sub(r'"\1":%d', body)))
        else:
            snapshot = decoded
    return (_busiest(messages, int(seconds * 1e9)) if seconds else messages), snapshot


def _busiest(messages: list[Message], span_ns: int) -> list[Message]:
    moments = [moment for moment, _, _ in messages]
    ends = [bisect_left(moments, moment + span_ns) for moment in moments]
    first = max(range(len(moments)), key=lambda i: ends[i] - i)
    return messages[first : ends[first]]


def stamped(body: str, ms: int) -> str:
    """The message as sent at `ms`."""
    return body % ((ms,) * body.count("%d"))


def trades_of(messages: list[Message]) -> list[tuple[float, float, int]]:
    """Price, quantity and taker's side of each trade of a tape, in order."""
    rows = (json.loads(stamped(body, 0)) for _, kind, body in messages if kind == "trade")
    return [(float(row["p"]), float(row["q"]), -1 if row["m"] else 1) for row in rows]


def answer(name: str, snapshot: dict[str, Any], played: list[dict[str, Any]], query: Any) -> Any:
    """What the venue says to a request by REST."""
    if name == "aggTrades":
        since, limit = int(query.get("startTime", 0)), int(query.get("limit", 500))
        found = [trade for trade in played if trade["T"] >= since][:limit]
        return [{**trade, "a": trade["t"]} for trade in found]
    known = {
        "time": {"serverTime": time.time_ns() // 10**6},
        "depth": snapshot,
        "exchangeInfo": EXCHANGE_INFO,
    }
    return known[name]


class TapeServer:
    """One tape, played once."""

    def __init__(self, tape: Path, speed: float, seconds: float) -> None:
        self.messages, self.snapshot = read_tape(tape, seconds)
        self.speed = speed
        self.heard: dict[str, list[asyncio.Queue[str]]] = {}
        self.wanted = asyncio.Event()
        self.hurry = asyncio.Event()
        self.played: list[dict[str, Any]] = []
        self.slow = 0

    async def run(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.serve)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        asyncio.get_running_loop().add_reader(sys.stdin, self.hurry.set)
        await self.wanted.wait()
        await asyncio.sleep(1.0)
        await self.play()
        print(len(self.played) - self.slow, flush=True)
        await asyncio.Event().wait()

    async def play(self) -> None:
        speed, begun, first = 1.0, time.monotonic(), self.messages[0][0]
        for moment, kind, body in self.messages:
            if self.hurry.is_set() and speed != self.speed:
                speed, begun, first, self.slow = self.speed, time.monotonic(), moment, len(self.played)
            if (wait := begun + (moment - first) / 1e9 / speed - time.monotonic()) > 0.0005:
                await asyncio.sleep(wait)
            text = stamped(body, time.time_ns() // 10**6)
            if kind == "trade":
                self.played.append(json.loads(text))
            for queue in self.heard.get(kind, []):
                queue.put_nowait(text)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.socket(request)
        name = request.path.rsplit("/", 1)[-1]
        return web.json_response(answer(name, self.snapshot, self.played, request.query))

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        queue: asyncio.Queue[str] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(write(socket, queue))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self.subscribe(json.loads(message.data), queue)
            writer.cancel()
        return socket

    def subscribe(self, asked: dict[str, Any], queue: asyncio.Queue[str]) -> None:
        queue.put_nowait(json.dumps({"result": None, "id": asked["id"]}))
        for stream in asked["params"]:
            self.heard.setdefault(stream.split("@")[1], []).append(queue)
        if set(STREAMS) <= set(self.heard):
            self.wanted.set()


async def write(socket: web.WebSocketResponse, queue: asyncio.Queue[str]) -> None:
    while True:
        await socket.send_str(await queue.get())


if __name__ == "__main__":
    asyncio.run(TapeServer(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])).run())
