"""Foreign WebRTC stacks in node as WHIP and WHEP clients, or as an endpoint: libdatachannel, werift, @roamhq/wrtc.

with NodePeer("werift", "play", server.whep_url, video=True) as player:
    player.connect()
    samples = player.listen(1.0)
"""

from __future__ import annotations

import base64
import functools
import json
from typing import Any, Literal

import numpy as np

import node_packages

from . import opus
from .child import Child
from .publisher import ToneEncoder
from .publisher_recorder import Samples

STACKS = ("libdatachannel", "werift", "wrtc")
LEVEL_DBFS = -12.0
_PROGRAM = node_packages.PROGRAMS / "whip_whep.cjs"
_FRAMES = 500
"""Of 20 ms, sent again and again."""

missing = node_packages.missing


class NodePeer:
    """One process. A context manager.

    Args:
        stack: One of ``STACKS``.
        role: What it does; an endpoint serves ``/whip`` and ``/whep``.
        url: Of the endpoint, for a client.
        tone_hz: What it sends, left and right.
        settings: Others of the task: ``token``, ``video``, ``reports``, ``certificate`` and ``key``.
    """

    def __init__(
        self,
        stack: str,
        role: Literal["play", "publish", "serve"],
        url: str = "",
        tone_hz: tuple[float, float] = (500.0, 700.0),
        **settings: Any,
    ) -> None:
        tone = {"left_hz": tone_hz[0], "right_hz": tone_hz[1], "amplitude": 10 ** (LEVEL_DBFS / 20)}
        task = {"stack": stack, "role": role, "url": url, "tone": tone, **settings}
        if role != "play" and stack != "wrtc":
            task["frames"] = _frames(*tone_hz)
        variables = {"NODE_PATH": str(node_packages.node_modules())}
        self._child = Child(str(_PROGRAM), program=(str(node_packages.NODE),), variables=variables)
        self._child.write_line(json.dumps(task))
        self.url = self.offer = self.answer = ""

    def connect(self) -> None:
        """Wait until the client is connected."""
        reply = json.loads(self._child.read_line())
        self.offer, self.answer = reply["offer"], reply["answer"]
        assert (reply["status"], reply.get("state")) == (201, "connected"), reply

    def serve(self) -> str:
        """Wait until the endpoint listens; return its origin."""
        url: str = json.loads(self._child.read_line())["url"]
        return url

    def state(self) -> str:
        """Return the state of the connection, as the stack says it."""
        state: str = self._child.ask("state")["state"]
        return state

    def listen(self, seconds: float) -> Samples:
        """Return what it hears in the next seconds: float32 ``[frames, 2]`` at 48 kHz."""
        return _samples(self._child.ask("listen", seconds=seconds))

    def stop(self, pause_s: float = 0.2) -> int:
        """Close the connection, wait, send DELETE and return its status."""
        status: int = self._child.ask("stop", pause_s=pause_s)["status"]
        return status

    def close(self) -> None:
        self._child.close()

    def __enter__(self) -> NodePeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _samples(reply: dict[str, Any]) -> Samples:
    heard = [base64.b64decode(one) for one in reply["heard"]]
    if not heard:
        return np.zeros((0, 2), np.float32)
    if "sampleRate" not in reply:
        return opus.decode(heard)
    assert (reply["sampleRate"], reply["channelCount"]) == (48_000, 2)
    return np.frombuffer(b"".join(heard), np.int16).reshape(-1, 2).astype(np.float32) / np.float32(32_768)


@functools.cache
def _frames(left_hz: float, right_hz: float) -> list[str]:
    encoder = ToneEncoder(left_hz, right_hz, level_dbfs=LEVEL_DBFS)
    return [base64.b64encode(encoder.packet()).decode() for _ in range(_FRAMES)]
