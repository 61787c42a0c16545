"""The configured level decides what is logged, by ztb and by libraries alike."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from ztb.telemetry.logs import set_log_level


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_lines_below_the_level_are_not_written(level, shown, capsys):
    set_log_level(level)
    for logger in (structlog.get_logger(), logging.getLogger("library")):
        logger.debug("one_line")
        logger.info("one_line")
        logger.warning("one_line")
    captured = capsys.readouterr()
    assert captured.err.count("one_line") == 2 * shown and captured.out == ""
