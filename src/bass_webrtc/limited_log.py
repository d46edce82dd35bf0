"""Log lines that remote hosts can cause, limited in number, and where a program without logging of its own shows them.

The loggers are those of the modules, such as ``bass_webrtc.server.peers``. No line contains a token, a session URL or
an ICE password.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import math
import queue
import sys
import threading
import time

from .core import name_thread
from .host_process import after_fork_in_child, start_thread

LEVELS = ("debug", "info", "warning", "error")
_INTERVAL_S = 1.0
_MAX_WAITING_LINES = 1000
_FLUSH_S = 0.5


class LimitedLog:
    """Logs lines of one kind, one per second after a burst. Use from one thread at a time."""

    def __init__(self, logger: logging.Logger, burst: int = 1) -> None:
        """
        Args:
            logger: Where the lines go.
            burst: Lines that may be logged at once.
        """
        self._logger = logger
        self._tolerance_s = (burst - 1) * _INTERVAL_S
        self._next_s = -math.inf
        self._left_out = 0

    def warning(self, text: str, now_s: float) -> None:
        """Log a warning; see ``log``."""
        self.log(logging.WARNING, text, now_s)

    def log(self, level: int, text: str, now_s: float) -> None:
        """Log a line, unless there were too many. After a burst the next one says how many are missing.

        Args:
            level: Its level.
            text: The whole line.
            now_s: Monotonic time in seconds.
        """
        if not self._logger.isEnabledFor(level):
            return
        if self._next_s - now_s > self._tolerance_s:
            self._left_out += 1
            return
        self._next_s = max(self._next_s, now_s) + _INTERVAL_S
        left_out, self._left_out = self._left_out if self._tolerance_s else 0, 0
        self._logger.log(level, "%s%s", text, f" ({left_out} lines left out before)" if left_out else "")


class _StandardError(logging.Handler):
    """Writes to what ``sys.stderr`` is at the time: the live table replaces it, and it may be closed.

    A thread of its own writes, because nobody may read the pipe: the loop thread must not wait for that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[str] = queue.Queue(_MAX_WAITING_LINES)
        start_thread(threading.Thread(target=self._write, name="bass-webrtc log", daemon=True))
        atexit.register(self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line; drop it if too many wait."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(self.format(record))

    def flush(self) -> None:
        """Wait for a moment until all lines are written."""
        end_s = time.perf_counter() + _FLUSH_S
        while self._lines.unfinished_tasks and time.perf_counter() < end_s:
            time.sleep(0.01)

    def _write(self) -> None:
        name_thread("bw-log")
        while True:
            line = self._lines.get()
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()
            self._lines.task_done()


@functools.cache
def _standard_error() -> _StandardError:
    """Return the only handler, because its thread never ends."""
    handler = _StandardError()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


@after_fork_in_child
def _forget_standard_error() -> None:
    """A forked child has no thread that writes; its next call makes one."""
    if _standard_error.cache_info().currsize:
        logging.getLogger().removeHandler(_standard_error())
        _standard_error.cache_clear()


def log_to_standard_error(level: str) -> None:
    """Show this package's log lines from a level on, and warnings of others, on standard error.

    Args:
        level: One of LEVELS.
    """
    logging.getLogger().addHandler(_standard_error())
    logging.getLogger("bass_webrtc").setLevel(level.upper())
