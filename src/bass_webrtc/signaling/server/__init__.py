"""WHIP and WHEP endpoints (sans-I/O), the site, and the HTTP server that serves them."""

from __future__ import annotations
