"""Chromium as a receiver of ``BrowserFeed``, in a tab with the tests' listening page."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.browsers import Browser

_ANSWER = """(async (offer) => {
  const connection = listener.connection = new RTCPeerConnection();
  listener.track = new Promise((resolve) => connection.addEventListener("track", (event) => resolve(event.track)));
  await connection.setRemoteDescription({ type: "offer", sdp: offer });
  const answer = await connection.createAnswer();
  const sdp = answer.sdp.replace("minptime=10", "minptime=10;stereo=1");
  await connection.setLocalDescription({ type: "answer", sdp });
  return sdp;
})"""

_RECORD = """((seconds, pollSeconds) => {
  listener.moments = [];
  listener.poll = setInterval(async () => {
    const { inbound } = await listener.stats();
    if (inbound) listener.moments.push(inbound);
  }, 1000 * pollSeconds);
  listener.recording = listener.record(seconds);
})"""


class ChromiumReceiver:
    """Receiver of one stream."""

    def __init__(self, browser: Browser, page_url: str) -> None:
        self._tab = browser.open(page_url)
        self._tab.evaluate("listener.clock.terminate()")  # It wakes up each millisecond.

    def answer(self, offer: str) -> str:
        """Return the answer to an offer; Chromium starts connecting."""
        answer: str = self._tab.evaluate(f"{_ANSWER}({json.dumps(offer)})")
        return answer

    def listen(self) -> None:
        """Play the received audio."""
        self._tab.evaluate("listener.track.then((track) => listener.listen(track))")

    def record(self, seconds: float, poll_s: float) -> None:
        """Start recording, and polling getStats() every ``poll_s``."""
        self._tab.evaluate(f"{_RECORD}({seconds}, {poll_s})")

    def recording(self) -> NDArray[np.float32]:
        """Wait for the end of the recording; return float32 ``[frames, 2]`` at 48 kHz."""
        return np.frombuffer(base64.b64decode(self._tab.evaluate("listener.recording")), np.float32).reshape(-1, 2)

    def history(self) -> list[dict[str, Any]]:
        """Stop polling; return the inbound-rtp entries of getStats() since ``record``."""
        entries: list[dict[str, Any]] = self._tab.evaluate("clearInterval(listener.poll), listener.moments")
        return [entry for entry in entries if "jitterBufferDelay" in entry]
