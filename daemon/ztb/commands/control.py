"""`ztb status|halt|resume|flatten|…`: asks a running daemon through its control socket, and imports next to nothing."""

from __future__ import annotations

import contextlib
import json
import math
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import typer

from ztb.control import SOCKET_NAME, Answer, Command, Status, short_address
from ztb.errors import DataError, UsageError, VenueError, ZtbError
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry import texts

_PATIENCE_S = 15.0
_FAR = 700.0  # log evidence beyond which no float holds it


def find_run(run: Path | None) -> Path:
    """The one folder in which a daemon listens, or at least starts: `run`, one in it, or with None one in `runs/`.

    UsageError if there are none or several below `runs/`; `run` itself if there are none in it.
    """
    if run is not None and _listens(run):
        return run
    folder = run or Path("runs")
    found = sorted(path.parent for path in folder.glob(f"*/{SOCKET_NAME}") if _listens(path.parent))
    if not found:
        found = [lock.parent for lock in folder.glob("*/lock") if RunDirectory(lock.parent).is_held]
    if len(found) == 1:
        return found[0]
    if run is not None and not found:
        return run
    if not found:
        raise VenueError(
            f"no daemon runs below {folder}/; start one with `ztb run`, or say where with --run DIR"
        )
    names = ", ".join(map(str, found))
    raise UsageError(f"say which daemon with --run DIR; below {folder}/ there are {names}")


@contextlib.contextmanager
def _door(run: Path) -> Generator[socket.socket]:
    """A connection to the daemon in `run`; OSError if there is none."""
    with socket.socket(socket.AF_UNIX) as door, short_address(run / SOCKET_NAME) as address:
        door.settimeout(_PATIENCE_S)
        door.connect(address)
        yield door


def _listens(run: Path) -> bool:
    """True if a daemon would hear us there; what was killed leaves a socket that nobody hears."""
    try:
        with _door(run):
            return True
    except PermissionError:
        return True  # somebody else's daemon is asked, and says so
    except OSError:
        return False


def ask(run: Path, command: Command) -> Answer:
    """Send one command. VenueError (exit 75) if no daemon answers."""
    try:
        with _door(run) as door:
            door.sendall(msgspec.json.encode(command) + b"\n")
            with door.makefile("rb") as answers:
                line = answers.readline()
    except PermissionError:
        raise UsageError(
            f"{run}: not ours to reach; ask as root, or as the user the daemon runs as"
        ) from None
    except OSError as error:
        if RunDirectory(run).is_held:
            raise VenueError(
                f"{run}: the daemon there is starting or stopping; ask again in a moment"
            ) from None
        raise VenueError(
            f"{run}: no daemon answers there ({error.strerror or error}); is it running?"
        ) from None
    if not line:
        raise ZtbError(f"{run / SOCKET_NAME}: the daemon turned us away; are you the user it runs as?")
    return msgspec.json.decode(line, type=Answer)


def command(run: Path | None, wanted: Command, as_json: bool) -> int:
    """Ask, say the answer, return its exit code."""
    answer = ask(find_run(run), wanted)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(answer)))
    else:
        typer.echo(answer.message, err=not answer.ok)
    return answer.exit_code


def status(run: Path | None, as_json: bool) -> int:
    """Print the daemon's state: its snapshot as JSON, or the lines that matter. Exit code 3 while anything holds that
    somebody should see to.
    """
    answer = ask(find_run(run), Status())
    if as_json:
        typer.echo(json.dumps(answer.detail if answer.ok else msgspec.to_builtins(answer)))
        return _exit_code(answer.detail) if answer.ok else answer.exit_code
    if not answer.ok:
        typer.echo(answer.message, err=True)
        return answer.exit_code
    for name, value in _lines(answer.detail):
        typer.echo(f"{name:<12}{value}")
    return _exit_code(answer.detail)


def _exit_code(now: dict[str, Any]) -> int:
    """3 while anything holds that somebody should see to, else 0."""
    return DataError.exit_code if any(one["severity"] != "info" for one in now["conditions"]) else 0


_LEARNER = (
    "{mode}, {updates} updates, {waiting} transitions waiting, {dropped} dropped, {tainted} left out for gaps"
)


def _lines(now: dict[str, Any]) -> list[tuple[str, str]]:
    base, _, quote = now["symbol"].partition("/")
    return [
        ("state", now["state"].replace("_", " ")),
        *(("", one["text"]) for one in now["conditions"]),
        ("trades", f"{now['symbol']} on {now['venue']}, {now['mode']}, {now['strategy']}"),
        (
            "equity",
            f"{texts.number(now['equity'])} {quote}, drawdown {_share(now['drawdown'])}{_against(now)}",
        ),
        ("position", f"{now['position']:g} {base}, {len(now['open_orders'])} open orders"),
        *_protected(now, base),
        ("so far", f"{now['ticks']:,} ticks, {now['decisions']:,} decisions, {now['fills']:,} fills"),
        *_learning(now),
        *(("expert", _expert(one)) for one in now["experts"]),
        *_worth(now),
        *_nearest(now["limits"]),
        *(("alert", alert["text"]) for alert in now["alerts"][-3:]),
    ]


def _protected(now: dict[str, Any], base: str) -> list[tuple[str, str]]:
    stop, where = now["protective_stop"], "at the venue" if now["mode"] == "live" else "on paper"
    return [("stop", f"{stop['quantity']:g} {base} sold {where} below {stop['price']:,.2f}")] if stop else []


def _against(now: dict[str, Any]) -> str:
    """The account's lead over the shadows on the same ticks."""
    first = "generation 0 at full size" if now["experts"] else "frozen"
    others = {"hold": now["hold_equity"], first: now["frozen_equity"]}
    return "".join(
        f", {texts.signed(now['equity'] - other)} against {name}"
        for name, other in others.items()
        if other is not None
    )


def _learning(now: dict[str, Any]) -> list[tuple[str, str]]:
    generation, learner = now["generation"], now["learner"]
    if not generation or not learner:
        return []
    state = learner["state"].replace("_", " ")
    said = _LEARNER.format(**learner)
    if learner["non_finite"]:
        said += f", {learner['non_finite']} updates dropped for numbers that are not finite"
    return [
        ("generation", f"{generation['serving']} serves of {generation['made']} made"),
        ("learner", f"{state}, {said}"),
    ]


def _expert(one: dict[str, Any]) -> str:
    """An expert with its weight, and e, the evidence for it."""
    evidence = math.exp(min(one["log_evidence"], _FAR))
    leads = ", leads" if one["leads"] else ""
    return f"{one['name']} has {_share(one['weight'])} of the account, evidence {evidence:.3g}{leads}"


def _share(value: float) -> str:
    return texts.percent(value, 2, signed=False)


def _worth(now: dict[str, Any]) -> list[tuple[str, str]]:
    """The benefit of learning: against the account with nothing learnt where experts share it, else generation 0."""
    baseline = "unlearnt" if now["experts"] else "frozen"
    found = next((one for one in now["helping"] if one["baseline"] == baseline), None)
    if found is None:
        return []
    difference, low, high = found["difference"], found["low"], found["high"]
    if difference == 0.0:
        return [("learning", "made no difference so far")]
    if low is None or high is None:
        return [("learning", f"too early to say whether it helps: that needs {found['missing']}")]
    words = "helps" if low > 0.0 else "hurts" if high < 0.0 else "may have made no difference"
    return [
        ("learning", f"{words}: between {texts.percent(low, 2)} and {texts.percent(high, 2)} is due to it")
    ]


def _nearest(limits: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The limit that is nearest."""
    known = [use for use in limits if use["limit"]]
    if not known:
        return []
    use = max(known, key=lambda one: one["used"] / one["limit"])
    return [("nearest", f"limit of {use['name'].replace('_', ' ')}: {use['used']:.3g} of {use['limit']:g}")]
