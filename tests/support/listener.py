"""What a browser plays, as samples in Python: controls the page listen.html in one tab."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .browsers import Browser

SAMPLE_RATE_HZ = 48_000


class Listener:
    """One tab that plays a WHEP endpoint and captures its audio."""

    def __init__(self, browser: Browser, page_url: str) -> None:
        self.tab = browser.open(page_url)

    def play(
        self, url: str, *, stereo: bool = True, nack: bool = False, token: str | None = None, link: str | None = None
    ) -> dict[str, Any]:
        """Play the endpoint; ``stereo`` and ``nack`` are added to the offer; ``link`` is a ``ShapedLink``'s address.

        Returns ``status`` and, of a 201, ``body`` (the answer), ``offer`` and ``session``; else ``body`` and
        ``retryAfter``. Returns once connected; raises ``RuntimeError`` when that takes over 10 s.
        """
        options = json.dumps({"stereo": stereo, "nack": nack, "token": token, "link": link})
        result: dict[str, Any] = self.tab.evaluate(f"listener.play({json.dumps(url)}, {options})")
        return result

    def record(self, seconds: float) -> NDArray[np.float32]:
        """Return the next seconds of audio: float32 of shape [frames, 2] at 48 kHz."""
        samples = base64.b64decode(self.tab.evaluate(f"listener.record({seconds})"))
        return np.frombuffer(samples, np.float32).reshape(-1, 2)

    def stats(self) -> dict[str, Any]:
        """``state``, and the W3C entries ``inbound`` (inbound-rtp), ``codec``, ``pair`` and ``transport``."""
        found: dict[str, Any] = self.tab.evaluate("listener.stats()")
        return found

    def worst_lateness_s(self) -> float:
        """Return the worst lateness of the browser since the last call, caused by other programs."""
        return float(self.tab.evaluate("listener.worstLatenessMs()")) / 1000

    def stop(self) -> None:
        """End the session with DELETE."""
        self.tab.evaluate("listener.stop()")

    def vanish(self) -> None:
        """End without a message to the server."""
        self.tab.evaluate("listener.vanish()")
