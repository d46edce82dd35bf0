"""``WhipClient`` and ``WhepClient``: how they connect, notice a loss and connect again."""

from __future__ import annotations
