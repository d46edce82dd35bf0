"""Examples with their own signaling: a browser over a WebSocket, two terminals by copy and paste."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from support.client_peers import free_port
from support.patience import wait_until
from support.reruns import real_time_audio
from support.studio import Studio

pytestmark = real_time_audio

FOLDER = Path(__file__).parents[2] / "examples"
LISTEN = """(async () => {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, {fftSize: 32768, smoothingTimeConstant: 0});
  context.createMediaStreamSource(document.querySelector("#far").srcObject).connect(analyser);
  await new Promise(resolve => setTimeout(resolve, 2000));
  const levels = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(levels);
  const at = hz => levels[Math.round(hz * analyser.fftSize / context.sampleRate)];
  return [at(440), at(880), at(660)];
})()"""

Program: TypeAlias = "subprocess.Popen[str]"


@contextmanager
def running(*command: str) -> Iterator[Program]:
    program = subprocess.Popen(
        [sys.executable, "-u", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def read_line(program: Program) -> str:
    assert program.stdout is not None
    return program.stdout.readline()


def with_sigint(example: str) -> str:
    """Enable Ctrl-C: background jobs of a shell ignore SIGINT, which Python respects."""
    enable_sigint = "import signal as _signal\n\n_signal.signal(_signal.SIGINT, _signal.default_int_handler)\n"
    return example.replace("import asyncio\n", f"import asyncio\n{enable_sigint}")


@pytest.mark.parametrize("button", ["call", "called"])
def test_browser_calls_and_is_called_over_a_websocket(chromium_studio: Studio, tmp_path: Path, button: str) -> None:
    port = free_port()
    example = tmp_path / "websocket_signaling.py"
    example.write_text(with_sigint((FOLDER / example.name).read_text(encoding="utf-8")), encoding="utf-8")
    with running(str(example), "--port", str(port)) as program:
        assert f"http://127.0.0.1:{port}/" in read_line(program)
        tab = chromium_studio.browser.open(f"http://127.0.0.1:{port}/")
        tab.evaluate(f"document.querySelector('#{button}').click()")
        wait_until(lambda: tab.evaluate("document.querySelector('#state').textContent") == "connected", 20.0)
        left, right, other = tab.evaluate(LISTEN)
        assert min(left, right) > -40.0
        assert other < min(left, right) - 20.0
        tab.close()
        assert "sendrecv" in read_line(program)
        assert "Peer 0" in read_line(program)  # Closed together with its WebSocket.
        program.send_signal(signal.SIGINT)
        assert program.wait(20) == 0


def test_two_terminals_call_each_other_by_copy_and_paste() -> None:
    example = str(FOLDER / "copy_paste.py")
    with running(example) as first, running(example, "--answer") as second:
        assert first.stdin is not None
        assert second.stdin is not None
        assert read_line(first) == "The offer:\n"
        offer = read_line(first)
        assert len(offer) < 4096  # The line length limit of terminals.
        second.stdin.write(offer)
        second.stdin.flush()
        assert read_line(second) == "Paste the offer: The answer:\n"
        first.stdin.write(read_line(second))
        first.stdin.flush()
        for program in (first, second):
            assert program.stdout is not None
            output = ""
            while not re.search(r"-12\.\d dBFS|-15\.\d dBFS", output):
                output += program.stdout.read(1)
