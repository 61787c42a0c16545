"""The control socket: a line of JSON in, a line of JSON out, for this user and root alone.

A request is a command of `ztb.control` as JSON, its answer an `Answer`. The socket lies in the run's folder with
mode 0600, and the kernel is asked who is calling.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path

import msgspec

from ztb.control import Answer, Command, Controls, short_address
from ztb.errors import UsageError

_MOST_BYTES = 65_536  # of a request
_CALLERS = 16


def _caller_uid(writer: asyncio.StreamWriter) -> int:
    connection: socket.socket = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


def _claim(path: Path) -> None:
    """Make way for the socket. UsageError if a daemon answers there."""
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX) as probe, short_address(path) as address:
        try:
            probe.connect(address)
        except OSError:
            path.unlink(missing_ok=True)
        else:
            raise UsageError(
                f"{path.parent}: a daemon runs there already; `ztb status --run {path.parent}` asks it"
            )


def _door(path: Path) -> socket.socket:
    """A socket bound to `path` that its owner alone may use, from its first moment.

    Its mode is set before it is bound, since a umask would be every thread's.
    """
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(door.fileno(), 0o600)
        with short_address(path) as address:
            door.bind(address)
    except OSError:
        door.close()
        raise
    return door


class ControlSocket:
    """Serves `controls` at `path` until cancelled; at most 16 callers at a time, the next ones are turned away."""

    def __init__(self, path: Path, controls: Controls) -> None:
        self.path = path
        self._controls = controls
        self._callers = 0
        self._decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)

    async def run(self) -> None:
        """The serving task."""
        _claim(self.path)
        door = _door(self.path)
        try:
            async with await asyncio.start_unix_server(self._serve, sock=door, limit=_MOST_BYTES) as server:
                await server.serve_forever()
        finally:
            door.close()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers += 1
        try:
            if _caller_uid(writer) not in (0, os.getuid()) or self._callers > _CALLERS:
                return
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # ValueError: a line beyond the limit
            return
        finally:
            self._callers -= 1
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            command = self._decoder.decode(line)
        except msgspec.DecodeError as error:
            return Answer(False, f"not a command: {error}", UsageError.exit_code)
        return await self._controls.execute(command, "socket")
