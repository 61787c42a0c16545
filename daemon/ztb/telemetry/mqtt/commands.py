"""Obeys signed commands: each is judged, written down, remembered, executed and acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping

import msgspec
import structlog

from ztb.control import Command, Controls
from ztb.ledger.records import NoteRow
from ztb.ports import Clock
from ztb.telemetry.mqtt.connection import Incoming
from ztb.telemetry.mqtt.payloads import Acknowledgement
from ztb.telemetry.mqtt.signing import Body, CommandGate, Refused, SequenceFile

_logger = structlog.get_logger("ztb.mqtt")


class Commands:
    """Commands of one instance. `note` enters a row into the journal; `acknowledge` publishes what came of it.

    Commands are judged one at a time and executed side by side, so that a halt never waits for a flatten.
    """

    def __init__(
        self, gate: CommandGate, sequences: SequenceFile, clock: Clock, note: Callable[[NoteRow], object]
    ) -> None:
        self._gate = gate
        self._sequences = sequences
        self._clock = clock
        self._note = note

    async def receive(
        self,
        message: Incoming,
        controls: Controls,
        tasks: asyncio.TaskGroup,
        acknowledge: Callable[[Acknowledgement], None],
    ) -> None:
        """Judge `message`; what is obeyed runs as a task of `tasks`."""
        now_ns = self._clock.now_ns()
        judged = self._gate.judge(message.payload, message.retained, now_ns, self._sequences.highest)
        if isinstance(judged, Refused):
            acknowledge(self._refuse(judged, message.payload, now_ns))
            return
        await asyncio.to_thread(self._sequences.advance, judged.sequence)
        self._write_down("mqtt_command", {"sequence": judged.sequence, **_plain(judged.command)}, now_ns)
        work = self._execute(judged, controls, acknowledge)
        tasks.create_task(work, name=f"mqtt-command-{judged.sequence}")

    def _refuse(self, refused: Refused, payload: bytes, now_ns: int) -> Acknowledgement:
        digest = hashlib.sha256(payload).hexdigest()
        detail = {"reason": refused.reason, "sequence": refused.sequence, "sha256": digest}
        self._write_down("mqtt_command_refused", detail, now_ns)
        _logger.warning("mqtt_command_refused", **detail)
        return Acknowledgement(refused.sequence, False, f"refused: {refused.reason}", refused=refused.reason)

    async def _execute(
        self, body: Body, controls: Controls, acknowledge: Callable[[Acknowledgement], None]
    ) -> None:
        answer = await controls.execute(body.command, "mqtt")
        acknowledge(Acknowledgement.of(body.sequence, _plain(body.command)["command"], answer))

    def _write_down(self, kind: str, detail: Mapping[str, object], now_ns: int) -> None:
        self._note(NoteRow(now_ns, kind, msgspec.json.encode(detail).decode()))


def _plain(command: Command) -> dict[str, str]:
    plain: dict[str, str] = msgspec.to_builtins(command)
    return plain
