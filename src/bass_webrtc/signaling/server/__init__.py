"""The rules of WHIP and WHEP endpoints (sans-I/O), and the HTTP server that carries them."""

from __future__ import annotations
