"""The control socket is its owner's alone, and nothing else in the process changes for it."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from ztb.control import Answer, Command
from ztb.runtime.daemon.control_socket import ControlSocket


class Deaf:
    async def execute(self, command: Command, origin: str) -> Answer:
        raise AssertionError("nobody asks")


def mode(path: Path) -> int | None:
    """The permissions of what is there."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


async def test_the_socket_is_private_and_a_folder_made_meanwhile_is_like_any_other(tmp_path, monkeypatch):
    def refused(mask: int) -> int:
        raise AssertionError("the umask is every thread's: a folder made meanwhile could not be entered")

    monkeypatch.setattr(os, "umask", refused)
    place = tmp_path / "control.sock"
    serving = asyncio.create_task(ControlSocket(place, Deaf()).run(), name="serving")
    while (found := mode(place)) is None:  # noqa: ASYNC110 (a bound socket is no event)
        await asyncio.sleep(0)
    assert found == 0o600
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert mode(place) is None
