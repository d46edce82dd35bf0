"""Handles: numbers that stand for our objects, so that whatever a C program passes is looked up and never followed."""

from __future__ import annotations

import itertools
import threading
from typing import Protocol, TypeVar, overload

from . import errors
from .errors import CapiError

_FIRST = 0x101
"""No address of anything, in any process: below the first page. It is never given twice."""


class Handle(Protocol):
    """What a number can stand for."""

    what: str
    """In words, for messages."""

    def close(self) -> None:
        """Lets go of everything. Idempotent; any thread."""


One = TypeVar("One", bound=Handle)
Two = TypeVar("Two", bound=Handle)
Three = TypeVar("Three", bound=Handle)


class HandleTable:
    """The numbers that are in use. Any thread."""

    def __init__(self) -> None:
        self._numbers = itertools.count(_FIRST)
        self._lock = threading.Lock()
        self._handles: dict[int, Handle] = {}

    def next_number(self) -> int:
        """One that was never given before."""
        with self._lock:
            return next(self._numbers)

    def add(self, number: int, handle: Handle) -> None:
        """From now on the number stands for it."""
        with self._lock:
            self._handles[number] = handle

    @overload
    def get(self, number: int, one: type[One], /) -> One: ...

    @overload
    def get(self, number: int, one: type[One], two: type[Two], /) -> One | Two: ...

    @overload
    def get(self, number: int, one: type[One], two: type[Two], three: type[Three], /) -> One | Two | Three: ...

    def get(self, number: int, /, *kinds: type[Handle]) -> Handle:
        """What the number stands for.

        Raises:
            CapiError: Nothing, or something else.
        """
        with self._lock:
            found = self._handles.get(number)
        if found is None:
            raise CapiError(errors.HANDLE, f"{number:#x} is no handle, or was freed")
        if not isinstance(found, kinds):
            wanted = " or ".join(kind.what for kind in kinds)
            raise CapiError(errors.HANDLE, f"the handle is that of {found.what}; expected that of {wanted}")
        return found

    def take(self, number: int, kind: type[One]) -> One:
        """The same, and the number stands for nothing any more: of two who take, one gets it."""
        found = self.get(number, kind)
        with self._lock:
            if self._handles.pop(number, None) is not found:
                raise CapiError(errors.HANDLE, f"{number:#x} was freed by another thread")
        return found

    def take_all(self) -> list[Handle]:
        """All of them; the table is empty."""
        with self._lock:
            handles, self._handles = list(self._handles.values()), {}
        return handles
