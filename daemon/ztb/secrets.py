"""Secrets: where they come from, and how they are kept out of everything that is written.

A secret NAME (lower case, such as `mqtt_password`) comes from the first of: the environment variable
`ZTB_SECRET_<NAME>`; the file that `ZTB_SECRET_<NAME>_FILE` names, readable by its owner alone; the file NAME in
systemd's `$CREDENTIALS_DIRECTORY`. Never from the configuration file.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from ztb.errors import ConfigError

MINIMUM_LENGTH = 8
"""Shorter ones would be found everywhere when they are redacted, and guessed."""

HIDDEN = "[secret]"

_PREFIX = "ZTB_SECRET_"
_FILE = "_FILE"
_BASE64_SHARED_START = (0, 2, 3)
_BASE64_SHARED_END = (0, 3, 2)
"""Characters that a neighbour has a part in, by the bytes beyond a multiple of three before and after."""


def read_secret(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The secret `name`, or None where nobody gave one. ConfigError: unreadable, open to others, too short."""
    variable = _PREFIX + name.upper()
    if variable in environment:
        return _checked(environment[variable], f"${variable}")
    if variable + _FILE in environment:
        return _from_file(Path(environment[variable + _FILE]), private=True)
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if folder is not None and (Path(folder) / name).is_file():
        return _from_file(Path(folder) / name, private=False)
    return None


def require_secret(name: str, why: str, environment: Mapping[str, str] = os.environ) -> str:
    """As `read_secret`, but ConfigError where there is none; `why` names the setting that needs it."""
    secret = read_secret(name, environment)
    if secret is None:
        variable = _PREFIX + name.upper()
        raise ConfigError(
            f"{why} needs the secret {name!r}: set ${variable}, or ${variable}{_FILE} to a file of mode 0600, "
            f"or LoadCredential={name}:FILE in the unit"
        )
    return secret


def known_secrets(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Every secret within reach, whoever reads it: what must never be written anywhere."""
    names = {_name(variable) for variable in environment if variable.startswith(_PREFIX)}
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if folder is not None and Path(folder).is_dir():
        names |= {path.name for path in Path(folder).iterdir()}
    found = (read_secret(name, environment) for name in sorted(names))
    return [secret for secret in found if secret is not None]


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for a process that needs none of them."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_PREFIX) and name != "CREDENTIALS_DIRECTORY"
    }


def _name(variable: str) -> str:
    return variable.removeprefix(_PREFIX).removesuffix(_FILE).lower()


def _from_file(path: Path, *, private: bool) -> str:
    try:
        if private and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"{path}: a secret that others may read; chmod 600 {path}")
        return _checked(path.read_text(encoding="utf-8").strip(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the secret cannot be read: {error}") from None


def _checked(secret: str, place: str) -> str:
    if len(secret) < MINIMUM_LENGTH:
        raise ConfigError(f"{place}: a secret has at least {MINIMUM_LENGTH} characters; choose a longer one")
    return secret


class Redactor:
    """Replaces secrets in text by value: as they are, escaped by JSON, repr or a URL, in base64 and in hex."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        ordered = sorted(set(secrets), key=lambda secret: (-len(secret), secret))
        patterns = [pattern for secret in ordered for pattern in _patterns(secret)]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)


def _patterns(secret: str) -> list[str]:
    content = secret.encode()
    coded = [form for offset in range(3) for form in _base64_forms(content, offset)]
    return ["".join(map(_character, secret)), *map(re.escape, coded), f"(?i:{content.hex()})"]


def _character(character: str) -> str:
    """A pattern for one character in any of its escaped forms, escaped however often."""
    percent = "".join(f"%(?:25)*{byte:02X}" for byte in character.encode())
    forms = {
        character,
        json.dumps(character)[1:-1],
        repr(character)[1:-1],
        repr(character.encode())[2:-1],
        *(["+"] if character == " " else []),
    }
    return f"(?:{'|'.join([*sorted(map(_escaped, forms)), f'(?i:{percent})'])})"


def _escaped(form: str) -> str:
    """A pattern for `form` with any number of backslashes where escaping again would add some."""
    parts = [part for part in form.split("\\") if part]
    if not parts:
        return r"\\+"
    if len(parts) == 1 and form == parts[0]:
        return (r"\\*" if form in "\"'" else "") + re.escape(form)
    return "".join(rf"\\+(?i:{re.escape(part)})" for part in parts)


def _base64_forms(content: bytes, offset: int) -> set[str]:
    """`content` inside a longer text, `offset` bytes after a multiple of three: the characters it alone decides."""
    text = base64.b64encode(b"\0" * offset + content).decode()
    end = len(text) - _BASE64_SHARED_END[(len(content) + offset) % 3]
    text = text[_BASE64_SHARED_START[offset] : end]
    return {text, text.replace("+", "-").replace("/", "_")}
