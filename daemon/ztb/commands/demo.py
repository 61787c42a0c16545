"""`ztb replay --demo turn`: a made market in which what is learnt has capital, and is rolled back when it turns."""

from __future__ import annotations

import json
from operator import itemgetter
from pathlib import Path
from typing import Any

import typer

from ztb.commands.replay import ReplayOptions, print_result, run_request
from ztb.config import load_config
from ztb.errors import UsageError
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import GenerationRow, NoteRow
from ztb.ledger.run_directory import RunDirectory, create_run_directory
from ztb.runtime.modes.replay import ReplayRequest
from ztb.testing.made_market import HOUR_NS, START_NS, autoregressive_prices, write_bars

_TURNS_AFTER, _BARS = 4_000, 7_000
_REGIMES = ((0.4, _TURNS_AFTER), (-0.5, _BARS - _TURNS_AFTER))
"""Momentum, then reversion: the strength of the autoregression, and for how many hourly bars."""
_DEVIATION = 0.005
_PATH = 15
"""Added to the seed: of the first sixteen paths, one on which the turn comes soon after a promotion."""
_SETTINGS: dict[str, Any] = {
    "market.symbol": "MADE/USDT:USDT", "market.venue": "binanceusdm", "market.tick_size": "0.001",
    "market.lot_size": "0.0001",
    # Half of the default, so that the first losses after the turn raise it: forecasts turn within a hundred bars.
    "gate.alarm_drawdown_fraction": 0.12,
}  # fmt: skip
_EVENTS = {"promoted": "is promoted", "rolled_back": "is rolled back", "restored": "serves again"}


def run_demo(name: str, options: ReplayOptions) -> int:
    """Make the market, replay it, print the summary and what happened; returns the exit code."""
    _check(name, options)
    config = load_config(options.config_path, _SETTINGS | options.flags).config
    directory = create_run_directory(options.out, "replay")
    with directory.kept_if_begun():
        prices = autoregressive_prices(_REGIMES, options.seed + _PATH, _DEVIATION)
        request = ReplayRequest(config, (write_bars(prices, _market_of(directory)),), options.seed)
        summary = run_request(request, directory, options.as_json)
    print_result(summary, directory, options.as_json)
    if not options.as_json:
        typer.echo("\n".join(story(directory)))
    return 0


def _market_of(directory: RunDirectory) -> Path:
    """The market's file: in the run's folder, so that the run can be repeated."""
    return directory.path / "market.csv.zst"


def _check(name: str, options: ReplayOptions) -> None:
    if name != "turn":
        raise UsageError(f"--demo: there is no {name!r}; there is: turn")
    given = {
        "--data": options.paths,
        "--pretrain": options.pretrain,
        "--from-generation": options.from_generation,
        "--from": options.start,
        "--to": options.end,
        "--symbol, --venue, --tick-size and --lot-size": any(
            key.startswith("market.") for key in options.flags
        ),
    }
    for option, value in given.items():
        if value:
            raise UsageError(
                f"--demo makes its own market, and begins with a random policy: leave {option} out"
            )


def story(directory: RunDirectory) -> list[str]:
    """Lines that tell what became of generations and when, and when the market turned."""
    reader = JournalReader(directory.journal)
    try:
        alarms = {
            told["generation"]: told["alarm"]
            for note in reader.rows(NoteRow)
            if note.kind == "alarm" and (told := json.loads(note.detail))
        }
        told = [
            (row.ts_ns, f"generation {row.generation} {_EVENTS[row.event]}{_why(row, alarms)}")
            for row in reader.rows(GenerationRow)
            if row.event in _EVENTS and row.ts_ns
        ]
    finally:
        reader.close()
    turn = START_NS + _TURNS_AFTER * HOUR_NS, "the market turns: momentum becomes reversion"
    lines = [(0, "generation 0 is random: nothing has a share of the account"), *told, turn]
    return [
        f"  bar {max(0, (ts_ns - START_NS) // HOUR_NS):>5,}  {text}"
        for ts_ns, text in sorted(lines, key=itemgetter(0))
    ]


def _why(row: GenerationRow, alarms: dict[int, str]) -> str:
    alarm = alarms.get(row.generation)
    return f" (alarm: {alarm})" if row.event == "rolled_back" and alarm else ""
