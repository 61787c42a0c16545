"""What of the configuration may change while a daemon runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ztb.config import Config
from ztb.runtime.session import Session
from ztb.telemetry.logs import set_log_level

_RUNNING = ("risk", "telemetry.log_level")
"""Sections and keys that are taken over; whatever else has changed waits for a restart."""


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Dotted names of the settings that differ."""
    return [
        f"{section}.{key}"
        for section, values in before.items()
        for key, value in values.items()
        if after[section][key] != value
    ]


class Reloading:
    """Reads the configuration again with `load`, and takes over what may change."""

    def __init__(self, session: Session, load: Callable[[], Config]) -> None:
        self._session = session
        self._load = load
        self._present = session.assembly.config

    def __call__(self) -> str:
        """Says what was taken over and what waits. ConfigError if the file is wrong: then nothing has changed."""
        wanted = self._load()
        changed = _changed(self._present.model_dump(mode="json"), wanted.model_dump(mode="json"))
        taken = [name for name in changed if name in _RUNNING or name.split(".")[0] in _RUNNING]
        waiting = [name for name in changed if name not in taken]
        self._session.limit(wanted.risk)
        set_log_level(wanted.telemetry.log_level)
        self._present = self._present.model_copy(
            update={
                "risk": wanted.risk,
                "telemetry": self._present.telemetry.model_copy(
                    update={"log_level": wanted.telemetry.log_level}
                ),
            }
        )
        said = f"taken over: {', '.join(taken) or 'nothing has changed'}"
        return f"{said}; only after a restart: {', '.join(waiting)}" if waiting else said
