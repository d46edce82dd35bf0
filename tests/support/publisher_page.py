"""A browser that publishes: drives talk.html, which can play at the same time."""

from __future__ import annotations

import json
from typing import Any

from .listener import Listener
from .studio import Studio


class Talker(Listener):
    """A tab that publishes to a WHIP endpoint and can play a WHEP endpoint."""

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio.browser, f"{studio.pages.origin}/talk.html")

    def publish(self, url: str, *, channels: int = 2) -> dict[str, Any]:
        """Publish the microphone without processing, and wait until connected.

        Returns:
            ``status`` and, for 201, ``body`` (the answer), ``offer``, ``session`` and the track's ``settings``;
            otherwise ``body`` and ``retryAfter``.

        Raises:
            RuntimeError: Not connected within 10 s.
        """
        result: dict[str, Any] = self.tab.evaluate(f"talker.publish({json.dumps(url)}, {{channels: {channels}}})")
        return result

    def publish_stats(self) -> dict[str, Any]:
        """``state``, and the W3C entries ``outbound``, ``remote`` (remote-inbound-rtp) and ``source``."""
        found: dict[str, Any] = self.tab.evaluate("talker.stats()")
        return found

    def hang_up(self) -> None:
        """End the session with DELETE."""
        self.tab.evaluate("talker.stop()")

    def vanish(self) -> None:
        """Close both connections without DELETE."""
        self.tab.evaluate("talker.vanish()")
        super().vanish()
