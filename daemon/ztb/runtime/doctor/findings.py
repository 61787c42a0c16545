"""What a check looks at, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from ztb.config import Config


class Verdict(StrEnum):
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    SKIPPED = "skipped"


class Finding(msgspec.Struct, frozen=True):
    """One check: what was found, and where it is not good, what to do."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """Whom the checks look at: a configuration, the folder it would run in, and its environment.

    `system` is the root of the machine's files, `/` but in tests.
    """

    config: Config
    folder: Path
    environment: Mapping[str, str]
    system: Path = Path("/")


def good(check: str, found: str) -> Finding:
    return Finding(check, Verdict.GOOD, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, Verdict.WARNING, found, remedy)


def bad(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, Verdict.BAD, found, remedy)


def skipped(check: str, found: str) -> Finding:
    return Finding(check, Verdict.SKIPPED, found)
