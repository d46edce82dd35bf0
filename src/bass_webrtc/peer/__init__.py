"""Remote peers on the asyncio loop: ``lite_connection.py`` (one UDP port for all) and ``full_connection.py``."""

from __future__ import annotations
