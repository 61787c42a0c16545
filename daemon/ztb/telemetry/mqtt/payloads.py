"""Payloads: JSON objects, each with the version of its schema."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ztb.control import Answer
from ztb.ledger.records import Record
from ztb.secrets import Redactor
from ztb.telemetry.snapshot import AlertFact, DaemonSnapshot

SCHEMA_VERSION: Final = 1

_METRICS = (
    "lag_ms", "ticks", "decisions", "orders", "fills", "rejects", "refusals", "gaps", "equity", "drawdown",
    "position", "fees", "memory_mb", "checkpoints", "last_save_ms",
)  # fmt: skip


class StatusPayload(msgspec.Struct, frozen=True):
    """The daemon's presence; `state` as in the snapshot, `reason` where it is not there."""

    online: bool
    state: str
    reason: str = ""
    schema_version: int = SCHEMA_VERSION


class MetricsPayload(msgspec.Struct, frozen=True):
    """Marks a snapshot of which only the figures are published."""

    snapshot: DaemonSnapshot


class Acknowledgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome of a command; `refused` is the reason code where it was not even tried."""

    sequence: int | None
    ok: bool
    message: str
    command: str = ""
    refused: str = ""
    detail: dict[str, Any] = {}

    @classmethod
    def of(cls, sequence: int, command: str, answer: Answer) -> Acknowledgement:
        return cls(sequence, answer.ok, answer.message, command, detail=answer.detail)


Content = StatusPayload | DaemonSnapshot | MetricsPayload | AlertFact | Record | Acknowledgement


class PayloadEncoder:
    """Content to bytes, without secrets."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact

    def __call__(self, content: Content, missed: int = 0) -> bytes:
        fields = _fields(content)
        fields.setdefault("schema_version", SCHEMA_VERSION)
        if missed:
            fields["missed"] = missed
        return self._redact(msgspec.json.encode(fields).decode()).encode()


def _fields(content: Content) -> dict[str, Any]:
    if isinstance(content, MetricsPayload):
        return {name: getattr(content.snapshot, name) for name in _METRICS}
    fields: dict[str, Any] = msgspec.to_builtins(content, builtin_types=(bytes,))
    return {key: value for key, value in fields.items() if not isinstance(value, bytes)}
