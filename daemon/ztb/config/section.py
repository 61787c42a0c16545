"""The base of every section of the configuration: strict, frozen, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

NO_EFFECT: dict[str, Any] = {"no_effect_on_results": True}
"""Marks a key that can change no result: it is no part of the hash of a configuration."""


class Section(BaseModel):
    """A section of the file: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def what_is_wrong(item: Mapping[str, Any]) -> str:
    """The reason of one of pydantic's errors, with the value that was given."""
    return f"{item['msg'].removeprefix('Value error, ')} (got {item['input']!r})"
