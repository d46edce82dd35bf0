"""A browser that talks, in Python: drives the page talk.html, which can listen at the same time."""

from __future__ import annotations

import json
from typing import Any

from .listener import Listener
from .studio import Studio


class Talker(Listener):
    """One tab that publishes to a WHIP endpoint, and plays a WHEP endpoint if it is told to."""

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio.browser, f"{studio.pages.origin}/talk.html")

    def publish(self, url: str, *, channels: int = 2) -> dict[str, Any]:
        """Publishes the microphone without any processing.

        Returns ``status`` and, of a 201, ``body`` (the answer), ``offer``, ``session`` and the track's ``settings``;
        else ``body`` and ``retryAfter``. Returns once connected; raises ``RuntimeError`` when that takes over 10 s.
        """
        result: dict[str, Any] = self.tab.evaluate(f"talker.publish({json.dumps(url)}, {{channels: {channels}}})")
        return result

    def publish_stats(self) -> dict[str, Any]:
        """``state``, and the W3C entries ``outbound``, ``remote`` (remote-inbound-rtp) and ``source``."""
        found: dict[str, Any] = self.tab.evaluate("talker.stats()")
        return found

    def hang_up(self) -> None:
        """Ends the session with DELETE."""
        self.tab.evaluate("talker.stop()")

    def vanish(self) -> None:
        """Ends both without a word to the server."""
        self.tab.evaluate("talker.vanish()")
        super().vanish()
