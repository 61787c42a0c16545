"""`ztb config check|show|schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from ztb.config import config_hash, load_config, schema
from ztb.errors import ConfigError


def check(path: Path | None, as_json: bool) -> int:
    """Load the configuration, environment included, and say that it is sound: that `ztb run` would accept it and could
    do as it says on this machine now. ConfigError with every fault if not."""
    from ztb.runtime.daemon.rehearsal import faults_of

    loaded = load_config(path)
    faults = faults_of(loaded.config)
    if faults:
        raise ConfigError("\n".join([f"{path or 'defaults'}: not what `ztb run` could start with", *faults]))
    digest = config_hash(loaded.config)
    facts = {"file": str(path) if path else None, "ok": True, "config_hash": digest}
    typer.echo(json.dumps(facts) if as_json else f"{path or 'defaults'}: sound ({digest[:12]})")
    return 0


def show(path: Path | None, as_json: bool) -> int:
    """Every value with where it came from."""
    loaded = load_config(path)
    tree: dict[str, dict[str, Any]] = loaded.config.model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps({"config": tree, "origins": loaded.origins}, indent=2))
        return 0
    for section, values in tree.items():
        typer.secho(f"[{section}]", bold=True)
        for key, value in values.items():
            origin = loaded.origins.get(f"{section}.{key}", "default")
            typer.echo(f"  {key} = {json.dumps(value)}  ({origin})")
    return 0


def print_schema() -> int:
    """The JSON Schema of the file."""
    typer.echo(json.dumps(schema(), indent=2))
    return 0
