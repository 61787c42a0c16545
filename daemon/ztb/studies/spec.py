"""The specification of a study, as one strict file: everything that can change a figure of it, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator

from ztb.config import Config, read_object, with_settings
from ztb.config.section import Section, what_is_wrong
from ztb.errors import ConfigError

Value = bool | int | float | str
Settings = dict[str, Any]
"""Options of the configuration by dotted key, such as `ppo.learning_rate`."""


class Parameter(Section):
    """The range of an option: one of `choices`, or a number from `low` to `high`. What is not said is what the
    configuration's schema says of the option."""

    choices: tuple[Value, ...] | None = Field(default=None, min_length=1, description="one of these")
    low: int | float | None = Field(default=None, description="the least; default: as the schema says")
    high: int | float | None = Field(default=None, description="the most; default: as the schema says")
    step: int | float | None = Field(default=None, gt=0, description="from `low` on in steps")
    log: bool = Field(default=False, description="orders of magnitude are equally likely")


class StudySpec(Section):
    """A study: folds of data sets × configurations × seeds."""

    name: str = Field(default="walk-forward", pattern=r"^[a-z0-9][a-z0-9_-]*$", description="of its folder")
    data: tuple[tuple[str, ...], ...] = Field(
        default=((),), min_length=1, description="data sets, each a list of files or folders; none: shipped"
    )
    start: str | None = Field(default=None, description="first moment, ISO 8601 UTC")
    end: str | None = Field(default=None, description="end, ISO 8601 UTC, exclusive")
    folds: int | None = Field(
        default=None, ge=1, le=10_000, description="walk-forward steps; default: as many as fit, or 4"
    )
    train: str | None = Field(
        default=None, description="span that each fold trains on, such as 365d; default: twice `test`"
    )
    test: str | None = Field(
        default=None, description="span that each fold trades, such as 30d; default: the folds share the data"
    )
    embargo: str | None = Field(
        default=None,
        description="span between the two that nobody learns from; default: a hundredth of `train`",
    )
    config: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="settings that differ from the defaults, as in trade-config.json"
    )
    space: dict[str, Parameter] = Field(
        default_factory=dict, description="options to vary, by dotted key such as ppo.learning_rate"
    )
    trials: int = Field(default=1, ge=1, le=100_000, description="configurations to try; without `space`, 1")
    together: int = Field(
        default=4, ge=1, le=4096, description="configurations proposed at a time, before any of them is known"
    )
    prune: bool = Field(
        default=True,
        description="end configurations that fall behind, by successive halving on finished folds",
    )
    objective: Literal["sharpe", "return"] = Field(
        default="sharpe", description="what the best configuration has most of, over its traded folds"
    )
    seeds: int = Field(default=2, ge=1, le=10_000, description="runs of each fold, with seeds of their own")
    seed: int = Field(default=0, ge=0, description="the first of them, and the one of proposals")
    rules: tuple[str, ...] = Field(
        default=("hold", "trend", "reversion"),
        description="strategies that trade the same folds as yardsticks; they learn nothing",
    )

    @field_validator("data", mode="before")
    @classmethod
    def _one_set(cls, data: Any) -> Any:
        """A list of paths is one data set."""
        plain = isinstance(data, list | tuple) and data and all(isinstance(item, str | Path) for item in data)
        return [[str(item) for item in data]] if plain else data

    @field_validator("space")
    @classmethod
    def _one_way_each(cls, space: dict[str, Parameter]) -> dict[str, Parameter]:
        for name, item in space.items():
            if item.choices is not None and (item.low, item.high, item.step) != (None, None, None):
                raise ValueError(f"{name}: give choices, or low and high")
        return space

    @classmethod
    def read(cls, path: Path) -> Self:
        """The study in a file. ConfigError says what to mend."""
        return cls.of(read_object(path, "see config/study.schema.json"), str(path))

    @classmethod
    def of(cls, content: dict[str, Any], origin: str) -> Self:
        """The study that `content` describes. ConfigError says what to mend, and that it came from `origin`."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            said = [_said(dict(item), set(cls.model_fields)) for item in error.errors()]
            raise ConfigError("\n".join(f"{origin}: {line}" for line in said)) from None

    def base(self, origin: str = "config") -> Config:
        """The configuration that every trial begins with. ConfigError says what to mend."""
        flat = {
            f"{section}.{key}": value for section, keys in self.config.items() for key, value in keys.items()
        }
        return with_settings(Config(), flat, origin)

    @property
    def configurations(self) -> int:
        """The number of configurations tried."""
        return self.trials if self.space else 1


def _said(item: dict[str, Any], known: set[str]) -> str:
    from difflib import get_close_matches

    where = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        near = get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
        return f"unknown key: {where!r}{f'; did you mean {near[0]!r}?' if near else ''}"
    return f"{where}: {what_is_wrong(item)}"


def study_schema() -> dict[str, Any]:
    """The JSON Schema of `study.json`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **StudySpec.model_json_schema()}


def digest_of(content: Any) -> str:
    """sha256, hexadecimal, over canonical JSON."""
    plain = json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()
