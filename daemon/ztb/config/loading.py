"""Reads a configuration: flags, environment, file, default, in this order; each value knows where it came from."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ztb.config.model import Config
from ztb.config.section import what_is_wrong
from ztb.errors import ConfigError, DataError
from ztb.utils.installation import code_version


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and, by dotted key, where each value that is no default came from."""

    config: Config
    origins: dict[str, str]


_SHORT_ENVIRONMENT = {
    "ZTB_CHECKPOINT_INTERVAL": "checkpoint.interval_updates",
    "ZTB_MAX_MEMORY_GB": "limits.max_memory_gb",
}
_FEATURES = "a run normalises its features in its own way, which it does not change"
_REWARDS = "a run scales its rewards by online.reward_scale, and cuts none off"
_DISCRETE = "a run's actions are discrete"
_RETIRED = {
    "ppo.normalize_observations": _FEATURES,
    "ppo.clip_observations": _FEATURES,
    "ppo.normalize_rewards": _REWARDS,
    "ppo.clip_rewards": _REWARDS,
    "ppo.log_std": _DISCRETE,
    "ppo.squash_actions": _DISCRETE,
}
"""Settings that there were and that never did anything, and why: a run is the same without them."""
_Tree = dict[str, Any]


def load_config(
    path: Path | None,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
    origin: str = "flag",
) -> Loaded:
    """Read `path` (None: no file), then apply environment and flags (dotted keys), which errors call `origin`.

    ConfigError says what to mend.
    """
    tree: _Tree = Config().model_dump(mode="json")
    origins: dict[str, str] = {}
    if path is not None:
        content = read_object(path, "compare with `ztb config show`")
        for section in content:
            _require_known(section, tree, str(path), "section")
        _overlay(tree, _flatten(content), str(path), origins)
    _overlay(tree, _from_environment(environment), "environment", origins)
    _overlay(tree, dict(flags or {}), origin, origins)
    try:
        return Loaded(Config.model_validate(tree), origins)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from None


def recorded_config(facts: Mapping[str, Any], where: str) -> Config:
    """The `config` in what a run wrote down of itself, less what never did anything. `facts`: its `code_version` too.

    DataError: this version cannot read it.
    """
    kept = {
        section: {key: value for key, value in values.items() if f"{section}.{key}" not in _RETIRED}
        for section, values in facts["config"].items()
    }
    try:
        return Config.model_validate(kept)
    except (ValidationError, ConfigError) as error:
        said = _explain(error, {}) if isinstance(error, ValidationError) else str(error)
        raise DataError(
            f"{where}: made by version {facts['code_version']}, with a configuration that version {code_version()} "
            f"does not read: {said}; use the version that made it"
        ) from None


STRATEGY_OPTION = "strategy.options."
"""Before the name of one of a strategy's own options."""


def is_own(setting: str) -> bool:
    """True if a dotted key names one of a strategy's own options."""
    return setting.startswith(STRATEGY_OPTION)


def with_settings(config: Config, settings: Mapping[str, Any], origin: str) -> Config:
    """`config` with `settings` (dotted keys; `strategy.options.NAME` for one of a strategy's own). ConfigError says
    what to mend, and that it came from `origin`.
    """
    tree: _Tree = config.model_dump(mode="json")
    own = {name.removeprefix(STRATEGY_OPTION): value for name, value in settings.items() if is_own(name)}
    flat = {name: value for name, value in settings.items() if not is_own(name)}
    if own:
        flat["strategy.options"] = {**tree["strategy"]["options"], **own}
    origins: dict[str, str] = {}
    _overlay(tree, flat, origin, origins)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from None


def read_object(path: Path, like: str) -> _Tree:
    """The JSON object in a file, less its `$schema`. ConfigError says what to mend, and what it should be `like`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}; {like}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds no JSON object; {like}")
    _refuse_twice(path, text)
    tree.pop("$schema", None)
    return tree


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(?P<key>\s*:)?|[{}]|\n')


def _refuse_twice(path: Path, text: str) -> None:
    """ConfigError if an object of the JSON `text` has a key twice: the first would be gone without a word."""
    line, inside, names = 1, list[dict[str, int]](), list[str]()
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word == "{":
            inside.append({})
            names.append("")
        elif word == "}":
            inside.pop()
            names.pop()
        elif token["key"] is not None:
            name = json.loads(word[: -len(token["key"])])
            if name in inside[-1]:
                where = ".".join([*filter(None, names[:-1]), name])
                raise ConfigError(
                    f"{path}: {where!r} stands twice (line {inside[-1][name]} and line {line}): make one of the two"
                )
            inside[-1][name], names[-1] = line, name
        line += word.count("\n")


def _flatten(tree: _Tree) -> dict[str, Any]:
    """Dotted keys two deep: `section.key`; a section that is no object keeps its own name."""
    flat: dict[str, Any] = {}
    for section, values in tree.items():
        if isinstance(values, dict):
            flat |= {f"{section}.{key}": value for key, value in values.items()}
        else:
            flat[section] = values
    return flat


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, text in environment.items():
        if name in _SHORT_ENVIRONMENT:
            flat[_SHORT_ENVIRONMENT[name]] = _value(text)
        elif name.startswith("ZTB_") and "__" in name:
            section, key = name.removeprefix("ZTB_").lower().split("__", 1)
            flat[f"{section}.{key}"] = _value(text)
    return flat


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _overlay(tree: _Tree, flat: Mapping[str, Any], origin: str, origins: dict[str, str]) -> None:
    for dotted, value in flat.items():
        section, _, key = dotted.partition(".")
        _require_known(section, tree, origin, "section")
        if not key:
            raise ConfigError(f"{origin}: {section} must be an object of settings, not {value!r}")
        if dotted in _RETIRED:
            raise ConfigError(f"{origin}: {dotted} never did anything: {_RETIRED[dotted]}; remove it")
        _require_known(key, tree[section], origin, f"key in {section}")
        tree[section][key] = value
        origins[dotted] = origin


def _require_known(name: str, known: Mapping[str, Any], origin: str, what: str) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known)) or 'none'}"
        raise ConfigError(f"{origin}: unknown {what}: {name!r}{hint}")


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    lines: list[str] = []
    for item in error.errors():
        dotted = ".".join(str(part) for part in item["loc"][:2])
        origin = origins.get(dotted, "default")
        lines.append(f"{origin}: {dotted}: {what_is_wrong(item)}")
    return "\n".join(lines)
