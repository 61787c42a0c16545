"""The system's clock: the one place where a run learns what time it is."""

from __future__ import annotations

import time


class SystemClock:
    """See `ports.Clock`."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return time.time_ns()  # noqa: TID251 (this is the injected clock)
