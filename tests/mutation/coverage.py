"""Line coverage of each test: which lines of the daemon it runs, and how long it takes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

_Trace = Callable[[FrameType, str, Any], Any]


@dataclass(frozen=True)
class Covered:
    """A test that passes: its seconds, traced, and by file the lines that it runs."""

    test: str
    seconds: float
    lines: dict[str, list[int]]


class Tracer:
    """Collects the lines that run in files below a folder; functions run to their last line are watched no more."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._left: dict[CodeType, set[int]] = {}
        self._seen: dict[str, set[int]] = {}

    def lines(self) -> dict[str, list[int]]:
        """By file, what has run."""
        return {file: sorted(lines) for file, lines in self._seen.items()}

    def run(self, work: Callable[[], bool]) -> bool:
        """Whether `work` succeeded, traced."""
        threading.settrace(self._called)
        sys.settrace(self._called)
        try:
            return work()
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]

    def _called(self, frame: FrameType, event: str, argument: Any) -> _Trace | None:
        code = frame.f_code
        if not code.co_filename.startswith(self._folder):
            return None
        left = self._left.get(code)
        if left is None:
            left = self._left[code] = {line for _, _, line in code.co_lines() if line is not None}
            left.discard(code.co_firstlineno)
        if not left:
            return None
        seen = self._seen.setdefault(code.co_filename, set())

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            if event == "line":
                seen.add(frame.f_lineno)
                left.discard(frame.f_lineno)
                frame.f_trace_lines = bool(left)
            return line

        return line
