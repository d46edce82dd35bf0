"""WHIP and WHEP client: one session at a server, from POST to DELETE."""

from __future__ import annotations
