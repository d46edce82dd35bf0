"""Log lines that remote hosts can cause, limited in number, and where a program without logging of its own shows them.

The loggers are those of the modules, such as ``bass_webrtc.server.peers``. No line contains a token, a session URL or
an ICE password.
"""

from __future__ import annotations

import logging
import math
import sys

LEVELS = ("debug", "info", "warning", "error")
_INTERVAL_S = 1.0


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


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what ``sys.stderr`` is at the time: the live table replaces it, and it may be closed."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; do nothing without a standard error."""
        if sys.stderr is not None:
            self.stream = sys.stderr
            super().emit(record)


def log_to_standard_error(level: str) -> None:
    """Show this package's log lines from a level on, and warnings of others, on standard error.

    Args:
        level: One of LEVELS.
    """
    root = logging.getLogger()
    for former in [one for one in root.handlers if isinstance(one, _StandardError)]:
        root.removeHandler(former)
    handler = _StandardError()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    logging.getLogger("bass_webrtc").setLevel(level.upper())
