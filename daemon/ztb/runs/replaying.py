"""`ztb.replay`: the command `ztb replay` for programs and notebooks."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from ztb.config import Config, load_config
from ztb.errors import ConfigError, UsageError, expected_error
from ztb.learning.service.initial_policy import parse_span
from ztb.ledger.run_directory import RunDirectory, create_run_directory
from ztb.market.history import History
from ztb.market.instrument import parse_increment
from ztb.runs.run import Run
from ztb.runtime.modes.replay import Progress, Replay, ReplayRequest, open_data, run_to_end, seen_in_training
from ztb.strategies.loader import add_file
from ztb.utils.moments import parse_span_of

PathLike: TypeAlias = str | os.PathLike[str]
_T = TypeVar("_T")
_LOOK_S = 0.1  # between two looks whether what runs in the other thread has ended


def replay(
    data: PathLike | Iterable[PathLike] | None = None,
    *,
    strategy: PathLike | None = None,
    config: PathLike | Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    out: PathLike | None = None,
    learner: str | None = None,
    from_generation: PathLike | None = None,
    pretrain: str | None = None,
    start: str | date | None = None,
    end: str | date | None = None,
    symbol: str | None = None,
    venue: str | None = None,
    tick_size: str | Decimal | None = None,
    lot_size: str | Decimal | None = None,
    progress: bool | Callable[[str, float], None] | None = None,
) -> Run:
    """Run a strategy over recorded history through the engine that trades live; the run that it was.

    The same arguments give the same journal, bit for bit, as each other and as `ztb replay` with the same flags.
    Works in a script and in a notebook, where an event loop runs already.

    Args:
        data: Files or folders of market data, in any layout that `ztb data info` knows; none: the shipped history,
            of which the first 180 days train generation 0.
        strategy: Name of a strategy, or the path of the file that holds one of your own.
        config: Sections of settings, such as `{"risk": {"max_exposure": 0.5}}`, which beat the environment; or the
            path of a configuration file, which does not.
        seed: Of every random number.
        out: The run's folder, which must hold no run; none: a new temporary one. `run.path` says which.
        learner: auto, off, inline or process.
        from_generation: A run's folder or its checkpoints, with `:N` for one: generation 0 is what it holds.
        pretrain: First span of the data to train generation 0 on, such as `"180d"`; it is not traded.
        start: First moment: ISO 8601, date or datetime; UTC if nothing else is said.
        end: End, exclusive.
        symbol: Such as `"BTC/USD"`; none: as configured, or as the data say.
        venue: As ccxt names it, such as `"kraken"`; sets fees and spread.
        tick_size: Price increment, quote currency, an exact decimal.
        lot_size: Quantity increment, base currency, an exact decimal.
        progress: True shows a line of it on the error stream, None does where somebody sees it (a terminal, a
            notebook); or a function that is told (what goes on, the fraction that is done).

    Raises:
        UsageError: An argument makes no sense, or `out` holds a run already.
        ConfigError: A setting is wrong, or there is no such strategy, or it is broken.
        DataError: The data cannot be read or cannot be traded on; the run's folder keeps how far it came.

    Examples:
        >>> run = ztb.replay(strategy="trend", start="2019-03-01")
        >>> run.summary["status"], run.summary["symbol"], run.path.name.startswith("ztb-replay-")
        ('complete', 'BTC/USD', True)
        >>> run.trades.column_names[:6]
        ['side', 'quantity', 'entry_time', 'entry_price', 'exit_time', 'exit_price']
        >>> ztb.replay(config={"risk": {"max_exposur": 0.5}})
        Traceback (most recent call last):
        ...
        ztb.errors.ConfigError: config: unknown key in risk: 'max_exposur'; did you mean 'max_exposure'?
    """
    settings = _given(
        {
            "strategy.name": None if strategy is None else _strategy_name(strategy),
            "online.learner": learner,
            "market.symbol": symbol,
            "market.venue": venue,
            "market.tick_size": _increment(tick_size, "tick_size"),
            "market.lot_size": _increment(lot_size, "lot_size"),
        }
    )
    request = ReplayRequest.of(
        _configuration(config, settings),
        _paths(data),
        _seed(seed),
        span_ns=parse_span_of(_moment(start), _moment(end), ("start", "end")),
        pretrain_ns=None if pretrain is None else parse_span(pretrain, "pretrain"),
        from_generation=None if from_generation is None else os.fspath(from_generation),
    )
    history = open_data(request)
    directory = _directory(out)
    with _Told(progress) as told:
        summary = _run(request, history, directory, told)
    seen = seen_in_training(request.from_generation, summary)
    if seen is not None:
        warnings.warn(seen, stacklevel=2)
    return Run(directory)


def _run(request: ReplayRequest, history: History, directory: RunDirectory, told: Progress) -> dict[str, Any]:
    """The summary. What goes wrong on the way is raised as itself, with where to find how far it came."""
    try:
        return await_anywhere(run_to_end(Replay.over(request, history, directory, told)))
    except BaseExceptionGroup as group:
        error: BaseException = expected_error(group) or group
    except BaseException as single:  # noqa: BLE001 (raised again below)
        error = single
    if directory.journal.exists():
        error.add_note(f"how far it came: ztb.load_run({str(directory.path)!r})")
    elif not any(directory.path.iterdir()):
        directory.path.rmdir()
    raise error from error.__cause__


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _strategy_name(strategy: PathLike) -> str:
    """The name of a strategy; a file of one is made known first."""
    text = os.fspath(strategy)
    return add_file(Path(text)) if text.endswith(".py") or isinstance(strategy, Path) else text


def _configuration(config: PathLike | Mapping[str, Any] | None, settings: dict[str, Any]) -> Config:
    if config is None or isinstance(config, (str, os.PathLike)):
        return load_config(None if config is None else Path(config), settings).config
    if not isinstance(config, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(
            f"config={config!r}: give sections of settings, such as {{'risk': {{'max_exposure': 0.5}}}}"
        )
    sections: dict[str, Any] = {}
    for section, values in config.items():
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"config: {section!r} must be a section of settings, such as {{'max_exposure': 0.5}}"
            )
        sections |= {f"{section}.{key}": value for key, value in values.items()} or {section: {}}
    twice = sorted(sections.keys() & settings.keys())
    if twice:
        raise UsageError(f"{twice[0]} is given twice: as an argument and in config; make one of the two")
    return load_config(None, sections | settings, origin="config").config


def _paths(data: PathLike | Iterable[PathLike] | None) -> tuple[Path, ...]:
    if data is None:
        return ()
    try:
        given = [data] if isinstance(data, (str, os.PathLike)) else list(data)
        paths = tuple(Path(path) for path in given)
    except TypeError:
        raise UsageError(f"data={data!r}: give paths of files or folders, such as ['bars.csv']") from None
    if not paths:
        raise UsageError("data=[]: name files or folders, or leave it out for the shipped history")
    return paths


def _seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"seed={seed!r}: give a whole number from 0 on")
    return seed


def _increment(value: str | Decimal | None, name: str) -> Decimal | None:
    if isinstance(value, float):
        raise UsageError(f"{name}={value!r}: a float is not exact; give text, such as '0.01', or a Decimal")
    return None if value is None else parse_increment(str(value), name)


def _moment(moment: str | date | None) -> str | None:
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    return moment.isoformat() if isinstance(moment, date) else moment


def _directory(out: PathLike | None) -> RunDirectory:
    folder = Path(tempfile.mkdtemp(prefix="ztb-replay-")) if out is None else Path(out)
    return create_run_directory(folder, "replay")


class _Told:
    """A line of progress on the error stream, rewritten a hundred times; or what the caller wants to be told."""

    def __init__(self, progress: bool | Callable[[str, float], None] | None) -> None:
        seen = sys.stderr.isatty() or "ipykernel" in sys.modules
        self._call: Progress | None = progress if callable(progress) else None
        self._shows = seen if progress is None else bool(progress) and self._call is None
        self._shown = ""

    def __call__(self, name: str, done: float) -> None:
        if self._call is not None:
            self._call(name, done)
        line = f"{name} {done:.0%}"
        if self._shows and line != self._shown:
            sys.stderr.write(f"\r{line:<14}")
            sys.stderr.flush()
            self._shown = line

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write(f"\r{'':<14}\r")
            sys.stderr.flush()


def await_anywhere(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`, awaited in a loop of its own: in this thread, or where a loop runs here, in another.

    An interrupt of the caller's ends it as it would end a command, and is raised when it has ended.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1, "ztb-replay") as thread, _Interrupts() as interrupts:
        done = thread.submit(asyncio.run, interrupts.cancelling(work))
        while not done.done():
            # Not for ever: an interrupt that comes just before a wait begins does not end it, and is handled after it.
            wait([done], _LOOK_S)
        return done.result()


class _Interrupts:
    """An interrupt of the main thread cancels the work of another thread, and is raised when that has ended.

    As `asyncio.Runner` does it for a loop in the main thread: a handler, and no `KeyboardInterrupt` wherever the
    main thread is just then, which may be in the middle of starting the other.
    """

    def __init__(self) -> None:
        self._interrupted = False
        self._task: asyncio.Task[Any] | None = None
        self._before: Any = None

    def __enter__(self) -> _Interrupts:
        takes = threading.current_thread() is threading.main_thread()
        if takes and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._cancel)
        return self

    async def cancelling(self, work: Coroutine[Any, Any, _T]) -> _T:
        self._task = asyncio.current_task()
        if self._interrupted and self._task is not None:
            self._task.cancel()
        return await work

    def _cancel(self, _signal: int, _frame: object) -> None:
        self._interrupted = True
        if self._task is not None:
            with suppress(RuntimeError):  # its loop is closed: it has ended already
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._interrupted:
            raise KeyboardInterrupt
