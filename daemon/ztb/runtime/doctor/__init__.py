"""`ztb doctor`: what may keep the daemon from running well, each with what to do about it."""

from __future__ import annotations

from collections.abc import Callable

from ztb.runtime.doctor import connections, machine, setup
from ztb.runtime.doctor.findings import Finding, Patient, Severity

__all__ = ["CHECKS", "Finding", "Patient", "Severity", "diagnose"]

CHECKS: tuple[Callable[[Patient], Finding], ...] = (
    setup.packages, machine.clock, machine.folder, machine.disk, machine.memory, machine.kernel_cache,
    setup.checkpoints, setup.unit, connections.credentials, connections.exchange, connections.broker,
)  # fmt: skip


def diagnose(patient: Patient) -> list[Finding]:
    """Every check's finding. No check changes anything, and none reaches a host that is not configured."""
    return [check(patient) for check in CHECKS]
