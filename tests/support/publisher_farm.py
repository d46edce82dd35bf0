"""Lightweight WHIP publishers in a separate process: each sends its tones in real time."""

from __future__ import annotations

from .child import Child
from .netns import Host


class PublisherFarm:
    """Publishers of tones. A context manager; the remaining ones end silently."""

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
        """Connect one more and return the status of its POST; 201 is returned once it is connected.

        Raises:
            RuntimeError: It was accepted, but did not connect.
        """
        tone = {"left_hz": left_hz, "right_hz": right_hz, "level_dbfs": level_dbfs, "frame_ms": frame_ms}
        answer = self._worker.ask("publish", url=url, declared=declared, tone=tone)
        if answer["status"] == 201 and answer["state"] != "connected":
            raise RuntimeError(f"not connected: {answer['state']} {answer['reason']}")
        return int(answer["status"])

    def change_ssrc(self) -> None:
        """Restart every stream with another SSRC, new sequence numbers and timestamps."""
        self._worker.ask("change_ssrc")

    def disconnect(self, how: str = "delete") -> None:
        """End all by ``"delete"`` or silently (``"vanish"``)."""
        self._worker.ask("close", how=how)

    def states(self) -> list[str]:
        """Of each publisher."""
        states: list[str] = self._worker.ask("states")["states"]
        return states

    def worst_lateness_s(self) -> float:
        """Return the worst lateness of a packet since the last call, caused by other programs."""
        return float(self._worker.ask("lateness")["worst_s"])

    def close(self) -> None:
        self._worker.close()

    def __enter__(self) -> PublisherFarm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
