"""Errors that say that a disk is full, or a quota reached, whoever wrote to it: Python itself or SQLite."""

from __future__ import annotations

import errno
import sqlite3


def says_full_disk(error: BaseException) -> bool:
    """True if `error` is of a full disk, or one that led to it is, or one of its group."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return True
    inner = [one for one in (error.__cause__, error.__context__) if one is not None]
    if isinstance(error, BaseExceptionGroup):
        inner += error.exceptions
    return any(says_full_disk(one) for one in inner)
