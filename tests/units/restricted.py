"""Runs a command under the equivalents of a unit's restrictions, without a service manager.

`python restricted.py UNIT WRITABLE COMMAND…`, started in new mount, process, IPC and host name namespaces by
`unshare`, reads the unit and applies: a file system that is read-only but for the folder WRITABLE and a private
temporary folder, no view of others' processes, no capabilities, no new privileges, the address families and the system
calls the unit allows. Not applied: other users' ids and hidden homes, since the interpreter that runs the tests may
live in one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | errno.EPERM
_EQUAL = 4
_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
_NO_NEW_PRIVILEGES = 38
_DROP_BOUND = 24


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp` of libseccomp."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def settings(unit: Path, name: str) -> list[str]:
    """All values of a setting of the unit, in order."""
    lines = unit.read_text().splitlines()
    return [line.split("=", 1)[1] for line in lines if line.startswith(f"{name}=")]


def system_calls(unit: Path) -> set[str]:
    """Names of the system calls that the unit's filters leave, its sets resolved by systemd-analyze."""
    allowed: set[str] = set()
    for line in settings(unit, "SystemCallFilter"):
        names = {call for word in line.removeprefix("~").split() for call in _resolved(word)}
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


def _resolved(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True
    ).stdout
    found = {
        line.strip() for line in text.splitlines()[1:] if line.strip() and not line.strip().startswith("#")
    }
    return {call for item in found for call in _resolved(item)}


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def close_file_system(writable: str) -> None:
    """Read-only, but for `writable` and a new temporary folder."""
    run("mount", "--make-rprivate", "/")
    run("mount", "--bind", writable, writable)
    run("mount", "-t", "proc", "-o", "hidepid=invisible", "proc", "/proc")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4]
        if not place.startswith(("/proc", "/dev", "/sys", writable)):
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=False, capture_output=True)
    if not writable.startswith("/tmp"):
        run("mount", "-t", "tmpfs", "tmpfs", "/tmp")


def drop_privileges() -> None:
    """No capability, now or ever: the bound is emptied and exec gives none back."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(_DROP_BOUND, capability, 0, 0, 0)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")


def filter_system_calls(names: set[str], families: list[str]) -> None:
    """Everything but `names` fails with EPERM, and so do sockets of other `families`."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_DENY))
    for name in sorted(names - {"socket"}):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            library.seccomp_rule_add(context, _ALLOW, number, 0)
    socket = library.seccomp_syscall_resolve_name(b"socket")
    for family in families:
        only = _Comparison(0, _EQUAL, _FAMILIES[family], 0)
        library.seccomp_rule_add_array(context, _ALLOW, socket, 1, ctypes.byref(only))
    if library.seccomp_load(context) != 0:
        raise OSError("the filter of system calls was refused")


def main(unit: Path, writable: str, command: list[str]) -> None:
    names = system_calls(unit)
    close_file_system(writable)
    limit = int(settings(unit, "LimitNOFILE")[0])
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    drop_privileges()
    filter_system_calls(names, settings(unit, "RestrictAddressFamilies")[0].split())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
