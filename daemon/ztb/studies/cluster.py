"""Trials on a Ray cluster: one that runs already, found by address, or one node of our own on this machine.

Ray schedules, moves and begins again; nothing of that is ours. Data travel once a node, through Ray's object store. A
cluster has to ask for a token: whoever reaches one that asks for none runs code on it.
"""

from __future__ import annotations

import importlib
import io
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ztb.errors import ConfigError, ResourceError, UsageError, VenueError
from ztb.studies.trial import TrialOrder, TrialResult, failed, run_trial

_RETRIES = 3
"""How often a trial is begun again whose node or process died."""
_ANSWER_S = 5.0
"""How long whoever listens at an address has to say so."""
_STRANGER = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]).cluster_id"
"""Asks a cluster for its name; fails where that asks for a token."""
_OPEN = (
    "a cluster without a token lets everybody who reaches it run code on it: start it with RAY_AUTH_MODE=token and "
    "RAY_AUTH_TOKEN_PATH, and set both here (README.md says how)"
)

Files = tuple[tuple[str, bytes], ...]
"""Names and contents of a data set."""


class RayCluster:
    """See `Executor`."""

    def __init__(self, address: str, workers: int | None) -> None:
        """`address`: HOST:PORT of a cluster, `auto` for the one of this machine, or `local`: a node of our own, on
        loopback. `workers` processors of a node of our own; an existing cluster has as many as it has.

        ConfigError: Ray is not installed, or there is no token. UsageError: that is no address. VenueError: the
        cluster is out of reach.
        """
        self._own = address == "local"
        # All this before Ray is loaded: it looks once.
        if self._own:
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            _stay_on_loopback()
        else:
            _require_token()
            _require_listener(address)
        self._ray = _ray()
        self._running: dict[Any, TrialOrder] = {}
        self._data: dict[tuple[str, ...], Any] = {}
        self._begin(address, workers)
        self._require_lock(address)
        self.workers = max(int(self._ray.cluster_resources().get("CPU", 1)), 1)
        self._remote = self._ray.remote(num_cpus=1, max_retries=_RETRIES)(_run_there)

    def _begin(self, address: str, workers: int | None) -> None:
        options: dict[str, Any] = {
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": "error",
            "runtime_env": {"env_vars": _environment()},
        }
        if self._own:
            self._folder = tempfile.mkdtemp(prefix="ztb-ray-")
            options |= {
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": self._folder,
                "num_cpus": workers or len(os.sched_getaffinity(0)),
            }
        else:
            options["address"] = address
            del options["include_dashboard"]
        try:
            self._ray.init(**options)
        except Exception as error:  # noqa: BLE001 (Ray's own errors have no common base)
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise _unreachable(address, reason) from None

    def _require_lock(self, address: str) -> None:
        """That the cluster turns away who has no token: having one ourselves says nothing of that. ConfigError."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
        asked = subprocess.run(
            [sys.executable, "-c", _STRANGER, self._ray.get_runtime_context().gcs_address],
            env=environment | {"RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            check=False,
        )
        if asked.returncode == 0:
            self.close()
            raise ConfigError(f"--cluster {address}: {_OPEN}")

    def submit(self, order: TrialOrder) -> None:
        """See `Executor`."""
        self._running[self._remote.remote(order, self._data_of(order))] = order

    def _data_of(self, order: TrialOrder) -> Any:
        if order.data not in self._data:
            files = tuple((Path(path).name, Path(path).read_bytes()) for path in order.data)
            self._data[order.data] = self._ray.put(files)
        return self._data[order.data]

    def results(self) -> Iterator[TrialResult]:
        """See `Executor`."""
        while self._running:
            done, _ = self._ray.wait(list(self._running), num_returns=1)
            order = self._running.pop(done[0])
            yield self._collect(done[0], order)

    def _collect(self, reference: Any, order: TrialOrder) -> TrialResult:
        try:
            result, packed = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, ResourceError):
                raise ResourceError(f"{order.key}: {cause}") from None
            raise
        except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.NodeDiedError) as error:
            return failed(order, f"its process died {_RETRIES + 1} times: {str(error).splitlines()[0]}")
        if packed is not None:
            folder = Path(order.folder)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(folder, filter="data")
        found: TrialResult = result
        return found

    def close(self) -> None:
        """See `Executor`. A cluster that was there before stays there."""
        self._running.clear()
        self._data.clear()
        if self._ray.is_initialized():
            self._ray.shutdown()
        if self._own:
            shutil.rmtree(self._folder, ignore_errors=True)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise ConfigError("--cluster needs Ray, which is not installed: pip install 'ztb[cluster]'") from None


def _require_token() -> None:
    if os.environ.get("RAY_AUTH_MODE") != "token":
        raise ConfigError(f"--cluster: {_OPEN}")


def _require_listener(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself tries for a quarter of an hour before it says so.

    UsageError: that is no address. VenueError: nobody does.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not (host and "/" not in host and port.isdigit()):
        raise UsageError(f"--cluster {address}: give HOST:PORT, auto or local")
    if host in ("localhost", "127.0.0.1", "[::1]"):
        _stay_on_loopback()
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from None
    # Somebody may listen there who is no cluster: Ray asks once, not twenty times.
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")


def _unreachable(address: str, reason: str) -> VenueError:
    return VenueError(
        f"--cluster {address}: cannot be reached ({reason}): is it running, and is its token this one?"
    )


def _stay_on_loopback() -> None:
    """Else Ray takes the machine's address for 127.0.0.1: it listens there, and looks there for who listens here."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def _environment() -> dict[str, str]:
    """The environment that a worker must have of ours: one thread for arithmetic, and where strategies are."""
    one: dict[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    strategies = os.environ.get("ZTB_STRATEGY_PATH")
    return one if strategies is None else {**one, "ZTB_STRATEGY_PATH": strategies}


def _run_there(order: TrialOrder, files: Files) -> tuple[TrialResult, bytes | None]:
    """On a node: the result, and its run's folder if that is to be kept."""
    place = _node_folder()
    data = tuple(str(_unpacked(place, name, content)) for name, content in files)
    folder = place / "runs" / f"{os.getpid()}-{order.key}"
    try:
        result = run_trial(replace(order, data=data, folder=str(folder)))
        return result, _packed(folder) if order.keep and folder.exists() else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _node_folder() -> Path:
    """Ours on this node, gone with Ray's session."""
    context: Any = importlib.import_module("ray").get_runtime_context()
    session = Path(importlib.import_module("ray._private.worker")._global_node.get_session_dir_path())
    place = session / f"ztb-{context.get_node_id()}"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _unpacked(place: Path, name: str, content: bytes) -> Path:
    """A file of data, written once a node."""
    path = place / "data" / sha256(content).hexdigest() / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several workers of a node may be at it at once, each with a file of its own; it need not last.
        partial = path.with_name(f"{name}.{os.getpid()}.partial")
        partial.write_bytes(content)
        partial.replace(path)
    return path


def _packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        archive.add(folder, arcname=".")
    return buffer.getvalue()
