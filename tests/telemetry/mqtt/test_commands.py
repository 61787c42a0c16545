"""A command is obeyed if the key signed it, for this instance, once, in order and in time; all else is refused
with a reason, acknowledged and journaled."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ztb.telemetry.mqtt
from telemetry.made_up import START_NS
from ztb import control
from ztb.control import Adopt, Answer, Command, Halt, LogLevel, Promote, Reload, Resume, Unfreeze
from ztb.errors import ConfigError
from ztb.ledger.records import NoteRow
from ztb.telemetry.mqtt.commands import Commands
from ztb.telemetry.mqtt.connection import Incoming
from ztb.telemetry.mqtt.payloads import Acknowledgement
from ztb.telemetry.mqtt.signing import (
    MAXIMUM_AHEAD_MS,
    RESUMING,
    SAFE,
    Body,
    CommandGate,
    CommandRefusal,
    Refused,
    SequenceFile,
    sign,
)

KEY = "a key that is shared"
NOW_MS = START_NS // 1_000_000


def body(sequence: int = 1, command: Command | None = None, **changed: Any) -> Body:
    made = Body("paper", sequence, NOW_MS + 30_000, command or Halt("test"))
    return msgspec.structs.replace(made, **changed)


class Desk:
    """Commands of an instance, with a journal, controls and acknowledgements that only remember."""

    def __init__(self, folder: Path, permitted: Any = SAFE) -> None:
        self.notes: list[NoteRow] = []
        self.executed: list[tuple[Command, str]] = []
        self.acknowledged: list[Acknowledgement] = []
        self.now_ns_value = START_NS
        self.sequences = SequenceFile(folder / "mqtt_sequence")
        self.commands = Commands(
            CommandGate(KEY, "paper", permitted), self.sequences, self, self.notes.append
        )

    def now_ns(self) -> int:
        return self.now_ns_value

    async def execute(self, command: Command, origin: str) -> Answer:
        assert self.notes[-1].kind == "mqtt_command", "written down before it is executed"
        self.executed.append((command, origin))
        return Answer(True, "done", detail={"state": "halted"})

    def take(self, *messages: Incoming) -> None:
        async def receive() -> None:
            for message in messages:
                async with asyncio.TaskGroup() as tasks:
                    await self.commands.receive(message, self, tasks, self.acknowledged.append)

        asyncio.run(receive())


def test_a_good_command_is_journaled_executed_and_acknowledged(tmp_path):
    desk = Desk(tmp_path)
    desk.take(Incoming(sign(KEY, body(7)), False))
    assert desk.executed == [(Halt("test"), "mqtt")]
    assert json.loads(desk.notes[0].detail) == {"sequence": 7, "command": "halt", "reason": "test"}
    assert desk.acknowledged == [Acknowledgement(7, True, "done", "halt", detail={"state": "halted"})]
    assert desk.sequences.highest == 7 == SequenceFile(tmp_path / "mqtt_sequence").highest


def test_a_command_is_obeyed_once_restart_or_not(tmp_path):
    message = Incoming(sign(KEY, body(7)), False)
    Desk(tmp_path).take(message)
    again = Desk(tmp_path)
    again.take(message)
    assert again.executed == [] and again.acknowledged[0].refused == CommandRefusal.SEQUENCE


def tampered(payload: bytes, position: int, flip: int) -> bytes:
    changed = bytearray(payload)
    changed[position % len(payload)] ^= 1 << flip
    return bytes(changed)


GOOD = sign(KEY, body(5))
ATTACKS: dict[str, st.SearchStrategy[tuple[Incoming, set[CommandRefusal]]]] = {
    "replayed or reordered": st.integers(-3, 5).map(
        lambda n: (Incoming(sign(KEY, body(n)), False), {CommandRefusal.SEQUENCE})
    ),
    "expired": st.integers(0, NOW_MS).map(
        lambda at: (Incoming(sign(KEY, body(9, expires_ms=at)), False), {CommandRefusal.EXPIRED})
    ),
    "kept for later": st.integers(1, 2**40).map(
        lambda more: (
            Incoming(sign(KEY, body(9, expires_ms=NOW_MS + MAXIMUM_AHEAD_MS + more)), False),
            {CommandRefusal.EXPIRY_TOO_FAR},
        )
    ),
    "retained": st.integers(6, 99).map(lambda n: (Incoming(sign(KEY, body(n)), True), {CommandRefusal.RETAINED})),
    "tampered": st.builds(
        lambda at, flip: (
            Incoming(tampered(sign(KEY, body(9)), at, flip), False),
            {CommandRefusal.MALFORMED, CommandRefusal.SIGNATURE},
        ),
        st.integers(0, 1000), st.integers(0, 7),
    ),
    "for another instance": st.text(max_size=9).filter(lambda name: name != "paper").map(
        lambda name: (Incoming(sign(KEY, body(9, instance=name)), False), {CommandRefusal.INSTANCE})
    ),
    "of another key": st.text(max_size=30).filter(lambda key: key != KEY).map(
        lambda key: (Incoming(sign(key, body(9)), False), {CommandRefusal.SIGNATURE})
    ),
    "noise": st.binary(max_size=200).map(lambda noise: (Incoming(noise, False), {CommandRefusal.MALFORMED})),
    "endless": st.integers(4097, 9000).map(lambda n: (Incoming(b"x" * n, False), {CommandRefusal.TOO_LONG})),
    "not permitted": st.sampled_from([Adopt(), Resume(), Unfreeze(), Promote(3), Reload(), LogLevel("debug")]).map(
        lambda command: (Incoming(sign(KEY, body(9, command)), False), {CommandRefusal.FORBIDDEN})
    ),
}  # fmt: skip


@settings(max_examples=200)
@given(st.lists(st.one_of(*ATTACKS.values()), min_size=1, max_size=8))
def test_whatever_else_arrives_is_refused_acknowledged_and_journaled(tmp_path_factory, attacks):
    desk = Desk(tmp_path_factory.mktemp("attack"))
    desk.take(Incoming(GOOD, False))
    desk.take(*(message for message, _ in attacks))
    assert desk.executed == [(Halt("test"), "mqtt")] and desk.sequences.highest == 5
    refusals = [json.loads(row.detail)["reason"] for row in desk.notes if row.kind == "mqtt_command_refused"]
    assert len(refusals) == len(attacks) == len(desk.acknowledged) - 1
    for reason, said, (_, expected) in zip(refusals, desk.acknowledged[1:], attacks, strict=True):
        assert reason in expected and said.refused == reason and not said.ok


@pytest.mark.parametrize("kind", ATTACKS)
def test_each_kind_of_attack_is_refused_with_its_own_reason(kind, tmp_path):
    @settings(max_examples=25)
    @given(ATTACKS[kind])
    def check(attack: tuple[Incoming, set[CommandRefusal]]) -> None:
        message, expected = attack
        judged = CommandGate(KEY, "paper", SAFE).judge(message.payload, message.retained, START_NS, 5)
        assert isinstance(judged, Refused) and judged.reason in expected

    check()


def test_resuming_is_obeyed_where_it_is_configured(tmp_path):
    desk = Desk(tmp_path, SAFE + RESUMING)
    desk.take(Incoming(sign(KEY, body(1, Resume())), False), Incoming(sign(KEY, body(2, Unfreeze())), False))
    assert [type(command) for command, _ in desk.executed] == [Resume, Unfreeze]


def test_no_command_was_forgotten_when_safe_and_resuming_were_told_apart():
    every = set(control.Command.__args__)  # type: ignore[attr-defined]
    assert every - set(SAFE) - set(RESUMING) == {Adopt, Promote, Reload, LogLevel}


def test_a_halt_does_not_wait_for_a_flatten(tmp_path):
    desk = Desk(tmp_path)
    done: list[str] = []

    async def slowly(command: Command, origin: str) -> Answer:
        if isinstance(command, control.Flatten):
            await halted.wait()
        done.append(type(command).__name__)
        halted.set()
        return Answer(True, "")

    desk.execute = slowly  # type: ignore[method-assign]
    halted = asyncio.Event()

    async def both() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for sequence, command in enumerate((control.Flatten(), Halt()), 1):
                message = Incoming(sign(KEY, body(sequence, command)), False)
                await desk.commands.receive(message, desk, tasks, desk.acknowledged.append)

    asyncio.run(both())
    assert done == ["Halt", "Flatten"]


def test_a_damaged_sequence_file_stops_all_commands(tmp_path):
    (tmp_path / "mqtt_sequence").write_text("seven")
    with pytest.raises(ConfigError, match="mqtt_sequence: the highest command sequence cannot be read"):
        Desk(tmp_path)


def test_the_documented_snippet_signs_a_command_that_is_obeyed():
    text = (Path(ztb.telemetry.mqtt.__file__).parent / "MQTT.md").read_text()
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert snippet is not None
    space: dict[str, Any] = {}
    exec(snippet[1], space)
    gate = CommandGate("the shared key", "paper", SAFE)
    judged = gate.judge(space["message"].encode(), False, time.time_ns(), 0)
    assert isinstance(judged, Body) and judged.command == Halt("going on holiday")
    for reason in CommandRefusal:
        assert reason in text


def test_an_envelope_with_more_in_it_is_refused():
    more = json.loads(sign(KEY, body())) | {"extra": 1}
    judged = CommandGate(KEY, "paper", SAFE).judge(json.dumps(more).encode(), False, START_NS, 0)
    assert judged == Refused(CommandRefusal.MALFORMED)
