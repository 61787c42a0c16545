"""What the kernel says of its clock, by adjtimex(2): read only, no right is needed."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

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
    """Whether a time service keeps the clock, and by how much it may be off, milliseconds."""

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
