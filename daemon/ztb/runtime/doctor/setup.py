"""Checks of what was set up: packages, generations, the unit."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from ztb.errors import ZtbError
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.doctor.findings import Finding, Patient, bad, good, skipped, warning
from ztb.utils import CheckpointManager
from ztb.utils.installation import shipped_folder

UNIT = "ztb@.service"
_UNIT_PLACE = "etc/systemd/system"
_FOREIGN_MQTT = "asyncio-mqtt"


def packages(_patient: Patient) -> Finding:
    """Check that everything ztb stands on is there in the versions it was tested with, and nothing that breaks it."""
    missing = [f"{need.name}{need.specifier}" for need in _requirements() if not _met(need)]
    if missing:
        return bad(
            "packages", f"missing or of another version: {', '.join(missing)}", "pip install --upgrade ztb"
        )
    if _version(_FOREIGN_MQTT) is not None:
        remedy = f"pip uninstall {_FOREIGN_MQTT}: aiomqtt is its present name, and they break each other"
        return bad("packages", f"{_FOREIGN_MQTT} is installed", remedy)
    return good("packages", f"ztb {_version('ztb')}, all in place")


def _requirements() -> Iterator[Requirement]:
    """The packages that ztb needs on this machine, extras left out."""
    for text in metadata.requires("ztb") or ():
        need = Requirement(text)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            yield need


def _met(need: Requirement) -> bool:
    found = _version(need.name)
    return found is not None and need.specifier.contains(found, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def checkpoints(patient: Patient) -> Finding:
    """Check that the newest generation in the folder can be loaded, every byte verified."""
    base = RunDirectory(patient.folder).checkpoints
    manager = CheckpointManager(base)
    names = manager.experiments()
    if not names:
        return skipped("checkpoints", f"{base}: none yet")
    try:
        newest = [manager.latest(name) for name in names]
    except ZtbError as error:
        remedy = "restore the folder from a copy, or start from another with --from-generation"
        return bad("checkpoints", str(error), remedy)
    damaged = [g for name in names for g in manager.list(name) if g.fault]
    said = ", ".join(f"{g.name} {g.number}" for g in newest)
    if damaged:
        remedy = "nothing needs them; restore them from a copy, or delete the files"
        return warning(
            "checkpoints", f"newest good: {said}; {len(damaged)} damaged, {damaged[0].path}", remedy
        )
    return good("checkpoints", f"newest good: {said}")


def unit(patient: Patient) -> Finding:
    """Check that systemd would start the unit that belongs to this version."""
    place = patient.system / _UNIT_PLACE / UNIT
    if not (patient.system / _UNIT_PLACE).is_dir():
        return skipped("unit", "no systemd here")
    if not place.is_file():
        return skipped("unit", f"{place}: not installed; `ztb init --system` would do it")
    if place.read_bytes() != (shipped_folder("systemd") / UNIT).read_bytes():
        return warning(
            "unit", f"{place}: of another version", "ztb init --system, then systemctl daemon-reload"
        )
    return good("unit", f"{place}: installed")
