"""`ztb arm`: a person allows a run to trade real money."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from ztb.config import config_hash, load_config
from ztb.errors import ConfigError, UsageError
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import GenerationRow
from ztb.market.venues import key_rights, venue_name
from ztb.runtime.clock import SystemClock
from ztb.runtime.modes.arming import Arming, account_of, phrase, write_arming
from ztb.secrets import require_secret
from ztb.utils.installation import code_version


def arm(
    run: Path, config: Path | None, flags: dict[str, Any], limit_quote: float, minutes: float, as_json: bool
) -> int:
    """Ask for the phrase on stdin, and write the permission; returns the exit code."""
    settings = load_config(config, flags).config
    account = account_of(require_secret("exchange_api_key", "ztb arm"))
    market = settings.market
    if market.venue is None:
        raise ConfigError("market.venue: name the venue as ccxt does, such as binance or kraken")
    rights_known = key_rights(venue_name(market.venue)) is not None and not market.sandbox
    wanted = phrase(account, limit_quote, rights_known)
    if not rights_known:
        typer.echo("The venue cannot tell what the key may do: make sure that it cannot withdraw.", err=True)
    money = "The sandbox's money" if market.sandbox else "Real money"
    typer.echo(f"{money} on {market.venue}. To allow it, type: {wanted}", err=True)
    if sys.stdin.readline().strip() != wanted:
        raise UsageError(f"that was not {wanted!r}: nothing is armed")
    expires_ns = SystemClock().now_ns() + int(minutes * 60e9)
    arming = Arming(
        account=account,
        limit_quote=limit_quote,
        config_hash=config_hash(settings),
        code_version=code_version(),
        weights_sha256=_serving(run / "journal.sqlite"),
        expires_ns=expires_ns,
    )
    write_arming(run, arming)
    said = f"{run}: armed for {limit_quote:g}; start it within {minutes:g} minutes"
    typer.echo(json.dumps({"ok": True, "message": said}) if as_json else said)
    return 0


def _serving(journal: Path) -> str | None:
    """The weights that served last in the folder, if any did."""
    if not journal.exists():
        return None
    reader = JournalReader(journal)
    served = [row.weights_sha256 for row in reader.rows(GenerationRow, "event = 'promoted'")]
    reader.close()
    return served[-1] if served else None
