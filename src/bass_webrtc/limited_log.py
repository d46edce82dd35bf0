"""Log lines that remote hosts can cause, at most one per second."""

from __future__ import annotations

import logging
import math

_INTERVAL_S = 1.0


class LimitedLog:
    """Logs warnings of one kind; those within a second of the last one are dropped. Use from one thread at a time."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._next_s = -math.inf

    def warning(self, text: str, now_s: float) -> None:
        """Log a warning, unless another one was logged in the last second.

        Args:
            text: The whole line.
            now_s: Monotonic time in seconds.
        """
        if now_s >= self._next_s:
            self._next_s = now_s + _INTERVAL_S
            self._logger.warning("%s", text)
