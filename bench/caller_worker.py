"""Callers in a process of their own; answers JSON commands, one per line: ``call`` (so many more) and ``states``.

python -m bench.caller_worker
"""

from __future__ import annotations

import sys
from typing import Any

from support.callers import Callers, TestCaller
from support.child import serve_commands


def main() -> None:
    made: list[TestCaller] = []
    with Callers(max_callers=64) as callers:

        def call(url: str, count: int) -> dict[str, Any]:
            made.extend(callers.call(url, 300.0 + 25.0 * (len(made) + number)) for number in range(count))
            return {}

        def states() -> dict[str, Any]:
            stats = [one.peer.stats() for one in made]
            return {"concealed": [one.concealed_samples for one in stats], "states": [one.state for one in stats]}

        serve_commands(sys.stdin, {"call": call, "states": states})


if __name__ == "__main__":
    main()
