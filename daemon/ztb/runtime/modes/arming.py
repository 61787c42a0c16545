"""Permission to trade real money: given by a person for one account, one configuration, one code, one lineage.

`ztb arm` writes it into the run's folder. Its expiry limits the time until the first start; restarts of the run
stay armed. So do generations that passed the gate, and rollbacks; one promoted by hand does not.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from ztb.errors import ConfigError
from ztb.utils import files


class Arming(msgspec.Struct, frozen=True):
    """`account` is the key's digest; `limit_quote` bounds position and orders, quote currency; times in nanoseconds
    since 1970, `started_ns` 0 before the first start; `weights_sha256` the generation that served when it was given.
    """

    account: str
    limit_quote: float
    config_hash: str
    code_version: str
    weights_sha256: str | None
    expires_ns: int
    started_ns: int = 0


def account_of(api_key: str) -> str:
    """A stand-in for an account where its key must not be told: 12 hexadecimal digits."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:12]


def phrase(account: str, limit_quote: float, rights_known: bool) -> str:
    """The phrase that a person types to arm. `rights_known`: the venue tells whether the key may withdraw."""
    return f"trade {limit_quote:g} on {account}" + ("" if rights_known else " whatever its key may do")


def arming_file(folder: Path) -> Path:
    """The path of the arming."""
    return folder / "arming.json"


def write_arming(folder: Path, arming: Arming) -> None:
    """Durable on return; readable by its owner alone."""
    files.make_folder(folder)
    files.write_durably(arming_file(folder), msgspec.json.encode(arming), mode=0o600)


def disarm(folder: Path) -> None:
    """Take the permission away, durably."""
    files.remove_durably(arming_file(folder))


def read_arming(folder: Path) -> Arming | None:
    """The permission, if there is one that can be read."""
    try:
        return msgspec.json.decode(arming_file(folder).read_bytes(), type=Arming)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def fault_of(
    arming: Arming | None, account: str, config_hash: str, code_version: str, lineage: set[str], now_ns: int
) -> str:
    """The reason why `arming` does not allow this start; "" if it does. `lineage`: weights of all generations of
    the run.
    """
    if arming is None:
        return "it is not armed"
    if arming.account != account:
        return f"it was armed for the account {arming.account}, the key is of {account}"
    if arming.config_hash != config_hash:
        return "the configuration has changed since it was armed"
    if arming.code_version != code_version:
        return f"it was armed for ztb {arming.code_version}, this is {code_version}"
    if arming.weights_sha256 is not None and arming.weights_sha256 not in lineage:
        return "the generation it was armed for is not of this run"
    if arming.started_ns == 0 and now_ns >= arming.expires_ns:
        return "the time between arming and start is over"
    return ""


def require_armed(fault: str, folder: Path) -> None:
    """ConfigError with the remedy, if there is a fault."""
    if fault:
        raise ConfigError(f"live: {fault}; `ztb arm --run {folder} --config FILE --limit QUOTE` arms it")
