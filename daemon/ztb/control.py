"""Commands to a running daemon and their answers: one closed union, whoever asks.

The control socket, MQTT commands, signals and the kill-switch file all end in `Controls.execute`.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

SOCKET_NAME = "control.sock"
"""Where a daemon listens, in its run's folder."""


@contextmanager
def short_address(path: Path) -> Generator[str]:
    """A socket address for `path` while the context lasts, through its folder's descriptor: a path may be longer
    than the 107 bytes that an address holds."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command", tag=str.lower):
    """A command; on the wire a JSON object whose `command` is the lower-case name."""


class Status(_Command, frozen=True):
    """Answer with the present `telemetry.snapshot.DaemonSnapshot` in `detail`."""


class Halt(_Command, frozen=True):
    """Cancel what is open and refuse every order until `Resume`; latched, survives a restart."""

    reason: str = ""


class Resume(_Command, frozen=True):
    """Lift a halt or the reduce-only state."""


class Adopt(_Command, frozen=True):
    """Live mode, halted: take what the venue's account holds over into the books, then resume."""


class Flatten(_Command, frozen=True):
    """Bring the position to zero, then halt."""


class Freeze(_Command, frozen=True):
    """Stop learning; the generation that serves goes on serving."""


class Unfreeze(_Command, frozen=True):
    """Learn again."""


class Promote(_Command, frozen=True):
    """Serve `generation` from the next decision on, gate or no gate; journaled as the operator's doing."""

    generation: int


class Rollback(_Command, frozen=True):
    """Serve `generation` (None: the last good ancestor) from the next decision on, and quarantine what is left."""

    generation: int | None = None


class Reload(_Command, frozen=True):
    """Read the configuration again and take over what may change while running."""


class LogLevel(_Command, frozen=True):
    """Log from `level` (debug, info, warning, error) on."""

    level: str


class Disarm(_Command, frozen=True):
    """Live mode: no new risk until armed again."""


AtOnce: TypeAlias = (
    Status | Halt | Resume | Flatten | Freeze | Unfreeze | Promote | Rollback | Reload | LogLevel | Disarm
)
"""Commands that are carried out without waiting for anybody."""

Command: TypeAlias = AtOnce | Adopt


class Answer(msgspec.Struct, frozen=True):
    """The outcome of a command. `exit_code` is what the command line ends with (see `ztb.errors`)."""

    ok: bool
    message: str
    exit_code: int = 0
    detail: dict[str, Any] = {}


class Controls(Protocol):
    """The receiver of commands. `origin` says who asked (socket, mqtt, signal, file, operator) and is journaled."""

    async def execute(self, command: Command, origin: str) -> Answer: ...
