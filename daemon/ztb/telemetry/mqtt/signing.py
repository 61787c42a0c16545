"""Signed commands: who may ask, for which instance, once, and not for long.

Also here: the highest sequence that was obeyed, on disk: a command is obeyed once, restart or not.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from ztb.control import Command, Disarm, Flatten, Freeze, Halt, Resume, Rollback, Status, Unfreeze
from ztb.errors import ConfigError
from ztb.utils import files

MAXIMUM_BYTES = 4096
MAXIMUM_AHEAD_MS = 600_000
"""How far ahead an expiry may lie: so long can a command be held back and still be obeyed."""

SAFE: tuple[type[msgspec.Struct], ...] = (Status, Halt, Flatten, Freeze, Rollback, Disarm)
"""What never adds risk."""

RESUMING: tuple[type[msgspec.Struct], ...] = (Resume, Unfreeze)

_DOMAIN = b"ztb-command-1\n"


class CommandRefusal(StrEnum):
    """The reason why a command is refused."""

    RETAINED = "retained"
    TOO_LONG = "too_long"
    MALFORMED = "malformed"
    SIGNATURE = "signature"
    INSTANCE = "instance"
    EXPIRED = "expired"
    EXPIRY_TOO_FAR = "expiry_too_far"
    SEQUENCE = "sequence"
    FORBIDDEN = "forbidden"


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On the wire: `body`, the JSON of a `Body` as text, and the HMAC-SHA256 of it, hexadecimal."""

    body: str
    signature: str


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed part. `sequence` rises with every command; `expires_ms` is milliseconds since 1970."""

    instance: str
    sequence: int
    expires_ms: int
    command: Command


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that is not obeyed. `sequence` is known where the signature was right."""

    reason: CommandRefusal
    sequence: int | None = None


def sign(key: str, body: Body) -> bytes:
    """The envelope of `body`."""
    text = msgspec.json.encode(body)
    return msgspec.json.encode(Envelope(text.decode(), _mac(key, text)))


def _mac(key: str, body: bytes) -> str:
    return hmac.new(key.encode(), _DOMAIN + body, hashlib.sha256).hexdigest()


class CommandGate:
    """Judges what arrives. Pure: the caller keeps the highest sequence (durably, before it obeys)."""

    def __init__(self, key: str, instance: str, permitted: tuple[type[msgspec.Struct], ...]) -> None:
        self._key = key
        self._instance = instance
        self._permitted = permitted

    def judge(self, payload: bytes, retained: bool, now_ns: int, highest: int) -> Body | Refused:
        """The command to obey, or why not. `highest`: the highest sequence obeyed so far."""
        if retained:
            return Refused(CommandRefusal.RETAINED)
        body = self._authentic(payload)
        if isinstance(body, Refused):
            return body
        reason = self._fault(body, now_ns // 1_000_000, highest)
        return body if reason is None else Refused(reason, body.sequence)

    def _authentic(self, payload: bytes) -> Body | Refused:
        if len(payload) > MAXIMUM_BYTES:
            return Refused(CommandRefusal.TOO_LONG)
        try:
            envelope = msgspec.json.decode(payload, type=Envelope)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Refused(CommandRefusal.MALFORMED)
        mac = _mac(self._key, envelope.body.encode())
        if not hmac.compare_digest(mac.encode(), envelope.signature.encode()):
            return Refused(CommandRefusal.SIGNATURE)
        try:
            return msgspec.json.decode(envelope.body, type=Body)
        except msgspec.DecodeError:
            return Refused(CommandRefusal.MALFORMED)

    def _fault(self, body: Body, now_ms: int, highest: int) -> CommandRefusal | None:
        if body.instance != self._instance:
            return CommandRefusal.INSTANCE
        if body.expires_ms <= now_ms:
            return CommandRefusal.EXPIRED
        if body.expires_ms > now_ms + MAXIMUM_AHEAD_MS:
            return CommandRefusal.EXPIRY_TOO_FAR
        if body.sequence <= highest:
            return CommandRefusal.SEQUENCE
        return None if isinstance(body.command, self._permitted) else CommandRefusal.FORBIDDEN


class SequenceFile:
    """A file that holds one number. ConfigError if it holds anything else: then no command can be trusted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.highest = self._read()

    def _read(self) -> int:
        try:
            return int(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self._path}: the highest command sequence cannot be read ({error}); write into it a number "
                "above any sequence ever sent (the time in milliseconds, if you number commands by it)"
            ) from None

    def advance(self, sequence: int) -> None:
        """Remember `sequence`; durable on return."""
        files.write_durably(self._path, f"{sequence}\n".encode("ascii"))
        self.highest = sequence
