"""Which generations an experiment has, and what their manifests say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ztb.utils.checkpoint.errors import Damaged, NewerVersion
from ztb.utils.checkpoint.folder import leave, share
from ztb.utils.checkpoint.generation import Generation, describe
from ztb.utils.checkpoint.names import DATA, Contents, file_name, read_folder
from ztb.utils.checkpoint.reader import open_generation

_NO_MARKS: frozenset[str] = frozenset()
_Identity = tuple[int, int, int]


class Catalogue:
    """One experiment's folder as names and manifests. Manifests are read once for each file that is met."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = share(path)
        self._known: dict[_Identity, Generation] = {}

    def close(self) -> None:
        """Leave the folder to others."""
        leave(self.folder)

    def contents(self) -> Contents:
        return read_folder(self.path)

    def file(self, number: int) -> Path:
        return self.path / file_name(number, DATA)

    def survey(self) -> list[Generation]:
        """All generations by number; of damaged ones only number, path and fault are known."""
        with self.folder.pruning:
            found = self.contents()
        known: dict[_Identity, Generation] = {}
        generations = [g for number in found.numbers if (g := self._meet(number, found, known))]
        self._known = known
        return generations

    def _meet(self, number: int, found: Contents, known: dict[_Identity, Generation]) -> Generation | None:
        """The generation as described before or now; None if its file has gone meanwhile."""
        try:
            status = self.file(number).stat()
            identity = (status.st_ino, status.st_size, status.st_ctime_ns)
            generation = self._known.get(identity) or self._describe(number)
        except FileNotFoundError:
            return None
        generation = replace(generation, marks=found.marks.get(number, _NO_MARKS))
        if generation.number == number:
            known[identity] = generation
        return generation

    def _describe(self, number: int) -> Generation:
        path = self.file(number)
        try:
            with open_generation(path, number) as opened:
                return describe(self.path.name, path, opened.nbytes, opened.manifest)
        except NewerVersion as error:
            return Generation(self.path.name, number, path, version=error.version, fault=str(error))
        except Damaged as error:
            return Generation(self.path.name, number, path, fault=error.reason)
