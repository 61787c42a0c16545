"""Paper sessions on the local exchange, repeated from what they recorded: every decision bit for bit."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from runtime.verify.sessions import alter, configured, decide, left_by_a_kill, rows, start, swapped
from ztb.cli import run
from ztb.ledger.records import DecisionRow, GenerationRow, UpdateRow
from ztb.ledger.run_directory import RunDirectory
from ztb.market.history import open_history
from ztb.runtime.daemon.daemon import Daemon
from ztb.runtime.verify.record import read_recorded
from ztb.runtime.verify.swaps import KeptSwaps
from ztb.testing.exchange.local import LocalExchange


async def trade(folder: Path, killed: Path) -> None:
    """`folder`: two starts that end in order. `killed`: the same, but that the second was killed, and a third."""

    async def second(daemon: Daemon) -> None:
        await decide(daemon, 12)
        await left_by_a_kill(daemon, killed)
        await decide(daemon, 2)

    async def third(daemon: Daemon) -> None:
        await decide(daemon, 8)

    async with LocalExchange(seed=5) as exchange:
        await start(folder, configured(exchange), swapped)
        await start(folder, configured(exchange, execution__orders_at_start="adopt"), second)
        await start(killed, configured(exchange, execution__band_fraction=0.3), third)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("paper")
    both = folder / "run", folder / "killed"
    both[0].mkdir()
    asyncio.run(trade(*both))
    return both


@pytest.fixture
def session(sessions: tuple[Path, Path]) -> Path:
    return sessions[0]


def repeat(folder: Path, to: Path, *more: str) -> int:
    return run(["replay", str(folder), *more, "--out", str(to), "--json"])


def test_two_starts_of_a_session_are_repeated_bit_for_bit_with_swaps_and_a_halt_and_all_that_was_learnt(
    session, tmp_path, capsys
):
    decisions = rows(session, DecisionRow)
    served = [row.generation for row in decisions]
    assert {0, 1} <= set(served) and len(served) >= 40
    assert "halted" in {row.verdict for row in decisions}
    recorded = read_recorded(RunDirectory(session))
    assert len(recorded.starts) == 2 and recorded.decisions == len(decisions)
    assert repeat(session, tmp_path / "again", "--relearn") == 0
    said = capsys.readouterr().err
    made = sum(row.event == "made" and row.generation > 0 for row in rows(session, GenerationRow))
    assert f"{len(decisions)} decisions repeated bit for bit" in said
    assert f"{made} generations of {len(rows(session, UpdateRow))} updates learnt again" in said and made >= 4
    again = tmp_path / "again"
    assert run(["replay", str(again / "start-001"), "--out", str(tmp_path / "once_more")]) == 2
    assert "is itself a repetition" in capsys.readouterr().err


def test_of_a_start_that_was_killed_all_is_repeated_that_was_recorded_and_the_rest_is_named(
    sessions, tmp_path, capsys
):
    killed = sessions[1]
    first, second, third = (len(start.decisions) for start in read_recorded(RunDirectory(killed)).starts)
    assert repeat(killed, tmp_path / "again") == 3
    said = capsys.readouterr().err
    assert "nothing differs, but these could not be repeated" in said
    assert "of start 2: it was killed" in said and "start 1" not in said and "start 3" not in said
    repeated = int(said.split(": ")[2].split(" of ")[0])
    assert first + third < repeated < first + second + third


def test_a_repetition_without_the_swaps_is_found_out(session, tmp_path, monkeypatch, capsys):
    def stay(self: KeptSwaps, decision: int) -> None:
        """Serve the first generation throughout."""

    monkeypatch.setattr(KeptSwaps, "_prepare", stay)
    assert repeat(session, tmp_path / "again") == 3
    said = capsys.readouterr().err
    # Whichever comes first: a decision of the generation that should have served, its order, or a refusal.
    assert "start 1 differs in " in said
    repeated = int(said.split(": ")[2].split(" of ")[0])
    assert repeated < len(rows(session, DecisionRow))


def test_the_recorded_ticks_are_a_history_like_any_other(session):
    history = open_history([session / "ticks"])
    assert sum(len(block) for block in history.blocks()) > 100
    assert history.instrument.symbol == "BTC/USDT" and history.report.bad == 0


def unrecorded(folder: Path) -> None:
    shutil.rmtree(folder / "ticks")


def without_the_last_file(folder: Path) -> None:
    max((folder / "ticks").glob("*.ticks")).unlink()


def with_a_flipped_byte(folder: Path) -> None:
    file = min((folder / "ticks").glob("*.ticks"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def with_another_seed(folder: Path) -> None:
    """As if the session had been made with another seed than its journal says."""
    alter(
        folder, "UPDATE notes SET detail = replace(detail, '\"seed\": 0', '\"seed\": 1') WHERE kind = 'began'"
    )


def with_another_order(folder: Path) -> None:
    alter(folder, "UPDATE orders SET lots = lots + 1 WHERE order_id = 1")


def with_a_hole(folder: Path) -> None:
    """As if the disk had been full for a while."""
    alter(folder, "UPDATE notes SET kind = 'recording_lost', detail = '150' WHERE kind = 'halted'")


def with_another_reward(folder: Path) -> None:
    alter(folder, "UPDATE decisions SET reward = reward + 1e-12 WHERE decision = 20")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (unrecorded, r"start 1: its ticks were not recorded"),
        (without_the_last_file, r"start 2: its ticks were not recorded"),
        (with_a_flipped_byte, r"000001\.ticks: frame \d+ at byte \d+ is damaged"),
        (with_another_seed, r"start 1 differs in "),
        (with_another_order, r"start \d differs in orders, order 1: lots"),
        (with_a_hole, r"decisions \d+ to \d+ of start 1: recording stopped after 150 rows"),
        (with_another_reward, r"start 1 differs in decisions, decision 20: reward"),
    ],
)
def test_what_was_changed_is_found_and_named(session, tmp_path, capsys, damage, named):
    broken = Path(shutil.copytree(session, tmp_path / "broken"))
    damage(broken)
    assert repeat(broken, tmp_path / "again") == 3
    assert re.search(named, capsys.readouterr().err)
