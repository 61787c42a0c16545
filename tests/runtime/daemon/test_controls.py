"""Commands on a session that nothing else moves: what each changes, journals and answers, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ztb.config import Config
from ztb.control import (
    Adopt,
    Answer,
    Disarm,
    Flatten,
    Freeze,
    Halt,
    LogLevel,
    Promote,
    Reload,
    Resume,
    Rollback,
    Status,
    Unfreeze,
)
from ztb.errors import ConfigError, DataError
from ztb.execution.risk import DAY_NS, RiskLimits, Rung
from ztb.execution.risk_gate import RiskGate
from ztb.learning.service.base import BY_HAND, NEAR_A_LIMIT, NOT_HELPING
from ztb.ledger.records import NoteRow
from ztb.runtime.daemon.controls import Reloading, SessionControls
from ztb.runtime.daemon.kill_switch import KillSwitch, Latch
from ztb.telemetry.snapshot import DaemonSnapshot
from ztb.utils import files

NOW_NS, TICK_NS, ROWS = 9_000, 7_000, 42
SNAPSHOT = DaemonSnapshot(
    instance="main", mode="replay", state="trading", run_id="a-run", strategy="hold", symbol="A/B", venue="test",
    now_ns=NOW_NS, started_ns=1,
)  # fmt: skip


@dataclass
class Learning:
    freezes: set[str] = field(default_factory=set)

    def freeze(self, reason: str, frozen: bool) -> None:
        (self.freezes.add if frozen else self.freezes.discard)(reason)


@dataclass
class Promotion:
    told: list[tuple[Any, ...]] = field(default_factory=list)

    def promote(self, generation: int, origin: str) -> None:
        self.told.append(("promote", generation, origin))

    def rollback(self, generation: int | None, origin: str) -> int:
        self.told.append(("rollback", generation, origin))
        return 3 if generation is None else generation


@dataclass
class Journal:
    """Rows, and how many of them were handed to the disk."""

    rows: list[NoteRow] = field(default_factory=list)
    committed: int = 0

    def append(self, row: NoteRow) -> None:
        self.rows.append(row)

    def commit(self) -> None:
        self.committed = len(self.rows)


@dataclass
class AccountAtVenue:
    believed: bool = True
    adopts: list[str] = field(default_factory=list)

    def disarm(self) -> str:
        return "disarmed"

    async def adopt(self, origin: str) -> str:
        self.adopts.append(origin)
        return "adopted +5 USDT"


class Desk:
    """Controls on a stand-in of a session around a gate of our own; `did` is what the session was asked to do."""

    def __init__(self, folder: Path, learns: bool = True) -> None:
        self.did: list[str] = []
        self.sold_out = False
        self.journal, self.learning, self.promotion = Journal(), Learning(), Promotion()
        self.account = AccountAtVenue()
        self.gate = RiskGate(RiskLimits())
        self.gate.mark(DAY_NS, 1000.0)
        engine = SimpleNamespace(
            live=SimpleNamespace(gate=self.gate, equity=700.0),
            progress=SimpleNamespace(rows=ROWS, last_ts_ns=TICK_NS),
            learning=self.learning,
            lift_limits=self._lift,
        )
        session = SimpleNamespace(
            engine=engine,
            journal=self.journal,
            cancel_all=lambda: self.did.append("cancel all"),
            flatten=self._flatten,
            policy=object() if learns else None,
            promotion=self.promotion if learns else None,
            assembly=SimpleNamespace(strategy=SimpleNamespace(name="hold")),
        )
        self.switch = KillSwitch(folder)
        self.controls = SessionControls(
            session,  # type: ignore[arg-type]
            self.switch,
            lambda: NOW_NS,
            lambda: "taken over: risk.max_exposure",
            self.account,  # type: ignore[arg-type]
            lambda: SNAPSHOT,
            lambda text: text.replace("hunter2", "***"),
        )

    def _lift(self, ts_ns: int, equity: float) -> None:
        assert self.journal.rows[-1].kind == "limits_lifted", "who repeats the run has to know before"
        self.gate.lift(equity)
        self.did.append(f"lift from {equity} at {ts_ns}")

    def _flatten(self) -> bool:
        self.did.append("flatten")
        return self.sold_out

    def ask(self, command: Any, origin: str = "a test") -> Answer:
        return asyncio.run(self.controls.execute(command, origin))

    @property
    def allowed(self) -> tuple[bool, bool, bool]:
        """Whether it is (halted, reducing only, flattening)."""
        permission = self.gate.memory.permission
        return permission.halted, permission.reduce_only, permission.flattening

    def notes(self) -> list[tuple[str, dict[str, Any]]]:
        for row in self.journal.rows:
            assert row.ts_ns == TICK_NS
            assert row.detail == json.dumps(json.loads(row.detail), sort_keys=True), "a digest is of the text"
        return [(row.kind, json.loads(row.detail)) for row in self.journal.rows]


FREE, HALTED, FLATTENING = (False, False, False), (True, False, False), (False, True, True)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def note(origin: str = "a test", reason: str = "", **more: Any) -> dict[str, Any]:
    return {"origin": origin, "reason": reason, "rows": ROWS} | more


def test_the_status_is_the_snapshot(desk: Desk):
    answer = desk.ask(Status())
    assert answer.ok and answer.message == "trading" and answer.detail["run_id"] == "a-run"


def test_a_halt_is_latched_obeyed_journaled_and_ends_what_works(desk: Desk):
    answer = desk.ask(Halt("a look at hunter2"))
    assert answer.ok and "no order leaves until `ztb resume`" in answer.message
    latch = Latch("halted", NOW_NS, "a test", "a look at ***")
    assert desk.switch.latch == latch and desk.allowed == HALTED
    assert desk.notes() == [("halted", note(reason="a look at ***", since_ns=NOW_NS))]
    assert desk.journal.committed == 1 and desk.did == ["cancel all"]
    desk.ask(Halt(), "mqtt")
    assert desk.switch.latch.reason == "asked by mqtt"


def test_a_full_disk_halts_all_the_same_and_is_told(desk: Desk, monkeypatch):
    def fails(*_given: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(files, "write_durably", fails)
    answer = desk.ask(Halt())
    assert not answer.ok and answer.exit_code == DataError.exit_code
    assert "halted now, but no room" in answer.message and desk.allowed == HALTED


@pytest.mark.parametrize(("stop", "allowed"), [("halted", HALTED), ("flattening", FLATTENING)])
def test_what_was_latched_before_a_start_is_obeyed_from_the_start(tmp_path: Path, stop, allowed):
    KillSwitch(tmp_path).set(Latch(stop, 1, "before", "because"))
    assert Desk(tmp_path).allowed == allowed


def test_nothing_is_latched_where_nothing_was(desk: Desk):
    assert desk.allowed == FREE


def test_flattening_sells_until_nothing_is_left_and_then_halts(desk: Desk):
    assert desk.ask(Flatten()).message.startswith("flattening")
    assert desk.allowed == FLATTENING and desk.did == ["flatten"]  # at once, and nothing is cancelled
    desk.controls.insist()
    assert desk.did == ["flatten"] * 2 and desk.switch.latch.stop == "flattening"
    desk.sold_out = True
    desk.controls.insist()
    assert desk.allowed == HALTED and desk.did[2:] == ["flatten", "cancel all"]
    assert desk.switch.latch == Latch("halted", NOW_NS, "a test", "flatten, asked by a test")
    assert [kind for kind, _ in desk.notes()] == ["flattening", "halted"]


def test_a_latch_without_a_reason_says_that_it_flattened(desk: Desk):
    desk.switch.set(Latch("flattening", 1, "before", ""))
    desk.sold_out = True
    desk.controls.insist()
    assert desk.switch.latch.reason == "flattened"


def test_nothing_is_sold_by_books_that_are_not_believed_yet(desk: Desk):
    desk.account.believed = False
    desk.sold_out = True
    desk.ask(Flatten())
    assert desk.did == [] and desk.switch.latch.stop == "flattening"


def test_while_halted_every_look_cancels_what_works_and_otherwise_none_does(desk: Desk):
    desk.controls.insist()
    assert desk.did == []
    desk.ask(Halt())
    desk.controls.insist()
    assert desk.did == ["cancel all"] * 2


def test_the_file_halts_once_and_a_flattening_account_too(desk: Desk):
    desk.controls.look()
    assert desk.allowed == FREE
    desk.switch.file.touch()
    for _ in range(2):
        desk.controls.look()
    assert desk.switch.latch.origin == "file" and str(desk.switch.file) in desk.switch.latch.reason
    assert [kind for kind, _ in desk.notes()] == ["halted"]
    desk.controls.latch("flattening", "a test", "")
    desk.controls.look()
    assert desk.switch.latch.stop == "halted" and desk.allowed == HALTED


def test_resuming_lifts_latch_file_and_permission_and_says_what_holds_on(desk: Desk):
    assert desk.ask(Resume()).message == "it trades already"
    desk.ask(Halt("lunch"))
    desk.switch.file.touch()
    desk.gate.memory.permission.holds = {"stale": "no tick", "arming": "not armed"}
    answer = desk.ask(Resume())
    assert answer.ok and answer.message == "resumed; no new risk yet: arming, stale"
    assert desk.allowed == FREE and desk.switch.latch is None and not desk.switch.touched()
    assert desk.notes()[-1] == ("resumed", note(reason="lunch"))
    desk.gate.memory.permission.holds = {}
    desk.switch.file.touch()  # though nobody has looked yet
    assert desk.ask(Resume()).message == "resumed" and not desk.switch.touched()
    desk.ask(Flatten())
    desk.ask(Resume())
    assert desk.allowed == FREE


def test_a_limit_on_losses_that_was_reached_is_lifted_by_resuming_and_journaled(desk: Desk):
    desk.gate.mark(DAY_NS + 1, 700.0)
    assert desk.gate.memory.rung is Rung.FLAT
    assert desk.ask(Resume()).message == "resumed"
    assert desk.gate.memory.rung is Rung.FREE and desk.did == [f"lift from 700.0 at {TICK_NS}"]
    assert desk.notes() == [
        ("limits_lifted", {"origin": "a test", "equity": 700.0, "rows": ROWS}),
        ("resumed", note()),
    ]
    assert desk.journal.committed == 2


def test_what_holds_new_risk_back_is_journaled_as_it_changes(desk: Desk):
    holds = desk.gate.memory.permission.holds
    desk.controls.look()
    assert desk.journal.rows == []
    holds["stale"] = "no tick"
    for _ in range(2):
        desk.controls.look()
    holds["stale"] = "still none"  # no other reason
    desk.controls.look()
    holds.pop("stale")
    desk.controls.look()
    told = {"rows": ROWS, "since_ns": NOW_NS}
    assert desk.notes() == [
        ("holds", told | {"holds": {"stale": "no tick"}}),
        ("holds", told | {"holds": {}}),
    ]


def test_a_program_that_contradicted_itself_leaves_flattening_to_the_next_start(desk: Desk):
    desk.controls.distrust("cash and hunter2 disagree")
    assert desk.switch.latch == Latch("flattening", NOW_NS, "invariant", "cash and *** disagree")
    assert desk.allowed == FREE and desk.did == []
    assert desk.notes() == [("contradiction", note("invariant", "cash and *** disagree"))]
    desk.controls.distrust("and again")
    assert desk.switch.latch.reason == "and again"
    desk.ask(Halt("by hand"))
    desk.controls.distrust("once more")
    assert (desk.switch.latch.stop, desk.switch.latch.reason) == ("halted", "by hand")


def test_freezing_is_by_hand_and_whoever_thaws_overrules_what_did_not_help(desk: Desk):
    assert desk.ask(Freeze()).message == "learning is frozen" and desk.learning.freezes == {BY_HAND}
    desk.learning.freeze(NOT_HELPING, True)
    desk.ask(Freeze())
    assert desk.learning.freezes == {BY_HAND, NOT_HELPING}
    assert desk.ask(Unfreeze()).message == "learning goes on" and not desk.learning.freezes
    desk.learning.freeze(NEAR_A_LIMIT, True)
    answer = desk.ask(Unfreeze())
    assert answer.ok and "near a limit on losses" in answer.message
    assert [kind for kind, _ in desk.notes()] == ["frozen", "frozen", "unfrozen", "unfrozen"]


def test_generations_are_served_by_number_and_the_answer_names_the_one_that_serves(desk: Desk):
    answers = [desk.ask(command).message for command in (Promote(7), Rollback(5), Rollback())]
    assert answers == [f"generation {n} serves from the next decision on" for n in (7, 5, 3)]
    assert desk.promotion.told == [
        ("promote", 7, "a test"), ("rollback", 5, "a test"), ("rollback", None, "a test"),
    ]  # fmt: skip


def test_a_change_of_generations_is_on_its_way_to_the_disk_when_it_is_answered(desk: Desk):
    desk.journal.append(NoteRow(TICK_NS, "promoted", ""))  # what a promotion writes
    desk.ask(Promote(7))
    assert desk.journal.committed == 1


@pytest.mark.parametrize("command", [Freeze(), Unfreeze(), Promote(1), Rollback()])
def test_what_does_not_learn_has_nothing_to_freeze_or_to_serve(tmp_path: Path, command):
    desk = Desk(tmp_path, learns=False)
    answer = desk.ask(command)
    assert not answer.ok and answer.exit_code == 2 and "the strategy hold" in answer.message
    assert desk.journal.rows == []


def test_a_level_of_logging_is_taken_over_if_there_is_one_of_that_name(desk: Desk):
    root = logging.getLogger()
    before = root.level
    try:
        assert desk.ask(LogLevel("error")).message == "logging from error on" and root.level == logging.ERROR
        answer = desk.ask(LogLevel("loud"))
        assert not answer.ok and answer.exit_code == 2 and "debug, info, warning, error" in answer.message
        assert root.level == logging.ERROR and desk.notes() == [("log_level", note(reason="error"))]
    finally:
        root.setLevel(before)


def test_reloading_and_disarming_are_journaled_with_what_they_did(desk: Desk):
    answers = [desk.ask(Reload()), desk.ask(Disarm())]
    assert [(answer.ok, answer.message) for answer in answers] == [
        (True, "taken over: risk.max_exposure"), (True, "disarmed"),
    ]  # fmt: skip
    assert desk.notes() == [
        ("reload", note(reason="taken over: risk.max_exposure")), ("disarmed", note(reason="disarmed")),
    ]  # fmt: skip


def test_the_venues_figures_are_taken_over_only_while_halted_and_then_it_resumes(desk: Desk):
    for stop in (None, Flatten()):
        if stop is not None:
            desk.ask(stop)
        answer = desk.ask(Adopt())
        assert not answer.ok and answer.exit_code == 2 and "halt first" in answer.message
    assert desk.account.adopts == []
    desk.ask(Halt())
    answer = desk.ask(Adopt(), "an operator")
    assert answer.ok and answer.message == "adopted +5 USDT; resumed"
    assert desk.account.adopts == ["an operator"] and desk.allowed == FREE and desk.switch.latch is None


def config(**sections: dict[str, Any]) -> Config:
    return Config.model_validate(sections)


class Reloaded:
    """A configuration file that changes, and a session that takes limits."""

    def __init__(self) -> None:
        self.now = config()
        self.limits: list[RiskLimits] = []
        session = SimpleNamespace(assembly=SimpleNamespace(config=self.now), limit=self.limits.append)
        self.read = Reloading(session, self._load)  # type: ignore[arg-type]

    def _load(self) -> Config:
        if self.now is WRONG:
            raise ConfigError("wrong")
        return self.now


WRONG = config()


@pytest.fixture
def level():
    root = logging.getLogger()
    before = root.level
    yield lambda: logging.getLevelName(root.level).lower()
    root.setLevel(before)


def test_a_configuration_that_is_the_same_changes_nothing_and_neither_does_a_wrong_one(level):
    file = Reloaded()
    assert file.read() == "taken over: nothing has changed"
    assert file.limits == [file.now.risk] and level() == file.now.telemetry.log_level
    file.now = WRONG
    with pytest.raises(ConfigError, match="wrong"):
        file.read()
    assert len(file.limits) == 1


def test_limits_and_the_level_of_logging_are_taken_over_and_all_else_waits(level):
    file = Reloaded()
    file.now = config(
        risk={"max_exposure": 0.5, "max_orders_per_day": 7},
        telemetry={"log_level": "error", "log_format": "json"},
        execution={"band_fraction": 0.5},
    )
    waits = "only after a restart: execution.band_fraction, telemetry.log_format"
    assert (
        file.read() == f"taken over: risk.max_exposure, risk.max_orders_per_day, telemetry.log_level; {waits}"
    )
    assert file.limits == [file.now.risk] and level() == "error"
    assert file.read() == f"taken over: nothing has changed; {waits}"  # what was taken is the present one
    file.now = config()
    assert "restart" not in file.read() and file.limits[-1] == file.now.risk
