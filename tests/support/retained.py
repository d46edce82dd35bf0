"""How much memory a Python object keeps, itself and what only Python can reach from it."""

from __future__ import annotations

import gc
import sys
import types

_SHARED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


def retained_bytes(root: object) -> int:
    """Return the size of everything that ``root`` refers to, except code."""
    found: dict[int, object] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) not in found and not isinstance(one, _SHARED):
            found[id(one)] = one
            waiting += gc.get_referents(one)
    return sum(map(sys.getsizeof, found.values()))
