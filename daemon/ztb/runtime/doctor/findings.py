"""Findings: what a check looks at, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from ztb.config import Config


class Severity(StrEnum):
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    SKIPPED = "skipped"


class Finding(msgspec.Struct, frozen=True):
    """One check: what was found, and where it is not good, what to do."""

    check: str
    verdict: Severity
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
    return Finding(check, Severity.GOOD, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, Severity.WARNING, found, remedy)


def bad(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, Severity.BAD, found, remedy)


def skipped(check: str, found: str) -> Finding:
    return Finding(check, Severity.SKIPPED, found)
