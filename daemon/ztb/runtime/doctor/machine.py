"""Checks of the machine: clock, disk, memory, and the folder where compiled kernels are kept.

The kernel says how its clock is kept by adjtimex(2): read only, no right is needed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from ztb.runtime.doctor.findings import Finding, Patient, bad, good, warning

_UNSYNCHRONISED = 0x0040


class _Timex(ctypes.Structure):
    """The head of `struct timex`; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("most_error_us", ctypes.c_long),
        ("error_us", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class ClockState:
    """The state of the clock: kept by a time service or not, and by how much it may be off, milliseconds."""

    synchronised: bool
    error_ms: float


def read_clock() -> ClockState | None:
    """The state of the system's clock, or None where the system does not tell."""
    state = _Timex()
    try:
        answer: int = ctypes.CDLL(None).adjtimex(ctypes.byref(state))
    except (OSError, AttributeError):
        return None
    if answer < 0:
        return None
    return ClockState(not state.status & _UNSYNCHRONISED, state.most_error_us / 1e3)


_GB = 1e9
_LEAST_FREE_GB = 1.0
_COMFORTABLE_FREE_GB = 5.0
_MOST_CLOCK_ERROR_MS = 500.0


def clock(_patient: Patient, read: Callable[[], ClockState | None] = read_clock) -> Finding:
    """Check that something keeps the clock right: orders carry times that venues check."""
    remedy = "start a time service: systemd-timesyncd or chrony"
    state = read()
    if state is None:
        return warning("clock", "the system does not say whether the clock is synchronised", remedy)
    if not state.synchronised:
        return warning("clock", "nothing keeps the clock synchronised", remedy)
    if state.error_ms > _MOST_CLOCK_ERROR_MS:
        return bad("clock", f"the clock may be off by {state.error_ms:.0f} ms", remedy)
    return good("clock", f"synchronised, off by {state.error_ms:.1f} ms at most")


def folder(patient: Patient) -> Finding:
    """Check that the daemon may write where it keeps its journal, and nobody else may read it."""
    place = _existing(patient.folder)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"ztb")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return bad(
            "folder",
            f"{place}: cannot be written ({error.strerror})",
            f"chown or choose another than {place}",
        )
    if patient.folder.is_dir() and patient.folder.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        return warning("folder", f"{patient.folder}: open to others", f"chmod 0750 {patient.folder}")
    return good("folder", f"{patient.folder}: can be written")


def disk(patient: Patient) -> Finding:
    """Room for journal, checkpoints and recordings."""
    place = _existing(patient.folder)
    free_gb = shutil.disk_usage(place).free / _GB
    found, remedy = f"{free_gb:.1f} GB free at {place}", "free space, or choose a folder on a larger disk"
    if free_gb < _LEAST_FREE_GB:
        return bad("disk", found, remedy)
    return warning("disk", found, remedy) if free_gb < _COMFORTABLE_FREE_GB else good("disk", found)


def memory(patient: Patient) -> Finding:
    """Check that the memory that the run may take is there."""
    limit_gb = patient.config.limits.max_memory_gb
    machine = psutil.virtual_memory()
    found = f"limit {limit_gb:g} GB, {machine.available / _GB:.1f} of {machine.total / _GB:.1f} GB available"
    if limit_gb * _GB > machine.total:
        return bad(
            "memory", found, "lower limits.max_memory_gb (ZTB_MAX_MEMORY_GB) below the machine's memory"
        )
    if limit_gb * _GB > machine.available:
        return warning("memory", found, "close other programs, or lower limits.max_memory_gb")
    return good("memory", found)


def kernel_cache(patient: Patient) -> Finding:
    """Check where compiled kernels are kept: without it, every start compiles for half a minute."""
    environment = patient.environment
    explicit = environment.get("CACHE_DIRECTORY") or environment.get("XDG_CACHE_HOME")
    cache = Path(explicit.split(":")[0]) if explicit else Path(environment.get("HOME", "/")) / ".cache"
    place = _existing(cache)
    if not os.access(place, os.W_OK | os.X_OK):
        remedy = "set XDG_CACHE_HOME to a folder that can be written"
        return warning("kernel cache", f"{place}: cannot be written: each start compiles anew", remedy)
    return good("kernel cache", f"{cache / 'ztb' / 'kernels'}")


def _existing(path: Path) -> Path:
    """`path`, or its nearest ancestor that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
