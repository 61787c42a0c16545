"""`ztb init`: what a newcomer needs to start from, asked for at a terminal; and with `--system` what systemd needs."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ztb.errors import UsageError
from ztb.utils import files
from ztb.utils.installation import shipped_folder

if TYPE_CHECKING:
    from ztb.commands.init_questions import Answers

UNIT = "ztb@.service"
_MODES = ("paper", "live", "replay")
_SCHEMA = "trade-config.schema.json"
_UNIT_PROGRAM = Path("/opt/ztb/bin/ztb")
_NOTIFY = "notify_urls"
_KEYS = ("ZTB_SECRET_EXCHANGE_API_KEY", "ZTB_SECRET_EXCHANGE_SECRET")
_WAITS = "    # trades once something has proved itself; --from-generation FOLDER begins with what `ztb train` left"
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
    answers = None if system or as_json else _answers(folder)
    files = _system_files(root) if system else _user_files(folder, answers)
    done: dict[str, str] = {}
    for file in files:
        try:
            done[str(file.path)] = file.write()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{file.path}: cannot be written ({error}); {_remedy(system)}. What was written before it stays"
            ) from None
    following = _system_steps() if system else _user_steps(folder, answers)
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


def _answers(folder: Path) -> Answers | None:
    """Answers of a person at a terminal; None where nobody is there to be asked."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    # Imported here alone: it looks at the venue, the page and whatever else an answer sets.
    from ztb.commands.init_questions import ask

    return ask(folder)


def _user_files(folder: Path, answers: Answers | None = None) -> list[_File]:
    contents = {mode: _config(f"{mode}.json") for mode in _MODES}
    asked: list[_File] = []
    if answers is not None:
        contents[answers.mode] = answers.content
        if answers.notify_urls is not None:
            asked = [_File(folder / _NOTIFY, f"{answers.notify_urls}\n", 0o600)]
    return [
        *(_File(folder / f"{mode}.json", content) for mode, content in contents.items()),
        *asked,
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


def _user_steps(folder: Path, answers: Answers | None) -> list[str]:
    mode = "paper" if answers is None else answers.mode
    config = folder / f"{mode}.json"
    steps = [
        "ztb replay",
        f"ZTB_STRATEGY_PATH={folder / 'strategies'} ztb replay --strategy my_strategy",
        f"ztb doctor --config {config}",
    ]
    if answers is not None and answers.notify_urls is not None:
        steps.append(f"export ZTB_SECRET_NOTIFY_URLS_FILE={folder / _NOTIFY}")
    if mode == "live":
        steps += [f"export {name}=…" for name in _KEYS]
        steps.append(f"ztb arm --run runs/live-ztb --config {config}")
    return [*steps, f"ztb run --mode {mode} --config {config}{_WAITS}"]


def _system_steps() -> list[str]:
    return [
        "systemctl daemon-reload",
        f"systemctl enable --now ztb@paper{_WAITS}",
        "systemctl status ztb@paper",
    ]
