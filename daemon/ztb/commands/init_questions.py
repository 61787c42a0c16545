"""The questions that `ztb init` asks a newcomer at a terminal, and the configuration that the answers make."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from ztb.config import load_config
from ztb.errors import ConfigError
from ztb.runtime.daemon.rehearsal import faults_of
from ztb.telemetry.notices import apprise_sender
from ztb.utils.installation import shipped_folder

_NO = "no"
Settings = dict[str, Any]
"""By dotted key."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A choice: the `content` of MODE.json, and where alerts go (apprise URLs), if anywhere."""

    mode: str
    content: str
    notify_urls: str | None


@dataclass(frozen=True, slots=True)
class _Question:
    """`settings` are what an answer sets; ConfigError: it sets nothing sound."""

    text: str
    usual: Mapping[str, str]
    """The answer that Enter gives, by mode."""
    settings: Callable[[str], Settings]


def _market(answer: str) -> Settings:
    if "/" not in answer:
        raise ConfigError(f"{answer!r} is no market: say what is traded and for what, such as BTC/USDT")
    return {"market.symbol": answer.upper()}


def _percent(key: str) -> Callable[[str], Settings]:
    def settings(answer: str) -> Settings:
        try:
            return {key: float(answer.rstrip("% ")) / 100.0}
        except ValueError:
            raise ConfigError(f"{answer!r} is no number: say 5 for 5 %") from None

    return settings


_QUESTIONS = (
    _Question(
        "Venue, as ccxt names it (binance, kraken, bitstamp, okx…)",
        {"paper": "binance", "live": "binance"},
        lambda answer: {"market.venue": answer.lower()},
    ),
    _Question("Market", {"paper": "BTC/USDT", "live": "BTC/USDT"}, _market),
    _Question(
        "Most that a day may lose, in percent of the account",
        {"paper": "5", "live": "3"},
        _percent("risk.max_daily_loss_fraction"),
    ),
    _Question(
        "Most that the account may fall below its peak, in percent",
        {"paper": "20", "live": "10"},
        _percent("risk.max_drawdown_fraction"),
    ),
    _Question(
        f"Live page at address:port, or {_NO}",
        {"paper": "127.0.0.1:8600", "live": "127.0.0.1:8600"},
        lambda answer: {"telemetry.web_listen": None if answer == _NO else answer},
    ),
)


def ask(folder: Path) -> Answers | None:
    """The answers, each one sound; None where `folder` holds a configuration of that mode, which is kept."""
    typer.echo("A few questions; Enter takes what stands in brackets.\n")
    mode = _again_until_sound("Trade with paper money, or real: paper or live", "paper", _mode)
    if (folder / f"{mode}.json").exists():
        typer.echo(f"{folder / f'{mode}.json'} is there already: it is kept as it is.\n")
        return None
    settings: Settings = {}
    for question in _QUESTIONS:
        settings |= _again_until_sound(question.text, question.usual[mode], _sound(question, settings))
    alerts = _again_until_sound(
        f"Alerts by message: an apprise URL such as ntfy://TOPIC, or {_NO}", _NO, _notify_urls
    )
    typer.echo("")
    return Answers(mode, _content(mode, settings), alerts)


def _again_until_sound(text: str, usual: str, taken: Callable[[str], Any]) -> Any:
    while True:
        answer: str = typer.prompt(text, default=usual)
        try:
            return taken(answer.strip())
        except ConfigError as error:
            typer.echo(f"  {error}")


def _mode(answer: str) -> str:
    if answer not in ("paper", "live"):
        raise ConfigError(f"{answer!r} is neither paper nor live")
    return answer


def _sound(question: _Question, before: Settings) -> Callable[[str], Settings]:
    """The settings of an answer with which, and those `before`, `ztb run` could start on this machine."""

    def taken(answer: str) -> Settings:
        given = question.settings(answer)
        faults = faults_of(load_config(None, before | given, {}, origin="answer").config)
        if faults:
            raise ConfigError("\n  ".join(faults))
        return given

    return taken


def _notify_urls(answer: str) -> str | None:
    if answer == _NO:
        return None
    apprise_sender(answer)
    return answer


def _content(mode: str, settings: Settings) -> str:
    """The shipped configuration of `mode` with `settings` in it."""
    tree: dict[str, Any] = json.loads((shipped_folder("config") / f"{mode}.json").read_text(encoding="utf-8"))
    for key, value in settings.items():
        section, name = key.split(".")
        tree.setdefault(section, {})[name] = value
    return json.dumps(tree, indent=2) + "\n"
