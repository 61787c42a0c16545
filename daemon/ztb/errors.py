"""Errors say who must act: the user, the venue, nobody, or whoever wrote the program."""

from __future__ import annotations


class ZtbError(Exception):
    """Base of every error that ztb raises on purpose; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(ZtbError):
    """The command was called wrongly: the user mends the call."""

    exit_code = 2


class DataError(ZtbError):
    """Market data or a run failed a check: the message names file, place, reason and remedy."""

    exit_code = 3


class NotFoundError(DataError):
    """Something named is not there: a run, a generation, an order. The message says what is, or where to look."""


class NonFiniteError(DataError):
    """A number is not finite where only finite ones make sense. `what` it is: an observation, a reward, a value…

    Where it is known: `env`, the index of the environment (or lane), and `step`, counted from 0.
    """

    def __init__(self, what: str, message: str, env: int | None = None, step: int | None = None) -> None:
        super().__init__(message)
        self.what = what
        self.env = env
        self.step = step

    @property
    def given(self) -> bool:
        """Mark an error as come from outside, so that whoever learns is none the worse for it."""
        return self.what in ("observation", "reward")


class VenueError(ZtbError):
    """The venue or the network failed: try again later."""

    exit_code = 75


class ConfigError(ZtbError):
    """The configuration is wrong: a restart cannot help, the operator mends the file."""

    exit_code = 78


class StrategyError(ConfigError):
    """A strategy's own code raised or answered nonsense: its author mends the file."""


class ResourceError(ZtbError):
    """The machine ran short of something: the run left cleanly before the kernel ended it; try again later."""

    exit_code = 75


class InvariantError(ZtbError):
    """The program contradicts itself: stop, exit, never continue; the daemon's next start flattens and halts."""


def expected_error(group: BaseExceptionGroup[BaseException]) -> ZtbError | None:
    """The first error of a group that was raised on purpose; None if there is none."""
    for error in group.exceptions:
        found = expected_error(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, ZtbError):
            return found
    return None
