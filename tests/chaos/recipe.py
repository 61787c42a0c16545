"""What repeats a run bit for bit: its seed, and once it is shrunk, the few faults and choices that are left of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

from ztb.testing.virtual_time import Schedule

_T = TypeVar("_T")
_FAULTS, _CHOICES, _BETWEEN = "faults=", "choices=", "/"


@dataclass(frozen=True)
class Recipe:
    """`faults`: the numbers of those that happen, None: all that the seed draws. `choices`: by number, those that are not
    the first of what could happen next, None: as the seed draws them.
    """

    seed: int
    faults: tuple[int, ...] | None = None
    choices: Mapping[int, int] | None = None

    def __str__(self) -> str:
        """As `pytest --seed` takes it."""
        parts = [str(self.seed)]
        if self.faults is not None:
            parts.append(_FAULTS + ",".join(map(str, self.faults)))
        if self.choices is not None:
            parts.append(_CHOICES + ",".join(f"{number}:{place}" for number, place in self.choices.items()))
        return _BETWEEN.join(parts)

    @classmethod
    def read(cls, text: str) -> Recipe:
        """Of what `str` made. ValueError: it is none."""
        seed, *parts = text.split(_BETWEEN)
        found = cls(int(seed))
        for part in parts:
            if part.startswith(_FAULTS):
                found = replace(found, faults=tuple(map(int, _listed(part, _FAULTS))))
            elif part.startswith(_CHOICES):
                pairs = (one.split(":") for one in _listed(part, _CHOICES))
                found = replace(found, choices={int(number): int(place) for number, place in pairs})
            else:
                raise ValueError(f"{text!r}: {part!r} is neither {_FAULTS}… nor {_CHOICES}…")
        return found

    def schedule(self, keep: bool = False) -> Schedule:
        return Schedule(self.seed, self.choices, keep)


def _listed(part: str, name: str) -> list[str]:
    text = part.removeprefix(name)
    return text.split(",") if text else []


@dataclass(frozen=True)
class Failure:
    """A run that failed: why, which faults there were, and the choices taken."""

    why: str
    faults: Sequence[int]
    choices: Mapping[int, int]


Fails = Callable[[Recipe], Failure | None]
"""Runs a recipe; None if nothing is wrong with it."""


def hold(recipe: Recipe, fails: Fails, shrink: bool) -> None:
    """AssertionError where `recipe` fails, with what repeats it: as it is, or shrunk."""
    failure = fails(recipe)
    if failure is not None:
        again = shrunk(recipe, fails) if shrink else recipe
        hint = "" if shrink else "; --shrink looks for fewer faults and choices"
        raise AssertionError(f"{failure.why}\nagain: --seed {again}{hint}")


def shrunk(recipe: Recipe, fails: Fails, most_runs: int = 2000) -> Recipe:
    """A recipe that fails too, with fewer faults and choices, none of which can be left out (while runs last)."""
    runs = 0

    def again(tried: Recipe) -> Failure | None:
        nonlocal runs
        runs += 1
        return fails(tried) if runs <= most_runs else None

    found = again(recipe)
    if found is None:
        raise ValueError(f"{recipe} does not fail")
    recipe = replace(recipe, faults=tuple(found.faults))
    faults = fewest(found.faults, lambda some: again(replace(recipe, faults=tuple(some))) is not None)
    recipe = replace(recipe, faults=tuple(faults))
    found = again(recipe) or found
    taken = fewest(
        list(found.choices.items()), lambda some: again(replace(recipe, choices=dict(some))) is not None
    )
    recipe = replace(recipe, choices=dict(taken))
    if again(recipe) is None:  # nothing could be left out, not even in the way it was run
        return replace(recipe, choices=None)
    faults = fewest(recipe.faults or (), lambda some: again(replace(recipe, faults=tuple(some))) is not None)
    return replace(recipe, faults=tuple(faults))


def fewest(items: Sequence[_T], fails: Callable[[Sequence[_T]], bool]) -> Sequence[_T]:
    """Some of `items` that still fail, of which none can be left out: delta debugging (Zeller and Hildebrandt 2002)."""
    if not items or fails([]):
        return []
    items = _without_halves(items, fails)
    while (fewer := _without_two(items, fails)) is not None:
        items = _without_halves(fewer, fails)
    return items


def _without_two(items: Sequence[_T], fails: Callable[[Sequence[_T]], bool]) -> Sequence[_T] | None:
    """What one of them alone cannot leave, for another then happens instead, two may."""
    for a, b in combinations(range(len(items)), 2):
        rest = [item for place, item in enumerate(items) if place not in (a, b)]
        if fails(rest):
            return rest
    return None


def _without_halves(items: Sequence[_T], fails: Callable[[Sequence[_T]], bool]) -> Sequence[_T]:
    parts = 2
    while len(items) > 1:
        size = -(-len(items) // parts)
        for start in range(0, len(items), size):
            rest = [*items[:start], *items[start + size :]]
            if fails(rest):
                items, parts = rest, max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(items), 2 * parts)
    return items
