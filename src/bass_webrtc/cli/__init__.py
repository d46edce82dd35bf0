"""The command line ``bass-webrtc``."""

from __future__ import annotations
