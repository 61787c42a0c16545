"""Logs: one event name and typed fields a line, ztb's own lines and those of libraries alike.

structlog goes through stdlib logging, so that one chain treats all: correlation, a limit on repeats, rendering
(JSON for journald and programs, colours for a terminal), and last of all the redaction of secrets by value.
Tracebacks are printed without local variables.

Also here: writes log lines from a thread of its own, so that nobody waits for a reader who does not read.

Also here: keeps a storm of the same line from drowning the others.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import logging
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TextIO, TypeAlias

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ztb.secrets import Redactor
from ztb.telemetry.correlation import correlation_fields
from ztb.utils.background import background_thread

_WAITING_LINES = 2_000
_LEAVING_S = 1.0


class BackgroundStream(io.TextIOBase):
    """A text stream whose `write` never blocks: beyond 2,000 waiting writes it drops the newest and counts them."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._waiting: queue.Queue[str | None] = queue.Queue(_WAITING_LINES)
        self.dropped = 0
        self._thread = background_thread(self._write_lines, "ztb-logs")
        self._thread.start()
        atexit.register(self.close)

    def write(self, text: str, /) -> int:
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self.dropped += 1
        return len(text)

    def close(self) -> None:
        """Write what is waiting, for a second at most. May be called again."""
        if not self.closed:
            super().close()
            self._end()

    def _end(self) -> None:
        try:
            self._waiting.put(None, timeout=_LEAVING_S)
        except queue.Full:
            return
        self._thread.join(_LEAVING_S)

    def _write_lines(self) -> None:
        told = 0
        while (text := self._waiting.get()) is not None:
            dropped = self.dropped - told
            told += dropped
            note = f'{{"event": "log_lines_dropped", "count": {dropped}}}\n' if dropped else ""
            with contextlib.suppress(OSError, ValueError):  # whoever read has gone
                self._target.write(note + text)
                self._target.flush()


@dataclass(slots=True)
class _Window:
    since_s: float
    seen: int = 0


class RepeatLimit:
    """Lets `allowed` lines of a kind through in each window of `window_s`; says afterwards how many it left out.

    Remembers `kinds` kinds; of more, the one that began longest ago is forgotten (and its count told).
    """

    def __init__(self, allowed: int = 10, window_s: float = 10.0, kinds: int = 512) -> None:
        self._allowed = allowed
        self._window_s = window_s
        self._kinds = kinds
        self._windows: OrderedDict[Hashable, _Window] = OrderedDict()

    def admit(self, kind: Hashable, now_s: float) -> bool:
        """True if a line of `kind` may be written now. Call `left_out` before."""
        window = self._windows.setdefault(kind, _Window(now_s))
        window.seen += 1
        return window.seen <= self._allowed

    def left_out(self, now_s: float) -> list[tuple[Hashable, int]]:
        """Kinds whose window has ended, with the number of lines left out in it."""
        ended: list[tuple[Hashable, int]] = []
        while self._windows:
            kind, window = next(iter(self._windows.items()))
            if now_s - window.since_s < self._window_s and len(self._windows) <= self._kinds:
                break
            del self._windows[kind]
            if window.seen > self._allowed:
                ended.append((kind, window.seen - self._allowed))
        return ended


LogFormat: TypeAlias = Literal["auto", "json", "console"]

_REPEATS = "ztb.repeats"


def configure_logging(
    level: str = "info",
    form: LogFormat = "auto",
    secrets: Iterable[str] = (),
    *,
    daemon: bool = False,
    stream: TextIO | None = None,
) -> None:
    """Log from `level` on to `stream` (default stderr), `secrets` left out.

    In a daemon a thread writes, so that a reader who does not read never holds up the caller (lines beyond its
    bounded queue are dropped and counted), and warnings and exceptions that nobody caught are lines too.
    """
    target = stream or sys.stderr
    as_json = _as_json(form)
    handler = _Handler(BackgroundStream(target) if daemon else target)
    handler.setFormatter(_Formatter(as_json, target.isatty() and not as_json, Redactor(secrets)))
    handler.addFilter(_Repeats(handler))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    _configure_structlog()
    set_log_level(level)
    if daemon:
        logging.captureWarnings(True)
        _catch_what_nobody_caught()


def set_log_level(level: str) -> None:
    """Log from `level` (debug, info, warning, error) on, from now on."""
    logging.getLogger().setLevel(level.upper())


def _as_json(form: LogFormat) -> bool:
    return form == "json" or (form == "auto" and "JOURNAL_STREAM" in os.environ)


def _correlate(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**correlation_fields(), **event}


_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    _correlate,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def _configure_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class _Handler(logging.StreamHandler[BackgroundStream | TextIO]):
    """A line that cannot be formatted is named; logging's own report would print its arguments unredacted.

    Where nothing can be written at all, the line is lost: no log may stop the trading.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        event = {
            "event": "line_not_written",
            "logger": record.name,
            "where": f"{record.pathname}:{record.lineno}",
        }
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(f"{json.dumps(event)}\n")


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders a line and redacts it: nothing is added after that."""

    def __init__(self, as_json: bool, colors: bool, redact: Redactor) -> None:
        rendering: list[Processor]
        if as_json:
            rendering = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
        else:
            plain = structlog.dev.plain_traceback
            rendering = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
        super().__init__(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
            foreign_pre_chain=_SHARED,
            keep_exc_info=False,
            keep_stack_info=False,
        )
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


class _Repeats(logging.Filter):
    """Limits lines of the same logger, level and event; the summary of what was left out goes the same way."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler
        self._limit = RepeatLimit()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == _REPEATS:
            return True
        for kind, count in self._limit.left_out(record.created):
            self._say(str(kind), count, record.created)
        return self._limit.admit(f"{record.name} {record.levelname} {_event(record)}", record.created)

    def _say(self, kind: str, count: int, created: float) -> None:
        summary = logging.LogRecord(_REPEATS, logging.WARNING, "", 0, "lines_left_out", None, None)
        summary.created = created
        summary.__dict__ |= {"kind": kind, "count": count}
        self._handler.handle(summary)


def _event(record: logging.LogRecord) -> str:
    message: Any = record.msg
    return str(message.get("event") if isinstance(message, dict) else message)


def _catch_what_nobody_caught() -> None:
    """Exceptions that end the program, a thread or a finaliser are log lines too, redacted like any other."""
    logger = structlog.get_logger("ztb.uncaught")

    def uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        logger.critical("uncaught_exception", exc_info=(kind, error, traceback))

    def in_thread(hook: threading.ExceptHookArgs) -> None:
        if hook.exc_value is not None:
            uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)

    def in_finaliser(hook: sys.UnraisableHookArgs) -> None:
        if hook.exc_value is not None:
            uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)

    sys.excepthook = uncaught
    threading.excepthook = in_thread
    sys.unraisablehook = in_finaliser
