"""Resources of a process (proc(5)), and of this one on Windows."""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_SOCKET_NUMBERS = range(4, 1 << 14, 4) if sys.platform == "win32" else range(1 << 12)
"""Handles of Windows are multiples of four, and small ones, although no document says so."""


def cpu_s(pid: int) -> float:
    """Processor time of all threads so far, user and system, in seconds."""
    return _named_cpu_s(Path(f"/proc/{pid}/stat"))[1]


def threads_cpu_s(pid: int) -> dict[str, float]:
    """The same of its threads by name; threads of one name are added up."""
    found: collections.defaultdict[str, float] = collections.defaultdict(float)
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # It ends meanwhile.
            name, used_s = _named_cpu_s(thread / "stat")
            found[name] += used_s
    return dict(found)


def _named_cpu_s(stat: Path) -> tuple[str, float]:
    before, _, after = stat.read_text(encoding="utf-8").rpartition(")")
    fields = after.split()
    return before.partition("(")[2], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kb(pid: int) -> int:
    """Resident memory in kB."""
    return int(status(pid)["VmRSS"].split()[0])


def threads(pid: int) -> int:
    return int(status(pid)["Threads"])


def thread_statuses(pid: int) -> dict[int, dict[str, str]]:
    """The status of each thread by its number, without those that end meanwhile."""
    found: dict[int, dict[str, str]] = {}
    for thread in map(int, os.listdir(f"/proc/{pid}/task")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[thread] = status(pid, thread)
    return found


def descriptors(pid: int) -> int:
    """Open file descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def own_descriptors() -> int:
    """Open file descriptors of this process; on Windows, which does not list them, its sockets."""
    return sum(1 for _ in own_sockets()) if sys.platform == "win32" else descriptors(os.getpid())


def own_threads() -> int:
    """Threads of this process; on Windows, those of Python."""
    return threading.active_count() if sys.platform == "win32" else threads(os.getpid())


def own_sockets() -> Iterator[socket.socket]:
    """Find the sockets of this process, whatever code opened them. Each can be used until the next one."""
    for number in _SOCKET_NUMBERS:
        with contextlib.suppress(OSError):  # There is no socket of this number.
            one = socket.socket(fileno=number)
            try:
                yield one
            finally:
                one.detach()


def status(pid: int, thread: int | None = None) -> dict[str, str]:
    """The status file of a process, or of one of its threads."""
    lines = Path(f"/proc/{pid}/task/{thread or pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
