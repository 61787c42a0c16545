"""Loads and verifies generations of one experiment; takes no lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ztb.utils.checkpoint.catalogue import Catalogue
from ztb.utils.checkpoint.errors import Damaged, NewerVersion, NoGeneration
from ztb.utils.checkpoint.generation import Generation, describe
from ztb.utils.checkpoint.layout import VERSION
from ztb.utils.checkpoint.reader import load_state, open_generation, verify_frames


class Restored(NamedTuple):
    """A loaded state, the generation it came from, and the newer ones that did not verify, newest first."""

    state: Any
    generation: Generation
    skipped: tuple[Damaged, ...]


class Loader:
    """Reads one experiment. No array or tree of more than `max_bytes` is made."""

    def __init__(self, catalogue: Catalogue, max_bytes: int) -> None:
        self._catalogue = catalogue
        self._max_bytes = max_bytes

    def newest(self, as_numpy: bool) -> Restored:
        """The newest generation that verifies; NoGeneration if none does, NewerVersion if it is too new."""
        skipped: list[Damaged] = []
        for number in self._newest_first():
            with suppress(FileNotFoundError):
                try:
                    return self.one(number, as_numpy)._replace(skipped=tuple(skipped))
                except Damaged as error:
                    skipped.append(error)
        raise NoGeneration(_nothing(self._catalogue.path, skipped))

    def one(self, number: int, as_numpy: bool) -> Restored:
        """Generation `number`; Damaged, NewerVersion, or FileNotFoundError."""
        path = self._catalogue.file(number)
        with self._catalogue.folder.reading(number), open_generation(path, number) as opened:
            state = load_state(opened, self._max_bytes, as_numpy)
            generation = describe(self._catalogue.path.name, path, opened.nbytes, opened.manifest)
        marks = self._catalogue.contents().marks.get(number, generation.marks)
        return Restored(state, replace(generation, marks=marks), ())

    def verify(self, generation: Generation) -> Generation:
        """Read every byte; the same generation, with what is wrong as its `fault`."""
        number = generation.number
        try:
            with (
                self._catalogue.folder.reading(number),
                open_generation(generation.path, number) as opened,
            ):
                verify_frames(opened, self._max_bytes)
        except Damaged as error:
            return replace(generation, fault=error.reason)
        except NewerVersion as error:
            return replace(generation, fault=str(error), version=error.version)
        except FileNotFoundError:
            return replace(generation, fault="the file has gone")
        return replace(generation, fault=None)

    def latest(self) -> Generation:
        """The newest generation of which every byte verifies; errors as `newest`."""
        skipped: list[Damaged] = []
        for generation in map(self.verify, reversed(self._catalogue.survey())):
            if generation.version > VERSION:
                raise NewerVersion(generation.path, generation.version, VERSION)
            if generation.fault is None:
                return generation
            skipped.append(Damaged(generation.path, generation.fault))
        raise NoGeneration(_nothing(self._catalogue.path, skipped))

    def _newest_first(self) -> Iterator[int]:
        """Numbers from the newest down; read again, as a cleanup may have removed them for newer ones."""
        seen: set[int] = set()
        while fresh := set(self._catalogue.contents().numbers) - seen:
            yield from sorted(fresh, reverse=True)
            seen |= fresh


def _nothing(path: Path, skipped: list[Damaged]) -> str:
    if not skipped:
        return f"{path}: there is no generation yet"
    return f"{path}: none of {len(skipped)} generations verifies: " + "; ".join(str(e) for e in skipped[:3])
