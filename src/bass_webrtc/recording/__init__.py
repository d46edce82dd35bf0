"""Recording without re-encoding: peers as received and channels as sent, in Ogg Opus files.

engine's threads ─► Tap ─► Timeline (order, time, gaps) ─► RecordingFiles ─► OggOpusMuxer ─► file
(C, never wait)           ───────────────── recorder thread (Python), all recordings ────────────
"""

from __future__ import annotations

from .recordings import Recording, Recordings

__all__ = ["Recording", "Recordings"]
