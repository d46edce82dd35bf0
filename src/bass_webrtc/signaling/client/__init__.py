"""The rules of WHIP and WHEP clients (sans-I/O), and the HTTP client that carries them."""

from __future__ import annotations
