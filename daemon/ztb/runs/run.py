"""A run read back from its folder: summary and tables, whether it has finished, was killed or still goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from ztb.errors import DataError, UsageError
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import MarkRow, UpdateRow
from ztb.ledger.round_trips import RoundTrips
from ztb.ledger.run_directory import RunDirectory
from ztb.runs import tables
from ztb.runs.tables import JournalSnapshot, arrow_schema, arrow_table

_GENERATIONS = arrow_schema(
    {
        "generation": pa.int32(), "parent": pa.int32(), "made": pa.timestamp("ns", tz="UTC"), "outcome": pa.string(),
        "reason": pa.string(), "decided": pa.timestamp("ns", tz="UTC"), "decisions": pa.int64(),
        "return": pa.float64(), "hold_return": pa.float64(), "frozen_return": pa.float64(), "fees": pa.float64(),
        "weights_sha256": pa.string(),
    }
)  # fmt: skip
_SHOWN = ("mode", "run_id", "seed", "code_version")


class Run:
    """One run as it was when it was loaded; each table is read when it is first asked for.

    Tables are `pyarrow.Table`s in market units: prices and money in quote currency, quantities in base currency, times
    as timestamps in UTC; a figure that does not exist is null. pandas (`.to_pandas()`), polars (`pl.from_arrow`) and
    DuckDB (by the variable's name) read them. Load the folder again to see how a run that goes on has gone on.

    Raises DataError where a file of the run is damaged.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.path: Path = directory.path
        """The run's folder, which also holds `report.html` and `checkpoints/`."""
        self._directory = directory
        with contextlib.closing(JournalReader(directory.journal)) as reader:
            self._last = reader.last_seq()
        self._running = directory.is_held

    @property
    def is_finished(self) -> bool:
        """True if it came to an end of its own and nobody goes on with it; `summary["status"]` says which end."""
        return not self._running and self._directory.summary.exists()

    @cached_property
    def made_of(self) -> dict[str, Any]:
        """Everything the run was made of (`run.json`): mode, seed, data, `config` with every setting, features,
        ladder…
        """
        return self._directory.read_json(self._directory.manifest)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The figures of `summary.json`; of a run without an end those that its journal knows, under the same names.

        `status` is `complete`, `interrupted`, `failed: …`, or without an end `running` or `unfinished` (killed, or a
        replay that goes on). Times are nanoseconds since 1970, money quote currency, returns fractions.
        """
        if self.is_finished:
            return self._directory.read_json(self._directory.summary)
        return self._summary_so_far()

    def _summary_so_far(self) -> dict[str, Any]:
        from ztb.telemetry.figures import key_figures
        from ztb.telemetry.run_data import load_run as load_data

        data = load_data(self._directory)
        figures = dataclasses.asdict(key_figures(dataclasses.replace(data, summary=None)))
        figures["return"] = figures.pop("total_return")
        figures["trade_first_ts"] = figures.pop("first_ts") or None
        for name in ("finished", "at_full_size", "unlearnt_return", "ticks"):
            del figures[name]
        with self._snapshot() as run:
            updates = sum(1 for _ in run.rows(UpdateRow))
        return {
            **{name: self.made_of.get(name) for name in _SHOWN},
            **figures,
            "symbol": data.symbol,
            "updates": updates,
            "status": "running" if self._running else "unfinished",
        }

    @cached_property
    def equity(self) -> pa.Table:
        """The account at each decision: `decision, time, mid, cash, position, equity, fees` (paid so far).

        `hold_equity` and `frozen_equity` are what `hold` and generation 0 untouched had on the same ticks.
        """
        return self._table(tables.equity)

    @cached_property
    def decisions(self) -> pa.Table:
        """The choice at each decision: `decision, time, symbol, generation, action_size, action_timing, target`…

        `target` is the chosen exposure (position value over equity), `position` (base currency), `mid` and `equity`
        what there was before it, `action_timing` 0 wait, 1 passive, 2 aggressive; `value` and `logprob` of the
        policy, null for rules; `reward` is that of the decision before; `verdict` is `no_order`, `passed` or the risk
        gate's reason.
        """
        return self._table(tables.decisions)

    @cached_property
    def orders(self) -> pa.Table:
        """Every order that was sent: `order, client_id, decision, generation, time, side, type, quantity, price`…

        `price` is null for market orders, `mean_price` where nothing was filled; `status` is open, partly filled,
        filled, cancelled, expired or rejected (`reason`: why); `filled` is base currency.
        """
        return self._table(tables.orders)

    @cached_property
    def fills(self) -> pa.Table:
        """Every execution: `fill, order, decision, generation, time, side, price, quantity, liquidity, fee`.

        `fee` is all that it cost in quote currency, fees taken in base currency at the fill's price.
        """
        return self._table(tables.fills)

    @cached_property
    def trades(self) -> pa.Table:
        """Round trips that are closed, matched first in, first out (ztb.ledger.round_trips), in order of their exits.

        `side` (long, short), `quantity`, `entry_time`, `entry_price`, `exit_time`, `exit_price`, `net_profit` (quote
        currency, fees and funding counted), `fees`, `funding`, `return` (net profit over what was invested),
        `holding_time`, `generation` (which led when it was entered), `entry_order`, `exit_order`. Together with
        `open_trades` their net profit is the change of equity.
        """
        return tables.trades(self._round_trips.closed, 0.0)

    @cached_property
    def open_trades(self) -> pa.Table:
        """Round trips still open, as `trades`, but without exits: `net_profit` is at the mid of the last decision."""
        with self._snapshot() as run:
            newest = next(
                run.rows(MarkRow, "seq = (SELECT max(seq) FROM marks WHERE seq <= ?)", run.last), None
            )
        return tables.trades(self._round_trips.open, newest.mid if newest else 0.0)

    @cached_property
    def generations(self) -> pa.Table:
        """Every generation that was made or served, by number: `generation, parent, made, outcome, reason, decided`…

        `outcome` is what was said of it last (`waiting`: nothing yet); `decisions`, `return`, `hold_return`,
        `frozen_return` and `fees` are of the time in which it led, null where it never did.
        """
        from ztb.telemetry.lives import lives
        from ztb.telemetry.run_data import load_run as load_data

        return arrow_table(
            _GENERATIONS,
            (
                (
                    one.number,
                    one.parent,
                    one.made_ts or None,
                    one.outcome,
                    one.reason or None,
                    one.decided_ts or None,
                    one.decisions,
                    one.earned,
                    one.hold,
                    one.frozen,
                    one.fees,
                    one.weights_sha256 or None,
                )
                for one in lives(load_data(self._directory))
            ),
        )

    @cached_property
    def allocation(self) -> pa.Table:
        """Each expert's share of the account: `decision, time, expert, weight, log_evidence, equity`; a row a change.

        `equity` is the expert's own account at full size. Empty where one strategy traded everything.
        """
        return self._table(tables.allocation)

    @cached_property
    def _round_trips(self) -> RoundTrips:
        with self._snapshot() as run:
            return tables.round_trips(run)

    def _table(self, make: Callable[[JournalSnapshot], pa.Table]) -> pa.Table:
        with self._snapshot() as run:
            return make(run)

    @contextlib.contextmanager
    def _snapshot(self) -> Generator[JournalSnapshot]:
        instrument = self.made_of["instrument"]
        with contextlib.closing(JournalReader(self._directory.journal)) as reader:
            yield JournalSnapshot(
                reader, self._last, Decimal(instrument["tick_size"]), Decimal(instrument["lot_size"])
            )

    def __repr__(self) -> str:
        told = self.summary
        earned = told["return"]
        figures = "" if earned is None else f", return {earned:+.2%}"
        return (
            f"<Run {self.path}: {told['strategy']} on {told['symbol']}, {told['status']}, "
            f"{told['decisions']} decisions{figures}>"
        )


def load_run(path: str | os.PathLike[str]) -> Run:
    """The run in a folder, whether it has finished, was killed or still goes on.

    `path`: the folder, such as `runs/replay-001`, or one of the files in it. UsageError: `path` is none; DataError:
    there is no run, or this ztb cannot read it.

    Examples:
        >>> ztb.load_run("runs/no-such-run")
        Traceback (most recent call last):
        ...
        ztb.errors.DataError: runs/no-such-run: no such folder; give the folder of a run, such as runs/replay-001
    """
    if not isinstance(path, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(
            f"load_run({path!r}): give the folder of a run as text or Path, such as 'runs/replay-001'"
        )
    given = Path(path).expanduser()
    if not given.exists():
        raise DataError(f"{given}: no such folder; give the folder of a run, such as runs/replay-001")
    directory = RunDirectory(given if given.is_dir() else given.parent)
    if not directory.journal.is_file():
        raise DataError(f"{given}: no run is there: {_what_else(directory)}")
    return Run(directory)


def _what_else(directory: RunDirectory) -> str:
    """The contents of a folder without a journal."""
    inside = sorted(path.parent.name for path in directory.path.glob("*/journal.sqlite"))
    if inside:
        shown = ", ".join(inside[:5]) + ("…" if len(inside) > 5 else "")
        return f"it holds the runs {shown}; give one of them"
    if directory.checkpoints.is_dir():
        return "it holds checkpoints alone, as a training leaves; replay it with from_generation first"
    if directory.manifest.exists():
        return "it began, and nothing was journaled yet; try again in a moment"
    return "its folder would hold journal.sqlite and run.json"
