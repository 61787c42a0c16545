"""What a training does as its memory runs short: the steps of `memory_guard`, without a run around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ztb.errors import ResourceError
from ztb.learning.guidance import Guidance, guided
from ztb.learning.training import Training
from ztb.runtime.memory_guard import MemoryGuard, resident_bytes

_WAIT_S = 1.0
_PATIENCE = 60


class TrainingRelief:
    """Called after each update. `events` tell what it did; they and the smaller minibatches are kept over a resume."""

    def __init__(
        self,
        training: Training,
        limit_gb: float,
        sleep: Callable[[float], None],
        measure: Callable[[], int] = resident_bytes,
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self._training = training
        self._sleep = sleep
        self._guard = MemoryGuard(limit_gb, self, measure)
        self._halvings = 0
        self._paused = False

    def __call__(self, save: Callable[[], None]) -> None:
        """Look, and wait while training is paused. ResourceError, after `save`: there is no room to go on."""
        try:
            self._guard()
            if self._paused:
                save()
                self._wait()
        except ResourceError:
            save()
            raise

    def _wait(self) -> None:
        """Until others have given memory back, for a minute."""
        for _ in range(_PATIENCE):
            self._sleep(_WAIT_S)
            self._guard()
            if not self._paused:
                return
        raise ResourceError("memory: no room to go on with for a minute; what was done is kept")

    def shrink(self, used_gb: float) -> None:
        """See `Relief`."""
        self._halvings += 1
        self._halve()
        self._tell("memory_shrink", used_gb)

    def pause(self, used_gb: float) -> None:
        """See `Relief`."""
        self._paused = True
        self._tell("memory_pause", used_gb)

    def resume(self, used_gb: float) -> None:
        """See `Relief`."""
        self._paused = False
        self._tell("memory_resume", used_gb)

    def _halve(self) -> None:
        options = guided((self._training.settings.ppo,), Guidance(halvings=self._halvings))
        self._training.updater.reconfigure(options)

    def _tell(self, kind: str, used_gb: float) -> None:
        self.events.append({"update": self._training.updates, "kind": kind, "used_gb": round(used_gb, 3)})

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"halvings": self._halvings, "events": list(self.events)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self._halvings, self.events = state["halvings"], list(state["events"])
        self._halve()
