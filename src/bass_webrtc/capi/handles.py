"""Handles: numbers that stand for Python objects.

Whatever number a C program passes is looked up in a table, never followed as an address.
"""

from __future__ import annotations

import itertools
import threading
from typing import Protocol, TypeVar, overload

from . import errors
from .errors import CapiError

_FIRST_NUMBER = 0x101
"""Below the first page, so it is never the address of anything. Numbers are not reused."""


class Handle(Protocol):
    """The object that a number stands for."""

    description: str
    """Used in error messages: ``"a server"``."""

    def close(self) -> None:
        """Release everything. Idempotent; any thread."""


One = TypeVar("One", bound=Handle)
Two = TypeVar("Two", bound=Handle)
Three = TypeVar("Three", bound=Handle)


class HandleTable:
    """The handles that are in use. Any thread."""

    def __init__(self) -> None:
        self._numbers = itertools.count(_FIRST_NUMBER)
        self._lock = threading.Lock()
        self._handles: dict[int, Handle] = {}

    def next_number(self) -> int:
        """Reserve a number."""
        with self._lock:
            return next(self._numbers)

    def add(self, number: int, handle: Handle) -> None:
        """Make a reserved number stand for an object."""
        with self._lock:
            self._handles[number] = handle

    @overload
    def get(self, number: int, one: type[One], /) -> One: ...

    @overload
    def get(self, number: int, one: type[One], two: type[Two], /) -> One | Two: ...

    @overload
    def get(self, number: int, one: type[One], two: type[Two], three: type[Three], /) -> One | Two | Three: ...

    def get(self, number: int, /, *kinds: type[Handle]) -> Handle:
        """The object of a number.

        Args:
            number: As the C program passed it.
            kinds: The classes that are accepted.

        Raises:
            CapiError: The number is not a handle, or is one of another class.
        """
        with self._lock:
            found = self._handles.get(number)
        if found is None:
            raise CapiError(errors.HANDLE, f"{number:#x} is not a handle, or was freed")
        if not isinstance(found, kinds):
            wanted = " or ".join(kind.description for kind in kinds)
            raise CapiError(errors.HANDLE, f"the handle is that of {found.description}; expected that of {wanted}")
        return found

    def take(self, number: int, kind: type[One]) -> One:
        """Remove a handle and return its object. If two threads take the same handle, one succeeds.

        Raises:
            CapiError: As ``get``.
        """
        found = self.get(number, kind)
        with self._lock:
            if self._handles.pop(number, None) is not found:
                raise CapiError(errors.HANDLE, f"{number:#x} was freed by another thread")
        return found

    def take_all(self) -> list[Handle]:
        """Remove all handles and return their objects."""
        with self._lock:
            handles, self._handles = list(self._handles.values()), {}
        return handles
