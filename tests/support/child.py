"""A Python module in a separate process that answers JSON commands, one per line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .netns import Host

_TESTS = Path(__file__).parents[1]


class Child:
    """A child process, ended by closing its standard input.

    Args:
        module: What ``python -m`` runs: of ``tests/`` (``support.farm_worker``) or of the repository (``bench.…``).
        arguments: Its command line.
        host: The network host it runs on; None for this machine's own network.
        program: What runs ``module``, if not ``python -m``.
        variables: Added to its environment.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        host: Host | None = None,
        program: Sequence[str] = (sys.executable, "-m"),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        start = subprocess.Popen if host is None else host.popen
        paths = [str(_TESTS), str(_TESTS.parent), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **(variables or {})}
        command = [*program, module, *arguments]
        self._process: subprocess.Popen[str] = start(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env=environment
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self.pid = self._process.pid

    def read_line(self) -> str:
        """Return the next line it prints; raise ``RuntimeError`` if it ended instead."""
        line = self._output.readline()
        if not line:
            raise RuntimeError(f"the child process ended with code {self._process.wait(10)}")
        return line.rstrip("\n")

    def write_line(self, line: str) -> None:
        """Write a line to its standard input."""
        self._input.write(line + "\n")
        self._input.flush()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        self.write_line(json.dumps({"do": do, **arguments}))
        answer: dict[str, Any] = json.loads(self.read_line())
        return answer

    def close(self) -> None:
        """Let it end by itself, within ten seconds."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve_commands(lines: Iterator[str], handlers: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """The child's side: answers commands until its input closes."""
    for line in lines:
        command = json.loads(line)
        answer = handlers[command.pop("do")](**command)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
