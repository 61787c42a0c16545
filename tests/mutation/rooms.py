"""The rooms that safety rests on, the tests that are tried on them, and the mutants that are no others."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mutation.operators import Mutant, mutants

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PACKAGE = REPOSITORY / "daemon" / "ztb"
TESTS = REPOSITORY / "tests"


@dataclass(frozen=True)
class Room:
    """Sources below the package, and the files and folders of tests that are tried on them."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "execution": Room(("execution/*.py",), ("execution",)),
    "ledger": Room(("ledger/*.py",), ("ledger",)),
    "gate": Room(("learning/gate/*.py",), ("learning/gate",)),
    "lane": Room(
        ("trading/lane*.py", "trading/order_replacement.py", "trading/floor.py"),
        (
            "trading/test_lane.py",
            "trading/test_lanes_together.py",
            "trading/test_floor.py",
            "trading/test_environment.py",
            "execution/test_paper_stop.py",
        ),
    ),
    "allocator": Room(("learning/allocation/*.py",), ("learning/allocation",)),
    "arming": Room(("runtime/modes/arming.py",), ("runtime/modes/test_arming.py",)),
    "kill switch": Room(("runtime/daemon/kill_switch.py",), ("runtime/daemon/test_kill_switch.py",)),
    "controls": Room(("runtime/daemon/controls.py",), ("runtime/daemon/test_controls.py",)),
    "venue": Room(("runtime/venue/*.py",), ("runtime/venue",)),
    "recovery": Room(("runtime/recovery/*.py",), ("runtime/recovery",)),
}
_EQUIVALENT = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Equivalent:
    """A mutant that no test can notice, or need not: its file, its line's words, the change, and why.

    Words that begin with "…" are a part of the line's. `nth`: of several changes of that line that read alike, the one
    that is meant; 0: each.
    """

    file: str
    text: str
    what: str
    why: str
    nth: int = 0

    def is_it(self, file: str, mutant: Mutant) -> bool:
        """Whether a mutant of `file` is this one."""
        part = self.text.startswith("…") and self.text[1:] in mutant.text
        there = (part or self.text == mutant.text) and self.nth in (0, mutant.nth)
        return there and (self.file, self.what) == (file, mutant.what)


def files_of(room: str) -> list[Path]:
    """The sources of a room that hold anything to change."""
    found = sorted({path for pattern in ROOMS[room].sources for path in PACKAGE.glob(pattern)})
    return [path for path in found if path.stem != "__init__" and mutants(path.read_text())]


def name_of(path: Path) -> str:
    """A source as the tables say it."""
    return str(path.relative_to(PACKAGE))


def equivalents() -> list[Equivalent]:
    """Every mutant that is listed as equivalent. ValueError names one that no source has any more."""
    listed = [Equivalent(**row) for row in tomllib.loads(_EQUIVALENT.read_text()).get("mutant", [])]
    made = {file: mutants((PACKAGE / file).read_text()) for file in {each.file for each in listed}}
    for each in listed:
        if not any(each.is_it(each.file, mutant) for mutant in made[each.file]):
            raise ValueError(f"{_EQUIVALENT}: {each.file} has no mutant {each.what!r} of {each.text!r}")
    return listed
