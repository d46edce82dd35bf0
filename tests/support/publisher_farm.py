"""Cheap WHIP publishers in a process of their own: each sends its tones as long as it lives, and keeps time."""

from __future__ import annotations

from .child import Child
from .netns import Host


class PublisherFarm:
    """Publishers of tones. A context manager; those that are still there vanish without a word at its end."""

    def __init__(self, host: Host | None = None) -> None:
        self._worker = Child("support.publisher_worker", host=host)

    def publish(
        self,
        url: str,
        left_hz: float,
        right_hz: float | None = None,
        *,
        level_dbfs: float = -12.0,
        frame_ms: int = 20,
        declared: bool = True,
    ) -> int:
        """Connects one more, and returns the status of its POST; 201 is returned once it is connected.

        Raises:
            RuntimeError: It was let in, but did not connect.
        """
        tone = {"left_hz": left_hz, "right_hz": right_hz, "level_dbfs": level_dbfs, "frame_ms": frame_ms}
        answer = self._worker.ask("publish", url=url, declared=declared, tone=tone)
        if answer["status"] == 201 and answer["state"] != "connected":
            raise RuntimeError(f"not connected: {answer['state']} {answer['reason']}")
        return int(answer["status"])

    def change_ssrc(self) -> None:
        """Each sends with another SSRC from now on, and with new sequence numbers and timestamps."""
        self._worker.ask("change_ssrc")

    def disconnect(self, how: str = "delete") -> None:
        """Ends all by ``"delete"``, or without a word (``"vanish"``)."""
        self._worker.ask("close", how=how)

    def states(self) -> list[str]:
        """Of each publisher."""
        states: list[str] = self._worker.ask("states")["states"]
        return states

    def worst_lateness_s(self) -> float:
        """How late a packet left, at most, since this was asked last: another program had the processor."""
        return float(self._worker.ask("lateness")["worst_s"])

    def close(self) -> None:
        self._worker.close()

    def __enter__(self) -> PublisherFarm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
