"""Closes at the interpreter's exit what the program left open, so that nobody at the other end is left waiting."""

from __future__ import annotations

import atexit
import weakref
from typing import Protocol


class Closable(Protocol):
    """Its ``close`` is idempotent and may be called from any thread."""

    def close(self) -> None:
        """Closes."""


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def register(one: Closable) -> None:
    """Closes it at exit, unless ``unregister`` comes before that, or the garbage collector."""
    _open.add(one)


def unregister(one: Closable) -> None:
    """The program has closed it. Idempotent."""
    _open.discard(one)


@atexit.register
def _close_all() -> None:
    for one in tuple(_open):
        one.close()
