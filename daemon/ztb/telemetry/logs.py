"""What is logged, and from which level on."""

from __future__ import annotations

import logging
import sys

import structlog


def set_log_level(level: str) -> None:
    """Log from `level` (debug, info, warning, error) on, to stderr; ztb's own lines and those of libraries."""
    number = getattr(logging, level.upper())
    logging.basicConfig(
        level=number, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True
    )
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
