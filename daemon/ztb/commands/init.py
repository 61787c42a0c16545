"""`ztb init`: what a newcomer needs to start from, and with `--system` what systemd needs."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from ztb.errors import UsageError
from ztb.utils import files
from ztb.utils.installation import shipped_folder

UNIT = "ztb@.service"
_MODES = ("paper", "live", "replay")
_SCHEMA = "trade-config.schema.json"
_UNIT_PROGRAM = Path("/opt/ztb/bin/ztb")
_CREDENTIALS = """[Service]
LoadCredential=exchange_api_key:/etc/ztb/credentials/exchange_api_key
LoadCredential=exchange_secret:/etc/ztb/credentials/exchange_secret
"""
_EXAMPLE = '''"""A strategy of your own: change `decide`, and name this file in strategy.name."""

from ztb.trading.strategy import Action


class Strategy:
    def __init__(self, context):
        self._half, self._flat = len(context.ladder) // 2, context.ladder.index(0.0)

    def decide(self, moment):
        return Action(self._half if moment.feature("rsi_14") < 0.3 else self._flat)
'''


@dataclass(frozen=True, slots=True)
class _File:
    """A file to write. One that is there is the user's, and kept, unless it is `ours`."""

    path: Path
    content: str
    mode: int = 0o644
    ours: bool = False

    def write(self) -> str:
        """Write it if it may be; written, kept or unchanged."""
        if self.path.exists():
            if self.path.read_text(encoding="utf-8") == self.content:
                return "unchanged"
            if not self.ours:
                return "kept"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        files.write_durably(self.path, self.content.encode(), self.mode)
        return "written"


def init(folder: Path, system: bool, root: Path, as_json: bool) -> int:
    """Write what is missing into `folder`, or with `system` where systemd looks for it below `root`."""
    files = _system_files(root) if system else _user_files(folder)
    done: dict[str, str] = {}
    for file in files:
        try:
            done[str(file.path)] = file.write()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{file.path}: cannot be written ({error}); {_remedy(system)}. What was written before it stays"
            ) from None
    following = _system_steps() if system else _user_steps(folder)
    if as_json:
        typer.echo(json.dumps({"files": done, "next": following}))
    else:
        lines = [f"{what:9}  {path}" for path, what in done.items()]
        typer.echo("\n".join([*lines, "", "next:", *(f"  {step}" for step in following)]))
    return 0


def _remedy(system: bool) -> str:
    return "run it as root" if system else "choose another folder"


def _config(name: str) -> str:
    return (shipped_folder("config") / name).read_text(encoding="utf-8")


def _user_files(folder: Path) -> list[_File]:
    return [
        *(_File(folder / f"{mode}.json", _config(f"{mode}.json")) for mode in _MODES),
        _File(folder / _SCHEMA, _config(_SCHEMA), ours=True),
        _File(folder / "strategies" / "my_strategy.py", _EXAMPLE),
    ]


def _system_files(root: Path) -> list[_File]:
    settings, units = root / "etc/ztb", root / "etc/systemd/system"
    unit = (shipped_folder("systemd") / UNIT).read_text(encoding="utf-8")
    files = [
        *_user_files(settings),
        _File(settings / "ztb.env", _config("ztb.env"), 0o600),
        _File(units / UNIT, unit, ours=True),
        _File(units / "ztb@live.service.d" / "credentials.conf", _CREDENTIALS),
    ]
    program = Path(shutil.which("ztb", path=str(Path(sys.executable).parent)) or _UNIT_PROGRAM)
    if program != _UNIT_PROGRAM:
        start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
        override = f"[Service]\nExecStart=\n{start.replace(str(_UNIT_PROGRAM), str(program))}\n"
        files.append(_File(units / f"{UNIT}.d" / "program.conf", override, ours=True))
    return files


def _user_steps(folder: Path) -> list[str]:
    return [
        "ztb replay",
        f"ZTB_STRATEGY_PATH={folder / 'strategies'} ztb replay --strategy my_strategy",
        f"ztb run --mode paper --config {folder / 'paper.json'}",
    ]


def _system_steps() -> list[str]:
    return ["systemctl daemon-reload", "systemctl enable --now ztb@paper", "systemctl status ztb@paper"]
