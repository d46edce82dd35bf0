"""Resources of a process (proc(5)), and of this one on Windows."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path


def cpu_s(pid: int) -> float:
    """Processor time of all threads so far, user and system, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kb(pid: int) -> int:
    """Resident memory in kB."""
    return int(_status(pid)["VmRSS"].split()[0])


def threads(pid: int) -> int:
    return int(_status(pid)["Threads"])


def descriptors(pid: int) -> int:
    """Open file descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def own_descriptors() -> int:
    """Open file descriptors of this process; on Windows, handles."""
    if sys.platform != "win32":
        return descriptors(os.getpid())
    count, kernel32 = ctypes.c_uint32(), ctypes.WinDLL("kernel32")
    kernel32.GetProcessHandleCount(ctypes.c_void_p(-1), ctypes.byref(count))
    return count.value


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
